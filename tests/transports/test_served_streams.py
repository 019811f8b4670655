"""Answers that are streams, over real connections: what is told and asked, cancelled, resumed, listened to."""

import asyncio
from typing import Any

import pytest

from gateway.channel import Channel, Unanswered
from gateway.model import Call, JsonObject, Reply
from tests.transports.exchange import Exchange, request
from tests.transports.listening import Heard, Place, Reading, listening

CALL: JsonObject = {"name": "read_file", "arguments": {}}
DONE = Reply(result={"content": []})
TOKEN: JsonObject = {"progressToken": "p"}
LEVEL = "io.modelcontextprotocol/logLevel"


def answered(ident: str, result: JsonObject) -> JsonObject:
    return {"jsonrpc": "2.0", "id": ident, "result": result}


class Telling(Exchange):
    """Tells of progress and of two log messages during each call, which goes on when it is let go."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.begun, self.go, self.hung_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.go.set()
        self.run = self.told

    async def told(self, _call: Call, channel: Channel) -> Reply:
        channel.on_hang_up = self.hung_up.set
        channel.tell("notifications/progress", {"progress": 1, "message": "half"})
        channel.tell("notifications/message", {"level": "info", "data": "a"})
        channel.tell("notifications/message", {"level": "error", "data": "b"})
        channel.tell("notifications/other", {})
        self.begun.set()
        await self.go.wait()
        channel.tell("notifications/progress", {"progress": 2})
        return DONE


def methods(events: list[Heard]) -> list[str]:
    """What each message is, without priming events."""
    return [event.json.get("method", "answer") for event in events if event.data]


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({}, None),
        (TOKEN, ["notifications/progress", "notifications/progress", "answer"]),
        ({LEVEL: "debug"}, ["notifications/message", "notifications/message", "answer"]),
        ({LEVEL: "warning"}, ["notifications/message", "answer"]),
        (TOKEN | {LEVEL: "emergency"}, ["notifications/progress", "notifications/progress", "answer"]),
    ],
)
async def test_a_modern_client_is_told_what_it_asked_to_be_told_and_is_else_answered_whole(
    meta: JsonObject, told: list[str] | None
) -> None:
    async with listening(Telling()) as place:
        answer = await place.modern("tools/call", CALL, meta=meta)
        if told is None:
            assert (answer.kind, (await answer.whole())["id"]) == ("application/json", 1)
            return
        headers = answer.response.headers
        assert answer.kind == "text/event-stream"
        assert (headers["x-accel-buffering"], headers["cache-control"]) == ("no", "no-store")
        events = await answer.rest()
        assert methods(events) == told
        assert {event.id for event in events} == {""}
        assert events[-1].json["result"]["resultType"] == "complete"


async def test_progress_comes_as_it_is_made_and_under_the_clients_own_token() -> None:
    exchange = Telling()
    exchange.go.clear()
    async with listening(exchange) as place:
        answer = await place.modern("tools/call", CALL, meta=TOKEN)
        first = await answer.event()
        assert first is not None
        assert first.json["params"] == {"progress": 1, "message": "half", "progressToken": "p"}
        exchange.go.set()
        assert len(await answer.rest()) == 2


@pytest.mark.parametrize("accept", ["application/json", "*/*"])
async def test_a_client_that_reads_no_events_is_told_nothing_in_either_era(accept: str) -> None:
    async with listening(Telling()) as place:
        modern = await place.modern("tools/call", CALL, meta=TOKEN, accept=accept)
        opened = await place.initialize(capabilities={"roots": {}})
        legacy = await place.send(request("tools/call", CALL | {"_meta": TOKEN}), accept=accept, **opened)
        assert [(await answer.whole())["id"] for answer in (modern, legacy)] == [1, 1]
        assert place.exchange.channels[1].ask is None


async def test_a_connection_serves_further_requests_after_a_stream() -> None:
    async with listening(Telling()) as place:
        for _ in range(3):
            assert len(await (await place.modern("tools/call", CALL, meta=TOKEN)).rest()) == 3
        assert len(place.server.server_state.connections) == 1


@pytest.mark.parametrize("meta", [{}, TOKEN])
async def test_a_modern_client_that_leaves_hangs_up(meta: JsonObject) -> None:
    exchange = Telling()
    exchange.go.clear()
    async with listening(exchange) as place:
        asking = asyncio.ensure_future(place.modern("tools/call", CALL, meta=meta))
        await exchange.begun.wait()
        if meta:
            (await asking).leave()
        else:
            asking.cancel()
        await exchange.hung_up.wait()
        assert exchange.channels[0].hung_up
        exchange.go.set()


async def test_a_legacy_client_that_leaves_finds_exactly_the_rest_of_its_answer() -> None:
    exchange = Telling()
    exchange.go.clear()
    async with listening(exchange) as place:
        opened = await place.initialize()
        answer = await place.send(request("tools/call", CALL | {"_meta": TOKEN}), **opened)
        prime, progress = await answer.event(), await answer.event()
        assert prime is not None
        assert progress is not None
        assert (prime.data, prime.retry) == ("", "1000")
        assert prime.id != progress.id
        answer.leave()
        resumed = await place.get(last_event_id=progress.id, **opened)
        seen = [await resumed.event() for _ in range(3)]
        assert methods([event for event in seen if event]) == ["notifications/message", "notifications/message"]
        exchange.go.set()
        assert methods(await resumed.rest()) == ["notifications/progress", "answer"]
        assert not exchange.channels[0].hung_up
        again = await place.get(last_event_id=prime.id, **opened)
        assert methods(await again.rest())[-2:] == ["notifications/progress", "answer"]


@pytest.mark.parametrize("last", ["9-9", "1-99", "x", "1", "-", "1-", "1" * 40 + "-0", "٣-0"])
async def test_an_event_nobody_sent_is_nowhere_to_go_on_from(last: str) -> None:
    async with listening(Telling()) as place:
        opened = await place.initialize()
        await (await place.send(request("tools/call", CALL), **opened)).rest()
        answer = await place.get(last_event_id=last, **opened)
        assert (answer.response.status, (await answer.whole())["error"]["code"]) == (400, -32600)


async def test_a_stream_of_another_session_or_principal_cannot_be_resumed() -> None:
    async with listening(Telling()) as place:
        mine, other = await place.initialize(), await place.initialize()
        prime = (await (await place.send(request("tools/call", CALL), **mine)).rest())[0]
        assert (await place.get(last_event_id=prime.id, **other)).response.status == 400
        foreign = await place.get("other", last_event_id=prime.id, **mine)
        unknown = await place.get(mcp_session_id="unknown")
        assert (foreign.response.status, await foreign.whole()) == (404, await unknown.whole())


@pytest.mark.parametrize("version", ["2025-06-18", "2025-03-26"])
async def test_an_older_client_is_given_no_event_without_a_message(version: str) -> None:
    async with listening(Telling()) as place:
        opened = await place.initialize(version)
        events = await (await place.send(request("tools/call", CALL), **opened)).rest()
        assert all(event.data for event in events)


async def test_a_legacy_client_sets_the_level_of_what_it_is_told() -> None:
    async with listening(Telling()) as place:
        opened = await place.initialize()
        for level, told in (("error", 1), ("debug", 2)):
            await (await place.send(request("logging/setLevel", {"level": level}), **opened)).whole()
            events = await (await place.send(request("tools/call", CALL), **opened)).rest()
            assert len(methods(events)) == told + 1
            assert place.exchange.channels[-1].log_level == level
        refused = await (await place.send(request("logging/setLevel", {"level": "loud"}), **opened)).whole()
        assert refused["error"]["code"] == -32602


async def asks(_call: Call, channel: Channel) -> Reply:
    """A call that asks its client for its roots."""
    assert channel.ask is not None
    try:
        return Reply(result={"content": [], "said": await channel.ask("roots/list", {"x": 1})})
    except Unanswered as reason:
        return Reply(result={"content": [], "code": reason.code})


async def question(answer: Reading) -> Any:
    """The next message that is not the beginning of a stream."""
    while (event := await answer.event()) is not None and not event.data:
        pass
    assert event is not None
    return event.json


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
async def test_a_legacy_client_is_asked_on_the_stream_of_its_call(version: str) -> None:
    async with listening(Exchange(run=asks)) as place:
        opened = await place.initialize(version, {"roots": {}})
        answer = await place.send(request("tools/call", CALL), **opened)
        asked = await question(answer)
        assert (asked["method"], asked["params"]) == ("roots/list", {"x": 1})
        for ident in ("made-up", asked["id"], asked["id"]):
            taken = await place.send(answered(ident, {"roots": []}), **opened)
            assert (taken.response.status, await taken.response.read()) == (202, b"")
        assert (await question(answer))["result"] == {"content": [], "said": {"roots": []}}
        assert await answer.event() is None


async def test_an_error_for_an_answer_is_its_code_and_none_of_its_words() -> None:
    async with listening(Exchange(run=asks)) as place:
        opened = await place.initialize(capabilities={"roots": {}})
        answer = await place.send(request("tools/call", CALL), **opened)
        asked = await question(answer)
        error = {"code": -1, "message": "secret"}
        await place.send({"jsonrpc": "2.0", "id": asked["id"], "error": error}, **opened)
        assert (await question(answer))["result"] == {"content": [], "code": -1}


async def test_nobody_else_can_answer() -> None:
    async with listening(Exchange(run=asks)) as place:
        opened, other = await place.initialize(capabilities={"roots": {}}), await place.initialize()
        answer = await place.send(request("tools/call", CALL), **opened)
        asked = await question(answer)
        assert (await place.send(answered(asked["id"], {"roots": ["forged"]}), **other)).response.status == 202
        assert (await place.send(answered(asked["id"], {}), agent="other", **opened)).response.status == 404
        assert (await place.send(answered(asked["id"], {}))).response.status == 400
        modern = await place.send(answered(asked["id"], {}), mcp_protocol_version="2026-07-28")
        assert modern.response.status == 400
        await place.send(answered(asked["id"], {"roots": []}), **opened)
        assert (await question(answer))["result"]["said"] == {"roots": []}


async def test_a_client_that_declared_nothing_is_asked_nothing() -> None:
    async with listening(Exchange(run=asks)) as place:
        opened = await place.initialize(capabilities={"sampling": {}})
        answer = await place.send(request("tools/call", CALL), **opened)
        assert (answer.kind, (await answer.whole())["result"]["code"]) == ("application/json", -32601)


async def test_the_end_of_a_session_ends_what_it_was_asked_what_it_called_and_its_streams() -> None:
    async with listening(Exchange(run=asks)) as place:
        opened = await place.initialize(capabilities={"roots": {}})
        own = await place.get(**opened)
        answer = await place.send(request("tools/call", CALL), **opened)
        await question(answer)
        headers = {name.replace("_", "-"): value for name, value in opened.items()}
        headers["authorization"] = "Bearer token-of-the-agent"
        assert (await place.http.delete(place.url, headers=headers)).status == 204
        assert methods(await own.rest()) == []
        await answer.rest()
        assert place.exchange.channels[0].hung_up
        assert place.exchange.subscribed[0].closed
        assert len(place.exchange.sessions) == 0


async def test_a_legacy_client_cancels_its_own_calls_only_and_each_id_is_under_way_once() -> None:
    exchange = Telling()
    exchange.go.clear()
    async with listening(exchange) as place:
        opened, other = await place.initialize(), await place.initialize()
        answer = await place.send(request("tools/call", CALL, 7), **opened)
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        again = await (await place.send(request("tools/call", CALL, 7), **opened)).whole()
        assert again["error"]["code"] == -32600
        assert (await place.send(cancel, **other)).response.status == 202
        assert not exchange.hung_up.is_set()
        assert (await place.send(cancel, **opened)).response.status == 202
        assert exchange.hung_up.is_set()
        exchange.go.set()
        await answer.rest()


async def test_a_session_has_one_stream_of_its_own_and_the_newest_has_it() -> None:
    async with listening(Exchange()) as place:
        opened = await place.initialize()
        first = await place.get(**opened)
        prime = await first.event()
        assert prime is not None
        [subscribed] = place.exchange.subscribed
        subscribed.tell("notifications/tools/list_changed", {})
        second = await place.get(**opened)
        assert methods(await first.rest()) == ["notifications/tools/list_changed"]
        subscribed.tell("notifications/prompts/list_changed", {})
        assert (await question(second))["method"] == "notifications/prompts/list_changed"
        assert len(place.exchange.subscribed) == 1
        second.leave()
        subscribed.tell("notifications/tools/list_changed", {})


async def test_what_was_told_before_the_client_came_for_it_is_waiting() -> None:
    async with listening(Exchange()) as place:
        opened = await place.initialize("2025-06-18")
        subscribing = await place.send(request("resources/subscribe", {"uri": "a:b"}), **opened)
        assert (await subscribing.whole())["result"] == {}
        [subscribed] = place.exchange.subscribed
        assert subscribed.wants.uris == ("a:b",)
        subscribed.tell("notifications/resources/updated", {"uri": "a:b"})
        own = await place.get(**opened)
        assert (await question(own))["params"] == {"uri": "a:b"}
        secret = await place.send(request("resources/subscribe", {"uri": "secret:b"}), **opened)
        assert (await secret.whole())["error"]["code"] == 1008
        await place.send(request("resources/unsubscribe", {"uri": "a:b"}), **opened)
        assert not subscribed.wants.uris


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 405),
        ({"mcp_session_id": "x", "mcp_protocol_version": "2026-07-28"}, 405),
        ({"mcp_session_id": "x"}, 404),
    ],
)
async def test_there_is_no_stream_without_a_session(headers: dict[str, str], status: int) -> None:
    async with listening(Exchange()) as place:
        assert (await place.get(**headers)).response.status == status


async def test_a_stream_is_for_who_reads_events() -> None:
    async with listening(Exchange()) as place:
        opened = await place.initialize()
        assert (await place.get(accept="application/json", **opened)).response.status == 406
        wants: JsonObject = {"notifications": {}}
        refused = await place.modern("subscriptions/listen", wants, accept="application/json")
        assert refused.response.status == 406
        assert place.exchange.subscribed == []


async def listened(place: Place, **wants: Any) -> tuple[Reading, JsonObject]:
    reading = await place.modern("subscriptions/listen", {"notifications": wants}, "l")
    return reading, await question(reading)


async def test_listening_is_acknowledged_first_and_each_message_is_tagged() -> None:
    async with listening(Exchange()) as place:
        reading, first = await listened(place, toolsListChanged=True, resourceSubscriptions=["a:b"])
        tagged = {"io.modelcontextprotocol/subscriptionId": "l"}
        accepted = {"toolsListChanged": True, "resourceSubscriptions": ["a:b"]}
        assert first["method"] == "notifications/subscriptions/acknowledged"
        assert first["params"] == {"notifications": accepted, "_meta": tagged}
        [subscribed] = place.exchange.subscribed
        subscribed.tell("notifications/resources/updated", {"uri": "a:b"})
        assert (await question(reading))["params"] == {"uri": "a:b", "_meta": tagged}
        reading.leave()
        await subscribed.on_close.wait()


async def test_what_may_not_be_listened_to_is_an_error_and_no_stream() -> None:
    async with listening(Exchange()) as place:
        wants = {"resourceSubscriptions": ["secret:a"]}
        refused = await (await place.modern("subscriptions/listen", {"notifications": wants})).whole()
        assert refused["error"]["code"] == 1008


@pytest.mark.parametrize(
    "wants", [None, [], {"toolsListChanged": 1}, {"resourceSubscriptions": "a"}, {"resourceSubscriptions": [1]}]
)
async def test_a_filter_of_another_shape_is_refused(wants: object) -> None:
    async with listening(Exchange()) as place:
        answer = await place.modern("subscriptions/listen", {"notifications": wants})
        assert (answer.response.status, (await answer.whole())["error"]["code"]) == (400, -32602)


async def test_a_server_that_stops_ends_its_streams() -> None:
    async with listening(Exchange()) as place:
        opened = await place.initialize()
        own, (reading, _) = await place.get(**opened), await listened(place)
        place.stop()
        assert methods(await own.rest()) == []
        [last] = await reading.rest()
        assert last.json["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "l"


async def test_a_client_that_reads_nothing_is_cut_off_and_its_call_settles() -> None:
    settled = asyncio.Event()

    async def run(_call: Call, channel: Channel) -> Reply:
        for number in range(10_000):
            channel.tell("notifications/progress", {"progress": number, "message": "x" * 10_000})
        settled.set()
        return DONE

    async with listening(Exchange(run=run)) as place:
        await place.modern("tools/call", CALL, meta=TOKEN)
        await settled.wait()
        assert place.exchange.channels[0].hung_up
