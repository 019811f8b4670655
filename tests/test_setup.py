"""What `init` makes, and that an edit changes only the bytes it means."""

import hashlib
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
    monkeypatch.setattr(setup, "resource", lambda _: folder)
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


def test_a_program_is_written_with_what_is_not_the_default(file: Path) -> None:
    file.write_text(HEAD)
    setup.add_command(file, "time", setup.Program("uvx", ["mcp-server-time"]))
    assert file.read_text() == HEAD + 'upstreams:\n  time: {command: "uvx", args: ["mcp-server-time"]}\n'
    setup.add_command(
        file,
        "git",
        setup.Program("uvx", ["mcp-server-git"], {"T": "${T}"}, {"/srv": "rw"}, ["a.example:443"], "none", "all"),
        mode="shadow",
        until=date(2027, 1, 31),
    )
    git = config.load(file, {"T": "t"}).upstreams["git"]
    assert (git.env, git.folders, git.network.allow) == ({"T": "t"}, {"/srv": "rw"}, ("a.example:443",))
    assert (git.sandbox, git.share, git.mode) == ("none", "all", "shadow")


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (setup.Program("docker", ["run", "x"]), "docker"),
        (setup.Program("npx"), "no package"),
        (setup.Program("npx", ["-y", "x"], allow=["x"]), "x"),
    ],
)
def test_a_program_that_could_not_be_run_is_not_written(file: Path, program: setup.Program, why: str) -> None:
    file.write_text(HEAD)
    with pytest.raises(ConfigError, match=why):
        setup.add_command(file, "a", program)
    assert file.read_text() == HEAD


@pytest.mark.parametrize("case", BEFORE_AND_AFTER)
def test_several_upstreams_are_written_as_one_after_the_other_would_be(case: str) -> None:
    before, _ = BEFORE_AND_AFTER[case]
    said: dict[str, dict[str, object]] = {"a1": {"url": "http://a1/"}, "b1": {"command": "npx", "args": ["-y", "x"]}}
    one = before
    for name, upstream in said.items():
        one = setup.with_upstream(one, "", name, upstream)
    assert setup.with_upstreams(before, "", said) == one
    assert setup.with_upstreams(before, "", {}) == before


def test_a_principal_is_added_with_the_digest_of_its_token(file: Path) -> None:
    file.write_text(HEAD)
    file.write_text(setup.with_principals(file.read_text(), str(file), {"cursor": "bascule_x"}))
    file.write_text(setup.with_principals(file.read_text(), str(file), {"vscode": "bascule_y"}))
    principals = config.load(file, {}).principals
    assert principals["cursor"].token_sha256 == hashlib.sha256(b"bascule_x").hexdigest()
    assert list(principals) == ["cursor", "vscode"]
    assert "bascule_" not in file.read_text()


def test_a_fresh_configuration_loads_once_it_is_furnished(tmp_path: Path) -> None:
    text, origin = setup.fresh(tmp_path)
    assert not list(tmp_path.glob("*.yaml"))
    setup.furnish(tmp_path, origin)
    settings = config.parse(text, tmp_path / "bascule.yaml", {})
    assert (settings.audit.origin, settings.state, settings.principals) == (origin, tmp_path / ".bascule", {})
    assert mode_of(settings.state) == 0o700
    (tmp_path / "policies" / "call.rego").write_text("mine")
    setup.furnish(tmp_path, origin)
    assert (tmp_path / "policies" / "call.rego").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "upstream", "why"),
    [
        ("a", {"url": "ftp://x"}, "http"),
        ("a", {"command": "npx", "url": "http://x"}, "one of the two"),
        ("A", {"command": "npx"}, "upstreams.A"),
        ("a: {url: http://x}, b", {"command": "npx"}, "not YAML"),
        ("a: {url: 'http://x'}\n  b", {"command": "npx"}, "no name of an upstream"),
    ],
)
def test_an_upstream_is_checked_by_itself(name: str, upstream: dict[str, object], why: str) -> None:
    setup.check_upstream("a", {"command": "npx", "args": ["-y", "x"], "env": {"A": {"_from": {"file": "x"}}}})
    with pytest.raises(ConfigError, match=why):
        setup.check_upstream(name, upstream)
