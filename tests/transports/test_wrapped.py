"""The owner's side of a wrap: lines in, answers out as they come, each client in a session of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.model import Call, JsonObject, Principal, Reply
from gateway.transports import wrapped
from gateway.transports.mcp import Wrapped
from gateway.transports.wrapped import AT_ONCE, TooLong, Wraps, converse, lines, name_of, nothing
from tests.transports.exchange import ENDPOINTS, META, MODERN, Exchange, handshake, request, settings

FILES = ENDPOINTS["files", None]
CALL: JsonObject = {"name": "read_file", "arguments": {"path": "/a", "region": "eu"}}
SESSION = "wrap:agent:0"


class Client:
    """Both ends of a connection, without a socket between."""

    def __init__(self, exchange: Exchange, largest: int = 1 << 20) -> None:
        self.exchange = exchange
        self.known = Wrapped(lambda: Principal("agent"), lambda: FILES, ("files", None), SESSION)
        self.reader = asyncio.StreamReader()
        self.written = bytearray()
        self.told: asyncio.Queue[bytes] = asyncio.Queue()
        self.draining = asyncio.Event()
        self.draining.set()
        self.closed = False
        self.largest = largest

    def write(self, said: bytes) -> None:
        self.written += said
        self.told.put_nowait(said)

    async def drain(self) -> None:
        await self.draining.wait()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def send(self, *messages: JsonObject | bytes) -> None:
        for message in messages:
            self.reader.feed_data(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    async def run(self) -> None:
        await converse(self.exchange.front, self.known, self.reader, self, largest=lambda: self.largest)  # type: ignore[arg-type] # only what is asked of a writer

    async def served(self, *messages: JsonObject | bytes) -> list[Any]:
        """Send these, hang up; all that was answered."""
        self.send(*messages)
        self.reader.feed_eof()
        await self.run()
        return [json.loads(line) for line in self.written.splitlines()]


class Held(Exchange):
    """Calls stay open until they are let go, by the name of their tool."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.go: dict[str, asyncio.Event] = {}
        self.begun: asyncio.Queue[str] = asyncio.Queue()

        async def call_tool(call: Call) -> Reply:
            self.calls.append(call)
            self.go[call.name] = asyncio.Event()
            self.begun.put_nowait(call.name)
            await self.go[call.name].wait()
            return self.reply(call)

        self.front._call_tool = call_tool


def modern(method: str, params: JsonObject | None = None, ident: int | str = 1, **meta: Any) -> JsonObject:
    return request(method, {**(params or {}), "_meta": META | meta}, ident)


def called(name: str, ident: int | str = 1) -> JsonObject:
    return modern("tools/call", {"name": name}, ident)


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Client]:
    serving = asyncio.ensure_future(client.run())
    try:
        yield client
    finally:
        client.reader.feed_eof()
        async with asyncio.timeout(10):
            await serving


async def test_a_modern_request_is_judged_by_the_modern_rules_without_a_header() -> None:
    client = Client(Exchange())
    [answer] = await client.served(modern("tools/call", CALL))
    assert answer["result"]["resultType"] == "complete"
    [call] = client.exchange.calls
    assert (call.transport, call.era, call.session, call.task) == ("stdio", MODERN, SESSION, SESSION)
    assert (call.endpoint, call.arguments) == (FILES, CALL["arguments"])


async def test_names_outside_ascii_and_repeated_arguments_need_no_header_either() -> None:
    client = Client(Exchange())
    [answer] = await client.served(modern("tools/call", {"name": "ünïcode 🌉", "arguments": {"region": "ä"}}))
    assert "result" in answer
    assert client.exchange.calls[0].name == "ünïcode 🌉"


async def test_a_legacy_client_begins_with_initialize_and_has_one_session_in_both_eras() -> None:
    client = Client(Exchange())
    client.send(request("initialize", handshake("2025-06-18"), 1))
    client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    client.send(request("tools/list", {}, 2), request("ping", None, 3), request("tools/call", CALL, 4))
    shaken, listed, ping, seen, newer = await client.served(modern("tools/call", CALL, 5))
    assert shaken["result"]["protocolVersion"] == "2025-06-18"
    assert ("ttlMs" in listed["result"], ping["result"]) == (False, {})
    assert ("resultType" in seen["result"], "resultType" in newer["result"]) == (False, True)
    assert [(call.era, call.session) for call in client.exchange.calls] == [("2025-06-18", SESSION), (MODERN, SESSION)]
    assert client.exchange.lists[0][2:] == ("2025-06-18", SESSION)
    assert len(client.exchange.sessions) == 0


async def test_a_session_that_the_client_names_goes_before_that_of_the_wrap() -> None:
    client = Client(Exchange())
    await client.served(modern("tools/call", CALL, **{"bascule/session": "s", "bascule/task": "t"}))
    [call] = client.exchange.calls
    assert (call.session, call.task) == ("named:agent:s", "named:agent:t")


WRONG: dict[str, tuple[JsonObject | bytes, Any, int]] = {
    "not JSON": (b"{\n", None, -32700),
    "a batch": (b"[]\n", None, -32600),
    "an answer": (b'{"jsonrpc":"2.0","id":1,"result":{}}\n', None, -32600),
    "a key given twice": (b'{"jsonrpc":"2.0","id":"x","method":"a","method":"a"}\n', "x", -32700),
    "another member": (b'{"jsonrpc":"2.0","id":2,"method":"a","more":1}\n', 2, -32600),
    "an id that is none": (b'{"jsonrpc":"2.0","id":true,"method":"a","more":1}\n', None, -32600),
    "no handshake": (request("tools/list", {}, 3), 3, -32600),
    "no capabilities": (
        request("tools/list", {"_meta": {"io.modelcontextprotocol/protocolVersion": MODERN}}, 4),
        4,
        -32602,
    ),
    "a version nobody knows": (
        modern("tools/list", None, 1, **{"io.modelcontextprotocol/protocolVersion": "ä"}),
        1,
        -32022,
    ),
    "a version that is no text": (
        modern("tools/list", None, 1, **{"io.modelcontextprotocol/protocolVersion": 5}),
        1,
        -32602,
    ),
    "a method nobody knows": (modern("no/such"), 1, -32601),
    "a method outside ASCII": (modern("tööls/list"), 1, -32601),
    "no name": (modern("tools/call", {"name": 5}), 1, -32602),
}


@pytest.mark.parametrize(("message", "ident", "code"), WRONG.values(), ids=WRONG)
async def test_what_cannot_be_served_is_answered_under_its_id(
    message: JsonObject | bytes, ident: Any, code: int
) -> None:
    client = Client(Exchange())
    bad, good = await client.served(message, modern("server/discover", ident="next"))
    assert (bad["id"], bad["error"]["code"]) == (ident, code)
    assert good["id"] == "next"
    assert client.exchange.calls == []


async def test_notifications_are_never_answered() -> None:
    client = Client(Exchange())
    for method in ("notifications/initialized", "notifications/cancelled", "no/such"):
        client.send({"jsonrpc": "2.0", "method": method})
    client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [1], "_meta": META}})
    assert await client.served(b"\n", b" \r\n") == []


async def test_half_a_message_at_the_end_is_passed_over() -> None:
    client = Client(Exchange())
    assert await client.served(json.dumps(modern("tools/call", CALL)).encode()) == []
    assert client.exchange.calls == []


async def test_answers_go_out_as_calls_end() -> None:
    held = Held()
    async with running(Client(held)) as client:
        client.send(called("slow", 1), called("fast", 2))
        assert {await held.begun.get(), await held.begun.get()} == {"slow", "fast"}
        held.go["fast"].set()
        assert json.loads(await client.told.get())["id"] == 2
        held.go["slow"].set()
        assert json.loads(await client.told.get())["id"] == 1


async def test_only_so_many_run_at_a_time() -> None:
    held = Held()
    async with running(Client(held)) as client:
        client.send(*(called(f"t{number}", number) for number in range(AT_ONCE + 1)))
        for _ in range(AT_ONCE):
            await held.begun.get()
        assert (held.begun.empty(), len(held.calls)) == (True, AT_ONCE)
        held.go["t0"].set()
        assert await held.begun.get() == f"t{AT_ONCE}"
        for go in held.go.values():
            go.set()


async def test_a_client_that_does_not_read_holds_up_only_itself() -> None:
    client = Client(Exchange())
    client.draining.clear()
    async with running(client):
        client.send(*(called(f"t{number}", number) for number in range(AT_ONCE + 5)))
        for _ in range(AT_ONCE):
            await client.told.get()
        assert len(client.exchange.calls) == AT_ONCE
        client.draining.set()
    assert len(client.exchange.calls) == AT_ONCE + 5


async def test_a_cancelled_call_runs_on_and_its_answer_is_not_sent() -> None:
    held = Held()
    async with running(Client(held)) as client:
        client.send(called("long", 1))
        await held.begun.get()
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        client.send(called("next", 2))
        await held.begun.get()
        held.go["next"].set()
        held.go["long"].set()
    assert [json.loads(line)["id"] for line in client.written.splitlines()] == [2]
    assert len(held.calls) == 2


async def test_a_client_that_hangs_up_cuts_nothing_and_one_that_is_gone_is_not_written_to() -> None:
    held = Held()
    client = Client(held)
    serving = asyncio.ensure_future(client.run())
    client.send(called("long", 1))
    await held.begun.get()
    client.closed = True
    client.reader.set_exception(ConnectionResetError())
    held.go["long"].set()
    with pytest.raises(ConnectionResetError):
        await serving
    assert (len(held.calls), bytes(client.written)) == (1, b"")


async def test_when_the_owner_stops_what_was_begun_is_answered() -> None:
    held = Held()
    client = Client(held)
    serving = asyncio.ensure_future(client.run())
    client.send(called("long", 1))
    await held.begun.get()
    serving.cancel()
    held.go["long"].set()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert json.loads(client.written)["id"] == 1


@pytest.mark.parametrize(
    ("line", "ident"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"%b"}}', 7),
        (b'{"jsonrpc": "2.0", "id": "a\\"b", "method":"tools/call","params":{"name":"%b"}}', 'a"b'),
        (b'{"method":"tools/call","params":{"name":"%b"},"jsonrpc":"2.0","id":8}', 8),
        (b'{"method":"tools/call","params":{"name":"%b","id":9},"jsonrpc":"2.0"}', None),
        (b'{"method":"tools/call","params":{"name":"%b","jsonrpc":"2.0","id":9}}', None),
        (b'{"jsonrpc":"2.0","id":01,"method":"%b"}', None),
        (b"%b", None),
    ],
)
async def test_a_line_that_is_too_long_is_refused_under_its_id_where_it_can_be_seen(line: bytes, ident: Any) -> None:
    client = Client(Exchange(), largest=1 << 16)
    answer, after = await client.served(line % (b"x" * (1 << 18)) + b"\n", modern("server/discover", ident="next"))
    assert (answer["id"], answer["error"]["message"]) == (ident, "the message is larger than 0 MB")
    assert after["id"] == "next"


@pytest.mark.parametrize("size", [1, 7, 1 << 17])
async def test_lines_are_the_same_however_they_arrive(size: int) -> None:
    said = b"a\n\n" + b"b" * 3000 + b"\nc\n" + b"d" * 900 + b"\nhalf"
    reader = asyncio.StreamReader()
    for at in range(0, len(said), size):
        reader.feed_data(said[at : at + size])
    reader.feed_eof()
    seen = [line async for line in lines(reader, lambda: 1000)]
    assert seen == [b"a", b"", TooLong(b"b" * 512, b"b" * 512), b"c", b"d" * 900]


async def test_an_endpoint_or_a_principal_that_is_gone_is_an_error_of_the_request() -> None:
    client = Client(Exchange())
    client.known.endpoint = lambda: None
    [answer] = await client.served(modern("tools/list", ident=5))
    assert (answer["id"], answer["error"]["message"]) == (5, "there is nothing at this address")


async def test_an_unforeseen_fault_shows_nothing_of_itself() -> None:
    def reply(_: Call) -> Reply:
        raise RuntimeError("hunter2")

    client = Client(Exchange(reply=reply))
    [answer] = await client.served(modern("tools/call", CALL))
    assert (answer["error"]["code"], "hunter2" in str(answer)) == (-32603, False)


# Who may wrap what.


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
