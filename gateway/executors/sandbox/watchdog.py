"""The watch over one sandbox while it works: memory of all its processes, their number, the size of its home.

Nothing wakes up while no call is under way: what a server takes between calls is bounded by its rlimits alone, and is
seen when the next call begins. No cgroup is used: they are delegated on few machines, and then differently on each.
"""

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from gateway.executors.process import Child
from gateway.executors.sandbox.profiles import Profile

POLL_SECONDS = 0.05
HOME_SECONDS = 1.0
MOST_FILES = 100_000
"""In a home; counting more would take too long."""
_PIDS_BEYOND = 8
"""RLIMIT_NPROC refuses the one too many; only where it does not is there ever so many more."""
_KB, _MB = 1 << 10, 1 << 20


class Watchdog:
    """Kills the sandbox that takes more than its profile gives it; the reason is the child's `violation`."""

    def __init__(self, child: Child, profile: Profile, work: Path | None = None) -> None:
        self._child, self._profile, self._work = child, profile, work
        self._timer: asyncio.TimerHandle | None = None
        self._measuring: asyncio.Future[str] | None = None
        self._home_due = 0.0
        self._working = False

    def begin(self) -> None:
        """Look soon, and again until `end`. Not at once: a look costs as much as several short calls."""
        self._working = True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(POLL_SECONDS, self._look)

    def end(self) -> None:
        """Look once more, for what many short calls took, and then no more."""
        self._working = False

    async def close(self) -> None:
        """Stop for good: what is being measured is waited for."""
        self.end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._measuring is not None:
            await self._measuring

    def _look(self) -> None:
        if self._child.returncode is not None or (first := self._child.sandbox_pid) is None:
            self._timer = None
            return
        if violation := _over(first, self._profile):
            self._timer = None
            self._child.kill(violation)
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(POLL_SECONDS, self._look) if self._working else None
        if self._work is not None and self._measuring is None and loop.time() >= self._home_due:
            self._home_due = loop.time() + HOME_SECONDS
            self._measuring = loop.run_in_executor(None, _home_over, self._work, self._profile.work_mb)
            self._measuring.add_done_callback(self._measured)

    def _measured(self, measuring: asyncio.Future[str]) -> None:
        self._measuring = None
        if not measuring.cancelled() and (violation := measuring.result()):
            self._child.kill(violation)


def _over(first: int, profile: Profile) -> str:
    """The limit that the processes of a sandbox are over, in words for the caller; nothing where they are not."""
    memory = threads = 0
    for pid in tree(first):
        used, count = _usage(pid)
        memory, threads = memory + used, threads + count
    if memory > profile.limits.memory_mb * _MB:
        return f"it used more than its {profile.limits.memory_mb} MB of memory"
    if threads > profile.limits.pids + _PIDS_BEYOND:
        return f"it started more than its {profile.limits.pids} processes"
    return ""


def tree(first: int) -> Iterator[int]:
    """A process and all its descendants. What ends meanwhile is left out."""
    waiting = [first]
    while waiting:
        pid = waiting.pop()
        yield pid
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                    waiting += [int(child) for child in file.read().split()]
        except OSError:
            continue


def _usage(pid: int) -> tuple[int, int]:
    """Memory that only this process has brought in, and its threads. Shared memory counts for each that holds it."""
    memory = threads = 0
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith((b"RssAnon:", b"RssShmem:")):
                    memory += int(line.split()[1]) * _KB
                elif line.startswith(b"Threads:"):
                    threads = int(line.split()[1])
    except OSError:
        return 0, 0
    return memory, threads


def _home_over(work: Path, most_mb: int) -> str:
    size = files = 0
    waiting = [str(work)]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError as problem:
            if problem.errno == errno.ENAMETOOLONG:  # deeper than anybody needs, and than can be counted
                return "its home is nested too deep to be measured"
            continue
        with entries:
            for entry in entries:
                files += 1
                try:
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                except OSError:
                    continue
                if size > most_mb * _MB:
                    return f"its home grew beyond {most_mb} MB"
                if files > MOST_FILES:
                    return f"its home holds more than {MOST_FILES} files"
    return ""
