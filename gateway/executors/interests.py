"""The resources that one legacy session is subscribed to, each asked for once and left with the last.

Not who is told of an update (feeds.py).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from gateway.errors import Failed
from gateway.model import Code

SUBSCRIBE: Final = "resources/subscribe"
UNSUBSCRIBE: Final = "resources/unsubscribe"

AskAbout = Callable[[str, str], Awaitable[object]]
"""Asks a method for a URI; Failed where it was not done."""


class Interest:
    """One resource: how many want it, and what the upstream was asked."""

    __slots__ = ("asked", "holders", "lock", "told", "waiting")

    def __init__(self) -> None:
        self.holders = self.waiting = 0
        self.asked = False
        """Whether the upstream may hold a subscription."""
        self.told = False
        """Whether it said that it does."""
        self.lock = asyncio.Lock()


class Interests:
    """Of one session. Requests for one URI never overlap: an unsubscription cannot overtake a newer subscription."""

    __slots__ = ("_ask", "_open", "_running")

    def __init__(self, ask: AskAbout) -> None:
        self._ask = ask
        self._open: dict[str, Interest] = {}
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def hold(self, uri: str) -> None:
        """Have it subscribed to. It is held, and to be dropped, whatever comes of it.

        Raises:
            Failed: it is not.
        """
        interest = self._open.setdefault(uri, Interest())
        interest.holders += 1
        agreeing, me = self._agreeing(uri, interest), asyncio.current_task()
        try:
            await asyncio.shield(agreeing)  # the next request waits for the answer, whoever gives up
        except asyncio.CancelledError:
            if agreeing.cancelled() and me is not None and not me.cancelling():
                raise Failed(Code.UPSTREAM_UNAVAILABLE, "the session ended") from None
            raise

    def drop(self, uri: str, *, silent: bool) -> "asyncio.Task[None] | None":
        """Hold it no more; the request that follows from it, if any. `silent`: the upstream is told nothing."""
        interest = self._open[uri]
        interest.holders -= 1
        if interest.holders:
            return None
        if silent:
            interest.asked = interest.told = False
        return self._agreeing(uri, interest)

    async def end(self) -> None:
        """Wait for no answer any more."""
        running = [*self._running]
        for one in running:
            one.cancel()
        if running:
            await asyncio.wait(running)

    def _agreeing(self, uri: str, interest: Interest) -> "asyncio.Task[None]":
        interest.waiting += 1
        agreeing = asyncio.ensure_future(self._agree(uri, interest))
        self._running.add(agreeing)
        agreeing.add_done_callback(partial(self._agreed, uri, interest))
        return agreeing

    def _agreed(self, uri: str, interest: Interest, done: "asyncio.Task[None]") -> None:
        self._running.discard(done)
        interest.waiting -= 1
        if not (interest.waiting or interest.holders or interest.asked):
            self._open.pop(uri, None)
        if not done.cancelled():
            done.exception()  # seen, also where nobody waits any more

    async def _agree(self, uri: str, interest: Interest) -> None:
        """Bring what the upstream holds in line with what is wanted once the requests before have been answered."""
        async with interest.lock:
            if interest.holders and not interest.told:
                await self._subscribe(uri, interest)
            elif not interest.holders and interest.asked:
                interest.asked = interest.told = False
                with suppress(Failed):
                    await self._ask(UNSUBSCRIBE, uri)

    async def _subscribe(self, uri: str, interest: Interest) -> None:
        interest.asked = True
        try:
            await self._ask(SUBSCRIBE, uri)
        except Failed as failed:
            interest.asked = failed.fault is None  # without the upstream's own word it may hold one all the same
            raise
        interest.told = True
