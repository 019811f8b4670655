import asyncio
from collections.abc import Callable

import pytest

from gateway.errors import Failed
from gateway.executors.deadline import Deadline
from gateway.model import Code, Limits

SOON, LONG = 0.05, 30.0


def limits(silence: float, most: float = 0.0) -> Limits:
    return Limits(timeout_s=silence, result_bytes=1, most_s=most)


async def _wait_for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("most", [0.0, SOON / 2, LONG])
async def test_silence_ends_the_wait_whatever_the_most_is(most: float) -> None:
    with pytest.raises(Failed) as failed, Deadline(limits(SOON, most), moves=True):
        await _wait_for_ever()
    assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_TIMEOUT, True)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0, "whoever waits next is cancelled"


async def test_what_cannot_move_is_left_to_the_client_until_it_is_watched() -> None:
    deadline = Deadline(limits(LONG))
    with deadline:
        left = deadline.seconds
        assert left is not None
        assert LONG - 5 < left <= LONG
        deadline.watch()
        deadline.watch()
        assert deadline.seconds is None
    late = Deadline(limits(SOON))

    async def runs() -> None:
        with late:
            late.watch()
            await _wait_for_ever()

    with pytest.raises(Failed):
        await runs()


class Clock:
    """A loop's clock and its timer, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: self.now)
        monkeypatch.setattr(loop, "call_at", self._at)
        monkeypatch.setattr(loop, "call_later", lambda wait, then: self._at(self.now + wait, then))

    def _at(self, when: float, then: Callable[[], None]) -> asyncio.TimerHandle:
        self.due.append((when, then))
        return asyncio.TimerHandle(when, then, (), asyncio.get_running_loop())

    def to(self, now: float) -> None:
        """Move on, and fire what is due."""
        self.now = now
        fired = [then for when, then in self.due if when <= now]
        self.due = [(when, then) for when, then in self.due if when > now]
        for then in fired:
            then()


def cancelled() -> bool:
    task = asyncio.current_task()
    assert task is not None
    return bool(task.cancelling())


async def test_what_is_heard_begins_the_silence_anew_up_to_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    deadline = Deadline(limits(10, 25), moves=True)

    async def runs() -> None:
        with deadline:
            for now in (9, 18):
                clock.to(now)
                deadline.heard()
                assert not cancelled()
            clock.to(24.9)
            assert not cancelled()
            clock.to(25)
            assert cancelled()
            await _wait_for_ever()

    with pytest.raises(Failed):
        await runs()


async def test_it_stands_still_while_somebody_is_held_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    deadline = Deadline(limits(10, 10), moves=True)

    async def runs() -> None:
        with deadline:
            clock.to(4)
            deadline.hold()
            clock.to(500)
            deadline.hold()
            clock.to(900)
            deadline.let_go()
            clock.to(998)  # its timer rings and is set again, for another moment than the one it ends in
            clock.to(1000)
            deadline.let_go()
            clock.to(1005.9)
            assert not cancelled()
            clock.to(1006.1)
            assert cancelled()
            await _wait_for_ever()

    with pytest.raises(Failed):
        await runs()


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def waits() -> None:
        with Deadline(limits(LONG), moves=True):
            await _wait_for_ever()

    task = asyncio.ensure_future(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_result_before_the_deadline_is_the_result() -> None:
    with Deadline(limits(LONG), moves=True):
        await asyncio.sleep(0)
    assert not cancelled()
