"""How the process that a client starts reads its command line, and what it may not import."""

from pathlib import Path
from typing import Any

import pytest

from gateway.cli import shim
from gateway.cli.owning import Unserved
from gateway.errors import JSONRPC_NUMBER
from gateway.model import Code
from tests.cli.test_cli import python


def test_an_unknown_outcome_has_the_number_that_the_gateway_gives_it() -> None:
    assert JSONRPC_NUMBER[Code.OUTCOME_UNKNOWN] == shim.OUTCOME_UNKNOWN


READ: dict[str, tuple[list[str], dict[str, Any] | None]] = {
    "a name": (["--name", "a", "--as=b", "-c", "f"], {"name": "a", "principal": "b", "config": "f"}),
    "a command": (
        ["--folder", "/a:rw", "--folder=/b", "--env", "K", "--", "npx", "-y", "x", "--name", "y"],
        {"folders": ["/a:rw", "/b"], "env": ["K"], "command": ["npx", "-y", "x", "--name", "y"]},
    ),
    "help": (["--help"], None),
    "a word too many": (["a"], None),
    "an option without its value": (["--name"], None),
    "no command": (["--name", "a", "--"], None),
}


@pytest.mark.parametrize(("words", "read"), READ.values(), ids=READ)
def test_the_command_line_is_read_or_left_to_typer(words: list[str], read: dict[str, Any] | None) -> None:
    found = shim.asked(words)
    if read is None:
        assert found is None
    else:
        assert found is not None
        assert {name: getattr(found, name) for name in read} == read


def test_folders_are_absolute_and_variables_have_their_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("KEY", "value")
    what = shim.asked(["--folder", ".", "--folder", "~/x:rw", "--folder", "/a:b", "--env", "KEY", "--", "c", "d"])
    assert what is not None
    question = what.question()
    assert question["folders"] == {str(tmp_path): "ro", "/home/me/x": "rw", "/a:b": "ro"}
    assert (question["env"], question["command"], question["args"]) == ({"KEY": "value"}, "c", ["d"])


def test_without_a_configuration_it_says_where_one_would_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BASCULE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(Unserved, match="`bascule init` makes one"):
        shim._config("")
    (tmp_path / "bascule").mkdir()
    (tmp_path / "bascule" / "bascule.yaml").touch()
    assert shim._config("") == str(tmp_path / "bascule" / "bascule.yaml")
    (tmp_path / "bascule.yaml").touch()
    assert shim._config("") == str(tmp_path / "bascule.yaml")
    monkeypatch.setenv("BASCULE_CONFIG", "other.yaml")
    with pytest.raises(Unserved, match=r"other\.yaml"):
        shim._config("")


async def test_the_shim_imports_nothing_that_takes_long() -> None:
    code = "import sys; from gateway.cli import main, shim, statefolder; print(*sys.modules)"
    loaded = set((await python("-c", code)).split())
    assert not loaded & {"typer", "pydantic", "ruamel", "asyncio", "subprocess", "pathlib", "gateway.errors", "orjson"}
