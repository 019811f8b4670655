"""A home folder, and a starter policy of one file."""

from pathlib import Path

import pytest

from gateway import setup
from tests.clients.homes import Home, furnish


@pytest.fixture(autouse=True)
def pack(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "call.rego").write_text("package bascule.call\n")
    monkeypatch.setattr(setup, "resource", lambda _: folder)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    folder = tmp_path / "home"
    furnish(folder)
    monkeypatch.setenv("HOME", str(folder))
    return Home(folder)
