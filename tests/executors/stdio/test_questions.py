"""What a process asks of clients, through the conversation that carries it."""

import asyncio
from typing import Any

import pytest

from gateway.channel import SILENT, Unanswered
from gateway.errors import Failed
from gateway.executors.stdio import questions
from gateway.model import Code, JsonObject
from tests.executors.stdio.talk import Client, Talk, line, talking

SAMPLE, ELICIT, ROOTS = "sampling/createMessage", "elicitation/create", "roots/list"


def refused(ident: Any, code: int) -> JsonObject:
    """Without its words."""
    return {"id": ident, "code": code}


def errors(talk: Talk) -> list[JsonObject]:
    written = [each for each in talk.stdin.written if "error" in each]
    return [refused(each["id"], each["error"]["code"]) for each in written]


@pytest.mark.parametrize(
    ("method", "capability", "params", "put"),
    [
        (SAMPLE, "sampling", {"a": 1, "_meta": {"progressToken": 7}}, {"a": 1}),
        (ELICIT, "elicitation", {"_meta": {"progressToken": 7, "x/y": 1}}, {"_meta": {"x/y": 1}}),
        (ROOTS, "roots", {"_meta": {"x/y": 1}}, {"_meta": {"x/y": 1}}),
    ],
)
async def test_a_question_is_put_to_the_client_of_the_only_call_and_its_answer_sent_back(
    method: str, capability: str, params: JsonObject, put: JsonObject
) -> None:
    async with talking() as talk:
        client = Client(**{capability: {}})
        asked = talk.asks(channel=client.channel())
        await talk.heard(1)
        talk.sends({"id": "q", "method": method, "params": params})
        await client.was_asked(1)
        assert client.asked == [(method, put)]
        client.answers.put_nowait({"said": "yes"})
        await talk.heard(2)
        assert talk.stdin.written[1] == {"jsonrpc": "2.0", "id": "q", "result": {"said": "yes"}}
        talk.says(line(1))
        assert (await asked).passed_over == 0


async def test_answers_go_back_in_the_order_they_come_under_their_own_ids() -> None:
    async with talking() as talk:
        gates = [asyncio.Event() for _ in range(3)]

        async def ask(method: str, params: JsonObject) -> JsonObject:
            await gates[params["n"]].wait()
            return params

        asked = talk.asks(channel=Client(sampling={}).channel(ask=ask))
        await talk.heard(1)
        idents = (5, "5", -1)
        talk.sends(*({"id": ident, "method": SAMPLE, "params": {"n": n}} for n, ident in enumerate(idents)))
        for sent, n in enumerate((2, 0, 1)):
            gates[n].set()
            await talk.heard(2 + sent)
        assert [(each["id"], each["result"]["n"]) for each in talk.stdin.written[1:]] == [(-1, 2), (5, 0), ("5", 1)]
        talk.says(line(1))
        await asked


@pytest.mark.parametrize(
    ("capabilities", "more", "method"),
    [
        ({}, {}, SAMPLE),
        ({"sampling": {}}, {}, ELICIT),
        ({"sampling": True}, {}, SAMPLE),
        ({"sampling": {}}, {"ask": None}, SAMPLE),
        ({"sampling": {}}, {}, "tools/call"),
        ({"sampling": {}}, {}, "notifications/progress"),
    ],
)
async def test_nothing_is_put_to_a_client_that_cannot_be_asked_it(
    capabilities: JsonObject, more: JsonObject, method: str
) -> None:
    async with talking() as talk:
        client = Client(**capabilities)
        asked = talk.asks(channel=client.channel(**more))
        await talk.heard(1)
        talk.sends({"id": 1, "method": method})
        await talk.heard(2)
        assert errors(talk) == [refused(1, -32601)]
        talk.says(line(1))
        assert (await asked).passed_over == 1
        assert client.asked == []


async def test_in_the_modern_era_a_process_has_nothing_to_ask() -> None:
    async with talking() as talk:
        client = Client(sampling={})
        asked = talk.asks(channel=client.channel(), modern=True)
        await talk.heard(1)
        talk.sends({"id": 1, "method": SAMPLE})
        await talk.heard(2)
        assert errors(talk) == [refused(1, -32601)]
        talk.says(line(1))
        await asked


async def test_a_question_that_could_be_of_two_calls_or_of_none_is_put_to_nobody() -> None:
    async with talking() as talk:
        client = Client(sampling={})
        talk.sends({"id": 1, "method": SAMPLE})
        await talk.heard(1)
        own = talk.asks()
        await talk.heard(2)
        talk.sends({"id": 2, "method": SAMPLE})
        await talk.heard(3)
        calls = [talk.asks(channel=client.channel()), talk.asks(channel=SILENT)]
        await talk.heard(5)
        talk.sends({"id": 3, "method": SAMPLE})
        await talk.heard(6)
        assert errors(talk) == [refused(number, -32601) for number in (1, 2, 3)]
        talk.says(line(3))
        await calls[1]
        talk.sends({"id": 4, "method": SAMPLE})
        await client.was_asked(1)
        talk.says(line(1) + line(2))
        await asyncio.gather(own, calls[0])


@pytest.mark.parametrize(
    ("problem", "code"),
    [(Unanswered(-32042, "hunter2"), -32042), (ZeroDivisionError("hunter2"), -32603)],
)
async def test_what_a_client_does_not_answer_is_an_error_in_our_own_words(problem: Exception, code: int) -> None:
    async with talking() as talk:
        client = Client(roots={})
        asked = talk.asks(channel=client.channel())
        await talk.heard(1)
        client.answers.put_nowait(problem)
        talk.sends({"id": 9, "method": ROOTS})
        await talk.heard(2)
        assert errors(talk) == [refused(9, code)]
        assert "hunter2" not in str(talk.stdin.written)
        talk.says(line(1))
        await asked


@pytest.mark.parametrize(
    ("more", "code"),
    [({"params": []}, -32602), ({"params": {"x": "x" * 300}}, -32602), ({"params": None}, -32602)],
)
async def test_params_that_are_none_or_too_large_are_refused(
    more: JsonObject, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "QUESTION_BYTES", 300)
    async with talking() as talk:
        asked = talk.asks(channel=Client(roots={}).channel())
        await talk.heard(1)
        talk.sends({"id": 9, "method": ROOTS, **more})
        await talk.heard(2)
        assert errors(talk) == [refused(9, code)]
        talk.says(line(1))
        await asked


async def test_an_id_in_use_is_no_id_until_it_is_answered() -> None:
    async with talking() as talk:
        client = Client(roots={})
        asked = talk.asks(channel=client.channel())
        await talk.heard(1)
        talk.sends({"id": 9, "method": ROOTS}, {"id": 9, "method": ROOTS})
        await talk.heard(2)
        assert errors(talk) == [refused(None, -32600)]
        for _ in range(2):
            client.answers.put_nowait({})
        await talk.heard(3)
        talk.sends({"id": 9, "method": ROOTS})
        await talk.heard(4)
        assert [each["id"] for each in talk.stdin.written if "result" in each] == [9, 9]
        talk.says(line(1))
        await asked


async def test_a_process_that_asks_in_a_loop_is_answered_a_hundred_times() -> None:
    async with talking() as talk:
        client = Client(sampling={})
        asked = talk.asks(channel=client.channel())
        await talk.heard(1)
        for number in range(105):
            client.answers.put_nowait({})
            talk.sends({"id": number, "method": SAMPLE})
            await talk.heard(number + 2)
        assert len(client.asked) == questions.MOST_OF_A_CALL == 100
        assert errors(talk) == [refused(number, -32603) for number in range(100, 105)]
        talk.says(line(1))
        await asked


async def test_only_so_many_questions_are_open_at_once_those_withdrawn_among_them() -> None:
    async with talking() as talk:
        stubborn, begun = asyncio.Event(), list[int]()

        async def ask(method: str, params: JsonObject) -> JsonObject:
            begun.append(1)
            try:
                await stubborn.wait()
            except asyncio.CancelledError:
                await stubborn.wait()  # it records something first
                raise
            return {}

        asked = talk.asks(channel=Client(sampling={}).channel(ask=ask))
        await talk.heard(1)
        talk.sends(*({"id": number, "method": SAMPLE} for number in range(33)))
        await talk.heard(2)
        assert errors(talk) == [refused(32, -32603)]
        assert len(begun) == questions.MOST_AT_ONCE == 32
        talk.sends({"method": "notifications/cancelled", "params": {"requestId": 0}})
        talk.sends({"id": 33, "method": SAMPLE})
        await talk.heard(3)
        assert errors(talk)[1:] == [refused(33, -32603)]
        stubborn.set()
        await talk.heard(3 + 31)
        talk.says(line(1))
        await asked


@pytest.mark.parametrize("ident", ["q", 4])
async def test_a_question_that_is_withdrawn_is_not_answered(ident: Any) -> None:
    async with talking() as talk:
        client, cancelled = Client(sampling={}), asyncio.Event()

        async def ask(method: str, params: JsonObject) -> JsonObject:
            try:
                return await client.ask(method, params)
            finally:
                cancelled.set()

        asked = talk.asks(channel=client.channel(ask=ask))
        await talk.heard(1)
        talk.sends({"id": ident, "method": SAMPLE})
        await client.was_asked(1)
        for other in ("r", 1, True, None, [ident], 4.0):
            talk.sends({"method": "notifications/cancelled", "params": {"requestId": other}})
        assert await talk.taken() == 6
        assert not cancelled.is_set()
        talk.sends({"method": "notifications/cancelled", "params": {"requestId": ident}})
        assert await talk.taken() == 0
        async with asyncio.timeout(10):
            await cancelled.wait()
        talk.says(line(1))
        assert (await asked).passed_over == 8
        assert errors(talk) == []


async def test_when_the_call_ends_nobody_is_asked_any_more_and_the_process_is_told() -> None:
    async with talking() as talk:
        client = Client(sampling={})
        asked = talk.asks(channel=client.channel())
        await talk.heard(1)
        talk.sends({"id": "q", "method": SAMPLE})
        await client.was_asked(1)
        talk.says(line(1))
        await asked
        await talk.heard(2)
        assert errors(talk) == [refused("q", -32603)]
        assert talk.conversation._questions._open == {}
        assert talk.conversation._questions._running == set()


async def test_a_question_whose_call_ends_before_it_is_put_never_is_and_is_answered_all_the_same() -> None:
    async with talking() as talk:
        client = Client(sampling={})
        asked = talk.asks(channel=client.channel())
        await talk.heard(1)
        whose, own = talk.conversation._waiting[1], talk.conversation._questions
        assert own.take("q", {"method": SAMPLE}, 10, whose) is None
        own.over(whose)
        await talk.heard(2)
        assert client.asked == []
        assert errors(talk) == [refused("q", -32603)]
        assert whose.asking == 0
        talk.says(line(1))
        await asked


async def test_when_the_process_ends_its_questions_end_with_it() -> None:
    async with talking() as talk:
        client = Client(sampling={})
        asked = talk.asks(channel=client.channel())
        await talk.heard(1)
        talk.sends({"id": "q", "method": SAMPLE})
        await client.was_asked(1)
        talk.conversation.end(lambda: Failed(Code.UPSTREAM_UNAVAILABLE, "over", unknown=True))
        with pytest.raises(Failed):
            await asked
        for _ in range(3):
            await asyncio.sleep(0)
        assert talk.conversation._questions._running == set()
        assert len(talk.stdin.written) == 1


async def test_a_call_whose_client_is_being_asked_waits_for_that() -> None:
    async with talking() as talk:
        client = Client(elicitation={})
        asked = talk.asks(channel=client.channel())
        await talk.heard(1)
        talk.sends({"id": "q", "method": ELICIT})
        await client.was_asked(1)
        waiting = talk.conversation._waiting[1]
        assert waiting.asking == 1
        waiting._rang()
        assert not waiting.over
        client.answers.put_nowait({})
        await talk.heard(2)
        assert (waiting.asking, waiting.asked) == (0, 1)
        talk.says(line(1))
        assert (await asked).message is not None


async def test_a_client_that_answers_much_is_heard_whatever_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.stdio.conversation.UNASKED_BYTES", 100_000)
    async with talking() as talk:
        client = Client(sampling={})
        asked = talk.asks(channel=client.channel())
        await talk.heard(1)
        for number in range(10):
            client.answers.put_nowait({})
            talk.sends({"id": number, "method": SAMPLE, "params": {"x": "x" * 60_000}})
            await talk.heard(number + 2)
        assert not talk.reading.done()
        talk.says(line(1))
        await asked


async def test_the_end_of_one_call_ends_no_question_of_another() -> None:
    async with talking() as talk:
        first, second = Client(roots={}), Client(roots={})
        calls = [talk.asks(channel=client.channel()) for client in (first, second)]
        await talk.heard(2)
        own = talk.conversation._questions
        for number in (1, 2):
            assert own.take(number, {"method": ROOTS}, 10, talk.conversation._waiting[number]) is None
        await second.was_asked(1)
        talk.says(line(1))
        await calls[0]
        await talk.heard(3)
        assert errors(talk) == [refused(1, -32603)]
        second.answers.put_nowait({"roots": []})
        await talk.heard(4)
        assert talk.stdin.written[3] == {"jsonrpc": "2.0", "id": 2, "result": {"roots": []}}
        talk.says(line(2))
        await calls[1]
