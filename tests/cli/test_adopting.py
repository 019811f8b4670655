"""`init --from` and `init --undo` as an operator sees them: nothing written unasked, nothing secret shown."""

import json
import os
from pathlib import Path

import pytest

from gateway import config, setup
from tests.cli.commandline import Run
from tests.clients.homes import CANARY, ENVIRON, GIT, SAMPLES, TIME, Home, claude_code, furnish


@pytest.fixture(autouse=True)
def pack(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "call.rego").write_text("package bascule.call\n")
    monkeypatch.setattr(setup, "resource", lambda _: folder)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    folder = tmp_path / "home"
    furnish(folder)
    monkeypatch.chdir(folder / "gateway")
    monkeypatch.setenv("HOME", str(folder))
    for name in ("CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "BASCULE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    return Home(folder)


def test_without_write_the_change_is_shown_and_nothing_is_written(home: Home, run: Run) -> None:
    home.put("claude-code", claude_code(TIME, GIT, '"old": {"type": "sse", "url": "https://old.example/sse"}'))
    before = home.everything()
    ended = run("init", "--from", "claude-code")
    assert ended.status == 0
    assert '+    "git": {"type": "http", "url": "http://127.0.0.1:8484/mcp/git"' in ended.out
    assert '+  git: {command: "uvx", args: ["mcp-server-git"]' in ended.out
    assert "adopted: 'git' as upstream git" in ended.out
    assert "'old' in" in ended.out
    assert "needs a hand: it speaks the older SSE transport" in ended.out
    assert "1 value(s) move to" in ended.out
    assert "with --write" in ended.out
    assert home.everything() == before
    assert list(home.config.parent.iterdir()) == []


def test_there_and_back(home: Home, run: Run) -> None:
    path = home.put("claude-code", claude_code(TIME, GIT))
    path.chmod(0o644)
    before = home.everything()
    ended = run("init", "--from", "claude-code", "--write")
    assert ended.status == 0
    assert f"backup: {path}.bascule-backup" in ended.out
    assert "Next: bascule serve" in ended.out
    assert "can be read by other users" in ended.out
    assert set(config.load(home.config, {}).upstreams) == {"time", "git"}
    again = run("init", "--from", "claude-code", "--write")
    assert "nothing to adopt: 2 server(s) reach Bascule already" in again.out
    undone = run("init", "--undo")
    assert (undone.status, "as it was, to the byte" in undone.out, "removed" in undone.out) == (0, True, True)
    assert home.everything() == before
    assert run("init", "--undo").status == 2


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_no_secret_of_a_sample_is_shown_or_written_into_the_configuration(home: Home, run: Run, sample: Path) -> None:
    path = home.sample(sample)
    for words in (("--write",), ("--json",)):
        ended = run("init", "--from", str(path), *words)
        assert ended.status == 0
        assert CANARY not in ended.out + ended.err
        assert "bascule_" not in ended.out + ended.err
    if home.config.exists():
        assert CANARY not in home.config.read_text()
        path.write_bytes(path.read_bytes() + b"\n// canary\n")
        assert CANARY not in run("init", "--undo").err


def test_all_takes_every_client_that_is_there(home: Home, run: Run) -> None:
    for client in ("claude-code", "claude-desktop", "cursor", "vscode"):
        home.put(client, claude_code(TIME))
    Path(".mcp.json").write_text(claude_code(GIT))
    said = json.loads(run("init", "--from", "all", "--json").out)
    assert [file["client"] for file in said["files"]] == [
        "claude-code",
        "claude-desktop",
        "cursor",
        "vscode",
        "claude-code",
    ]
    assert [(upstream["name"], upstream["new"]) for upstream in said["upstreams"]] == [
        ("time", True),
        ("time", False),
        ("time", False),
        ("time", False),
        ("git", True),
    ]
    assert (said["written"], said["governed"], said["left"]) == (False, 0, [])
    assert said["config"] == str(home.config)
    assert "keep it out of version control" in run("init", "--from", "all").out


def test_json_says_what_was_written(home: Home, run: Run) -> None:
    path = home.put("cursor", claude_code('"d": {"command": "npx", "args": ["-y", "x-server", "@HOME@/docs"]}', GIT))
    said = json.loads(run("init", "--from", str(path), "--write", "--json").out)
    assert said["written"] is True
    assert said["backups"] == [f"{path}.bascule-backup"]
    assert said["upstreams"][0]["folders"] == {str(home.path / "docs"): "rw"}
    assert said["secrets"] == [str(home.state / "secrets" / "git.TOKEN")]
    assert said["principals"] == {"cursor": "cursor"}
    undone = json.loads(run("init", "--undo", "--json").out)
    assert undone == {"restored": [str(path)], "removed": [str(home.config)], "kept": [], "earlier": 0}


def test_the_same_file_by_two_names_is_taken_once(home: Home, run: Run) -> None:
    path = home.put("claude-code", claude_code(TIME))
    (home.path / "link.json").symlink_to(path)
    said = json.loads(run("init", "--from", "claude-code", "--from", str(home.path / "link.json"), "--json").out)
    assert [file["path"] for file in said["files"]] == [str(path)]


def test_a_folder_that_is_named_holds_the_configuration(home: Home, run: Run) -> None:
    path = home.put("cursor", claude_code(TIME))
    ended = run("init", "far", "--from", str(path), "--write")
    assert f"bascule serve -c {home.config.parent / 'far' / 'bascule.yaml'}" in ended.out
    assert run("init", "far", "--undo").status == 0
    assert path.read_text() == claude_code(TIME)


def test_the_configuration_in_force_is_the_one_that_adopts(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init", "far")
    monkeypatch.setenv("BASCULE_CONFIG", "far/bascule.yaml")
    run("init", "--from", str(home.put("cursor", claude_code(TIME))), "--write")
    assert "time" in config.load(Path("far/bascule.yaml"), {}).upstreams
    assert not Path("bascule.yaml").exists()


def test_an_edit_since_is_kept_with_force(home: Home, run: Run) -> None:
    path = home.put("cursor", claude_code(TIME))
    run("init", "--from", "cursor", "--write")
    path.write_text(path.read_text() + "// mine\n")
    refused = run("init", "--undo")
    assert refused.status == 2
    assert "--undo --force" in refused.err
    forced = run("init", "--undo", "--force")
    assert (forced.status, "the rest stays as edited" in forced.out) == (0, True)
    assert path.read_text() == claude_code(TIME) + "// mine\n"


def test_a_link_that_leads_to_itself_is_no_file(home: Home, run: Run) -> None:
    loop = home.path / "loop.json"
    loop.symlink_to(loop)
    ended = run("init", "--from", str(loop))
    assert (ended.status, "Too many levels" in ended.err) == (2, True)
    assert "Too many levels" in run("scan", str(loop)).out


def test_earlier_runs_are_named(home: Home, run: Run) -> None:
    for client in ("cursor", "vscode"):
        run("init", "--from", str(home.put(client, claude_code(TIME))), "--write")
    assert "1 earlier run(s) can be taken back too" in run("init", "--undo").out


def test_names_that_could_steer_a_terminal_are_shown_as_they_are(home: Home, run: Run) -> None:
    path = home.put("cursor", claude_code('"\\u001b[2Jx": {"command": "uvx", "args": ["mcp-server-time"]}'))
    assert "\x1b" not in run("init", "--from", str(path)).out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--from", "claude-code"), ".claude.json"),
        (("--from", "all"), "no file of any client is at"),
        (("--from", "emacs"), "'emacs' is no client that is known (all, claude-code"),
        (("--from", "none.json"), "is not there"),
        (("--write",), "belong to --from"),
        (("--wrap",), "belong to --from"),
        (("--undo", "--write"), "--undo stands alone"),
        (("--undo",), "nothing to undo"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_why(home: Home, run: Run, words: tuple[str, ...], why: str) -> None:
    ended = run("init", *words)
    assert ended.status == 2
    assert why in ended.err
    assert os.listdir() == []
