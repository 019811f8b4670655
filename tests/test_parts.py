"""Work in the background is held while it runs and ended with the process."""

import asyncio
import inspect
import weakref

import pytest

from gateway.errors import Failed
from gateway.model import Code
from gateway.parts import Tasks


async def test_closing_cancels_what_still_runs_and_waits_until_it_has_ended() -> None:
    tasks, begun, ended = Tasks(), asyncio.Event(), []

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # an end that takes a turn of the loop is still waited for
            ended.append("endless")

    running = tasks.start(endless())
    await begun.wait()
    await tasks.close()
    assert ended == ["endless"]
    assert running.cancelled()


async def test_what_is_done_is_no_longer_held_and_its_result_is_there() -> None:
    tasks = Tasks()

    async def answer() -> int:
        return 7

    started = tasks.start(answer())
    assert tasks._running == {started}
    assert await started == 7
    await asyncio.sleep(0)
    assert tasks._running == set()
    await tasks.close()


async def test_one_failure_keeps_closing_from_nothing() -> None:
    tasks, begun = Tasks(), asyncio.Event()

    async def fails_late() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            raise ValueError("while it was cancelled")

    async def endless() -> None:
        await asyncio.Event().wait()

    failing, running = tasks.start(fails_late()), tasks.start(endless())
    await begun.wait()
    await tasks.close()
    assert isinstance(failing.exception(), ValueError)
    assert running.cancelled()


class Kept:
    """Something that a frame holds, and that can be looked after."""


async def _expect(kept: Kept, failure: BaseException) -> None:
    raise failure


@pytest.mark.parametrize("failure", [Failed(Code.UPSTREAM_UNAVAILABLE, "gone"), asyncio.CancelledError()])
async def test_a_task_that_ended_as_may_be_expected_holds_nothing_of_its_frames(failure: BaseException) -> None:
    tasks, kept = Tasks(), Kept()
    seen = weakref.ref(kept)
    ended = tasks.start(_expect(kept, failure))
    await asyncio.wait([ended])
    del kept
    failure.__traceback__ = None  # the test's own hold on them
    assert ended.done()
    assert seen() is None, "found by the collection of garbage alone"
    await tasks.close()


async def test_work_that_is_cancelled_before_it_began_is_closed() -> None:
    tasks, never = Tasks(), asyncio.Event()
    work = never.wait()
    begun = tasks.start(work)
    begun.cancel()
    await asyncio.wait([begun])
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
