"""`bascule wrap` as a client starts it, spoken to line by line; and the end of the owner that it started."""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.audit import keys, seal
from gateway.storage.sqlite import SqliteReader
from gateway.wire import mcp
from tests.serving import MODERN, PATIENCE, Folder, process

WRAP = (sys.executable, "-P", "-m", "gateway", "wrap")
LEGACY = "2025-11-25"
META = {mcp.META_VERSION: MODERN, mcp.META_CAPABILITIES: {}}


@dataclass(slots=True)
class Wrapping:
    """A wrap that runs. Answers are kept until they are asked for, since they come in any order."""

    process: asyncio.subprocess.Process
    answers: dict[Any, Any] = field(default_factory=dict)

    def send(self, line: bytes | dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n")

    async def told(self) -> Any:
        """The next line, parsed; None at the end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        return orjson.loads(line) if line else None

    async def answer(self, ident: Any) -> Any:
        while ident not in self.answers:
            said = await self.told()
            assert said is not None, "the wrap ended"
            self.answers[said.get("id")] = said
        return self.answers.pop(ident)

    async def ask(self, method: str, params: dict[str, Any] | None = None, ident: Any = 1) -> Any:
        self.send(request(method, params, ident))
        return await self.answer(ident)

    async def shake(self, version: str = LEGACY) -> Any:
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        shaken = await self.ask("initialize", params, "shake")
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return shaken

    async def leave(self) -> int:
        """Close its input and wait for its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


def request(method: str, params: dict[str, Any] | None = None, ident: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "method": method} | ({} if params is None else {"params": params})


def modern(method: str, params: dict[str, Any] | None = None, ident: Any = 1) -> dict[str, Any]:
    return request(method, {**(params or {}), "_meta": META}, ident)


@asynccontextmanager
async def wrapping(folder: Folder, *words: str, **options: Any) -> AsyncIterator[Wrapping]:
    """Run `bascule wrap … -c FILE` until the block ends."""
    pipe = asyncio.subprocess.PIPE
    command = [*WRAP, "-c", str(folder.config), *(words or ("--name", "kept"))]
    given = {"stdin": pipe, "stdout": pipe, "limit": 1 << 24, "env": {**os.environ, **folder.environment}} | options
    async with process(command, **given) as child:
        yield Wrapping(child)


def owner(state: Path) -> int | None:
    """The process that owns the folder, None where none does."""
    with suppress(FileNotFoundError), (state / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read())
    return None


async def unowned(state: Path) -> None:
    """Wait until nobody owns the folder: the lock is what its owner leaves last."""

    def wait() -> None:
        with (state / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    if (state / "lock").exists():
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(wait)


async def end_owner(state: Path, with_signal: signal.Signals = signal.SIGTERM) -> None:
    """End the owner, if there is one, and wait for that."""
    if (pid := owner(state)) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, with_signal)
    await unowned(state)


def records(folder: Folder, kind: str) -> list[dict[str, Any]]:
    """What is sealed in the records of this kind, oldest first."""
    reader = SqliteReader(folder.state / "bascule.db")
    sealing = keys.sealing_key(folder.state)
    assert sealing is not None
    found = []
    for index, _, record in reader.leaves(0, reader.count()):
        leaf = orjson.loads(record)
        payload = reader.payload(index)
        if leaf["kind"] == kind:
            values = seal.unseal(sealing, leaf["id"], payload.salt, payload.sealed) if payload else {}
            found.append(leaf | {name: orjson.loads(value) for name, (_, value) in values.items()})
    reader.close()
    return found
