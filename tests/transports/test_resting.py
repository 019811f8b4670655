"""A legacy client that was lost and comes back, from its connection to its upstream."""

import asyncio
from typing import Any

import pytest

from gateway import subscriptions
from gateway.channel import About
from gateway.kinds import Listed
from gateway.model import JsonObject
from gateway.subscriptions import Subscription
from gateway.transports.sessions import Sessions
from tests import nouns
from tests.feeding import Feeding
from tests.path import DataPath
from tests.transports.exchange import Exchange, request
from tests.transports.listening import PATIENCE, Place, Reading, listening

URI, OTHER = "note://a", "note://b"
ALLOW = 'package bascule.call\n\nallow contains "all" if input.subscription.uri in {%s}\n'
PING = request("ping")


class Resting(Exchange):
    """Its subscriptions are those of a real gateway on a scripted upstream, and its sessions' clock is the test's."""

    def __init__(self, path: DataPath, about: About) -> None:
        self.path, self.upstream, self.now = path, Feeding(acknowledges=True), 0.0
        self.upstream.others = {Listed.RESOURCES: [{"uri": uri, "name": uri} for uri in (URI, OTHER)]}
        path.gw.executors["notes"] = self.upstream
        path.use(ALLOW % f'"{URI}", "{OTHER}"')
        super().__init__(sessions=Sessions(clock=lambda: self.now), about=about)

    async def _subscribe(self, *given: Any) -> Subscription:
        _, _, era, transport, session, wants, tell = given
        return await subscriptions.open_subscription(
            nouns.AGENT, nouns.NOTES, era, transport, session, wants, tell, self.path.gw
        )

    async def rest(self) -> None:
        """Two rounds of upkeep after the client was lost."""
        for _ in range(2):
            self.now += 60
            self.sessions.sweep()
        await until(lambda: self.upstream.open_now == 0)


async def until(so: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not so():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0)


async def lost(reading: Reading, exchange: Exchange, opened: dict[str, str]) -> None:
    """The client crashes, and the server has seen it."""
    found = exchange.sessions.find("agent", ("files", None), opened["mcp_session_id"])
    assert found is not None
    reading.leave()
    await until(lambda: not found.in_use)


async def subscribed(place: Place, *uris: str) -> dict[str, str]:
    opened = await place.initialize()
    for uri in uris:
        answer = await place.send(request("resources/subscribe", {"uri": uri}), **opened)
        assert (await answer.whole())["result"] == {}
    return opened


async def told(reading: Reading) -> JsonObject:
    """The next message."""
    while (event := await reading.event()) is not None:
        if event.data:
            found: JsonObject = event.json
            return found
    raise AssertionError("the stream ended")


LISTS = About({"tools": {"listChanged": True}, "resources": {"subscribe": True}})
NO_LISTS = About({"resources": {"subscribe": True}})


@pytest.mark.parametrize("resumes", [True, False], ids=["resumes", "begins anew"])
async def test_an_upstream_tells_nobody_who_is_lost_and_again_who_comes_for_a_stream(
    path: DataPath, resumes: bool
) -> None:
    exchange = Resting(path, LISTS)
    upstream = exchange.upstream
    async with listening(exchange) as place:
        opened = await subscribed(place, URI, OTHER)
        own = await place.get(**opened)
        prime = await own.event()
        assert prime is not None
        await lost(own, exchange, opened)
        upstream.last.updated(URI)
        await exchange.rest()
        path.use(ALLOW % f'"{URI}"')
        last = {"last_event_id": prime.id} if resumes else {}
        back = await place.get(**opened, **last)
        updated = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": URI}}
        if resumes:
            assert await told(back) == updated, "what was said before the rest is kept"
        assert await told(back) == updated
        await until(lambda: upstream.last.uris == (URI,))
        upstream.last.updated(URI)
        assert await told(back) == updated
        back.leave()
    subscriptions.close(path.gw)


async def test_any_request_of_the_client_is_a_sign_that_it_is_back(path: DataPath) -> None:
    exchange = Resting(path, NO_LISTS)
    called = request("tools/call", {"name": "read_file", "arguments": {}})
    async with listening(exchange) as place:
        opened = await subscribed(place, URI)
        level = request("logging/setLevel", {"level": "info"})
        for asked in (PING, called, request("tools/list"), level, request("resources/subscribe", {"uri": OTHER})):
            await exchange.rest()
            answer = await place.send(asked, **opened)
            assert "result" in await answer.whole()
            await until(lambda: exchange.upstream.open_now == 1)
        own = await place.get(**opened)
        assert (await told(own))["params"] == {"uri": URI}
    subscriptions.close(path.gw)


async def test_what_is_unsubscribed_after_a_rest_is_not_asked_for_again(path: DataPath) -> None:
    exchange = Resting(path, NO_LISTS)
    async with listening(exchange) as place:
        opened = await subscribed(place, URI, OTHER)
        await exchange.rest()
        openings = len(exchange.upstream.openings)
        answer = await place.send(request("resources/unsubscribe", {"uri": OTHER}), **opened)
        assert (await answer.whole())["result"] == {}
        await until(lambda: len(exchange.upstream.openings) > openings)
        assert {one.uris for one in exchange.upstream.openings[openings:]} == {(URI,)}
    subscriptions.close(path.gw)


async def test_where_it_cannot_be_opened_again_it_rests_until_the_client_comes_again(path: DataPath) -> None:
    exchange = Resting(path, NO_LISTS)
    async with listening(exchange) as place:
        opened = await subscribed(place, URI)
        await exchange.rest()
        found = exchange.sessions.find("agent", ("files", None), opened["mcp_session_id"])
        assert found is not None
        path.gw.hub.each["agent"] = subscriptions.MOST_EACH
        served = exchange.front._served
        await (await place.send(PING, **opened)).whole()
        await until(lambda: not served._waking)
        assert found.resting is not None
        del path.gw.hub.each["agent"]
        await (await place.send(PING, **opened)).whole()
        await until(lambda: found.resting is None)
    subscriptions.close(path.gw)
