"""For tests of feeds and subscriptions: an upstream that notifies, a caller that is told, and a clock in hand."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import feeds
from gateway.channel import Tell
from gateway.kinds import ACKNOWLEDGED, UPDATED
from gateway.model import JsonObject, Principal
from gateway.subscriptions import updates
from tests.path import Scripted

TURNS = 50
"""Of the loop: more than anything here takes that waits for nothing outside."""


async def settle() -> None:
    """Let the loop do all that waits for nothing but the loop."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Clock:
    """The timers of a loop, which run when a test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.now = loop, 1_000.0
        self._timers: list[asyncio.TimerHandle] = []

    def call_later(self, delay: float, act: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.now + delay, act, args, self.loop, context)
        self._timers.append(timer)
        return timer

    def __call__(self) -> float:
        return self.now

    def running(self) -> int:
        """How many timers run."""
        self._timers = [timer for timer in self._timers if not timer.cancelled()]
        return len(self._timers)

    async def forward(self, seconds: float) -> None:
        """Run what is due until then, in order."""
        await settle()
        until = self.now + seconds
        while self.running() and (first := min(self._timers, key=lambda timer: timer.when())).when() <= until:
            self.now = max(self.now, first.when())
            self._timers.remove(first)
            first._run()
            await settle()
        self.now = until


def in_hand(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in place of the loop's timers and of what feeds and permits go by."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    monkeypatch.setattr(loop, "call_later", clock.call_later)
    for module in (feeds, updates):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr("random.random", lambda: 1.0)
    return clock


@dataclass(slots=True)
class Opening:
    """One time a feed was opened. It ends as the test says."""

    owner: Principal | None
    session: str
    uris: tuple[str, ...]
    tell: Tell
    end: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def updated(self, uri: str, **more: Any) -> None:
        self.tell(UPDATED, {"uri": uri, **more})


@dataclass(slots=True)
class Feeding(Scripted):
    """An upstream that notifies as the test says."""

    openings: list[Opening] = field(default_factory=list)
    acknowledges: bool = False
    """Whether it says that it listens; a second later it is taken to."""
    fails: Exception | None = None
    """Raised at once by each opening."""
    open_now: int = 0

    async def feed(self, owner: Principal | None, session: str, uris: tuple[str, ...], tell: Tell) -> None:
        opening = Opening(owner, session, uris, tell)
        self.openings.append(opening)
        if self.fails is not None:
            raise self.fails
        self.open_now += 1
        if self.acknowledges:
            tell(ACKNOWLEDGED, {})
        try:
            await opening.end
        finally:
            self.open_now -= 1

    @property
    def last(self) -> Opening:
        return self.openings[-1]


@dataclass(slots=True)
class Told:
    """A caller and what it was told."""

    said: list[tuple[str, JsonObject]] = field(default_factory=list)
    fails: Exception | None = None
    any: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, method: str, params: JsonObject) -> None:
        self.said.append((method, params))
        self.any.set()
        if self.fails is not None:
            raise self.fails

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.said]

    @property
    def uris(self) -> list[str]:
        return [params["uri"] for _, params in self.said]
