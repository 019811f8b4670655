"""One thread that does one job at a time and tells the loop how it went. Not a pool: order is the point."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

Done = Callable[[Any, Exception | None], None]
"""Called on the loop with the job's result, or with what it raised."""


class Thread:
    """A job costs two hand-overs, there and back: cheaper than an executor's."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[asyncio.AbstractEventLoop, Callable[[], Any], Done] | None] = SimpleQueue()
        self._started = False

    def run(self, job: Callable[[], Any], done: Done) -> None:
        if not self._started:
            self._started = True
            threading.Thread(target=self._work, name="audit-log", daemon=True).start()
        self._jobs.put((asyncio.get_running_loop(), job, done))

    def stop(self) -> None:
        self._jobs.put(None)

    def _work(self) -> None:
        while (task := self._jobs.get()) is not None:
            loop, job, done = task
            try:
                told = partial(done, job(), None)
            except Exception as fault:  # noqa: BLE001 - told to the loop; a thread that died would hang every call
                told = partial(done, None, fault)
            try:
                loop.call_soon_threadsafe(told)
            except RuntimeError:  # the loop was closed under us: nobody is waiting
                return
