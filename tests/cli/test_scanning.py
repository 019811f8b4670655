"""`scan` as an operator sees it."""

import json
from pathlib import Path

import pytest

from tests.cli.commandline import Run

PAST = '{"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time", "canary"], "env": {"A": "canary"}}}}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    return folder


def test_what_goes_past_is_listed_and_only_with_fail_is_it_a_failure(home: Path, here: Path, run: Run) -> None:
    (home / ".claude.json").write_text(PAST)
    ended = run("scan")
    assert ended.status == 0
    assert f"time\tclaude-code\tpast\tuvx\t{home}/.claude.json" in ended.out
    assert "1 of 1 go past Bascule: bascule init --from all" in ended.out
    assert "canary" not in ended.out + ended.err
    assert run("scan", "--fail").status == 1


def test_a_named_file_is_scanned_too(here: Path, run: Run) -> None:
    Path("servers.json").write_text(PAST)
    said = json.loads(run("scan", "servers.json", "--json").out)
    assert said["past"] == 1
    assert said["servers"][0] | {"file": ""} == {
        "server": "time",
        "client": "servers",
        "state": "past",
        "reaches": "uvx",
        "file": "",
    }


def test_where_nothing_goes_past_fail_is_content(home: Path, here: Path, run: Run) -> None:
    ended = run("scan", "--fail")
    assert (ended.status, ended.out) == (0, "no client has a server\n")
    (home / ".cursor").mkdir()
    (home / ".cursor" / "mcp.json").write_text('{"mcpServers": {"x": {"url": "http://127.0.0.1:8484/mcp/x"}}}')
    assert run("scan", "--fail").status == 0


def test_without_a_configuration_an_address_of_ours_is_known_by_its_token(home: Path, here: Path, run: Run) -> None:
    Path("bascule.yaml").unlink()
    (home / ".cursor").mkdir()
    entry = '{"url": "http://127.0.0.1:9/mcp/x", "headers": {"Authorization": "Bearer bascule_a"}}'
    (home / ".cursor" / "mcp.json").write_text(f'{{"mcpServers": {{"x": {entry}}}}}')
    assert run("scan", "--fail").status == 0


def test_a_file_that_cannot_be_read_fails_too_for_it_may_hide_something(home: Path, here: Path, run: Run) -> None:
    (home / ".claude.json").write_text('{"mcpServers": {"a": {}, "a": {}}}')
    ended = run("scan", "--fail")
    assert ended.status == 1
    assert "not read: " in ended.out
    assert "given twice" in ended.out
