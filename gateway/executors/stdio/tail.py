"""The last of what an upstream's processes said on stderr, and on stdout beside the protocol: for the operator only."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from gateway.executors.stdio.lines import Cut, Lines

_MOST = 65_536
"""Characters."""
_LINE_BYTES = 8_192
_SHOWN = 2_000
"""Characters of one line that are kept. Fewer than are looked through for secrets, so that none is cut in half."""
_CHUNK = 65_536
_BREATH_SECONDS = 0.005
"""After a chunk that was full: a flood takes a part of our time, never all of it, and its writer is never stopped."""
_SHORTEST_SECRET = 6
_CUT = b"(a line of more than %d bytes)" % _LINE_BYTES
"""Instead of its beginning, which could end within a secret."""


def now() -> str:
    """The time as it stands before a line."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def scrubber(secrets: Sequence[str]) -> Callable[[str], str]:
    """What takes every secret, and every line of a secret of several lines, out of a text."""
    parts = {part for secret in secrets for part in (secret, *secret.splitlines()) if len(part) >= _SHORTEST_SECRET}
    longest_first = sorted(parts, key=len, reverse=True)

    def scrubbed(text: str) -> str:
        for secret in longest_first:
            text = text.replace(secret, "***")
        return text[:_SHOWN]

    return scrubbed


class Tail:
    """The last lines of one upstream, each with its time and the process that wrote it: at most 64 KB."""

    __slots__ = ("_clock", "_lines", "_scrubbed", "_size")

    def __init__(self, scrubbed: Callable[[str], str], clock: Callable[[], str] = now) -> None:
        self._scrubbed, self._clock = scrubbed, clock
        self._lines: deque[str] = deque()
        self._size = 0

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)

    def add(self, pid: int, line: bytes, kind: str = "stderr") -> str:
        """Keep a line; what is kept of it."""
        said = self._scrubbed(line.decode(errors="replace").rstrip("\r"))
        entry = f"{self._clock()} {pid} {kind}: {said}"
        self._lines.append(entry)
        self._size += len(entry) + 1
        while self._size > _MOST:
            self._size -= len(self._lines.popleft()) + 1
        return said

    async def follow(self, pid: int, stream: asyncio.StreamReader, last: Callable[[str], None]) -> None:
        """Keep what a stream says until it ends; `last` is told each line."""
        lines = Lines(_LINE_BYTES)
        while chunk := await stream.read(_CHUNK):
            self._take(pid, lines.feed(chunk), last)
            if len(chunk) == _CHUNK:
                await asyncio.sleep(_BREATH_SECONDS)
        if rest := lines.rest():
            self._take(pid, [rest], last)

    def _take(self, pid: int, lines: Sequence[bytes | Cut], last: Callable[[str], None]) -> None:
        for line in lines[-_MOST // 32 :]:  # an entry is longer than that, so no more would be kept
            last(self.add(pid, _CUT if isinstance(line, Cut) else line))
