"""What a process says unasked, as far as it is passed on."""

import asyncio

import pytest

from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.messages import ELICITED
from gateway.executors.stdio.conversation import NOTICE_BYTES
from gateway.kinds import LIST_CHANGED, LOGGED, PROGRESS, UPDATED
from gateway.model import JsonObject
from tests.executors.stdio.talk import Client, line, outcome, talking


class Clock:
    """Stands still but for the test."""

    now = 0.0

    def time(self) -> float:
        return self.now


async def test_progress_is_told_under_our_own_token_and_under_no_other() -> None:
    async with talking() as talk:
        first, second, silent = Client(), Client(), Client()
        asked = [
            talk.asks(channel=first.channel(progress=True)),
            talk.asks(channel=second.channel(progress=True)),
            talk.asks(channel=silent.channel()),
        ]
        await talk.heard(3)
        assert [each["params"].get("_meta") for each in talk.stdin.written] == [
            {"progressToken": 1},
            {"progressToken": 2},
            None,
        ]
        for token in (2, 1, 3, 4, "1", 1.0, True, None, [1]):
            talk.sends({"method": PROGRESS, "params": {"progressToken": token, "progress": 0.5, "other": 1}})
        talk.sends({"method": PROGRESS, "params": {"progressToken": 1, "progress": "much"}})
        talk.says(line(1) + line(2) + line(3))
        answers = [await each for each in asked]
        talk.sends({"method": PROGRESS, "params": {"progressToken": 1, "progress": 1}})
        assert await talk.taken() == 1
        assert first.told == second.told == [(PROGRESS, {"progress": 0.5})]
        assert silent.told == []
        assert [answer.passed_over for answer in answers] == [8, 8, 8]


async def test_a_log_message_is_told_once_to_the_last_call_that_wants_it() -> None:
    async with talking() as talk:
        clients = [Client() for _ in range(3)]
        wanted = ("debug", "warning", "")
        asked = [
            talk.asks(channel=client.channel(log_level=level)) for client, level in zip(clients, wanted, strict=True)
        ]
        await talk.heard(3)
        for level in ("error", "info", "nonsense", 7):
            talk.sends({"method": LOGGED, "params": {"level": level, "data": level}})
        talk.sends({"method": LOGGED, "params": {"level": "error"}}, {"method": LOGGED})
        talk.says(line(1) + line(2) + line(3))
        assert [(await each).passed_over for each in asked] == [4, 4, 4]
        assert [[params["level"] for _, params in client.told] for client in clients] == [["info"], ["error"], []]


async def test_what_is_of_no_call_is_told_beside_and_the_rest_is_passed_over() -> None:
    async with talking() as talk:
        told = [(method, {"uri": "x"}) for method in (*LIST_CHANGED, UPDATED, ELICITED)]
        talk.sends(*({"method": method, "params": params} for method, params in told))
        talk.sends({"method": "notifications/x"}, {"method": 7}, {"method": UPDATED, "params": []})
        talk.sends({"method": UPDATED, "result": {}}, {"method": UPDATED, "jsonrpc": "1.0"})
        assert await talk.taken() == 5
        assert talk.told == told


async def test_what_is_longer_than_a_notification_needs_to_be_is_told_to_nobody() -> None:
    async with talking(line_bytes=2**20) as talk:
        client = Client()
        asked = talk.asks(channel=client.channel(progress=True, log_level="debug"))
        await talk.heard(1)
        long = "x" * NOTICE_BYTES
        talk.sends({"method": LOGGED, "params": {"level": "error", "data": long}})
        talk.sends({"method": PROGRESS, "params": {"progressToken": 1, "progress": 1, "message": long}})
        talk.says(line(1))
        assert (await asked).passed_over == 2
        assert client.told == []


async def test_a_batch_of_more_than_may_come_unasked_ends_the_conversation_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.executors.stdio.conversation.UNASKED_BYTES", 100_000)
    async with talking(line_bytes=2**20) as talk:
        talk.says(b"[" + b",".join([b'{"jsonrpc":"2.0","id":1,"method":"ping"}'] * 400) + b"]\n")
        await asyncio.wait({talk.reading})
        assert isinstance(talk.reading.exception(), Failed)
        assert talk.stdin.written == []


async def test_a_subscription_hears_only_what_bears_its_number_until_it_is_answered() -> None:
    async with talking() as talk:
        heard: list[str] = []

        def hears(method: str, params: JsonObject) -> bool:
            heard.append(method)
            return True

        opened = talk.asks(modern=True, heard=hears, seconds=float("inf"))
        await talk.heard(1)
        for ident in (1, 2, "1", True, None):
            meta = {"io.modelcontextprotocol/subscriptionId": ident}
            talk.sends({"method": f"of {ident!r}", "params": {"_meta": meta}})
        assert await talk.taken() == 4
        assert heard == ["of 1"]
        asked = talk.asks()
        await talk.heard(3)
        talk.says(line(None, error={"code": -32700, "message": ""}).replace(b'"result":{},', b""))
        assert isinstance(await outcome(asked), Answer), "it is no call that an error without an id could be for"
        talk.says(line(1))
        assert (await opened).message == {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert talk.conversation._listening == {}


async def test_what_comes_slowly_is_no_flood_however_long() -> None:
    async with talking() as talk:
        clock = talk.conversation._loop = Clock()  # type: ignore[assignment]
        update = {"method": UPDATED, "params": {"uri": "x" * 60_000}}
        for second in range(400):
            clock.now = float(second)
            talk.sends(update)
            assert await talk.taken() == 0
        assert not talk.reading.done()
