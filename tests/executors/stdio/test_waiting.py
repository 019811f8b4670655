import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.executors.stdio.waiting import FOR_EVER, Envelope, Waiting


class Timer:
    def __init__(self, when: float, rings: Callable[[], object]) -> None:
        self.when, self.rings = when, rings
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As far as a request uses it, with a clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def call_at(self, when: float, rings: Callable[[], object]) -> Timer:
        self.timers.append(Timer(when, rings))
        return self.timers[-1]

    @property
    def armed(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def until(self, now: float) -> None:
        """Move on, and ring what is due on the way."""
        while due := [timer for timer in self.armed if timer.when <= now]:
            first = min(due, key=lambda timer: timer.when)
            self.now = max(self.now, first.when)
            self.timers.remove(first)
            first.rings()
        self.now = now


class Asked:
    """A request that began at 100."""

    def __init__(self, seconds: float = 10, **more: float) -> None:
        self.loop = Loop()
        self.late: list[float] = []
        envelope = Envelope("tools/call", {}, {}, 9, seconds, **more)  # type: ignore[arg-type]
        self.waiting = Waiting(
            envelope,
            self.loop,  # type: ignore[arg-type]
            0,
            lambda: self.late.append(self.loop.now),
            modern=False,
        )


async def test_one_that_hears_nothing_is_late_once() -> None:
    asked = Asked()
    asked.loop.until(109.9)
    assert asked.late == []
    asked.loop.until(200)
    assert asked.late == [110]


@pytest.mark.parametrize(
    ("most", "signs", "late"),
    [
        (0, [101, 109], 110),
        (5, [101, 109], 110),
        (100, [101, 109], 119),
        (100, [109, 118, 127, 136], 146),
        (30, [109, 118, 127], 130),
        (30, [109, 118, 127, 129.9], 130),
    ],
)
async def test_progress_begins_its_time_anew_up_to_the_most(most: float, signs: list[float], late: float) -> None:
    asked = Asked(anew=10, most=most)
    for sign in signs:
        asked.loop.until(sign)
        asked.waiting.progressed()
    asked.loop.until(500)
    assert asked.late == [late]


async def test_progress_never_shortens_what_there_was() -> None:
    asked = Asked(seconds=10, anew=1, most=50)
    asked.waiting.progressed()
    asked.loop.until(500)
    assert asked.late == [110]


async def test_much_progress_costs_one_timer() -> None:
    asked = Asked(anew=10, most=1_000)
    for _ in range(1_000):
        asked.waiting.progressed()
    assert len(asked.loop.timers) == 1


@pytest.mark.parametrize(("begun", "ended", "late"), [(105, 106, 111), (105, 300, 305), (100, 110, 120)])
async def test_the_clock_stands_still_while_the_client_is_asked(begun: float, ended: float, late: float) -> None:
    asked = Asked()
    asked.loop.until(begun)
    asked.waiting.ask()
    asked.loop.until(ended)
    assert asked.late == []
    asked.waiting.go_on()
    asked.loop.until(500)
    assert asked.late == [late]


async def test_of_several_questions_the_last_answer_lets_the_clock_go_on() -> None:
    asked = Asked(anew=10, most=20)
    asked.loop.until(105)
    asked.waiting.ask()
    asked.loop.until(106)
    asked.waiting.ask()
    asked.loop.until(150)
    asked.waiting.go_on()
    asked.loop.until(205)
    asked.waiting.go_on()
    assert (asked.waiting.asked, asked.waiting.asking) == (2, 0)
    asked.waiting.progressed()
    asked.loop.until(214)
    asked.waiting.progressed()
    asked.loop.until(500)
    assert asked.late == [220], "what it may take in all stood still, too"


async def test_an_answer_that_comes_after_the_end_starts_no_clock() -> None:
    asked = Asked()
    asked.waiting.ask()
    asked.waiting.close()
    asked.waiting.answer.cancel()
    assert asked.waiting.over
    asked.waiting.go_on()
    assert asked.loop.armed == []
    asked.loop.until(500)
    assert asked.late == []


async def test_a_subscription_is_never_late() -> None:
    asked = Asked(seconds=FOR_EVER)
    asked.waiting.ask()
    asked.waiting.go_on()
    assert asked.loop.timers == []


async def test_a_timer_that_rings_a_moment_early_is_no_reason_to_wait_again() -> None:
    asked = Asked()
    timer = asked.loop.timers[0]
    asked.loop.now = 109.999
    timer.rings()
    assert asked.late == [109.999]
