"""The upstreams of the soak: one of each era over HTTP, one over stdio, all of them killed and started now and then."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.ground import confinable, everything
from bench.processes import LOAD, port_of, running
from bench.soak.gauge import children, command

MODULE = "bench.servers.everything"
ERAS: Mapping[str, str] = {"new": "modern", "old": "legacy"}
"""The upstreams over HTTP."""
PIPE = "pipe"
"""The one over stdio, which the gateway starts."""
NAMES = (*ERAS, PIPE)
BETWEEN_S, AWAY_S = (6.0, 15.0), (0.0, 2.0)


@dataclass(slots=True)
class Upstreams:
    """All three."""

    ports: dict[str, int] = field(default_factory=dict)
    restarts: int = 0
    _running: dict[str, contextlib.AsyncExitStack] = field(default_factory=dict)
    _processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    def settings(self) -> dict[str, dict[str, Any]]:
        """As the gateway's configuration has them."""
        settings = {name: {"url": f"http://127.0.0.1:{port}/mcp"} for name, port in self.ports.items()}
        return {**settings, PIPE: confinable(PIPE)}

    async def start(self, name: str) -> None:
        """Start one that listens; from its second start at the port of its first."""
        stack = contextlib.AsyncExitStack()
        options = everything(name, era=ERAS[name], port=self.ports.get(name, 0))
        process = await stack.enter_async_context(running(sys.executable, "-m", MODULE, *options, core=LOAD))
        self._running[name], self._processes[name] = stack, process
        self.ports[name] = await port_of(process, MODULE)

    async def kill(self, name: str, gateway: int) -> None:
        """Kill one, without a word. The gateway starts the one over stdio again itself, the others are started here."""
        self.restarts += 1
        if name == PIPE:
            for pid in children(gateway):
                if b"stdio_everything" in command(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            return
        with contextlib.suppress(ProcessLookupError):
            self._processes[name].kill()
        await self._running.pop(name).aclose()

    async def close(self) -> None:
        """End all that listen."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # streams are open: asked to end, they would wait for the clients
        for stack in self._running.values():
            await stack.aclose()

    async def trouble(self, gateway: int, rolled: random.Random, over: asyncio.Event) -> None:
        """Kill one of them now and then, until it is over; all of them run afterwards."""
        while not await passed(over, rolled.uniform(*BETWEEN_S)):
            name = rolled.choice(NAMES)
            await self.kill(name, gateway)
            if name != PIPE:
                await asyncio.sleep(rolled.uniform(*AWAY_S))
                await self.start(name)


async def passed(over: asyncio.Event, seconds: float) -> bool:
    """Wait so long at most; whether it is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await over.wait()
    return over.is_set()


@contextlib.asynccontextmanager
async def upstreams() -> AsyncIterator[Upstreams]:
    """All of them, running while the block lasts."""
    made = Upstreams()
    try:
        for name in ERAS:
            await made.start(name)
        yield made
    finally:
        await made.close()
