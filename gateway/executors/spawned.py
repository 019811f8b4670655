"""One process as the operating system has it: begun without a fork of ours, its streams, its end.

Not what is started, nor when it is to end: that is process.py.
"""

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

PIPE: Final = subprocess.PIPE
DEVNULL: Final = subprocess.DEVNULL
STDOUT: Final = subprocess.STDOUT


class Spawned:
    """A process in a session of its own. Made by `spawned`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._transports: list[asyncio.BaseTransport] = []
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """Its exit status once it has ended, negative for a signal."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end, not for that of its streams."""
        return await asyncio.shield(self._ended)

    def close(self) -> None:
        """Let go of its streams, of which a reader may have left something."""
        for transport in self._transports:
            transport.close()

    async def attach(self, line_limit: int) -> None:
        """Connect what its pipes are with the loop."""
        loop, process = asyncio.get_running_loop(), self._process
        if process.stdin is not None:
            protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
            transport, _ = await loop.connect_write_pipe(lambda: protocol, process.stdin)
            self._transports.append(transport)
            self.stdin = asyncio.StreamWriter(cast("Any", transport), protocol, None, loop)
        if process.stdout is not None:
            self.stdout = await self._read(process.stdout, line_limit)
        if process.stderr is not None:
            self.stderr = await self._read(process.stderr, line_limit)

    async def _read(self, pipe: Any, line_limit: int) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=line_limit)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        self._transports.append(transport)
        return reader

    def watch(self) -> None:
        """Notice its end: by its descriptor, or where the system has none such, by a thread that waits."""
        loop = asyncio.get_running_loop()
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait_apart, args=(loop,), daemon=True).start()
            return
        loop.add_reader(descriptor, self._over, loop, descriptor)

    def _over(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        self._settle(self._process.wait())

    def _wait_apart(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._process.wait()
        try:
            loop.call_soon_threadsafe(self._settle, code)
        except RuntimeError:  # the loop has ended before it
            return

    def _settle(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)


async def spawned(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | None = None,
    stdin: int = PIPE,
    stdout: int = PIPE,
    stderr: int = PIPE,
    descriptors: Sequence[int] = (),
    line_limit: int = 1 << 16,
) -> Spawned:
    """Start it on this thread; it gets these descriptors and no other.

    Raises:
        OSError: it cannot be started.
    """
    # DANGER: never by the loop's own `subprocess_exec`. uvloop forks, and runs Python in the child before its program:
    # where another thread (the HTTP client has one) holds a lock of the interpreter in that moment, the child waits
    # for it for ever, and the loop waits for the child. What is used here starts it by vfork, and runs nothing of ours.
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - returns as soon as the program is loaded; what to run is the caller's
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        bufsize=0,
        start_new_session=True,
        pass_fds=tuple(descriptors),
    )
    made = Spawned(process)
    try:
        made.watch()
        await made.attach(line_limit)
    except OSError:  # no descriptor was left for it
        os.killpg(process.pid, signal.SIGKILL)
        made.close()
        process.wait()
        raise
    return made
