"""YAML as text: what is written reads back, and a file is replaced in one step or not at all."""

import os
from pathlib import Path

import pytest

from gateway import config, setup, yamltext
from gateway.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bascule.yaml"


def test_a_write_that_fails_leaves_nothing_behind(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        yamltext.write(file, "new")
    assert file.read_text() == "old"
    assert not list(file.parent.glob(".bascule.yaml.*"))


@pytest.mark.parametrize(
    "text",
    ["", "plain", "true", "null", "1", "a: b", "# x", "\u007f\u0085\u2028\ufeff", "é 🚀", "\\ \" '", "-", "\t\n"],
)
def test_any_text_in_a_value_reads_back(file: Path, text: str) -> None:
    said = {"command": "npx", "args": [text, "x"], "env": {"A": text}}
    assert config.read(f"a: {yamltext.flow(said)}", "").value == {"a": said}
    file.write_bytes(setup.with_upstream('{"version": 1, "audit": {"origin": "a/b"}}', "", "a", said).encode())
    assert config.load(file, {}).upstreams["a"].args == (text, "x")
