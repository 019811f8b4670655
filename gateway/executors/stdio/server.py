"""One running stdio server: its process, its conversation, what it says beside it, and how it came to end.

Not its start (the launcher's), nor who may use it (processes.py).
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

from gateway.channel import About
from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid
from gateway.executors.process import Child
from gateway.executors.stdio.conversation import Conversation
from gateway.executors.stdio.tail import Tail
from gateway.executors.stdio.topics import Topics
from gateway.executors.stdio.waiting import Envelope
from gateway.kinds import LIST_CHANGED
from gateway.model import Code, JsonObject

GRACE_SECONDS = 2.0
"""For its end by itself, and again for its end by SIGTERM."""
_LAST_WORDS_SECONDS = 0.5
"""After its end, for what it wrote before; something that it started may hold its streams open for ever."""
_STOP_SECONDS = 3 * GRACE_SECONDS
_LEFT = "the gateway ended the upstream's process"
_DIED = "the upstream's process ended before it answered"

logger = logging.getLogger(__name__)


def _nothing() -> None:
    """No hook."""


class Server:
    """Speaks as soon as it is made. `changed` is told that one of its lists is another, `over` its end."""

    def __init__(
        self,
        child: Child,
        tail: Tail,
        line_bytes: int,
        changed: Callable[[], None],
        over: Callable[["Server"], None],
    ) -> None:
        self.child = child
        self._over = over
        self._tail = tail
        self.version = ""
        """The protocol revision, once it is known."""
        self.modern = False
        self.about = About()
        """What it said of itself when it was asked."""
        self.who = ("", "")
        """Tenant and principal, once it belongs to somebody."""
        self.level = ""
        """The log level that was last set there."""
        self.topics = Topics(self)
        self.busy = 0
        self.used = self.started = 0.0
        self.answered = False
        """Whether it ever brought somebody's answer."""
        self.on_end: Callable[[], None] = _nothing
        self._last = ""
        self._left = asyncio.Event()
        self._quiet = asyncio.Event()
        self._changed = changed
        self._conversation = Conversation(child.stdin, child.stdout, line_bytes, noise=self._noise, heard=self.heard)
        self._reading = asyncio.ensure_future(self._conversation.read())
        self._logging = asyncio.ensure_future(tail.follow(child.pid, child.stderr, self._said))
        self._watching = asyncio.ensure_future(self._watch())

    @property
    def usable(self) -> bool:
        """Whether anything may be asked of it."""
        return self._conversation.open and not self._left.is_set()

    @property
    def kept(self) -> bool:
        """Whether it must not be ended for being idle: somebody is told of updates by it."""
        return self.topics.kept

    async def ask(self, envelope: Envelope) -> Answer:
        """One request and its answer. HOT.

        Raises:
            Failed: as the conversation says; when the process ended, how.
        """
        self.busy += 1
        try:
            with self.child.working():
                return await self._conversation.ask(envelope, modern=self.modern)
        finally:
            self.busy -= 1
            if not self.busy:
                self._quiet.set()
                if self._conversation.stuck:
                    self.dismiss()

    async def listen(self, envelope: Envelope) -> Answer:
        """A subscription: it ends with its answer, and the process has nothing to do for it meanwhile.

        Raises:
            Failed: as `ask`.
        """
        return await self._conversation.ask(envelope, modern=self.modern)

    def heard(self, method: str, params: JsonObject) -> bool:
        """What it notifies of beside its calls; whether anybody takes it."""
        if method in LIST_CHANGED:
            self._changed()
        return self.topics.heard(method, params)

    def tell(self, method: str, params: JsonObject) -> None:
        """A notification."""
        self._conversation.tell(method, params)

    async def quiet(self) -> None:
        """Wait until nothing is asked of it."""
        while self.busy:
            self._quiet.clear()
            await self._quiet.wait()

    def dismiss(self) -> None:
        """Ask nothing of it any more, and end it and all it started behind everybody's back."""
        self._left.set()

    async def leave(self) -> None:
        """`dismiss`, and wait for it."""
        self.dismiss()
        await self.gone()

    async def gone(self) -> None:
        """Wait until it has ended, and all it started."""
        await asyncio.wait({self._watching})

    async def _watch(self) -> None:
        """Its whole life: until it ends, its output ends, or it is to go."""
        leaving = asyncio.ensure_future(self._left.wait())
        waiting = asyncio.ensure_future(self.child.wait())
        try:
            async with _exit_of(self.child.pid) as exited:
                first: list[asyncio.Future[Any]] = [exited, self._reading, leaving]
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not leaving.done() and self._broken() is None:
                await asyncio.wait({self._reading, self._logging, waiting}, timeout=_LAST_WORDS_SECONDS)
        finally:
            self._conversation.end(self._why)
            self.topics.end(self._why())
            flooding = self._broken() is not None
            stopping = asyncio.ensure_future(self.child.stop(0 if flooding else GRACE_SECONDS))
            draining = [asyncio.ensure_future(_drained(done, stream)) for done, stream in self._streams()]
            _, late = await asyncio.wait({stopping}, timeout=_STOP_SECONDS)
            if late or stopping.exception() is not None:
                logger.error("process %d of an upstream could not be ended whole: %r", self.child.pid, stopping)
            await _cancelled(leaving, waiting, stopping, self._reading, self._logging)
            await asyncio.wait(draining, timeout=_LAST_WORDS_SECONDS)  # a stream that is not read out is not closed
            await _cancelled(*draining)
            self.on_end()
            self._over(self)

    def _streams(self) -> list[tuple[asyncio.Future[None], asyncio.StreamReader]]:
        return [(self._reading, self.child.stdout), (self._logging, self.child.stderr)]

    def _why(self) -> Failed:
        if violation := self.child.violation:
            reason = "the sandbox ended the upstream's process: it went beyond its limits"
            return Failed(Code.SANDBOX_VIOLATION, reason, detail=violation, unknown=True)
        if self.child.sandbox_failed:
            return Failed(Code.SANDBOX_UNAVAILABLE, "the sandbox could not be made", detail=self._end())
        if (broken := self._broken()) is not None:
            return Failed(broken.code, broken.reason, detail=self._end(), unknown=True)
        reason = _LEFT if self._left.is_set() else _DIED
        return Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=self._end(), unknown=True)

    def _broken(self) -> Failed | None:
        """What its output was given up for."""
        if not self._reading.done() or self._reading.cancelled():
            return None
        broken = self._reading.exception()
        if broken is None or isinstance(broken, Failed):
            return broken
        logger.error("process %d of an upstream could not be read", self.child.pid, exc_info=broken)
        return invalid("it could not be read")

    def _end(self) -> str:
        """How it ended, and its last words."""
        code = self.child.returncode
        if code is None:
            how = "it still ran"
        elif code < 0:
            how = f"killed by {signal.Signals(-code).name}"
        else:
            how = f"exit status {code}"
        return f"{how}; last on stderr: {self._last}" if self._last else how

    def _said(self, line: str) -> None:
        if line.strip():
            self._last = line

    def _noise(self, line: bytes) -> None:
        self._tail.add(self.child.pid, line, "stdout")


@contextlib.asynccontextmanager
async def _exit_of(pid: int) -> AsyncIterator["asyncio.Future[None]"]:
    """Done once the process ends. asyncio's own `wait` also waits for its streams to close, which may be never."""
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[None] = loop.create_future()

    def ended() -> None:
        if not exited.done():
            exited.set_result(None)

    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:  # it ended, and nobody has its number yet
        ended()
        yield exited
        return
    loop.add_reader(descriptor, ended)
    try:
        yield exited
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _cancelled(*tasks: "asyncio.Future[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _drained(reading: "asyncio.Future[None]", stream: asyncio.StreamReader) -> None:
    """Go on where the reader of a stream left off: the end of a process is seen only once its streams are empty."""
    await asyncio.wait({reading})
    while await stream.read(1 << 18):
        pass
