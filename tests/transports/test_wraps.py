"""Who may wrap what."""

import json
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.model import JsonObject
from gateway.transports import wrapped
from gateway.transports.wrapped import Wraps, name_of, nothing
from tests.transports.exchange import ENDPOINTS, Exchange, settings
from tests.transports.wrapping import CALL, Client, modern


class Gateway:
    """What a gateway lends its wraps."""

    def __init__(self, **changes: Any) -> None:
        self.settings = settings(**({"upstreams": {"files": {"url": "http://127.0.0.1:1/mcp"}}} | changes))
        self.exchange = Exchange()
        self.lent: list[tuple[str, JsonObject, str]] = []
        self.back: list[str] = []
        self.wraps = Wraps(
            self.exchange.front, lambda: self.settings, lambda name: ENDPOINTS.get((name, None)), self.lend
        )

    async def lend(self, name: str, given: JsonObject, operator: str) -> wrapped.GiveBack:
        self.lent.append((name, given, operator))

        async def back() -> None:
            self.back.append(name)

        return back

    async def asked(self, *messages: JsonObject, **given: Any) -> list[Any]:
        """Open a wrap, send these, hang up."""
        _, talk = await self.wraps.wrap(operator="os:me", **given)
        client = Client(self.exchange)
        client.send(*messages)
        client.reader.feed_eof()
        await talk(client.reader, client)  # type: ignore[arg-type] # only what is asked of a writer
        return [json.loads(line) for line in client.written.splitlines()]


PRINCIPALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "the one there is": ({"principals": {"a": {"token_sha256": "0" * 64}}}, "", "a"),
    "one of several": ({}, "other", "other"),
    "local where it is let in": ({"insecure_local": True}, "", "local"),
    "another than local": ({"insecure_local": True}, "agent", "agent"),
    "local by name": ({"insecure_local": True}, "local", "local"),
}


@pytest.mark.parametrize(("changes", "name", "who"), PRINCIPALS.values(), ids=PRINCIPALS)
async def test_a_client_is_who_the_settings_know(changes: dict[str, Any], name: str, who: str) -> None:
    gateway = Gateway(**changes)
    told, _ = await gateway.wraps.wrap(operator="os:me", name="files", principal=name)
    assert told == {"name": "files", "principal": who, "line_bytes": 4 << 20, "wait_s": 60}
    await gateway.asked(modern("tools/call", CALL), name="files", principal=name)
    assert gateway.exchange.calls[0].principal.id == who


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({}, "", "--as PRINCIPAL is needed; there are: agent, other"),
        ({}, "nobody", "no principal 'nobody'; there are: agent, other"),
        ({}, "local", "no principal 'local'"),
        ({"principals": {}}, "", "there are: none"),
    ],
)
async def test_nobody_else_is_served(changes: dict[str, Any], name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        await Gateway(**changes).wraps.wrap(operator="os:me", name="files", principal=name)


async def test_who_is_no_longer_configured_is_no_longer_served() -> None:
    gateway = Gateway()
    _, talk = await gateway.wraps.wrap(operator="os:me", name="files", principal="agent")
    gateway.settings = settings(principals={})
    client = Client(gateway.exchange)
    client.send(modern("tools/call", CALL))
    client.reader.feed_eof()
    await talk(client.reader, client)  # type: ignore[arg-type] # only what is asked of a writer
    assert json.loads(client.written)["error"]["message"] == "the principal of this wrap is no longer configured"
    assert gateway.exchange.calls == []


async def test_two_wraps_have_two_sessions_and_one_that_comes_back_has_its_own() -> None:
    gateway = Gateway()
    for session in ("", "", "0" * 32, "0" * 32, "other:0"):
        await gateway.asked(modern("tools/call", CALL), name="files", principal="agent", session=session)
    sessions = [call.session for call in gateway.exchange.calls]
    assert len(set(sessions)) == 4
    assert sessions[2:4] == [f"wrap:agent:{'0' * 32}"] * 2
    assert all(session.startswith("wrap:agent:") and session.count(":") == 2 for session in sessions)


async def test_an_upstream_that_is_not_there_is_not_wrapped() -> None:
    with pytest.raises(ConfigError, match="no upstream 'none'; there are: files"):
        await Gateway().wraps.wrap(operator="os:me", name="none", principal="agent")


async def test_a_command_is_lent_for_as_long_as_its_client_is_there() -> None:
    gateway = Gateway()
    given: dict[str, Any] = {"command": "npx", "args": ["-y", "@scope/server-x@1.2", "/srv"]}
    [answer] = await gateway.asked(
        modern("tools/list"), principal="agent", env={"K": "v"}, folders={"/srv": "rw"}, **given
    )
    assert gateway.lent == [("server-x", {**given, "env": {"K": "v"}, "folders": {"/srv": "rw"}}, "os:me")]
    assert gateway.back == ["server-x"]
    assert "result" in answer
    assert gateway.exchange.lists[0][1].upstreams == ("server-x",)
    await nothing()


@pytest.mark.parametrize(
    ("command", "args", "name"),
    [
        ("npx", ["-y", "@modelcontextprotocol/server-filesystem@2026.1", "/srv"], "server-filesystem"),
        ("npx", ["-y", "@scope"], "scope"),
        ("uvx", ["mcp-server-git==1.2"], "mcp-server-git"),
        ("/usr/bin/python3", ["-m", "mcp_server_time"], "mcp-server-time"),
        ("node", ["/srv/My Server.js"], "my-server"),
        ("/opt/bin/Server_X", ["--port", "1"], "server-x"),
        ("npx", [], "npx"),
        ("/opt/ü", [], "wrapped"),
        ("/opt/" + "x" * 60, [], "x" * 40),
    ],
)
def test_a_command_without_a_name_is_called_as_what_it_runs(command: str, args: list[str], name: str) -> None:
    assert name_of(command, args) == name
