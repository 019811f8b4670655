"""Work in the background is held while it runs and ended with the process."""

import asyncio

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
