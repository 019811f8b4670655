"""What passes between a wrap and its client beside answers: questions, progress, cancelling, listening."""

import asyncio
import json

import pytest

from gateway.channel import Channel, Unanswered
from gateway.model import Call, JsonObject, Reply
from gateway.transports.wrapped import AT_ONCE
from tests.transports.exchange import Exchange, handshake, request
from tests.transports.wrapping import CALL, Client, Held, called, modern, running


def answered(ident: object, result: JsonObject) -> JsonObject:
    return {"jsonrpc": "2.0", "id": ident, "result": result}


def cancelled(ident: object) -> JsonObject:
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": ident}}


SHAKEN = (
    request("initialize", handshake("2025-06-18", {"roots": {}}), 0),
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
)


async def test_a_legacy_client_is_asked_as_a_line_and_told_of_progress_under_its_own_token() -> None:
    async def run(_call: Call, channel: Channel) -> Reply:
        assert channel.ask is not None
        channel.tell("notifications/progress", {"progress": 1})
        return Reply(result={"content": [], "roots": await channel.ask("roots/list", {})})

    async with running(Client(Exchange(run=run))) as client:
        client.send(*SHAKEN, request("tools/call", CALL | {"_meta": {"progressToken": "p"}}, 1))
        _, progress, asked = [json.loads(await client.told.get()) for _ in range(3)]
        assert progress["params"] == {"progress": 1, "progressToken": "p"}
        assert asked["method"] == "roots/list"
        client.send(answered("made-up", {}), answered(asked["id"], {"roots": []}), answered(asked["id"], {}))
        assert json.loads(await client.told.get())["result"]["roots"] == {"roots": []}


async def test_a_client_that_hangs_up_while_it_is_asked_has_not_answered() -> None:
    ended: list[Unanswered] = []

    async def run(_call: Call, channel: Channel) -> Reply:
        assert channel.ask is not None
        with pytest.raises(Unanswered) as caught:
            await channel.ask("roots/list", {})
        ended.append(caught.value)
        return Reply(result={"content": []})

    async with running(Client(Exchange(run=run))) as client:
        client.send(*SHAKEN, request("tools/call", CALL, 1))
        assert [json.loads(await client.told.get()).get("method") for _ in range(2)] == [None, "roots/list"]
    assert ended[0].code == -32603


async def test_answers_are_read_however_many_calls_wait_for_one() -> None:
    many = 2 * AT_ONCE + 5

    async def run(call: Call, channel: Channel) -> Reply:
        assert channel.ask is not None
        await channel.ask("roots/list", {})
        return Reply(result={"content": [], "of": call.name})

    async with running(Client(Exchange(run=run))) as client:
        client.send(*SHAKEN, *(request("tools/call", {"name": f"t{number}"}, number) for number in range(1, many + 1)))
        await client.told.get()
        asked = [json.loads(await client.told.get()) for _ in range(many)]
        client.send(*(answered(one["id"], {}) for one in asked))
        assert {json.loads(await client.told.get())["id"] for _ in range(many)} == set(range(1, many + 1))


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_cancelled_call_is_hung_up_and_not_answered_in_either_era(era: str) -> None:
    hung_up = asyncio.Event()

    async def run(_call: Call, channel: Channel) -> Reply:
        channel.on_hang_up = hung_up.set
        begun.set()
        await hung_up.wait()
        return Reply(result={"content": []})

    begun = asyncio.Event()
    async with running(Client(Exchange(run=run))) as client:
        client.send(*SHAKEN, called("long", "x") if era == "modern" else request("tools/call", CALL, "x"))
        await begun.wait()
        client.send(cancelled("other"), cancelled("x"))
        await hung_up.wait()
    assert [json.loads(line)["id"] for line in client.written.splitlines()] == [0]


async def test_what_waits_for_its_turn_can_be_cancelled_and_never_runs() -> None:
    held = Held()
    async with running(Client(held)) as client:
        client.send(*(called(f"t{number}", number) for number in range(AT_ONCE + 2)), cancelled(AT_ONCE))
        for _ in range(AT_ONCE):
            await held.begun.get()
        held.go["t0"].set()
        assert await held.begun.get() == f"t{AT_ONCE + 1}"
        for go in held.go.values():
            go.set()
    assert f"t{AT_ONCE}" not in [call.name for call in held.calls]


async def test_a_second_request_of_an_id_that_is_under_way_is_refused() -> None:
    held = Held()
    async with running(Client(held)) as client:
        client.send(called("first", 1))
        await held.begun.get()
        client.send(called("second", 1))
        refused = json.loads(await client.told.get())
        assert (refused["id"], refused["error"]["code"]) == (1, -32600)
        held.go["first"].set()
        assert "result" in json.loads(await client.told.get())


async def test_a_modern_client_listens_until_it_cancels() -> None:
    client = Client(Exchange())
    async with running(client):
        client.send(modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, 5))
        first = json.loads(await client.told.get())
        [subscribed] = client.exchange.subscribed
        subscribed.tell("notifications/tools/list_changed", {})
        second = json.loads(await client.told.get())
        client.send(cancelled(5))
        await subscribed.on_close.wait()
    assert (first["method"], first["params"]["notifications"]) == (
        "notifications/subscriptions/acknowledged",
        {"toolsListChanged": True},
    )
    tagged = {"io.modelcontextprotocol/subscriptionId": 5}
    assert (second["method"], second["params"]["_meta"]) == ("notifications/tools/list_changed", tagged)
    assert len(client.written.splitlines()) == 2


async def test_a_client_that_listens_can_hang_up() -> None:
    client = Client(Exchange())
    async with running(client):
        client.send(modern("subscriptions/listen", {"notifications": {}}, 5))
        await client.told.get()
    assert client.exchange.subscribed[0].closed


async def test_a_legacy_client_is_told_of_the_lists_it_was_promised_from_when_it_is_ready() -> None:
    client = Client(Exchange())
    async with running(client):
        client.send(SHAKEN[0])
        await client.told.get()
        assert client.exchange.subscribed == []
        client.send(SHAKEN[1])
        await client.exchange.opened.wait()
        [subscribed] = client.exchange.subscribed
        assert {listed.value for listed in subscribed.wants.lists} == {"tools", "resources", "resourceTemplates"}
        client.unsent = 2 << 20
        subscribed.tell("notifications/tools/list_changed", {})
        client.unsent = 0
        subscribed.tell("notifications/resources/updated", {"uri": "a:b"})
        assert json.loads(await client.told.get())["params"] == {"uri": "a:b"}
    assert subscribed.closed
