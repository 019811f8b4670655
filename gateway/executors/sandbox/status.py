"""What bubblewrap reports of one sandbox, over a descriptor that the tool never has: who its first process is, and
whether a program ran to its end in it.
"""

import asyncio
import os

import orjson

_MOST_BYTES = 65_536


class Status:
    """The reading end of `--json-status-fd`. It belongs to this object, which closes it when the sandbox is gone."""

    def __init__(self, descriptor: int) -> None:
        self.pid: int | None = None
        """The sandbox's first process, as the host counts."""
        self.exit_code: int | None = None
        """Of the program inside. None after the end: there never was one, or it was killed with its sandbox."""
        self._descriptor, self._data = descriptor, b""
        self._loop = asyncio.get_running_loop()
        self._known: asyncio.Future[None] = self._loop.create_future()
        self._over: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    async def began(self) -> int | None:
        """The sandbox's first process; None where bubblewrap ended before there was one."""
        await asyncio.shield(self._known)
        return self.pid

    async def over(self) -> None:
        """Wait until nothing more can be reported."""
        await asyncio.shield(self._over)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        if not data or len(self._data) > _MOST_BYTES:
            self.close()
            return
        self._data += data
        *lines, self._data = self._data.split(b"\n")
        for line in lines:
            self._note(line)

    def _note(self, line: bytes) -> None:
        try:
            report = orjson.loads(line)
        except orjson.JSONDecodeError:
            return
        if not isinstance(report, dict):
            return
        if isinstance(pid := report.get("child-pid"), int):
            self.pid = pid
            _settle(self._known)
        if isinstance(code := report.get("exit-code"), int):
            self.exit_code = code

    def close(self) -> None:
        """Stop reading. More than once is the same as once."""
        if not self._over.done():
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
        _settle(self._known)
        _settle(self._over)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
