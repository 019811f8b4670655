"""Clients that say that their roots are others by now."""

import pytest

from gateway.kinds import ROOTS_CHANGED
from gateway.model import JsonObject
from tests.transports.exchange import Exchange, request
from tests.transports.listening import listening
from tests.transports.wrapping import CALL, Client, called

CHANGED: JsonObject = {"jsonrpc": "2.0", "method": ROOTS_CHANGED}


async def test_the_roots_of_one_session_are_no_other_sessions() -> None:
    async with listening(Exchange()) as place:
        opened, other = await place.initialize(), await place.initialize()
        for headers in (opened, other):
            await (await place.send(request("tools/call", CALL), **headers)).whole()
        mine, others = (channel.roots for channel in place.exchange.channels)
        assert mine is not None
        assert others is not None
        for roots in (mine, others):
            roots.given("files")
        assert (await place.send(CHANGED, **opened)).response.status == 202
        assert (mine.outdated("files"), others.outdated("files")) == (True, False)


@pytest.mark.parametrize("changed", [False, True])
async def test_a_client_behind_a_wrap_is_taken_at_its_word(*, changed: bool) -> None:
    client = Client(Exchange())
    client.known.client.roots.given("files")
    shake = request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {"roots": {}}})
    answers = await client.served(shake, *([CHANGED] if changed else []), request("tools/call", CALL, 2))
    assert len(answers) == 2
    [channel] = client.exchange.channels
    assert channel.roots is client.known.client.roots
    assert channel.roots.outdated("files") is changed


async def test_a_modern_client_has_no_such_word() -> None:
    client = Client(Exchange())
    await client.served(CHANGED, called("t", 1))
    assert [channel.roots for channel in client.exchange.channels] == [None]
