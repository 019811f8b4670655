"""One process's JSON-RPC conversation over its standard streams: many requests in flight, each answered once.

Not the process (processes.py), nor what a result means (results.py). Everything read here distrusts the writer: what
it sends unasked is counted and dropped, and too much of it ends the conversation.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final

import re2

from gateway.channel import SILENT
from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid, parse, too_large
from gateway.executors.messages import ELICITED, meta_for
from gateway.executors.stdio.lines import Cut, Lines
from gateway.executors.stdio.notices import progress_of, severe_enough
from gateway.executors.stdio.questions import Questions, id_of, invalid_request
from gateway.executors.stdio.waiting import Envelope, Waiting
from gateway.kinds import CANCELLED, LIST_CHANGED, LOGGED, PROGRESS, UPDATED
from gateway.model import Code, JsonObject
from gateway.wire.jsonrpc import encode, notification, result

META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
UNASKED_BYTES = 16 * 2**20
"""How much may come between two answers: what a long call reports fits, a flood does not."""
UNASKED_BYTES_A_SECOND = 65_536
"""How much of that is forgotten with time: what is subscribed to is told for days."""
_LINE_BYTES = 256
"""What each line counts beside its bytes, for the time it takes."""
NOTICE_BYTES = 1 << 18
"""A longer notification is passed on to nobody: a client reads them as they come."""
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
_OF_ANSWERS = frozenset({"result", "error"})
_OF_NO_CALL = frozenset({UPDATED, ELICITED})
_MESSAGES = (b"{", b"[")
"""What is meant as a message holds a caller's data, and is never kept for the log."""
_FIRST_ID = re2.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*([0-9]{1,18})\s*[,}]')
_LAST_ID = re2.compile(rb'[{,]\s*"id"\s*:\s*([0-9]{1,18})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')
"""Where the id of a whole message stands in front of or behind its result; one within the result matches neither."""


class Conversation:
    """`noise` is told each line of text that is no message; `heard` each notification that is of no call, and answers
    whether anybody took it.
    """

    def __init__(
        self,
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        line_bytes: int,
        *,
        noise: Callable[[bytes], object],
        heard: Callable[[str, JsonObject], bool],
    ) -> None:
        self._stdin, self._stdout, self._noise, self._heard = stdin, stdout, noise, heard
        self._lines = Lines(line_bytes)
        self._unasked = 0.0
        self._numbers = count(1)
        self._waiting: dict[int, Waiting] = {}
        self._listening: dict[int, Waiting] = {}
        """Subscriptions: an answer ends them."""
        self._questions = Questions(self._respond)
        self._loop = asyncio.get_running_loop()
        self._read_at = self._loop.time()
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
        """Send one request and wait for its answer. Cancelled, it is withdrawn. HOT.

        Raises:
            Failed: there is none; `unknown` once the request was written.
        """
        ident, method, channel = next(self._numbers), envelope.method, envelope.channel or SILENT
        meta = meta_for(channel, envelope.meta, modern=modern, token=ident if channel.progress else None)
        params = {**envelope.params, "_meta": meta} if meta else envelope.params
        self._write(encode({"jsonrpc": "2.0", "id": ident, "method": method, "params": params}))
        late = partial(self._late, ident, method)
        waiting = Waiting(envelope, self._loop, self.passed_over, late, modern=modern)
        kept = self._waiting if envelope.heard is None else self._listening
        kept[ident] = waiting
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            if waiting.answer.cancelled() and method not in _FOR_GOOD:
                self.tell(CANCELLED, {"requestId": ident, "reason": "nobody waits any more"})
            raise
        finally:
            waiting.close()
            kept.pop(ident, None)
            if waiting.asking:
                self._questions.over(waiting)

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
                self._forget()
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
        self._questions.end()
        waiting = [*self._waiting.values(), *self._listening.values()]
        self._waiting, self._listening = {}, {}
        for each in waiting:
            if not each.over:
                each.answer.set_exception(why())

    def _forget(self) -> None:
        now = self._loop.time()
        if self._unasked:
            self._unasked = max(0.0, self._unasked - (now - self._read_at) * UNASKED_BYTES_A_SECOND)
        self._read_at = now

    def _write(self, line: bytes) -> None:
        if not self.open or self._stdin.is_closing():
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's process no longer listens")
        if self._stdin.transport.get_write_buffer_size() > UNREAD_BYTES:
            self._silent = SILENT_TIMES
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's process does not read what it was sent")
        self._stdin.write(line + b"\n")

    def _owe(self, line: bytes, most: int = _OWED_BYTES) -> None:
        """Write what nobody waits for: dropped where it would only pile up."""
        listens = self.open and not self._stdin.is_closing()
        if listens and self._stdin.transport.get_write_buffer_size() <= most:
            self._stdin.write(line + b"\n")

    def _respond(self, line: bytes) -> None:
        """Answer what was put to a client, which is asked only so often: that was no flood."""
        self._unasked = 0.0
        self._owe(line, UNREAD_BYTES)

    def _late(self, ident: int, method: str) -> None:
        self._silent += 1
        late = Failed(Code.UPSTREAM_TIMEOUT, "the upstream did not answer in time", unknown=True)
        if self._fail(ident, late) and method not in _FOR_GOOD:
            self.tell(CANCELLED, {"requestId": ident, "reason": "timed out"})

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
        if type(value) is not list:
            self._message(value, len(line))
            return
        self._unasked += _LINE_BYTES * len(value)
        if self._unasked <= UNASKED_BYTES:  # else reading ends with this line
            for message in value:  # batches were allowed in 2025-03-26
                self._message(message, len(line))

    def _message(self, message: Any, size: int) -> None:
        if type(message) is not dict:
            self.passed_over += 1
            return
        if "method" in message:
            self._told(message, size)
            return
        ident, waiting = message.get("id"), None
        if type(ident) is int:
            waiting = self._waiting.get(ident) or self._listening.get(ident)
        elif ident is None and "error" in message:
            waiting = self._only()
        if waiting is None or waiting.over:  # an id of nobody, a second answer, or one that came too late
            self.passed_over += 1
        elif message.get("jsonrpc") != "2.0" or ("result" in message) == ("error" in message):
            waiting.answer.set_exception(invalid("it is neither a result nor an error"))
        elif size > waiting.limit:
            waiting.answer.set_exception(too_large())
        else:
            self._unasked = 0.0
            waiting.answer.set_result(Answer(200, message, size, self.passed_over - waiting.before))

    def _told(self, message: JsonObject, size: int) -> None:
        """A request or a notification of the process's own."""
        method = message["method"]
        sound = message.get("jsonrpc") == "2.0" and type(method) is str and message.keys().isdisjoint(_OF_ANSWERS)
        if "id" in message:
            ident = id_of(message) if sound else None
            refusal = invalid_request() if ident is None else self._asked(ident, message, size)
            if refusal is not None:
                self.passed_over += 1
                self._owe(refusal)
        else:
            params = message.get("params", {}) if sound and size <= NOTICE_BYTES else None
            if type(params) is not dict or not self._notified(method, params):
                self.passed_over += 1

    def _asked(self, ident: int | str, message: JsonObject, size: int) -> bytes | None:
        """What is answered at once; None where a client is being asked."""
        if message["method"] == "ping":
            return result(ident, {})
        return self._questions.take(ident, message, size, self._call())

    def _notified(self, method: str, params: JsonObject) -> bool:
        """Pass a notification on to whom it is for; whether there is anybody."""
        if method == PROGRESS:
            return self._progressed(params)
        if method == LOGGED:
            return self._logged(params)
        if method == CANCELLED:
            return self._questions.withdraw(params.get("requestId"))
        meta = params.get("_meta")
        if type(meta) is dict and type(ident := meta.get(META_SUBSCRIPTION)) is int:
            listening = self._listening.get(ident)
            return listening is not None and listening.heard is not None and listening.heard(method, params)
        return (method in LIST_CHANGED or method in _OF_NO_CALL) and self._heard(method, params)

    def _progressed(self, params: JsonObject) -> bool:
        token = params.get("progressToken")
        waiting = self._waiting.get(token) if type(token) is int else None
        if waiting is None or waiting.over or waiting.channel is None or not waiting.channel.progress:
            return False
        if (told := progress_of(params)) is None:
            return False
        waiting.progressed()
        waiting.channel.tell(PROGRESS, told)
        return True

    def _logged(self, params: JsonObject) -> bool:
        """It names no call: of those that want it, it is told to the one that began last, once."""
        for waiting in reversed(self._waiting.values()):
            channel = waiting.channel
            if channel is not None and not waiting.over and severe_enough(params, channel.log_level):
                channel.tell(LOGGED, params)
                return True
        return False

    def _call(self) -> Waiting | None:
        """The only call under way: a request of the process names none, so of several it could be any's."""
        calls = (waiting for waiting in self._waiting.values() if waiting.channel is not None and not waiting.over)
        first = next(calls, None)
        return first if next(calls, None) is None else None

    def _only(self) -> Waiting | None:
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
        waiting = self._waiting.get(ident) or self._listening.get(ident)
        if waiting is None or waiting.over:
            return False
        waiting.answer.set_exception(failed)
        return True
