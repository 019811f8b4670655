"""Server-sent events, parsed as they arrive.

Not the reading of what an event says, and no decoding: data stays bytes, so that the JSON parser judges the UTF-8.
"""

from dataclasses import dataclass

from gateway.errors import Failed
from gateway.model import Code

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event."""

    type: str
    data: bytes


class EventStream:
    """One response body. Holds at most `limit` bytes of lines and events that are not complete yet."""

    __slots__ = ("_after_cr", "_at_start", "_data", "_held", "_id", "_limit", "_line", "_type", "last_id", "retry_ms")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = bytearray()
        self._data: list[bytes] = []
        self._type = self._id = b""
        self.last_id = b""
        """Of the last event that ended, or one before it: where whoever reconnects says to go on."""
        self.retry_ms: int | None = None
        """How long the sender wants to be left alone before that."""
        self._held = 0
        self._at_start = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes.

        Raises:
            Failed: RESULT_WITHHELD when an unfinished event exceeds the limit.
        """
        if self._at_start:
            chunk = self._without_bom(chunk)
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        events: list[Event] = []
        for piece in chunk.splitlines(keepends=True):
            if piece[-1] in b"\r\n":
                self._end_line(piece.rstrip(b"\r\n"), events)
            else:
                self._line += piece
        if self._held + len(self._line) > self._limit:
            raise Failed(Code.RESULT_WITHHELD, "the result is larger than the limit")
        return events

    def _without_bom(self, chunk: bytes) -> bytes:
        """One leading byte order mark is dropped; b"" while there are too few bytes to tell."""
        self._line += chunk
        if len(self._line) < len(_BOM) and _BOM.startswith(self._line):
            return b""
        self._at_start = False
        start = bytes(self._line).removeprefix(_BOM)
        self._line.clear()
        return start

    def _end_line(self, end: bytes, events: list[Event]) -> None:
        line = end
        if self._line:
            line = bytes(self._line) + end
            self._line.clear()
        if line:
            self._field(line)
            return
        self.last_id = self._id
        if self._data:
            events.append(Event(self._type.decode("utf-8", "replace") or "message", b"\n".join(self._data)))
            self._data.clear()
            self._held = 0
        self._type = b""

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._held += len(value) + 1
        elif name == b"event":
            self._type = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value
        elif name == b"retry" and value.isdigit():
            self.retry_ms = int(value[:9])
