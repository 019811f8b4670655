"""What a process is to us: a program run to its end, or a server that is kept and spoken to.

Not what may be started nor how it is confined: that is the caller's.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gateway.executors.sandbox.namespaces import made
from gateway.executors.sandbox.status import Status
from gateway.executors.spawned import DEVNULL, STDOUT, Spawned, spawned
from gateway.model import JsonObject

TIMED_OUT = 124
NOT_STARTED = 127
"""What `timeout` and a shell answer in the same case."""
LAST_SECONDS = 10.0
"""For the end of a process that was killed."""

_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
"""Of a program that is run to its end: ours holds secrets, and it may run as somebody else."""


async def run(argv: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """The exit code and everything it printed; after `timeout_s` it and what it started are killed."""
    starting = asyncio.ensure_future(spawned(argv, env=_ENVIRONMENT, stdin=DEVNULL, stderr=STDOUT))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:  # it may run already, and nobody else knows of it
        await _killed(await starting)
        raise
    except OSError as error:
        return NOT_STARTED, f"{argv[0]} cannot be started: {error.strerror}"
    try:
        async with asyncio.timeout(timeout_s):
            assert process.stdout
            output = await process.stdout.read()
            await process.wait()
    except TimeoutError:
        return TIMED_OUT, f"{argv[0]} took longer than {timeout_s:g} s"
    finally:
        await _killed(process)
        process.close()
    return process.returncode or 0, output.decode(errors="replace")


async def _killed(process: Spawned) -> None:
    """End the process and all it started, if it has not ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@dataclass(frozen=True, slots=True)
class Start:
    """One process that is kept and spoken to over its standard streams.

    `contents` are bytes the process reads from a descriptor of its own: the first part of `argv` that is `{fd:NAME}`
    becomes its number, or where there is none the first such word of the other contents (words end with a zero byte).
    They are no files: nothing of them is left on a disk, and a secret among them is in no argument list.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Its whole environment: nothing of ours is inherited."""
    cwd: str = "/"
    contents: Mapping[str, bytes] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """What the records of its calls say about it: profile, digests, what is weaker than it should be."""
    sandboxed: bool = False
    """Whether it is bubblewrap, which reports to `{fd:status}`."""
    held: bool = False
    """Whether bubblewrap waits at `{fd:gate}`, the sandbox made and nothing run in it yet, for `Child.release`."""


class Watch(Protocol):
    """What looks at a process while it works."""

    def begin(self) -> None:
        """It has something to do."""
        ...

    def end(self) -> None:
        """It has nothing more to do."""
        ...


class Child:
    """A process that runs, in a process group of its own."""

    def __init__(
        self,
        process: Spawned,
        evidence: Mapping[str, Any],
        status: Status | None = None,
        gate: int | None = None,
    ) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._process, self._status, self._gate = process, status, gate
        self._calls = 0
        self._stopped = False
        self.evidence: JsonObject = dict(evidence)
        self.pid = process.pid
        self.stdin: asyncio.StreamWriter = process.stdin
        self.stdout: asyncio.StreamReader = process.stdout
        self.stderr: asyncio.StreamReader = process.stderr
        self.on_end: list[Callable[[], Awaitable[None]]] = []
        """What else ends with it: the sandbox's way out, its watch."""
        self.watch: Watch | None = None
        self.violation = ""
        """Which limit it was killed for."""

    @property
    def returncode(self) -> int | None:
        """Its exit status once it has ended, negative for a signal."""
        return self._process.returncode

    @property
    def sandbox_pid(self) -> int | None:
        """The sandbox's first process, as the host counts; None without a sandbox."""
        return self._status.pid if self._status else None

    @property
    def sandbox_failed(self) -> bool:
        """After its end: whether the sandbox could not be made, so that no program ever ran in it."""
        failed = self.returncode is not None and self.returncode > 0 and not self.violation
        return self._status is not None and self._status.exit_code is None and failed

    def release(self) -> None:
        """Let a held sandbox start its program."""
        if self._gate is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended
                os.write(self._gate, b"1")
            os.close(self._gate)
            self._gate = None

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """While the block runs it is watched; blocks may overlap."""
        self._calls += 1
        if self.watch is not None and self._calls == 1:
            self.watch.begin()
        try:
            yield
        finally:
            self._calls -= 1
            if self.watch is not None and self._calls == 0:
                self.watch.end()

    async def wait(self) -> int:
        """Wait for its end."""
        code = await self._process.wait()
        if self._status is not None:
            await self._status.over()
        return code

    def kill(self, violation: str) -> None:
        """End it and all it started at once, for the limit it broke."""
        if self.returncode is None:
            self.violation = self.violation or violation
            self._signal(signal.SIGKILL)

    async def stop(self, grace_s: float) -> None:
        """Close its input, give it `grace_s` to end, then SIGTERM and as long again, then SIGKILL to its group."""
        if self._stopped:  # its number may be another's by now
            return
        self._stopped = True
        self.stdin.close()
        for end in (None, signal.SIGTERM) if self._gate is None else ():
            if end is not None:
                self._ask_to_end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self.wait()
                    break
        self._signal(signal.SIGKILL)  # also when it has ended by itself: what it started and left behind goes with it
        with contextlib.suppress(TimeoutError):  # something that left the group may hold its streams open for ever
            async with asyncio.timeout(LAST_SECONDS):
                await self.wait()
        if self._gate is not None:
            os.close(self._gate)
            self._gate = None
        self._process.close()
        for end_with in self.on_end:
            await end_with()
        self.on_end.clear()

    def _ask_to_end(self) -> None:
        if self.sandbox_pid is None:
            self._signal(signal.SIGTERM)
            return
        # Not bubblewrap itself: it would die of it, and take the program with it unasked.
        children = Path(f"/proc/{self.sandbox_pid}/task/{self.sandbox_pid}/children")
        with contextlib.suppress(OSError):
            for pid in children.read_text().split():
                os.kill(int(pid), signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def start(what: Start, *, line_limit: int = 1 << 16) -> Child:
    """Start it. Must be called on the thread that lives as long as the gateway: bubblewrap's --die-with-parent is
    tied to the thread that started it.

    Raises:
        OSError: it cannot be started.
    """
    ours: dict[str, int] = {}
    theirs: dict[str, int] = {}
    try:
        if what.sandboxed:
            ours["status"], theirs["status"] = os.pipe()
        if what.held:
            theirs["gate"], ours["gate"] = os.pipe()
        for name in what.contents:
            theirs[name] = os.memfd_create(name, os.MFD_CLOEXEC)
        inner = {name: number for name, number in theirs.items() if f"{{fd:{name}}}" not in what.argv}
        for name, content in what.contents.items():
            with os.fdopen(os.dup(theirs[name]), "wb") as file:
                file.write(_numbered(content, inner))
            os.lseek(theirs[name], 0, os.SEEK_SET)
        process = await _spawned(what, theirs, line_limit)
        status = Status(ours.pop("status")) if what.sandboxed else None
        child = Child(process, what.evidence, status, ours.pop("gate", None))
    finally:
        for descriptor in (*ours.values(), *theirs.values()):
            os.close(descriptor)
    if status is not None:
        try:
            first = await status.began()
            if what.held and first is not None:
                await made(first)
        except asyncio.CancelledError:
            await child.stop(0)
            raise
    return child


async def _spawned(what: Start, descriptors: Mapping[str, int], line_limit: int) -> Spawned:
    argv = list(what.argv)
    for name, number in descriptors.items():
        if (place := f"{{fd:{name}}}") in argv:
            argv[argv.index(place)] = str(number)
    given = tuple(descriptors.values())
    starting = asyncio.ensure_future(
        spawned(argv, env=what.env, cwd=what.cwd, descriptors=given, line_limit=line_limit)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:  # it may run already, and nobody else knows of it
        await _killed(await starting)
        raise


def _numbered(content: bytes, descriptors: Mapping[str, int]) -> bytes:
    words = content.split(b"\0")
    for name, number in descriptors.items():
        if (place := b"{fd:%s}" % name.encode()) in words:
            words[words.index(place)] = b"%d" % number
    return b"\0".join(words)
