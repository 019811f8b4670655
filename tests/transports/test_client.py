"""What is known of one client, and what becomes of it when the client is gone."""

import asyncio
from typing import Any, cast

import orjson
import pytest

from gateway.channel import Channel, Unanswered
from gateway.errors import Malformed
from gateway.kinds import METHODS, Kind
from gateway.subscriptions import Subscription
from gateway.transports.client import Client
from gateway.wire.jsonrpc import Response

ALL: dict[str, Any] = {"sampling": {}, "elicitation": {}, "roots": {}}


class Line:
    """What was sent to the client."""

    def __init__(self, *, read: bool = True) -> None:
        self.read = read
        self.sent: list[Any] = []

    def send(self, message: bytes) -> bool:
        self.sent.append(orjson.loads(message))
        return self.read


@pytest.mark.parametrize("kind", [Kind.SAMPLING, Kind.ELICITATION, Kind.ROOTS])
async def test_it_is_asked_only_what_it_declared(kind: Kind) -> None:
    line, declared = Line(), {name: ALL[name] for name in ALL if name != kind.value}
    with pytest.raises(Unanswered) as refused:
        await Client(capabilities=declared).ask(METHODS[kind], {}, line.send)
    assert (refused.value.code, line.sent) == (-32601, [])


@pytest.mark.parametrize("method", ["tools/call", "ping", "", "roots"])
async def test_it_is_asked_nothing_that_clients_are_not_asked(method: str) -> None:
    with pytest.raises(Unanswered):
        await Client(capabilities=ALL).ask(method, {}, Line().send)


async def test_one_that_reads_nothing_cannot_be_asked() -> None:
    client = Client(capabilities=ALL)
    with pytest.raises(Unanswered) as refused:
        await client.ask("roots/list", {}, Line(read=False).send)
    assert (refused.value.code, client.questions) == (-32603, {})


async def test_a_question_is_answered_once_by_its_id() -> None:
    client, line = Client(capabilities=ALL), Line()
    asking = asyncio.ensure_future(client.ask("roots/list", {}, line.send))
    await asyncio.sleep(0)
    ident = line.sent[0]["id"]
    assert not client.answer(Response("other", {}))
    assert not client.answer(Response(1, {}))
    assert client.answer(Response(ident, {"roots": []}))
    assert not client.answer(Response(ident, {"roots": ["late"]}))
    assert (await asking, client.questions) == ({"roots": []}, {})


async def test_a_question_nobody_waits_for_any_more_is_withdrawn() -> None:
    client, line = Client(capabilities=ALL), Line()
    asking = asyncio.ensure_future(client.ask("roots/list", {}, line.send))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    asked, withdrawn = line.sent
    assert (withdrawn["method"], withdrawn["params"]) == ("notifications/cancelled", {"requestId": asked["id"]})


async def test_what_is_asked_or_opened_when_it_is_gone_ends_at_once() -> None:
    client, line = Client(capabilities=ALL), Line()
    asking = asyncio.ensure_future(client.ask("roots/list", {}, line.send))
    await asyncio.sleep(0)
    client.close()
    with pytest.raises(Unanswered):
        await asking
    with pytest.raises(Unanswered):
        await client.ask("roots/list", {}, line.send)
    closed: list[bool] = []

    class Opened:
        def close(self) -> None:
            closed.append(True)

    client.keep(cast(Subscription, Opened()))
    assert (closed, client.subscription) == ([True], None)


@pytest.mark.parametrize("ident", [1, "1"])
def test_an_id_is_under_way_once_and_is_cancelled_as_what_it_is(ident: str | int) -> None:
    client, channel = Client(), Channel()
    client.begin(ident, channel)
    with pytest.raises(Malformed):
        client.begin(ident, Channel())
    others: list[object] = ["1" if ident == 1 else 1, None, [1], 1.0, True, {}]
    for other in others:
        assert not client.cancel(other)
    assert client.cancel(ident)
    assert channel.hung_up
