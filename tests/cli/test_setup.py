"""`init`, `add`, `remove` as an operator sees them."""

import json
import re
from pathlib import Path

import pytest

from gateway import config, setup
from tests.cli.commandline import Run


@pytest.fixture(autouse=True)
def pack(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "call.rego").write_text("package bascule.call\n")
    monkeypatch.setattr(setup, "resource", lambda _: folder)


def test_init_says_what_it_made_shows_the_token_once_and_names_the_next_command(here: Path, run: Run) -> None:
    ended = run("init", "gw")
    assert ended.status == 0
    [token] = re.findall(r"bascule_\S{43}", ended.out)
    assert token not in Path("gw/bascule.yaml").read_text()
    assert "bascule add --transport http NAME URL" in ended.out
    assert "bascule serve -c gw/bascule.yaml" in ended.out


def test_init_in_json_is_what_a_program_needs(here: Path, run: Run) -> None:
    said = json.loads(run("init", "gw", "--principal", "claude", "--origin", "o.example/log", "--json").out)
    assert (said["principal"], said["origin"], said["config"]) == ("claude", "o.example/log", "gw/bascule.yaml")
    assert said["token"].startswith("bascule_")


def test_init_over_something_ends_with_2_and_says_force(here: Path, run: Run) -> None:
    ended = run("init")
    assert ended.status == 2
    assert "bascule.yaml already there: --force" in ended.err
    assert run("init", "--force").status == 0


def test_add_and_remove_go_there_and_back(here: Path, run: Run) -> None:
    run("init", "--force")
    before = Path("bascule.yaml").read_bytes()
    ended = run(
        *("add", "--transport", "http", "crm", "https://crm.example/mcp", "-H", "Authorization: Bearer ${T}"),
        *("--mode", "shadow", "--until", "2027-01-31", "--trust", "review"),
    )
    assert ended.status == 0
    assert "/mcp/crm" in ended.out
    assert "note:" not in ended.out
    crm = config.load(Path("bascule.yaml"), {"T": "t"}).upstreams["crm"]
    assert (crm.headers, crm.mode, str(crm.until), crm.trust) == (
        {"Authorization": "Bearer t"},
        "shadow",
        "2027-01-31",
        "review",
    )
    assert run("remove", "crm").status == 0
    assert Path("bascule.yaml").read_bytes() == before


def test_a_secret_written_as_it_is_gets_a_note_without_the_secret(here: Path, run: Run) -> None:
    ended = run("add", "crm", "https://crm.example/mcp", "--header", "X-Key: s3cr3t")
    assert "the value of X-Key stands in the file" in ended.out
    assert "s3cr3t" not in ended.out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("add", "crm", "https://x/", "--transport", "stdio"), "'https://x/' is a relative path"),
        (("add", "crm", "https://x/", "more", "--transport", "http"), "a URL stands alone"),
        (("add", "crm", "https://x/", "--env", "A=b"), "a URL stands alone"),
        (("add", "crm", "--header", "A: b", "--", "npx", "-y", "x"), "--header is for a URL"),
        (("add", "crm", "--", "docker", "run", "x"), "'docker' is not supported"),
        (("add", "crm", "--", "bash", "-c", "x"), "'bash' is not supported"),
        (("add", "crm", "--allow", "https://x.example", "--", "npx", "-y", "x"), "x.example"),
        (("add", "crm", "--folder", "/", "--", "npx", "-y", "x"), "whole machine"),
        (("add", "crm", "--env", "A-B=c", "--", "npx", "-y", "x"), "A-B"),
        (("add", "crm", "--sandbox", "No Such", "--", "npx", "-y", "x"), "sandbox"),
        (("add", "crm", "https://x/", "--header", "nonsense"), "'Name: value'"),
        (("add", "crm", "https://x/", "--mode", "shadow"), "needs its last day"),
        (("add", "CRM", "https://x/"), "upstreams.CRM"),
        (("add", "crm", "npx something"), "'npx something' is not supported"),
        (("add", "crm", "ftp://x/"), "http or https"),
        (("remove", "crm"), "no upstream 'crm'"),
        (("remove", "crm", "-c", "none.yaml"), "none.yaml"),
    ],
)
def test_what_cannot_be_written_ends_with_2_and_why(here: Path, run: Run, words: tuple[str, ...], why: str) -> None:
    before = Path("bascule.yaml").read_bytes()
    ended = run(*words)
    assert ended.status == 2
    assert why in ended.err
    assert Path("bascule.yaml").read_bytes() == before


def test_a_command_is_added_with_all_it_is_given(here: Path, run: Run) -> None:
    before = Path("bascule.yaml").read_bytes()
    ended = run(
        *("add", "files", "--env", "LEVEL=debug", "-e", "TOKEN", "--folder", "/srv/docs:rw", "--folder", "notes"),
        *("--allow", "api.github.com:443", "--share", "all", "--sandbox", "strict", "--trust", "review"),
        *("--", "npx", "-y", "@modelcontextprotocol/server-filesystem", "--flag", "/srv/docs"),
    )
    assert ended.status == 0
    assert "the value of LEVEL stands in the file" in ended.out
    assert "debug" not in ended.out
    files = config.load(Path("bascule.yaml"), {"TOKEN": "t"}).upstreams["files"]
    assert (files.command, files.args) == (
        "npx",
        ("-y", "@modelcontextprotocol/server-filesystem", "--flag", "/srv/docs"),
    )
    assert files.env == {"LEVEL": "debug", "TOKEN": "t"}
    assert files.folders == {"/srv/docs": "rw", str(here / "notes"): "ro"}
    assert files.network.allow == ("api.github.com:443",)
    assert (files.share, files.sandbox, files.trust) == ("all", "strict", "review")
    assert run("remove", "files").status == 0
    assert b"files" not in Path("bascule.yaml").read_bytes()
    assert Path("bascule.yaml").read_bytes().startswith(before)


def test_a_command_is_told_from_an_address_by_its_words(here: Path, run: Run) -> None:
    assert run("add", "time", "uvx", "mcp-server-time").status == 0
    assert run("add", "crm", "https://crm.example/mcp").status == 0
    upstreams = config.load(Path("bascule.yaml"), {}).upstreams
    assert (upstreams["time"].command, upstreams["crm"].url) == ("uvx", "https://crm.example/mcp")
