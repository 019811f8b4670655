"""Whether anybody uses the gateway: one that a wrap started ends when nobody has for a while."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Uses:
    """What is under way, and when the last of it ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now = 0
        self._last = clock()

    @contextmanager
    def one(self) -> Iterator[None]:
        """One use, for as long as the block takes."""
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1
            self._last = self._clock()

    def idle_for(self, idle_s: float) -> float:
        """The seconds that nobody would still have to come, until there was no use for `idle_s`."""
        return idle_s if self._now else max(0.0, self._last + idle_s - self._clock())

    async def ended(self, idle_s: float) -> None:
        """Wait until nothing was used for so long."""
        # An event set by each request would cost each request.
        while left := self.idle_for(idle_s):  # noqa: ASYNC110
            await asyncio.sleep(left)

    def counted(self, app: Any) -> Any:
        """The ASGI app, each request of which is a use."""

        async def counting(scope: Any, receive: Any, send: Any) -> None:
            with self.one():
                await app(scope, receive, send)

        return counting
