import asyncio
import logging
from typing import Any

import orjson
import pytest

from gateway.channel import SILENT, Channel, Unanswered
from gateway.errors import Failed
from gateway.executors.exchange import MOST_ASKS, Exchange, refused, without_token
from gateway.model import Code, JsonObject, Limits

LIMITS = Limits(timeout_s=30, result_bytes=1_000)
CAPABLE: JsonObject = {"sampling": {}, "elicitation": {}, "roots": {}}


class Told:
    """Keeps what was told, replied and noticed beside."""

    def __init__(self, **channel: Any) -> None:
        self.told: list[tuple[str, JsonObject]] = []
        self.replies: list[JsonObject] = []
        self.beside: list[str] = []
        self.replied = asyncio.Event()
        self.channel = Channel(tell=lambda *said: self.told.append(said), **channel)
        self.exchange = Exchange(LIMITS, self.channel, self._beside)
        self.exchange.ident = "e"
        self.exchange.deadline.watch()
        self.exchange.reply = self._reply

    def _beside(self, method: str, _params: JsonObject) -> bool:
        self.beside.append(method)
        return False

    async def _reply(self, body: bytes) -> None:
        self.replies.append(orjson.loads(body))
        self.replied.set()

    def hear(self, method: str, params: Any = None, **more: Any) -> bool:
        return self.exchange.hear({"jsonrpc": "2.0", "method": method, "params": params or {}, **more})

    async def all_replied(self) -> None:
        while self.exchange.asks:
            await asyncio.wait(self.exchange.asks.values())
            await asyncio.sleep(0)


def progress(token: Any = "e", **more: Any) -> JsonObject:
    return {"progressToken": token, "progress": 1, **more}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (progress(), {"progress": 1}),
        (progress(progress=0.5, total=2, message="m", more=1), {"progress": 0.5, "total": 2, "message": "m"}),
        (progress(total="x", message=7), {"progress": 1}),
        (progress("other"), None),
        (progress(["e"]), None),
        (progress(progress="1"), None),
        (progress(progress=True), None),
        ({"progress": 1}, None),
        ({"progressToken": "e"}, None),
    ],
)
async def test_progress_is_told_without_its_token_and_only_if_it_is_this_calls(
    params: JsonObject, told: JsonObject | None
) -> None:
    call = Told(progress=True)
    assert call.hear("notifications/progress", params) is (told is not None)
    assert call.told == ([] if told is None else [("notifications/progress", told)])


async def test_progress_that_nobody_asked_for_is_passed_over() -> None:
    call = Told()
    assert not call.hear("notifications/progress", progress())
    assert not call.told


async def test_log_messages_are_told_and_what_is_no_calls_goes_beside() -> None:
    call = Told()
    assert call.hear("notifications/message", {"level": "info", "data": 1})
    assert not call.hear("notifications/tools/list_changed")
    assert call.told == [("notifications/message", {"level": "info", "data": 1})]
    assert call.beside == ["notifications/tools/list_changed"]


async def test_params_that_are_no_object_are_passed_over() -> None:
    assert not Told().exchange.hear({"jsonrpc": "2.0", "method": "notifications/message", "params": [1]})


@pytest.mark.parametrize(
    ("method", "capabilities", "answer"),
    [
        ("sampling/createMessage", CAPABLE, {"result": {"method": "sampling/createMessage", "a": 1}}),
        ("roots/list", CAPABLE, {"result": {"method": "roots/list", "a": 1}}),
        ("sampling/createMessage", {"roots": {}}, {"error": -32601}),
        ("tools/call", CAPABLE, {"error": -32601}),
        ("ping", {}, {"result": {}}),
    ],
)
async def test_a_question_is_put_to_the_client_where_it_can_be_asked_that(
    method: str, capabilities: JsonObject, answer: JsonObject
) -> None:
    async def ask(method: str, params: JsonObject) -> JsonObject:
        return {"method": method, **params}

    call = Told(capabilities=capabilities, ask=ask)
    assert call.hear(method, {"a": 1}, id=7)
    await call.all_replied()
    [reply] = call.replies
    assert reply["id"] == 7
    assert reply.get("result") == answer.get("result")
    assert reply.get("error", {}).get("code") == answer.get("error")


async def test_without_somebody_to_ask_nothing_is_served_but_ping() -> None:
    call = Told(capabilities=CAPABLE)
    call.hear("elicitation/create", id="a")
    call.hear("ping", id="b")
    await call.all_replied()
    assert [("error" in reply, reply["id"]) for reply in call.replies] == [(True, "a"), (False, "b")]


async def test_what_is_not_answered_goes_back_by_its_code_in_our_words(caplog: pytest.LogCaptureFixture) -> None:
    async def ask(method: str, _params: JsonObject) -> JsonObject:
        if method == "roots/list":
            raise ValueError("psst")
        raise Unanswered(-1, "psst")

    call = Told(capabilities=CAPABLE, ask=ask)
    call.hear("elicitation/create", id=1)
    with caplog.at_level(logging.CRITICAL):
        call.hear("roots/list", id=2)
        await call.all_replied()
    assert [reply["error"]["code"] for reply in call.replies] == [-1, -32603]
    assert "psst" not in str(call.replies)


async def test_questions_in_a_loop_are_refused_and_then_end_the_call() -> None:
    asked = 0

    async def ask(_method: str, _params: JsonObject) -> JsonObject:
        nonlocal asked
        asked += 1
        return {}

    call = Told(capabilities=CAPABLE, ask=ask)
    for ident in range(2 * MOST_ASKS):
        assert call.hear("sampling/createMessage", id=ident)
        await call.all_replied()
    assert asked == MOST_ASKS
    assert [reply["error"]["code"] for reply in call.replies[MOST_ASKS:]] == [-32603] * MOST_ASKS
    with pytest.raises(Failed) as failed:
        call.hear("sampling/createMessage", id=-1)
    assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_INVALID, True)


@pytest.mark.parametrize("ident", [None, 1.5, True, [1], {"a": 1}])
async def test_a_question_whose_id_is_none_is_passed_over(ident: Any) -> None:
    call = Told()
    assert not call.hear("ping", id=ident)
    assert not call.exchange.asks


async def test_an_id_that_still_waits_for_its_answer_asks_nothing_again() -> None:
    waiting = asyncio.Event()

    async def ask(_method: str, _params: JsonObject) -> JsonObject:
        await waiting.wait()
        return {}

    call = Told(capabilities=CAPABLE, ask=ask)
    assert call.hear("roots/list", id=1)
    assert not call.hear("roots/list", id=1)
    waiting.set()
    await call.all_replied()
    assert len(call.replies) == 1


@pytest.mark.parametrize("by", ["the upstream", "the end of the call"])
async def test_a_question_that_nobody_wants_answered_is_taken_back(by: str) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def ask(_method: str, _params: JsonObject) -> JsonObject:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return {}

    call = Told(capabilities=CAPABLE, ask=ask)
    call.hear("roots/list", id=1)
    await asked.wait()
    assert not call.hear("notifications/cancelled", {"requestId": 2})
    assert not call.hear("notifications/cancelled", {"requestId": [1]})
    if by == "the upstream":
        assert call.hear("notifications/cancelled", {"requestId": 1})
    else:
        call.exchange.end()
    await gone.wait()
    await asyncio.sleep(0)
    assert not call.replies
    assert not call.exchange.asks


async def test_where_nothing_may_be_asked_a_question_is_invalid() -> None:
    exchange = Exchange(LIMITS, SILENT, lambda *_: False)
    with pytest.raises(Failed) as failed:
        exchange.hear({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert failed.value.code is Code.UPSTREAM_INVALID


@pytest.mark.parametrize(
    ("params", "asked"),
    [
        ({"a": 1}, {"a": 1}),
        ({"_meta": 7}, {"_meta": 7}),
        ({"_meta": {"x": 1}}, {"_meta": {"x": 1}}),
        ({"a": 1, "_meta": {"x": 1, "progressToken": 7}}, {"a": 1, "_meta": {"x": 1}}),
    ],
)
def test_no_progress_of_the_client_is_passed_on(params: JsonObject, asked: JsonObject) -> None:
    assert without_token(params) == asked


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ({"method": "ping", "id": 1}, {"jsonrpc": "2.0", "id": 1, "result": {}}),
        ({"method": "x"}, None),
        ({"method": "x", "id": True}, None),
    ],
)
def test_what_belongs_to_no_call_is_refused_if_it_asks(message: JsonObject, reply: JsonObject | None) -> None:
    answer = refused(message)
    assert (None if answer is None else orjson.loads(answer)) == reply
    other = refused({"method": "x", "id": "a"})
    assert other is not None
    assert orjson.loads(other)["error"]["code"] == -32601
