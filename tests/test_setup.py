"""What `init` makes, and that an edit changes only the bytes it means."""

import hashlib
import os
import stat
from datetime import date
from pathlib import Path

import pytest

from gateway import config, setup
from gateway.errors import ConfigError

HEAD = "version: 1\naudit: {origin: a/b}\n"
CRM = '  crm: {url: "https://crm.example/mcp"}\n'
URL = "https://crm.example/mcp"


@pytest.fixture(autouse=True)
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A starter pack of one file, so that these tests are about the copying."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "call.rego").write_text("package bascule.call\n")
    monkeypatch.setattr(setup, "shipped", lambda _: folder)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bascule.yaml"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_makes_a_configuration_that_loads_and_a_token_that_fits(tmp_path: Path) -> None:
    made = setup.init(tmp_path / "gw")
    settings = config.load(made.config, {})
    assert settings.principals["agent"].token_sha256 == hashlib.sha256(made.token.encode()).hexdigest()
    assert made.token.startswith("bascule_")
    assert settings.state == made.state
    assert settings.audit.origin == made.origin
    assert (settings.policy.bundle / "call.rego").is_file()


def test_init_leaves_keys_and_state_to_this_user_only(tmp_path: Path) -> None:
    made = setup.init(tmp_path / "gw")
    assert mode_of(made.state) == 0o700
    assert {mode_of(path) for path in made.state.glob("*.key")} == {0o600}
    assert mode_of(made.config) == 0o600


def test_the_token_is_written_nowhere(tmp_path: Path) -> None:
    made = setup.init(tmp_path / "gw")
    for path in (tmp_path / "gw").rglob("*"):
        assert path.is_dir() or made.token.encode() not in path.read_bytes()


def test_two_inits_make_two_tokens(tmp_path: Path) -> None:
    assert setup.init(tmp_path / "a").token != setup.init(tmp_path / "b").token


@pytest.mark.parametrize("there", ["bascule.yaml", "policies"])
def test_init_overwrites_nothing_unasked(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        setup.init(tmp_path)
    assert (tmp_path / there).read_text() == "mine"
    assert not (tmp_path / ".bascule").exists()


def test_force_writes_over_files_but_keeps_keys_and_other_policies(tmp_path: Path) -> None:
    first = setup.init(tmp_path, origin="one.example/log")
    key = (first.state / "log.key").read_bytes()
    (tmp_path / "policies" / "mine.rego").write_text("package bascule.call.mine\n")
    second = setup.init(tmp_path, force=True)
    assert second.token != first.token
    assert second.origin == "one.example/log"
    assert (first.state / "log.key").read_bytes() == key
    assert (tmp_path / "policies" / "mine.rego").exists()


def test_a_log_with_keys_cannot_be_renamed(tmp_path: Path) -> None:
    setup.init(tmp_path, origin="one.example/log")
    with pytest.raises(ConfigError, match=r"one\.example/log"):
        setup.init(tmp_path, origin="two.example/log", force=True)


@pytest.mark.parametrize(("principal", "origin"), [("a b", None), ("local", None), ("ok", "a b")])
def test_init_with_a_name_that_no_configuration_takes_makes_nothing(
    tmp_path: Path, principal: str, origin: str | None
) -> None:
    with pytest.raises(ConfigError):
        setup.init(tmp_path / "gw", principal=principal, origin=origin)
    assert not (tmp_path / "gw").exists()


def test_what_the_installation_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert setup.shipped("policies").is_dir()
    with pytest.raises(ConfigError, match="install bascule again"):
        setup.shipped("policies/packs/none")


BEFORE_AND_AFTER = {
    "no upstreams": (HEAD, HEAD + "upstreams:\n" + CRM),
    "no newline at the end": (HEAD.rstrip(), HEAD + "upstreams:\n" + CRM),
    "empty": (HEAD + "upstreams: {}  # none\n", HEAD + "upstreams:  # none\n" + CRM),
    "null": (HEAD + "upstreams:\nviews: {}\n", HEAD + "upstreams:\n" + CRM + "views: {}\n"),
    "null in words": (HEAD + "upstreams: null\n", HEAD + "upstreams:\n" + CRM),
    "block": (
        HEAD + "upstreams:   # ours\n  # first\n  a:  {url:  'http://a/'}   # odd   spacing\n\n# then\nviews: {}\n",
        HEAD
        + "upstreams:   # ours\n  # first\n  a:  {url:  'http://a/'}   # odd   spacing\n"
        + CRM
        + "\n# then\nviews: {}\n",
    ),
    "nested block": (
        HEAD
        + "upstreams:\n    a:\n        url: http://a/\n        headers:\n          X: |-\n            y\nviews: {}\n",
        HEAD
        + "upstreams:\n    a:\n        url: http://a/\n        headers:\n          X: |-\n            y\n  "
        + CRM
        + "views: {}\n",
    ),
    "upstreams first, no newline": (
        "upstreams:\n  a: {url: http://a/}\n" + HEAD.rstrip(),
        "upstreams:\n  a: {url: http://a/}\n" + CRM + HEAD.rstrip(),
    ),
    "client spelling": (
        HEAD + "mcpServers:\n  a: {url: http://a/}\n",
        HEAD + "mcpServers:\n  a: {url: http://a/}\n" + CRM,
    ),
    "flow": (
        HEAD + "upstreams: {a: {url: http://a/} }  # one\n",
        HEAD + "upstreams: {a: {url: http://a/}, " + CRM.strip() + " }  # one\n",
    ),
    "json": (
        '{"version": 1, "audit": {"origin": "a/b"},\n "upstreams": {"a": {"url": "http://a/"}}}',
        '{"version": 1, "audit": {"origin": "a/b"},\n "upstreams": {"a": {"url": "http://a/"}, '
        '"crm": {"url": "https://crm.example/mcp"}}}',
    ),
    "json, empty": (
        '{"version": 1, "audit": {"origin": "a/b"}, "upstreams": {}}',
        '{"version": 1, "audit": {"origin": "a/b"}, "upstreams": {"crm": {"url": "https://crm.example/mcp"}}}',
    ),
    "json, none": (
        '{"version": 1, "audit": {"origin": "a/b"}}',
        '{"version": 1, "audit": {"origin": "a/b"}, "upstreams": {"crm": {"url": "https://crm.example/mcp"}}}',
    ),
}
ONE_WAY = {"no upstreams", "no newline at the end", "null", "null in words", "json, none"}
"""Where taking the only upstream out leaves an empty `upstreams` that was not there."""


@pytest.mark.parametrize("case", BEFORE_AND_AFTER)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_add_changes_only_the_bytes_it_means(file: Path, case: str, newline: str) -> None:
    before, after = (text.replace("\n", newline) for text in BEFORE_AND_AFTER[case])
    file.write_bytes(before.encode())
    setup.add(file, "crm", URL, headers={})
    assert file.read_bytes().decode() == after
    assert config.load(file, {}).upstreams["crm"].url == URL


@pytest.mark.parametrize("case", [case for case in BEFORE_AND_AFTER if case not in ONE_WAY])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_remove_takes_back_what_add_wrote_to_the_byte(file: Path, case: str, newline: str) -> None:
    before, after = (text.replace("\n", newline) for text in BEFORE_AND_AFTER[case])
    file.write_bytes(after.encode())
    setup.remove(file, "crm")
    assert file.read_bytes().decode() == before


@pytest.mark.parametrize("case", sorted(ONE_WAY))
def test_removing_the_only_upstream_leaves_a_configuration_that_loads(file: Path, case: str) -> None:
    file.write_text(BEFORE_AND_AFTER[case][1])
    setup.remove(file, "crm")
    assert config.load(file, {}).upstreams == {}


@pytest.mark.parametrize(
    ("before", "name", "after"),
    [
        ("  a: {url: http://a/}\n  # of b\n  b: {url: http://b/}\n", "a", "  # of b\n  b: {url: http://b/}\n"),
        ("  a:\n    url: http://a/\n  b:\n    url: http://b/", "b", "  a:\n    url: http://a/\n"),
    ],
)
def test_remove_takes_whole_lines(file: Path, before: str, name: str, after: str) -> None:
    file.write_text(HEAD + "upstreams:\n" + before)
    setup.remove(file, name)
    assert file.read_text() == HEAD + "upstreams:\n" + after


def test_the_first_of_several_in_one_line_is_removed(file: Path) -> None:
    file.write_text(HEAD + "upstreams: {a: {url: http://a/}, b: {url: http://b/}}\n")
    setup.remove(file, "a")
    assert file.read_text() == HEAD + "upstreams: {b: {url: http://b/}}\n"


def test_all_that_add_was_told_is_written_so_that_it_reads_back(file: Path) -> None:
    file.write_text(HEAD)
    headers = {"Authorization": 'Bearer ${TOKEN:-x}: "quoted" # {a}', "X-True": "true", "1": "null"}
    setup.add(file, "crm", URL, headers=headers, mode="shadow", until=date(2027, 1, 31), trust="review")
    crm = config.load(file, {"TOKEN": "t"}).upstreams["crm"]
    assert crm.headers == headers | {"Authorization": 'Bearer t: "quoted" # {a}'}
    assert (crm.mode, crm.until, crm.trust) == ("shadow", date(2027, 1, 31), "review")
    assert "mode: shadow, until: 2027-01-31, trust: review" in file.read_text()


def test_editing_needs_no_secrets(file: Path) -> None:
    file.write_text(HEAD + "upstreams:\n  a: {url: http://a/, headers: {X: '${A_TOKEN}', Y: {_from: {env: B}}}}\n")
    setup.add(file, "crm", URL, headers={"Authorization": "Bearer ${CRM_TOKEN}"})
    setup.remove(file, "a")
    assert "${CRM_TOKEN}" in file.read_text()


@pytest.mark.parametrize(
    ("name", "url", "why"),
    [
        ("a", URL, "there already"),
        ("b__c", URL, "holds no '__'"),
        ("bascule", URL, "taken"),
        ("b: {url: 'http://b/'}, c", URL, "no name of an upstream"),
        ("b", "ftp://x", "http"),
        ("b", "https://u:p@x/", "password"),
    ],
)
def test_an_add_that_would_break_the_file_leaves_it_as_it_was(file: Path, name: str, url: str, why: str) -> None:
    text = HEAD + "upstreams: {a: {url: http://a/}}\n"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why):
        setup.add(file, name, url, headers={})
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD, "no upstream 'crm'; there is none"),
        (HEAD + "upstreams: {a: {url: http://a/}, b: {url: http://b/}}\n", "there is a, b"),
        (HEAD + "upstreams:\n" + CRM + "views: {v: [crm]}\n", "'v' names 'crm'"),
        ("- a\n", "mapping"),
    ],
)
def test_a_remove_that_cannot_be_done_leaves_the_file_as_it_was(file: Path, text: str, why: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=why):
        setup.remove(file, "crm")
    assert file.read_text() == text


def test_taking_from_a_text_without_upstreams_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no upstreams"):
        setup.without_upstream(HEAD, "bascule.yaml", "crm")


def test_a_file_keeps_its_mode_and_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text(HEAD)
    real.chmod(0o640)
    file.symlink_to(real)
    setup.add(file, "crm", URL, headers={})
    assert file.is_symlink()
    assert mode_of(real) == 0o640
    assert "crm" in real.read_text()


def test_a_write_that_fails_leaves_nothing_behind(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        setup.write(file, "new")
    assert file.read_text() == "old"
    assert not list(file.parent.glob(".bascule.yaml.*"))
