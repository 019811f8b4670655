"""Cancellations that whoever was awaited took and did not pass on."""

import asyncio
from contextlib import suppress

import pytest

from gateway.cancels import Cancels


async def swallowing(started: asyncio.Event) -> str:
    """Gives its answer in the moment in which it is cancelled."""
    with suppress(asyncio.CancelledError):
        started.set()
        await asyncio.Event().wait()
    return "the answer"


async def test_a_cancellation_that_was_lost_beside_an_answer_is_raised() -> None:
    started = asyncio.Event()

    async def read() -> str:
        cancels = Cancels()
        answer = await swallowing(started)
        cancels.heed()
        return answer

    reading = asyncio.ensure_future(read())
    await started.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_time_out_that_was_lost_beside_an_answer_is_one_all_the_same() -> None:
    async def read() -> None:
        async with asyncio.timeout(0):
            cancels = Cancels()
            await swallowing(asyncio.Event())
            cancels.heed()

    with pytest.raises(TimeoutError):
        await read()


async def test_what_is_read_while_its_task_ends_is_not_ended_for_that_once_more() -> None:
    started = asyncio.Event()

    async def read() -> str:
        try:
            started.set()
            await asyncio.Event().wait()
            return "never"
        except asyncio.CancelledError:
            cancels = Cancels()
            await asyncio.sleep(0)
            cancels.heed()
            return "told that it ends"

    reading = asyncio.ensure_future(read())
    await started.wait()
    reading.cancel()
    assert await reading == "told that it ends"
