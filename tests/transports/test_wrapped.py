"""The owner's side of a wrap: lines in, answers out as they come, each client in a session of its own."""

import asyncio
import json
from typing import Any

import pytest

from gateway.model import Call, JsonObject, Reply
from gateway.transports.wrapped import AT_ONCE, TooLong, lines
from tests.transports.exchange import META, MODERN, Exchange, handshake, request
from tests.transports.wrapping import CALL, FILES, SESSION, Client, Held, called, modern, running


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
    "half an answer": (b'{"jsonrpc":"2.0","id":1,"result":[]}\n', None, -32600),
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
    "a method nobody knows": (modern("ping"), 1, -32601),
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
