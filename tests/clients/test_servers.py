"""Entries of clients' files: what they say, which of them are ours, and how one is written again."""

import json

import pytest

from gateway.clients import jsonc, servers
from gateway.clients.places import CURSOR, Place, named
from gateway.clients.servers import Definition, Server
from gateway.errors import ConfigError
from tests.clients.homes import ENVIRON, Home


def place_of(home: Home, client: str = "claude-code", scope: str = "user") -> Place:
    path = {"claude-code": ".claude.json", "generic": "far/some.json", "plugin": "p/.mcp.json"}[client]
    place = named(home.path / path, home.around)
    return place if scope != "plugin" else Place(place.path, place.client, "plugin")


def entry(text: str) -> jsonc.Value:
    return jsonc.read(text, "").root


def definition(home: Home, text: str) -> Definition:
    server = Server("x", place_of(home), entry(text), ("mcpServers", "x"))
    return servers.definition(server, home.path, ENVIRON)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", []),
        ('{"mcpServers": {}}', []),
        ('{"mcpServers": {"b": {}, "a": {}}}', [("mcpServers", "b"), ("mcpServers", "a")]),
        ('{"servers": {"a": {}}}', [("servers", "a")]),
        (
            '{"mcpServers": {"a": {}}, "projects": {"/p": {"mcpServers": {"a": {}}}, "/q": {}}}',
            [("mcpServers", "a"), ("projects", "/p", "mcpServers", "a")],
        ),
    ],
)
def test_entries_are_found_where_clients_keep_them(home: Home, text: str, found: list[tuple[str, ...]]) -> None:
    assert [server.within for server in servers.servers(jsonc.read(text, ""), place_of(home))] == found


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"time": {"command": "uvx"}}', ["time"]),
        ('{"mcpServers": {"time": {"command": "uvx"}}}', ["time"]),
        ('{"name": "ext", "server": {"mcp_config": {"command": "node"}}}', ["ext"]),
        ('{"server": {"mcp_config": {"command": "node"}}}', ["p"]),
    ],
)
def test_plugins_and_extensions_say_it_in_their_own_way(home: Home, text: str, names: list[str]) -> None:
    place = place_of(home, "plugin", "plugin")
    assert [server.name for server in servers.servers(jsonc.read(text, ""), place)] == names


@pytest.mark.parametrize(
    ("client", "text", "why"),
    [
        ("claude-code", "[]", "should be an object"),
        ("claude-code", '{\n"mcpServers": []}', "mcpServers should be an object"),
        ("claude-code", '{"projects": {"/p": {"mcpServers": 1}}}', "projects./p.mcpServers"),
        ("generic", '{"theme": "dark"}', "neither mcpServers nor servers"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_line(home: Home, client: str, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        servers.servers(jsonc.read(text, ""), place_of(home, client))
    assert refused.value.line == text.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "port", "upstream"),
    [
        ('{"url": "http://127.0.0.1:8484/mcp/crm"}', 8484, "crm"),
        ('{"url": "http://localhost:8484/mcp/view/all"}', 8484, "view/all"),
        ('{"url": "http://[::1]:8484/mcp"}', 8484, "mcp"),
        ('{"url": "http://127.0.0.1:8484/mcp/crm"}', None, None),
        ('{"url": "http://127.0.0.1:9/mcp/crm"}', 8484, None),
        ('{"url": "http://127.0.0.1:9/mcp/x", "headers": {"authorization": "Bearer bascule_a-1"}}', 8484, "x"),
        ('{"url": "https://crm.example:8484/mcp/x", "headers": {"Authorization": "Bearer bascule_a"}}', 8484, None),
        ('{"url": "http://127.0.0.1:8484/sse"}', 8484, None),
        ('{"url": "http://127.0.0.1:8484x/mcp/crm"}', 8484, None),
        ('{"url": 3}', 8484, None),
        ('{"command": "/opt/bin/bascule", "args": ["wrap", "--name", "crm"]}', None, "crm"),
        ('{"command": "bascule", "args": ["wrap", "--", "npx", "-y", "x"]}', None, "wrap"),
        ('{"command": "/usr/bin/python3", "args": ["-m", "gateway", "wrap", "--name", "crm"]}', None, "crm"),
        ('{"command": "bascule", "args": ["serve"]}', None, None),
        ('{"command": "other", "args": ["wrap", "--name", "crm"]}', None, None),
        ('{"command": "bascule", "args": ["wrap", 1]}', None, None),
        ('{"command": "uvx", "args": "wrap"}', None, None),
        ('"text"', 8484, None),
    ],
)
def test_what_reaches_bascule_is_told_from_what_goes_past(text: str, port: int | None, upstream: str | None) -> None:
    assert servers.governed(entry(text), port) == upstream


def test_token_and_principal_are_read_back() -> None:
    assert servers.token_of(entry('{"headers": {"X": "y", "Authorization": "Bearer bascule_a-_1"}}')) == "bascule_a-_1"
    assert servers.token_of(entry('{"headers": {"Authorization": "Bearer other"}}')) is None
    assert servers.token_of(entry('{"headers": {"Authorization": 1}}')) is None
    assert servers.asker_of(entry('{"args": ["wrap", "--as", "me"]}')) == "me"
    assert servers.asker_of(entry('{"args": ["wrap", "--as"]}')) is None
    assert servers.asker_of(entry("{}")) is None


@pytest.mark.parametrize(
    ("text", "disabled"),
    [("{}", False), ('{"disabled": true}', True), ('{"enabled": false}', True), ('{"disabled": false}', False)],
)
def test_a_disabled_server_is_known_by_its_switch(home: Home, text: str, *, disabled: bool) -> None:
    assert Server("x", place_of(home), entry(text), ()).disabled is disabled


def test_a_command_is_read_whole(home: Home) -> None:
    text = (
        '{"type": "stdio", "command": "npx", "args": ["-y", "x"], "env": {"A": "b", "P": 5432, "D": true, "N": null}}'
    )
    read = definition(home, text)
    assert (read.command, read.args, read.url) == ("npx", ("-y", "x"), None)
    assert {key: value.text for key, value in read.env.items()} == {"A": "b", "P": "5432", "D": "true"}
    assert definition(home, '{"command": "npx", "env": null}').env == {}


@pytest.mark.parametrize("key", ["url", "serverUrl", "httpUrl"])
def test_an_address_is_read_whole_and_headers_of_the_gateway_are_dropped(home: Home, key: str) -> None:
    headers = '{"X-Key": "a", "Accept": "b", "Mcp-Session-Id": "c"}'
    read = definition(home, f'{{"type": "http", "{key}": "https://x.example/mcp", "headers": {headers}}}')
    assert (read.url, list(read.headers), read.dropped) == (
        "https://x.example/mcp",
        ["X-Key"],
        ("Accept", "Mcp-Session-Id"),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('"npx"', "not an object"),
        ("{}", "a command or a url"),
        ('{"command": "npx", "url": "https://x.example"}', "one of the two"),
        ('{"command": ["npx"]}', "command should be text"),
        ('{"command": "npx", "args": "-y x"}', "list of texts"),
        ('{"command": "npx", "args": [1]}', "args should be text"),
        ('{"command": "npx", "env": ["A=canary"]}', "env should be an object"),
        ('{"command": "npx", "env": {"A": ["canary"]}}', "env.A should be text"),
        ('{"command": "npx", "cwd": "/srv"}', "cwd"),
        ('{"command": "npx", "envFile": ".env"}', "envFile"),
        ('{"url": "https://x.example", "headersHelper": "canary"}', "headersHelper"),
        ('{"command": "npx", "args": ["--token", "canary"]}', "argument 2 looks like a secret"),
        ('{"type": "sse", "url": "https://x.example/mcp"}', "older SSE"),
        ('{"url": "https://x.example/sse"}', "older SSE"),
        ('{"transport": "ws", "url": "wss://x.example"}', "older SSE"),
        ('{"url": "https://x.example/mcp?token=canary"}', "held a secret"),
        ('{"url": 1}', "url should be text"),
        ('{"url": "https://x.example/mcp", "auth": {"CLIENT_ID": "canary"}}', "auth: oauth"),
        ('{"url": "https://x.example/mcp", "oauth": {"clientId": "canary"}}', "auth: oauth"),
        ('{"url": "https://x.example/mcp", "headers": {"X": "canary\\n"}}', "line break|no header may hold"),
        ('{"url": "https://x.example/mcp", "headers": {"X": "canaryé"}}', "no header may hold"),
    ],
)
def test_what_bascule_yaml_cannot_say_needs_a_hand_and_tells_no_value(home: Home, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        definition(home, text)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ('{"command": "npx", "disabled": true}', '{"url": "u", "disabled": true}'),
        ('{"command": "npx" /* why */, "x": [1,  2]}', '{/* why */ "url": "u", "x": [1,  2]}'),
        ("{}", '{"url": "u"}'),
        (
            '{\n\t"command": "npx", // why\n\t"env": {\n\t\t"A": "b" /* in */\n\t},\n'
            '\t"x": {\n\t\t"y": 1 // kept\n\t},\n}',
            '{\n\t// why\n\t/* in */\n\t"url": "u",\n\t"x": {\n\t\t"y": 1 // kept\n\t}\n}',
        ),
        ('{\r\n    "command": "npx"\r\n}', '{\r\n    "url": "u"\r\n}'),
        ('{// why\r"command": "npx"}', '{\n  // why\n  "url": "u"\n}'),
        ('{"command": "npx",\n "x": 1}', '{\n  "url": "u",\n  "x": 1\n}'),
    ],
)
def test_an_entry_is_written_again_as_it_was_laid_out(home: Home, text: str, after: str) -> None:
    server = Server("x", place_of(home), entry(text), ())
    written = servers.rewritten(jsonc.read(text, ""), server, {"url": "u"})
    assert written == after
    assert jsonc.read(written, "").root.get("url") is not None


def test_texts_of_an_entry_stay_readable(home: Home) -> None:
    server = Server("x", Place(home.path / "x.json", CURSOR, "named"), entry("{}"), ())
    written = servers.rewritten(jsonc.read("{}", ""), server, {"command": "/home/jürgen/bascule"})
    assert written == '{"command": "/home/jürgen/bascule"}'
    assert json.loads(written) == {"command": "/home/jürgen/bascule"}
