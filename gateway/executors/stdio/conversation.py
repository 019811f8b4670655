"""One process's JSON-RPC conversation over its standard streams: many requests in flight, each answered once.

Not the process (processes.py), nor what a result means (messages.py). Everything read here distrusts the writer: what
it sends unasked is counted and dropped, and too much of it ends the conversation.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

import re2

from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid, parse, too_large
from gateway.executors.messages import OUR_META, notification
from gateway.executors.stdio.lines import Cut, Lines
from gateway.model import Code, JsonObject
from gateway.wire.jsonrpc import METHOD_NOT_FOUND, encode, error, result

UNASKED_BYTES = 16 * 2**20
"""How much may come between two answers: what a long call reports fits, a flood does not."""
_LINE_BYTES = 256
"""What each line counts beside its bytes, for the time it takes."""
_NOISE_BYTES = 65_536
"""How much of that is told as noise."""
UNREAD_BYTES = 4 * 2**20
"""How much may wait for a process that does not read its input before no more is written to it."""
SILENT_TIMES = 3
"""After so many time-outs without a byte between them nothing is expected any more."""
_OWED_BYTES = 65_536
"""The same for our answers to its own requests, which are dropped beyond it."""
_CHUNK = 1 << 18
_FOR_GOOD = frozenset({"initialize", "server/discover"})
"""Requests that are never cancelled: "The initialize request MUST NOT be cancelled by clients"."""
_MESSAGES = (b"{", b"[")
"""What is meant as a message holds a caller's data, and is never kept for the log."""
_FIRST_ID = re2.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*([0-9]{1,18})\s*[,}]')
_LAST_ID = re2.compile(rb'[{,]\s*"id"\s*:\s*([0-9]{1,18})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')
"""Where the id of a whole message stands in front of or behind its result; one within the result matches neither."""


class Envelope(NamedTuple):
    """One request as it is asked for."""

    method: str
    params: JsonObject
    meta: JsonObject
    """What goes along in `_meta`."""
    limit: int
    """Bytes of the answer."""
    seconds: float


class _Waiting(NamedTuple):
    answer: asyncio.Future[Answer]
    limit: int
    before: int


class Conversation:
    """`noise` is told each line of text that is no message; `changed` that the list of tools is another."""

    def __init__(
        self,
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        line_bytes: int,
        *,
        noise: Callable[[bytes], object],
        changed: Callable[[], None],
    ) -> None:
        self._stdin, self._stdout, self._noise, self._changed = stdin, stdout, noise, changed
        self._lines = Lines(line_bytes)
        self._unasked = 0
        self._numbers = count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._loop = asyncio.get_running_loop()
        self.passed_over = 0
        """Lines and messages that were no answer of ours."""
        self.open = True
        """Whether anything may still be asked."""
        self._silent = 0
        """Time-outs in a row without a byte between them."""

    @property
    def stuck(self) -> bool:
        """Whether whoever is asked next would only wait in vain."""
        return self._silent >= SILENT_TIMES

    async def ask(self, envelope: Envelope, *, modern: bool) -> Answer:
        """Send one request and wait for its answer. HOT.

        Raises:
            Failed: there is none; `unknown` once the request was written.
        """
        ident = next(self._numbers)
        meta = {**envelope.meta, **OUR_META} if modern else envelope.meta
        params = {**envelope.params, "_meta": meta} if meta else envelope.params
        self._write(encode({"jsonrpc": "2.0", "id": ident, "method": envelope.method, "params": params}))
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[ident] = _Waiting(answer, envelope.limit, self.passed_over)
        late = self._loop.call_later(envelope.seconds, self._late, ident, envelope.method)
        try:
            return await answer
        finally:
            late.cancel()
            self._waiting.pop(ident, None)

    def tell(self, method: str, params: JsonObject) -> None:
        """Send a notification, as far as it is read."""
        self._owe(notification(method, params))

    async def read(self) -> None:
        """Read until the stream ends, or until too much came unasked.

        Raises:
            Failed: the latter.
        """
        try:
            while chunk := await self._stdout.read(_CHUNK):
                self._silent = 0
                for line in self._lines.feed(chunk):
                    self._take(line)
                if self._lines.over:
                    self._unasked += len(chunk)
                if self._unasked > UNASKED_BYTES:
                    raise invalid("it writes far more than it was asked for")
            rest = self._lines.rest()
            if isinstance(rest, bytes) and rest.rstrip().endswith(b"}"):  # whole, but for its end of line
                self._take(rest)
        finally:
            self.open = False

    def end(self, why: Callable[[], Failed]) -> None:
        """Nobody will answer any more."""
        self.open = False
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            if not each.answer.done():
                each.answer.set_exception(why())

    def _write(self, line: bytes) -> None:
        if not self.open or self._stdin.is_closing():
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's process no longer listens")
        if self._stdin.transport.get_write_buffer_size() > UNREAD_BYTES:
            self._silent = SILENT_TIMES
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's process does not read what it was sent")
        self._stdin.write(line + b"\n")

    def _owe(self, line: bytes) -> None:
        """Write what nobody waits for: dropped where it would only pile up."""
        listens = self.open and not self._stdin.is_closing()
        if listens and self._stdin.transport.get_write_buffer_size() <= _OWED_BYTES:
            self._stdin.write(line + b"\n")

    def _late(self, ident: int, method: str) -> None:
        self._silent += 1
        late = Failed(Code.UPSTREAM_TIMEOUT, "the upstream did not answer in time", unknown=True)
        if self._fail(ident, late) and method not in _FOR_GOOD:
            self.tell("notifications/cancelled", {"requestId": ident, "reason": "timed out"})

    def _take(self, line: bytes | Cut) -> None:
        if isinstance(line, Cut):
            self._unread(line.head, line.tail, too_large())
            return
        self._unasked += len(line) + _LINE_BYTES
        if not line.lstrip().startswith(_MESSAGES):
            self._unread(line, line, invalid("text stands before it"))
            return
        try:
            value = parse(line)
        except Failed as failed:
            self._unread(line, line, failed)
            return
        for message in value if type(value) is list else (value,):  # batches were allowed in 2025-03-26
            self._message(message, len(line))

    def _message(self, message: Any, size: int) -> None:
        if type(message) is not dict:
            self.passed_over += 1
            return
        if "method" in message:
            self._asked(message)
            return
        ident, waiting = message.get("id"), None
        if type(ident) is int:
            waiting = self._waiting.get(ident)
        elif ident is None and "error" in message:
            waiting = self._only()
        if waiting is None or waiting.answer.done():  # an id of nobody, a second answer, or one that came too late
            self.passed_over += 1
        elif message.get("jsonrpc") != "2.0" or ("result" in message) == ("error" in message):
            waiting.answer.set_exception(invalid("it is neither a result nor an error"))
        elif size > waiting.limit:
            waiting.answer.set_exception(too_large())
        else:
            self._unasked = 0
            waiting.answer.set_result(Answer(200, message, size, self.passed_over - waiting.before))

    def _asked(self, message: JsonObject) -> None:
        """A request or a notification of the process's own. Nothing is served here but `ping`."""
        self.passed_over += 1
        method, ident = message["method"], message.get("id")
        if type(ident) is int or type(ident) is str:
            refused = error(ident, METHOD_NOT_FOUND, "not served here")
            self._owe(result(ident, {}) if method == "ping" else refused)
        elif method == "notifications/tools/list_changed":
            self._changed()

    def _only(self) -> _Waiting | None:
        """Whoever waits, if it is one: an error without an id can only be meant for them."""
        return next(iter(self._waiting.values())) if len(self._waiting) == 1 else None

    def _unread(self, head: bytes, tail: bytes, failed: Failed) -> None:
        """A line that cannot be read fails the call whose id it bears. Without one it is noise."""
        found = _FIRST_ID.match(head) or _LAST_ID.search(tail[-256:])
        if found is not None and self._fail(int(found[1]), failed):
            return
        self.passed_over += 1
        if self._unasked <= _NOISE_BYTES and not head.lstrip().startswith(_MESSAGES):
            self._noise(head[:1000])

    def _fail(self, ident: int, failed: Failed) -> bool:
        waiting = self._waiting.get(ident)
        if waiting is None or waiting.answer.done():
            return False
        waiting.answer.set_exception(failed)
        return True
