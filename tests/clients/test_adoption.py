"""The plan for what clients have: an upstream each, secrets apart, folders by name, and nothing done twice."""

import hashlib
import json
import os
import random
import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from gateway import config, setup
from gateway.clients import adoption, jsonc, servers, undoing
from gateway.errors import ConfigError
from tests.clients.homes import CANARY, ENVIRON, EXECUTABLE, GIT, SAMPLES, TIME, TODAY, Home, claude_code


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def entries(path: Path) -> dict[str, servers.Server]:
    text = path.read_bytes().decode()
    place = Home(path.parent).place(path)
    return {server.name: server for server in servers.servers(jsonc.read(text, ""), place)}


@pytest.mark.parametrize(
    ("sample", "wrap"),
    [*((sample, False) for sample in SAMPLES), *((sample, True) for sample in SAMPLES[::6])],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_sample_is_adopted_once_and_comes_back_to_the_byte(home: Home, sample: Path, *, wrap: bool) -> None:
    path = home.sample(sample)
    path.chmod(0o640)
    before = home.everything()
    made = home.adopt(path, wrap=wrap)
    assert mode_of(path) == 0o640
    if made.changes:
        assert CANARY not in home.config.read_text()
        settings = config.load(home.config, ENVIRON)
        assert set(settings.upstreams) == {adopted.upstream for adopted in made.adopted}
    after = path.read_bytes()
    again = home.adopt(path, wrap=wrap)
    assert (again.changes, again.adopted) == ((), ())
    assert again.governed == len(made.adopted)
    assert len(again.left) == len(made.left)
    assert path.read_bytes() == after
    if made.changes:
        undoing.undo(home.state)
    assert home.everything() == before
    assert mode_of(path) == 0o640
    assert not home.config.exists()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_what_a_sample_holds_beside_its_servers_stays(home: Home, sample: Path) -> None:
    path = home.sample(sample)
    before = jsonc.read(path.read_bytes().decode(), "")
    made = home.adopt(path)
    after = jsonc.read(path.read_bytes().decode(), "")
    left = {left.server.within for left in made.left}
    assert without_entries(after, path, home, left) == without_entries(before, path, home, left)
    old, new = ([document.text[slice(*span)] for span in document.comments] for document in (before, after))
    assert old == new


def without_entries(document: jsonc.Document, path: Path, home: Home, keep: set[tuple[str, ...]]) -> object:
    data = document.root.data()
    for server in servers.servers(document, home.place(path)):
        if server.within not in keep:
            holder = data
            for key in server.within[:-1]:
                holder = holder[key]
            holder[server.name] = {
                key: value for key, value in holder[server.name].items() if key not in servers.TRANSPORT
            }
    return data


def test_every_kind_of_entry_of_the_samples_is_adopted_or_named_with_a_reason(home: Home) -> None:
    count = 0
    for sample in SAMPLES:
        path = home.sample(sample)
        made = home.plan([path])
        count += len(made.adopted)
        assert len(made.adopted) + len(made.left) == len(
            servers.servers(jsonc.read(path.read_bytes().decode(), ""), home.place(path))
        )
        assert all(left.why and CANARY not in left.why for left in made.left)
    assert len(SAMPLES) >= 40
    assert count >= 45


def test_however_a_file_is_laid_out_its_entries_are_found_and_it_comes_back_to_the_byte(home: Home) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    between = ("", "", " ", "\n", "\t", "\r\n", "// canary\n", "/* canary */", "/**/", "//\r\n")
    for _ in range(12):
        sample = dice.choice([sample for sample in SAMPLES if b"//" not in sample.read_bytes()])
        tokens = re.findall(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\],:]+|[{}\[\],:]', sample.read_bytes().decode("utf-8-sig"))
        path = home.put(sample.name.partition("--")[0], "".join(dice.choice(between) + token for token in tokens))
        before = path.read_bytes()
        made = home.adopt(path)
        data = jsonc.read(path.read_bytes().decode(), "").root.data()
        plain = json.loads(sample.read_bytes().decode("utf-8-sig").replace("@HOME@", str(home.path)))
        assert list(data) == list(plain)
        assert path.read_bytes().count(b"/* canary */") == before.count(b"/* canary */")
        if made.changes:
            undoing.undo(home.state)
        assert path.read_bytes() == before


def test_an_upstream_says_what_the_client_said_and_is_only_watched_for_two_weeks(home: Home) -> None:
    path = home.put("claude-code", SAMPLES_BY_NAME["claude-code--user.json"])
    home.adopt(path)
    settings = config.load(home.config, {})
    files, github, sentry = (settings.upstreams[name] for name in ("filesystem", "github", "sentry"))
    docs = str(home.path / "docs")
    assert (files.command, files.args) == ("npx", ("-y", "@modelcontextprotocol/server-filesystem", docs))
    assert files.folders == {docs: "rw"}
    assert github.env == {"GITHUB_PERSONAL_ACCESS_TOKEN": "canary-github"}
    assert sentry.url == "https://mcp.sentry.example/mcp"
    for upstream in settings.upstreams.values():
        assert (upstream.mode, upstream.until) == ("shadow", TODAY + timedelta(days=14))


SAMPLES_BY_NAME = {sample.name: sample.read_bytes().decode() for sample in SAMPLES}


def test_literal_values_stand_in_files_of_their_own_for_this_user_only(home: Home) -> None:
    home.adopt(home.put("claude-code", SAMPLES_BY_NAME["claude-code--headers.json"]))
    folder = home.state / "secrets"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "stripe.Authorization": "Bearer canary-stripe",
        "stripe.X-Region": "canary-region",
    }
    assert {mode_of(path) for path in folder.iterdir()} == {0o600}
    assert mode_of(folder) == 0o700
    text = home.config.read_text()
    assert 'Authorization: {_from: {file: ".bascule/secrets/stripe.Authorization"}}' in text
    assert 'Authorization: "Bearer ${NOTION_TOKEN}"' in text


def test_the_token_stands_in_the_clients_file_and_its_digest_in_the_configuration(home: Home) -> None:
    path = home.put("claude-code", claude_code(TIME))
    home.adopt(path)
    token = servers.token_of(entries(path)["time"].entry)
    assert token is not None
    settings = config.load(home.config, {})
    assert settings.principals["claude-code"].token_sha256 == hashlib.sha256(token.encode()).hexdigest()
    for file in home.path.rglob("*"):
        assert file == path or file.is_dir() or token.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("client", "text", "says"),
    [
        ("claude-code", '{"mcpServers": {"time": %s}}', {"type": "http", "url": "http://127.0.0.1:8484/mcp/time"}),
        ("mcp", '{"mcpServers": {"time": %s}}', {"type": "http", "url": "http://127.0.0.1:8484/mcp/time"}),
        ("cursor", '{"mcpServers": {"time": %s}}', {"url": "http://127.0.0.1:8484/mcp/time"}),
        ("vscode", '{"servers": {"time": %s}}', {"type": "http", "url": "http://127.0.0.1:8484/mcp/time"}),
        ("some", '{"mcpServers": {"time": %s}}', {"type": "http", "url": "http://127.0.0.1:8484/mcp/time"}),
        ("claude-desktop", '{"mcpServers": {"time": %s}}', None),
    ],
)
def test_each_client_is_written_to_in_its_own_words(
    home: Home, client: str, text: str, says: dict[str, str] | None
) -> None:
    path = home.put(client, text % '{"command": "uvx", "args": ["mcp-server-time"], "disabled": true, "x": 1}')
    home.adopt(path)
    said = entries(path)["time"].entry.data()
    assert (said.pop("disabled"), said.pop("x")) == (True, 1)
    if says is None:
        words = ["wrap", "--name", "time", "--as", "claude-desktop", "--config", str(home.config)]
        assert said == {"command": EXECUTABLE[0], "args": words}
    else:
        assert said.pop("headers")["Authorization"].startswith("Bearer bascule_")
        assert said == says


def test_wrap_is_written_where_it_is_asked_for(home: Home) -> None:
    path = home.put("vscode", '{"servers": {"a": {"type": "http", "url": "https://a.example/mcp"}}}')
    home.adopt(path, wrap=True)
    said = entries(path)["a"].entry.data()
    assert (said["type"], said["command"], said["args"][:5]) == (
        "stdio",
        EXECUTABLE[0],
        ["wrap", "--name", "a", "--as", "vscode"],
    )
    assert CANARY not in path.read_text()
    assert "bascule_" not in path.read_text()


def test_the_same_server_of_two_clients_is_one_upstream_and_another_one_gets_the_clients_name(home: Home) -> None:
    one = home.put("claude-code", claude_code(TIME, GIT))
    two = home.put("cursor", '{"mcpServers": {' + TIME + ', "git": {"command": "npx", "args": ["-y", "other-git"]}}}')
    made = home.adopt(one, two)
    assert [(adopted.upstream, adopted.new) for adopted in made.adopted] == [
        ("time", True),
        ("git", True),
        ("time", False),
        ("git-cursor", True),
    ]
    assert made.principals == {"claude-code": "claude-code", "cursor": "cursor"}


def test_the_same_server_with_the_same_secret_is_known_again_in_a_later_run(home: Home) -> None:
    home.adopt(home.put("claude-code", claude_code(GIT)))
    same = home.put("cursor", '{"mcpServers": {' + GIT + "}}")
    assert [adopted.new for adopted in home.adopt(same).adopted] == [False]
    other = home.put("vscode", '{"servers": {' + GIT.replace("canary-git", "canary-else") + "}}")
    assert [adopted.upstream for adopted in home.adopt(other).adopted] == ["git-vscode"]


def test_an_empty_value_is_the_same_as_an_empty_value(home: Home) -> None:
    server = '"x": {"command": "npx", "args": ["-y", "x"], "env": {"A": ""}}'
    paths = [home.put(client, claude_code(server)) for client in ("claude-code", "cursor")]
    assert [adopted.new for adopted in home.adopt(*paths).adopted] == [True, False]
    assert config.load(home.config, {}).upstreams["x"].env == {"A": ""}


@pytest.mark.parametrize(
    "value", ["{_from: {env: API_TOKEN}}", "{_from: {file: none}}", '"other"', '"${API_TOKEN}"', "{_from: 1}"]
)
def test_a_server_whose_secret_is_not_known_to_be_the_same_gets_an_upstream_of_its_own(home: Home, value: str) -> None:
    setup.init(home.config.parent)
    text = home.config.read_text()
    said = f"  git: {{command: uvx, args: [mcp-server-git], env: {{TOKEN: {value}}}}}"
    home.config.write_text(text.replace("upstreams: {}", f"upstreams:\n{said}\nviews: {{}}"))
    if value == "{_from: 1}":
        with pytest.raises(ConfigError):
            config.load(home.config, ENVIRON)
    made = home.plan([home.put("claude-code", claude_code(GIT))])
    assert [adopted.upstream for adopted in made.adopted] == ["git-claude-code"]


def test_a_client_that_was_wrapped_and_gets_addresses_has_a_token_of_its_own(home: Home) -> None:
    path = home.put("cursor", claude_code(TIME))
    home.adopt(path, wrap=True)
    path.write_text(path.read_text().replace('"time":', f'{GIT}, "time":'))
    assert home.adopt(path).principals == {"cursor": "cursor-2"}
    assert list(config.load(home.config, {}).principals) == ["cursor", "cursor-2"]


def test_an_upstream_of_the_operator_that_says_the_same_is_taken(home: Home) -> None:
    setup.init(home.config.parent)
    setup.register(home.config, "time", {"command": "uvx", "args": ["mcp-server-time"]})
    setup.register(home.config, "git", {"command": "uvx", "args": ["mcp-server-git"], "env": {"TOKEN": "${API_TOKEN}"}})
    before = home.config.read_text()
    made = home.adopt(home.put("claude-code", claude_code(TIME, GIT.replace("canary-git", "${API_TOKEN}"))))
    assert [adopted.new for adopted in made.adopted] == [False, False]
    assert [line for line in home.config.read_text().splitlines() if line not in before.splitlines()] == [
        line for line in home.config.read_text().splitlines() if line.startswith("  claude-code: ")
    ]


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        ("time", "time"),
        ("My Server", "my-server"),
        ("@scope/name", "scope-name"),
        ("a__b", "a_b"),
        ("bascule", "bascule-server"),
        ("view", "view-server"),
        ("日本語", "a-server"),
        ("a" * 60, "a" * 40),
        ("-_x_-", "x"),
    ],
)
def test_a_name_is_kept_where_an_upstream_may_have_it(name: str, upstream: str) -> None:
    assert adoption.slug(name) == upstream
    setup.check_upstream(upstream, {"url": "https://x.example/mcp"})


def test_servers_of_equal_long_names_get_names_that_fit(home: Home) -> None:
    name = "b" * 45
    paths = [
        home.put(client, json.dumps({"mcpServers": {name: {"command": "npx", "args": ["-y", f"server-{client}"]}}}))
        for client in ("claude-code", "cursor", "mcp", "some", "else")
    ]
    made = home.adopt(*paths)
    assert len({adopted.upstream for adopted in made.adopted}) == 5
    assert set(config.load(home.config, {}).upstreams) == {adopted.upstream for adopted in made.adopted}


def test_a_server_added_later_is_adopted_under_the_same_principal_and_token(home: Home) -> None:
    path = home.put("claude-code", claude_code(TIME))
    home.adopt(path)
    token = servers.token_of(entries(path)["time"].entry)
    path.write_text(path.read_text().replace('"time":', f'{GIT}, "time":'))
    home.adopt(path)
    assert servers.token_of(entries(path)["git"].entry) == token
    project = home.put("mcp", claude_code('"fetch": {"command": "uvx", "args": ["mcp-server-fetch"]}'))
    home.adopt(project)
    assert servers.token_of(entries(project)["fetch"].entry) == token
    assert list(config.load(home.config, {}).principals) == ["claude-code"]


def test_a_principal_whose_token_nobody_can_read_back_is_not_taken_from_its_owner(home: Home) -> None:
    home.config.parent.mkdir(exist_ok=True)
    setup.init(home.config.parent, principal="claude-code")
    before = config.load(home.config, {}).principals["claude-code"]
    made = home.adopt(home.put("claude-code", claude_code(TIME)))
    assert made.principals == {"claude-code": "claude-code-2"}
    assert config.load(home.config, {}).principals["claude-code"] == before


def test_a_client_that_only_takes_commands_keeps_its_principal(home: Home) -> None:
    path = home.put("claude-desktop", claude_code(TIME))
    home.adopt(path)
    path.write_text(path.read_text().replace('"time":', f'{GIT}, "time":'))
    assert home.adopt(path).principals == {"claude-desktop": "claude-desktop"}
    assert list(config.load(home.config, {}).principals) == ["claude-desktop"]


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("{host: 127.0.0.1, port: 9999}", "http://127.0.0.1:9999"),
        ("{host: 0.0.0.0, port: 80}", "http://127.0.0.1:80"),
        ('{host: "::1", port: 8484}', "http://[::1]:8484"),
    ],
)
def test_the_address_is_that_of_the_gateway(home: Home, listen: str, address: str) -> None:
    setup.init(home.config.parent)
    text = home.config.read_text().replace("{host: 127.0.0.1, port: 8484}", listen)
    home.config.write_text(text)
    path = home.put("cursor", claude_code(TIME))
    home.adopt(path)
    assert entries(path)["time"].entry.data()["url"] == f"{address}/mcp/time"


def test_an_existing_configuration_keeps_every_other_byte(home: Home) -> None:
    setup.init(home.config.parent)
    home.config.write_text(home.config.read_text() + "# mine\nviews: {}   # odd   spacing\n")
    before = home.config.read_bytes()
    home.adopt(home.put("claude-code", claude_code(TIME)))
    rest = [line for line in before.splitlines() if line not in home.config.read_bytes().splitlines()]
    assert [line[:9] for line in rest] == [b"upstreams"]
    undoing.undo(home.state)
    assert home.config.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"mcpServers": {"a": {}, "a": {}}}', "given twice"),
        (b'{"mcpServers": []}', "should be an object of servers"),
        (b"[1]", "should be an object"),
        (b'{"mcpServers": {"\xff": {}}}', "not UTF-8"),
        (b'{"mcpServers": {', "double quotes"),
        (b"", "ends before"),
    ],
)
def test_a_file_that_must_not_be_touched_is_refused_and_nothing_is_made(home: Home, content: bytes, why: str) -> None:
    good = home.put("cursor", claude_code(TIME))
    bad = home.put("claude-code", "")
    bad.write_bytes(content)
    before = home.everything()
    with pytest.raises(ConfigError, match=why) as refused:
        home.adopt(good, bad)
    assert refused.value.file == str(bad)
    assert home.everything() == before
    assert not home.config.exists()


def test_a_file_that_is_not_there_is_said(home: Home) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        home.adopt(home.path / "none.json")


def test_a_configuration_that_is_broken_is_refused_before_anything_is_written(home: Home) -> None:
    home.config.write_text("version: 2\n")
    path = home.put("claude-code", claude_code(TIME))
    with pytest.raises(ConfigError, match="version"):
        home.adopt(path)
    assert "bascule_" not in path.read_text()


def test_nothing_is_made_where_nothing_is_to_adopt(home: Home) -> None:
    home.adopt(home.put("claude-code", "{}"))
    assert list(home.config.parent.iterdir()) == []


def test_a_link_stays_a_link_and_its_backup_is_beside_what_it_leads_to(home: Home) -> None:
    real = home.path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_text(claude_code(TIME))
    link = home.path / ".claude.json"
    link.symlink_to(real)
    made = home.plan([link])
    assert adoption.adopt(made) == [real.with_name("claude.json.bascule-backup")]
    assert link.is_symlink()
    assert "bascule_" in real.read_text()
    undoing.undo(home.state)
    assert link.is_symlink()
    assert real.read_text() == claude_code(TIME)
    assert sorted(path.name for path in real.parent.iterdir()) == ["claude.json"]


def test_what_is_started_is_this_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    beside = tmp_path / "bin" / "bascule"
    beside.parent.mkdir()
    monkeypatch.setattr("sys.executable", str(beside.with_name("python")))
    monkeypatch.setenv("PATH", "/nowhere")
    assert adoption.executable() == (str(beside.with_name("python")), "-m", "gateway")
    beside.touch(mode=0o755)
    assert adoption.executable() == (str(beside),)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(beside.parent) + os.pathsep + "/nowhere")
    assert adoption.executable() == (str(beside),)
