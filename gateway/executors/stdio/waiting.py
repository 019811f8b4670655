"""One request to a process while its answer is awaited: its deadline, and how often its client was asked meanwhile.

Not what is written or read (conversation.py).
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.channel import Channel
from gateway.executors.answer import Answer
from gateway.model import JsonObject

FOR_EVER: Final = math.inf
_CLOCK_SECONDS = 0.002
"""How much earlier than its time a timer may ring: uvloop counts in milliseconds."""


class Envelope(NamedTuple):
    """One request as it is asked for."""

    method: str
    params: JsonObject
    meta: JsonObject
    """What of the client's goes along in `_meta`."""
    limit: int
    """Bytes of the answer."""
    seconds: float
    """Until it is late; `FOR_EVER` where its answer is its end."""
    anew: float = 0.0
    """Seconds that each sign of progress gives it again."""
    most: float = 0.0
    """Seconds that no progress extends; at least `seconds`."""
    channel: Channel | None = None
    """The way to whoever made the call; the gateway's own requests have none."""
    heard: Callable[[str, JsonObject], bool] | None = None
    """Told each notification of a subscription that this opens; whether it was one."""


class Waiting:
    """HOT: made for each call, with the one timer it had before there was progress."""

    __slots__ = (
        "_anew",
        "_due",
        "_end",
        "_late",
        "_loop",
        "_stopped",
        "_timer",
        "answer",
        "asked",
        "asking",
        "before",
        "channel",
        "heard",
        "limit",
        "modern",
    )

    def __init__(
        self,
        envelope: Envelope,
        loop: asyncio.AbstractEventLoop,
        before: int,
        late: Callable[[], object],
        *,
        modern: bool,
    ) -> None:
        """`late` is called when its time is over, `before` is what was passed over until now."""
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.limit, self.channel, self.heard = envelope.limit, envelope.channel, envelope.heard
        self.before, self.modern = before, modern
        self.asked = self.asking = 0
        """What the process asked the client so far, and of that what is not answered."""
        self._loop, self._late, self._anew = loop, late, envelope.anew
        now = loop.time()
        self._due = now + envelope.seconds
        self._end = now + max(envelope.most, envelope.seconds)
        self._stopped = now
        self._timer: asyncio.TimerHandle | None = None
        if envelope.seconds != FOR_EVER:
            self._timer = loop.call_at(self._due, self._rang)

    @property
    def over(self) -> bool:
        """Whether nobody waits any more."""
        return self.answer.done()

    def progressed(self) -> None:
        """The time of silence begins anew, as far as there is any left in all."""
        self._due = max(self._due, min(self._loop.time() + self._anew, self._end))

    def ask(self) -> None:
        """The client is being asked: until it has answered the clock stands still."""
        if not self.asking:
            self._stopped = self._loop.time()
        self.asking += 1
        self.asked += 1

    def go_on(self) -> None:
        """It has answered."""
        self.asking -= 1
        if self.asking or self.over:
            return
        stood = self._loop.time() - self._stopped
        self._due += stood
        self._end += stood
        if self._timer is None and self._due != FOR_EVER:
            self._timer = self._loop.call_at(self._due, self._rang)

    def close(self) -> None:
        """Whoever waited has stopped."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rang(self) -> None:
        self._timer = None
        if self.asking or self.over:
            return
        if self._due - self._loop.time() > _CLOCK_SECONDS:
            self._timer = self._loop.call_at(self._due, self._rang)
        else:
            self._late()
