import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.messages import OUR_META
from gateway.executors.stdio.conversation import UNASKED_BYTES, UNREAD_BYTES
from gateway.executors.stdio.waiting import Envelope
from gateway.model import Code, JsonObject
from tests.executors.stdio.talk import Talk, line, outcome, talking

DONE = '{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}'


@pytest.mark.parametrize(
    ("modern", "meta", "sent"),
    [(True, {"a": 1}, {"a": 1, **OUR_META}), (True, {}, OUR_META), (False, {"a": 1}, {"a": 1}), (False, {}, None)],
)
async def test_a_request_is_our_own_with_the_envelope_of_its_era(
    modern: bool, meta: JsonObject, sent: JsonObject | None
) -> None:
    async with talking() as talk:
        asked = talk.asks(modern=modern, meta=meta)
        await talk.heard(1)
        params = {"name": "t", **({"_meta": sent} if sent is not None else {})}
        assert talk.stdin.written == [{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}]
        talk.says(line(1))
        answer = await asked
        assert answer.message == {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert answer.size == len(line(1)) - 1


async def test_answers_come_in_any_order_and_find_who_asked() -> None:
    async with talking() as talk:
        asked = [talk.asks() for _ in range(100)]
        await talk.heard(100)
        for number in range(100, 0, -1):
            talk.says(line(number, result={"for": number}))
        answers = [await each for each in asked]
        assert [answer.message["result"]["for"] for answer in answers if answer.message] == list(range(1, 101))


@pytest.mark.parametrize(
    "ident",
    ["1", 1.0, True, None, [1], {"id": 1}, 2, 0, -1, 10**30],
    ids=lambda value: f"{type(value).__name__} {value}",
)
async def test_an_answer_under_another_id_answers_nobody(ident: Any) -> None:
    async with talking() as talk:
        asked = talk.asks()
        await talk.heard(1)
        talk.says(line(ident, result={"whose": "not yours"}))
        talk.says(line(1, result={"whose": "yours"}))
        answer = await asked
        assert answer.message is not None
        assert answer.message["result"] == {"whose": "yours"}
        assert answer.passed_over == 1


async def test_of_two_answers_the_first_counts_and_a_late_one_is_dropped() -> None:
    async with talking() as talk:
        asked = talk.asks()
        await talk.heard(1)
        talk.says(line(1, result={"n": 1}) + line(1, result={"n": 2}))
        answer = await asked
        assert answer.message is not None
        assert answer.message["result"] == {"n": 1}
        again = talk.asks()
        await talk.heard(2)
        talk.says(line(1, result={"n": 3}) + line(2))
        await again
        assert talk.conversation.passed_over == 2
        assert talk.noise == [], "an answer holds a caller's data, and is not kept for the log"


@pytest.mark.parametrize(
    ("said", "code", "unknown"),
    [
        ('{"jsonrpc":"2.0","id":1}', Code.UPSTREAM_INVALID, True),
        ('{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', Code.UPSTREAM_INVALID, True),
        ('{"jsonrpc":"1.0","id":1,"result":{}}', Code.UPSTREAM_INVALID, True),
        ('{"id":1,"result":{}}', Code.UPSTREAM_INVALID, True),
        ('{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}', Code.UPSTREAM_INVALID, True),
        ('{ "jsonrpc": "2.0", "id": 1, "result": {"x": NaN}}', Code.UPSTREAM_INVALID, True),
        ('{"id":1,"result":{"x":1e400}}', Code.UPSTREAM_INVALID, True),
        ('{"result":{"x":NaN},"jsonrpc":"2.0","id":1}', Code.UPSTREAM_INVALID, True),
        ('loading... {"result":{},"jsonrpc":"2.0","id":1}', Code.UPSTREAM_INVALID, True),
        ('{"result":{"x":NaN},"id": 1, "jsonrpc": "2.0"} ', Code.UPSTREAM_INVALID, True),
        ('{"jsonrpc":"2.0","id":1,"result":"' + "x" * 20_000 + '"}', Code.RESULT_WITHHELD, False),
        ('{"jsonrpc":"2.0","id":1,"result":"' + "x" * 200_000 + '"}', Code.RESULT_WITHHELD, False),
        ('{"result":"' + "x" * 200_000 + '","jsonrpc":"2.0","id":1}', Code.RESULT_WITHHELD, False),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_answer_that_cannot_be_taken_fails_its_own_call_and_no_other(
    said: str, code: Code, unknown: bool
) -> None:
    async with talking() as talk:
        asked, other = talk.asks(), talk.asks()
        await talk.heard(2)
        talk.says(said + "\n")
        failed = await outcome(asked)
        assert isinstance(failed, Failed)
        assert (failed.code, failed.unknown) == (code, unknown)
        talk.says(line(2))
        assert (await other).message == {"jsonrpc": "2.0", "id": 2, "result": {}}


@pytest.mark.parametrize(
    "said", ['{"jsonrpc":"2.0","id":9,"result":{"x":[NaN,{"id":1}]}}', '{"jsonrpc":"2.0","id":9,"result":{"id":1},,}']
)
async def test_an_id_within_a_broken_answer_is_not_taken_for_its_own(said: str) -> None:
    async with talking() as talk:
        asked = talk.asks()
        await talk.heard(1)
        talk.says(said + "\n")
        talk.says(line(1))
        assert (await asked).passed_over == 1


async def test_an_error_without_an_id_is_for_whoever_is_the_only_one_to_wait() -> None:
    async with talking() as talk:
        unread = line(None, error={"code": -32700, "message": ""}).replace(b'"result":{},', b"")
        asked = talk.asks()
        await talk.heard(1)
        talk.says(unread)
        assert (await asked).message is not None
        two = [talk.asks(), talk.asks()]
        await talk.heard(3)
        talk.says(unread + line(2) + line(3))
        assert [(await each).passed_over for each in two] == [1, 1]


async def test_text_between_messages_is_kept_for_the_log_and_the_rest_is_counted() -> None:
    async with talking() as talk:
        asked = talk.asks()
        await talk.heard(1)
        talk.says('Server ready\n\n[1,2]\nnull\n7\n{"half\n{"jsonrpc":"2.0","method":"notifications/message"}\n')
        talk.says('[{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":1,"result":{}}]\n')
        assert (await asked).passed_over == 8
        assert talk.noise == [b"Server ready", b"null", b"7"]


async def test_its_own_requests_are_refused_and_only_ping_is_answered() -> None:
    async with talking() as talk:
        for ident, method in ((7, "ping"), ("a", "elicitation/create"), (-8, "roots/list")):
            talk.sends({"id": ident, "method": method})
        await talk.heard(3)
        refused = {"code": -32601, "message": "not served here"}
        assert talk.stdin.written == [
            {"jsonrpc": "2.0", "id": 7, "result": {}},
            {"jsonrpc": "2.0", "id": "a", "error": refused},
            {"jsonrpc": "2.0", "id": -8, "error": refused},
        ]
        assert talk.conversation.passed_over == 3


@pytest.mark.parametrize(
    "request_",
    [
        {"id": 1.0, "method": "ping"},
        {"id": True, "method": "ping"},
        {"id": None, "method": "ping"},
        {"id": [1], "method": "ping"},
        {"id": 2**53, "method": "ping"},
        {"id": -(2**53), "method": "ping"},
        {"id": "x" * 257, "method": "ping"},
        {"id": 1, "method": 7},
        {"id": 1, "method": "ping", "jsonrpc": "1.0"},
        {"id": 1, "method": "ping", "result": {}},
    ],
    ids=lambda value: str(value)[:50],
)
async def test_what_is_no_request_with_an_id_is_answered_without_one(request_: JsonObject) -> None:
    async with talking() as talk:
        asked = talk.asks()
        await talk.heard(1)
        talk.sends(request_)
        await talk.heard(2)
        invalid = {"code": -32600, "message": "no request with an id of its own"}
        assert talk.stdin.written[1] == {"jsonrpc": "2.0", "id": None, "error": invalid}
        talk.says(line(1))
        assert (await asked).passed_over == 1


async def test_whoever_does_not_read_gets_no_answers_piled_up() -> None:
    async with talking() as talk:
        talk.stdin.waiting = 100_000
        asked = talk.asks()
        await talk.heard(1)
        talk.says(b'{"jsonrpc":"2.0","id":7,"method":"ping"}\n' * 10 + line(1))
        assert (await asked).passed_over == 10
        assert len(talk.stdin.written) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda talk: setattr(talk.stdin, "closed", True),
        lambda talk: setattr(talk.stdin, "waiting", UNREAD_BYTES + 1),
        lambda talk: talk.conversation.end(lambda: Failed(Code.UPSTREAM_UNAVAILABLE, "over")),
    ],
    ids=["closed", "full", "ended"],
)
async def test_what_cannot_be_written_has_a_known_ending(change: Callable[[Talk], None]) -> None:
    async with talking() as talk:
        change(talk)
        failed = await outcome(talk.asks())
        assert isinstance(failed, Failed)
        assert (failed.code, failed.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)
        assert talk.stdin.written == []


@pytest.mark.parametrize(("method", "told"), [("tools/call", True), ("initialize", False), ("server/discover", False)])
async def test_a_call_that_timed_out_is_withdrawn_and_no_handshake_is(method: str, told: bool) -> None:
    async with talking() as talk:
        failed = await outcome(
            asyncio.ensure_future(talk.conversation.ask(Envelope(method, {}, {}, 9, 0.01), modern=False))
        )
        assert isinstance(failed, Failed)
        assert (failed.code, failed.unknown) == (Code.UPSTREAM_TIMEOUT, True)
        cancelled = {"requestId": 1, "reason": "timed out"}
        expected = [{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled}]
        assert talk.stdin.written[1:] == (expected if told else [])
        assert talk.conversation._waiting == {}


async def test_whoever_stops_waiting_withdraws_it_and_leaves_nothing_behind() -> None:
    async with talking() as talk:
        asked = talk.asks()
        await talk.heard(1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert talk.conversation._waiting == {}
        cancelled = {"requestId": 1, "reason": "nobody waits any more"}
        assert talk.stdin.written[1:] == [{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled}]


async def test_whoever_stops_waiting_once_it_is_answered_withdraws_nothing() -> None:
    async with talking() as talk:
        asked = talk.asks()
        await talk.heard(1)
        talk.conversation._waiting[1].answer.add_done_callback(lambda done: asked.cancel())
        talk.says(line(1))
        await asyncio.wait({asked})
        assert len(talk.stdin.written) == 1


async def test_a_handshake_is_never_withdrawn() -> None:
    async with talking() as talk:
        envelope = Envelope("initialize", {}, {}, 9, 20)
        asked = asyncio.ensure_future(talk.conversation.ask(envelope, modern=False))
        await talk.heard(1)
        asked.cancel()
        await asyncio.wait({asked})
        assert len(talk.stdin.written) == 1


async def test_the_end_fails_everybody_who_waits_each_with_an_error_of_their_own() -> None:
    async with talking() as talk:
        asked = [talk.asks() for _ in range(3)]
        await talk.heard(3)
        talk.conversation.end(lambda: Failed(Code.UPSTREAM_UNAVAILABLE, "over", unknown=True))
        ends = [await outcome(each) for each in asked]
        assert len({id(end) for end in ends}) == 3
        assert all(isinstance(end, Failed) and end.unknown for end in ends)


@pytest.mark.parametrize(("last", "answered"), [(DONE, True), (DONE[:-1], False), ("done", False), ("", False)])
async def test_a_last_line_without_its_end_counts_only_when_it_is_whole(last: str, answered: bool) -> None:
    async with talking() as talk:
        asked = talk.asks()
        await talk.heard(1)
        talk.says(last.replace("ID", "1"))
        talk.stdout.feed_eof()
        await talk.reading
        assert not talk.conversation.open
        talk.conversation.end(lambda: Failed(Code.UPSTREAM_UNAVAILABLE, "over"))
        assert isinstance(await outcome(asked), Answer) is answered


@pytest.mark.parametrize(
    "flood",
    [b"log\n" * 10_000, b'{"jsonrpc":"2.0","method":"n"}\n' * 1_000, b"y" * 65_536, b"\n".join([b"[]"] * 10_000)],
    ids=["text", "notifications", "one line", "batches"],
)
async def test_a_flood_ends_the_conversation_within_bounds(flood: bytes) -> None:
    async with talking() as talk:
        sent = 0
        while not talk.reading.done():
            assert sent <= UNASKED_BYTES + 200_000
            talk.says(flood)
            sent += len(flood)
            for _ in range(3):
                await asyncio.sleep(0)
        assert isinstance(talk.reading.exception(), Failed)
        assert not talk.conversation.open
        assert sum(map(len, talk.noise)) <= 65_536
        assert len(talk.conversation._lines._held) <= 100_000


async def test_what_is_asked_for_is_no_flood_however_much_it_is() -> None:
    async with talking(line_bytes=2**20) as talk:
        padding = "x" * 900_000
        for number in range(1, 41):
            asked = talk.asks(limit=2**20)
            await talk.heard(number)
            talk.says(line(number, result={"text": padding}))
            await asked
        assert not talk.reading.done()
