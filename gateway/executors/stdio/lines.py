"""Chunks of bytes in, whole lines out, within a bound. Pure: no stream is read here, and no line is understood."""

from typing import NamedTuple

ENDS = 512
"""How much of either end of a line too long is kept: enough for the members beside a JSON-RPC result."""


class Cut(NamedTuple):
    """A line longer than the limit: its ends are all that was kept."""

    head: bytes
    tail: bytes


class Lines:
    """The lines of one stream. At most `limit` bytes are held; empty lines are none."""

    __slots__ = ("_held", "_limit", "_over")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._over: bytes | None = None
        """The head of the line that is being passed over."""

    def feed(self, chunk: bytes) -> list[bytes | Cut]:
        """The lines that end within the chunk."""
        *ended, rest = chunk.split(b"\n")
        lines = [line for piece in ended if (line := self._end(piece))]
        if rest:
            self._hold(rest)
        return lines

    @property
    def over(self) -> bool:
        """Whether the line that has not ended yet is too long already."""
        return self._over is not None

    def rest(self) -> bytes | Cut:
        """The line that the end of the stream left unfinished; empty where there is none."""
        return self._end(b"")

    def _end(self, piece: bytes) -> bytes | Cut:
        if not self._held and len(piece) <= self._limit:
            return piece
        self._hold(piece)
        held, head = bytes(self._held), self._over
        self._held.clear()
        self._over = None
        return held if head is None else Cut(head, held)

    def _hold(self, piece: bytes) -> None:
        self._held += piece
        if self._over is None and len(self._held) > self._limit:
            self._over = bytes(self._held[:ENDS])
        if self._over is not None:
            del self._held[:-ENDS]
