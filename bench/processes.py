"""Processes of the bench: started on one core, watched through /proc, always reaped."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
READY_S = 30.0
ALLOWED = sorted(os.sched_getaffinity(0))  # read before this process pins itself
UNDER_TEST, LOAD = ALLOWED[0], ALLOWED[min(1, len(ALLOWED) - 1)]
"""The core of the path under test, and the core of the load generator and the echo."""
LISTENING = re.compile(rb"listening on http://127\.0\.0\.1:(\d+)\b")


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process, and so what it starts, on one core: threads of a child inherit it from their first moment."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.asynccontextmanager
async def running(*command: str, core: int, log: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process on `core` while the block lasts. What it says on standard error goes to `log`, else to ours."""
    with pinned(core), contextlib.ExitStack() as stack:
        errors = stack.enter_context(log.open("wb")) if log else None
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield process
    finally:
        await stop(process)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, then make it."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 10)
    except TimeoutError:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def serving(
    module: str, *options: str, core: int, python: str = sys.executable
) -> AsyncIterator[tuple[int, int]]:
    """A bench server while the block lasts: its port and its pid."""
    async with running(python, "-m", module, *options, core=core) as process:
        yield await port_of(process, module), process.pid


async def port_of(process: asyncio.subprocess.Process, name: str) -> int:
    """The port in the readiness line."""
    assert process.stdout
    async with asyncio.timeout(READY_S):
        async for line in process.stdout:
            if found := LISTENING.search(line):
                return int(found[1])
    raise RuntimeError(f"{name} ended before it listened (status {await process.wait()})")


def cpu_s(pid: int) -> float:
    """User and system time of all threads of a process so far (clock ticks: 10 ms on most kernels)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"no VmRSS for {pid}")


def switches(pid: int) -> int:
    """How often the threads of a process went to sleep and were woken."""
    switches = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/task/{thread}/status").read_text().splitlines():
                if line.startswith("voluntary_ctxtswitches:"):
                    switches += int(line.split()[1])
    return switches
