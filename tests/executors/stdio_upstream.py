"""A stdio upstream for tests: the executor over scripts that misbehave as they are told."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import Failed
from gateway.executors.process import Child, Start, start
from gateway.executors.stdio.processes import Key
from gateway.executors.stdio.upstream import Patience, Stdio
from gateway.model import Limits, Principal, Proposal
from tests.executors.hostile import proposal

FAULTY = Path(__file__).with_name("stdio_servers") / "faulty.py"
LIMITS = Limits(timeout_s=20, result_bytes=100_000)
SOON = Limits(timeout_s=0.3, result_bytes=100_000)
BRIEF = Patience(probe_s=0.3)


@dataclass(slots=True)
class Launcher:
    """Starts a script, and keeps what was started and for whom."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, key: Key) -> Child:
        child = await start(Start(self.argv, self.env, evidence=self.evidence))
        self.keys.append(key)
        self.children.append(child)
        self.started.set()
        return child

    @property
    def running(self) -> list[int]:
        return [child.pid for child in self.children if child.returncode is None]


def faulty(start: str = "modern", **more: Any) -> Launcher:
    return Launcher((sys.executable, "-I", "-S", str(FAULTY), start), **more)


@asynccontextmanager
async def stdio(launcher: Launcher, **settings: Any) -> AsyncIterator[Stdio]:
    made = Stdio("notes", launcher, **{"limits": LIMITS, "patience": BRIEF, **settings})
    try:
        yield made
    finally:
        await made.close()
        assert launcher.running == []


def by(principal: str, tool: str = "echo", tenant: str = "default", **changed: Any) -> Proposal:
    return proposal(tool, principal=Principal(principal, tenant), **changed)


async def failure(client: Stdio, tool: str, limits: Limits = LIMITS) -> Failed:
    try:
        await client.execute(proposal(tool), limits)
    except Failed as failed:
        return failed
    raise AssertionError(f"{tool} brought a result")


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def ended(pid: int) -> None:
    """Wait until a process that is no child of ours is gone, or is a zombie that nobody collects."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    over = asyncio.Event()
    loop.add_reader(descriptor, over.set)
    try:
        async with asyncio.timeout(20):
            await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
