"""An HTTP answer written as server-sent events: begun with the first of them, bounded, kept alive, resumed.

Not the reading of events (wire/sse.py), and not what they say. No stream has a task or a timer of its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.transports.protocol import StrictProtocol

HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
MOST_UNSENT: Final = 1 << 20
"""Bytes that a client may leave unread before its stream is cut."""
MOST_KEPT: Final = 256
MOST_KEPT_BYTES: Final = 1 << 20
"""Events of one session that a client can have again."""
RETRY_MS: Final = 1000
_COMMENT: Final = b":\n\n"


class Pulse:
    """The one timer that keeps idle streams open: each stream has its place in the round, and no timer of its own."""

    def __init__(self, every_s: float = 15.0, places: int = 15) -> None:
        self._step_s = every_s / places
        self._places: list[set[Stream]] = [set() for _ in range(places)]
        self._at = self._next = self._beating = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._beating

    def add(self, stream: "Stream") -> int:
        """Begin to keep it open; its place."""
        self._next = (self._next + 1) % len(self._places)
        self._places[self._next].add(stream)
        self._beating += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._step_s, self._beat)
        return self._next

    def discard(self, stream: "Stream", place: int) -> None:
        """It needs this no more."""
        self._places[place].discard(stream)
        self._beating -= 1
        if not self._beating and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._at = (self._at + 1) % len(self._places)
        self._timer = asyncio.get_running_loop().call_later(self._step_s, self._beat)
        for stream in tuple(self._places[self._at]):
            stream.comment()


class Kept(NamedTuple):
    """One event that can be had again."""

    stream: "Stream"
    number: int
    event: bytes


class Replay:
    """The last events of a session's streams, so that a client whose connection broke goes on where it was."""

    def __init__(self, pulse: Pulse, *, primes: bool) -> None:
        self.pulse, self.primes = pulse, primes
        """Whether a stream begins with an event that has only an id (2025-11-25)."""
        self._kept: deque[Kept] = deque()
        self._bytes = self._opened = 0
        self.streams: dict[int, Stream] = {}
        """By their order: those that may still go on, and those with events that are kept."""

    def open(self, stream: "Stream") -> int:
        """A number for a stream that begins."""
        self._opened += 1
        self.streams[self._opened] = stream
        return self._opened

    def keep(self, stream: "Stream", number: int, event: bytes) -> None:
        """Keep an event as long as there is room; one too large for that is not kept."""
        self._kept.append(Kept(stream, number, event))
        self._bytes += len(event)
        stream.kept += 1
        while len(self._kept) > MOST_KEPT or self._bytes > MOST_KEPT_BYTES:
            oldest = self._kept.popleft()
            self._bytes -= len(oldest.event)
            oldest.stream.kept -= 1
            self.forget(oldest.stream)

    def forget(self, stream: "Stream") -> None:
        """A stream of which nothing can be had any more is known no longer."""
        if stream.whole and not stream.kept:
            self.streams.pop(stream.order, None)

    def after(self, last_id: bytes) -> "tuple[Stream, list[bytes]] | None":
        """The stream of this event and all it said after it; None where that is not known, or not kept whole."""
        order, _, number = last_id.partition(b"-")
        if not (order.isdigit() and number.isdigit() and len(last_id) <= 32):
            return None
        stream, seen = self.streams.get(int(order)), int(number)
        if stream is None or seen > stream.last:
            return None
        missed = self.of(stream, seen)
        return (stream, missed) if len(missed) == stream.last - seen else None

    def of(self, stream: "Stream", seen: int = 0) -> list[bytes]:
        """What is kept of a stream."""
        return [kept.event for kept in self._kept if kept.stream is stream and kept.number > seen]

    def close(self) -> None:
        """The session has ended, and so do its streams."""
        streams, self.streams = self.streams, {}
        self._kept.clear()
        for stream in streams.values():
            stream.end()


class Stream:
    """One answer. Where a `replay` keeps its events it outlives its connections, and may begin without one."""

    __slots__ = (
        "_connection",
        "_place",
        "_pulse",
        "_replay",
        "begun",
        "kept",
        "last",
        "met",
        "on_lost",
        "order",
        "whole",
    )

    def __init__(self, connection: StrictProtocol | None, pulse: Pulse, replay: Replay | None = None) -> None:
        if connection is not None and connection.gone:
            connection = None
        self._connection, self._pulse, self._replay = connection, pulse, replay
        self._place = -1
        self.begun = self.whole = False
        self.met = connection is not None
        """Whether a client ever had it."""
        self.order = self.last = self.kept = 0
        self.on_lost: Callable[[], object] | None = None
        """Called when it has no connection any more."""
        if connection is not None:
            connection.on_lost = self._lost

    @property
    def connected(self) -> bool:
        """Whether anybody reads it now."""
        return self._connection is not None

    def begin(self) -> None:
        """Send the header, and the id to go on from."""
        self.begun = True
        if self._replay is not None and not self.order:
            self.order = self._replay.open(self)
        if self._connection is None:
            return
        self._place = self._pulse.add(self)
        self._connection.begin(HEADERS)
        if self._replay is not None and self._replay.primes:
            self._put(b"id: %d-%d\nretry: %d\ndata: \n\n" % (self.order, self.last, RETRY_MS))

    def send(self, message: bytes) -> bool:
        """Send one message, whole; False where nobody reads it now. Never waits."""
        if self.whole:
            return False
        if not self.begun:
            self.begin()
        event = b"data: %b\n\n" % message
        if self._replay is not None:
            self.last += 1
            event = b"id: %d-%d\n%b" % (self.order, self.last, event)
            self._replay.keep(self, self.last, event)
        return self._put(event)

    def end(self, message: bytes | None = None) -> None:
        """Nothing follows, but for this message."""
        if message is not None:
            self.send(message)
        self.whole = True
        if self._replay is not None:
            self._replay.forget(self)
        self.release()

    def resume(self, connection: StrictProtocol, missed: list[bytes], on_lost: Callable[[], object]) -> None:
        """Go on at another connection, with what the client has missed."""
        self.release()
        connection.on_lost, self.on_lost = self._lost, on_lost
        self._connection, self.met = connection, True
        last, self.last = self.last, self.last - len(missed)
        self.begin()
        self.last = last
        for event in missed:
            self._put(event)
        if self.whole:
            self.release()

    def release(self) -> None:
        """End what its connection was given; the stream may go on at another."""
        connection = self._connection
        if connection is not None and self.begun:
            self._lost()
            connection.finish()

    def comment(self) -> None:
        """Say that the stream is still there."""
        self._put(_COMMENT)

    def _put(self, piece: bytes) -> bool:
        connection = self._connection
        if connection is None:
            return False
        if connection.put(piece) > MOST_UNSENT:
            self._lost()
            connection.cut()
        return True

    def _lost(self) -> None:
        self._connection = None
        if self._place >= 0:
            self._pulse.discard(self, self._place)
            self._place = -1
        told, self.on_lost = self.on_lost, None
        if told is not None:
            told()
