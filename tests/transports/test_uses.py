"""When a gateway that nobody uses may end."""

import asyncio
from typing import Any

import pytest

from gateway.transports.uses import Uses


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_idle_time_begins_with_the_end_of_the_last_use() -> None:
    clock = Clock()
    uses = Uses(clock)
    clock.now += 4
    assert uses.idle_for(10) == 6
    with uses.one():
        clock.now += 100
        assert uses.idle_for(10) == 10
        with uses.one():
            clock.now += 1
        assert uses.idle_for(10) == 10
    assert uses.idle_for(10) == 10
    clock.now += 11
    assert uses.idle_for(10) == 0


async def test_a_use_that_lasts_puts_the_end_off() -> None:
    uses = Uses()
    with uses.one():
        ending = asyncio.ensure_future(uses.ended(0.01))
        done, _ = await asyncio.wait([ending], timeout=0.1)
        assert not done
    async with asyncio.timeout(10):
        await ending


async def test_each_request_is_a_use_also_one_that_fails() -> None:
    uses = Uses(Clock())
    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append((scope, uses._now))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await uses.counted(app)("scope", None, None)
    assert (seen, uses._now) == ([("scope", 1)], 0)
