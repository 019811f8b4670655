"""A real gateway as its own process, before real or hostile upstreams: what an operator would have, in a folder."""

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.audit import keys

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "test-token-of-the-agent"
MODERN = "2026-07-28"
PATIENCE = 120.0
"""What only a dead machine misses: no test is about how fast anything is."""
ALLOW_READS_AND_NOTES = """
package bascule.call

allow contains "tests may read" if input.tool.name != "write_note"

allow contains "notes are kept under notes/" if {
	input.tool.name == "write_note"
	startswith(input.args.path, "notes/")
}

deny contains {"reason": "only notes/ may be written", "would_pass": "a path under notes/"} if {
	input.tool.name == "write_note"
	not under_notes
}

under_notes if startswith(input.args.path, "notes/")
"""


@dataclass(slots=True)
class Folder:
    """Everything one gateway has: its configuration, policy, keys and state."""

    path: Path
    upstreams: Mapping[str, Mapping[str, Any]]
    policy: str = ALLOW_READS_AND_NOTES
    more: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.path / "bascule.yaml"

    @property
    def state(self) -> Path:
        return self.path / "state"

    def write(self) -> None:
        """Write the files; keys only once, so that a gateway can be started again on its state."""
        self.path.mkdir(exist_ok=True)
        self.state.mkdir(mode=0o700, exist_ok=True)
        if not (self.state / keys.SIGNING).exists():
            keys.create(self.state, "tests.example/bascule")
        for name in ("policies", "manifests"):
            (self.path / name).mkdir(exist_ok=True)
        (self.path / "policies" / "tests.rego").write_text(self.policy)
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        self.config.write_text(
            "version: 1\nstate: state\nlisten: {host: 127.0.0.1, port: 0}\n"
            f'principals: {{agent: {{token_sha256: "{digest}", roles: [dev]}}}}\n'
            f"upstreams: {orjson.dumps(self.upstreams).decode()}\n"
            f"audit: {{origin: tests.example/bascule}}\n{self.more}"
        )


@dataclass(slots=True)
class Served:
    """A gateway that listens."""

    process: asyncio.subprocess.Process
    base: str
    log: list[str]

    def url(self, upstream: str = "") -> str:
        return f"{self.base}/mcp/{upstream}" if upstream else f"{self.base}/mcp"

    async def kill(self) -> None:
        """As the kernel would: no handler runs."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def process(command: Sequence[str], **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child that never outlives the block."""
    child = await asyncio.create_subprocess_exec(*command, **options)
    try:
        yield child
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), PATIENCE / 2)
            except TimeoutError:
                child.kill()
                await child.wait()


@asynccontextmanager
async def serving(folder: Folder) -> AsyncIterator[Served]:
    """Run `bascule serve` until the block ends. It says on standard output where it listens."""
    folder.write()
    command = [sys.executable, "-m", "gateway", "serve", "-c", str(folder.config)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **folder.environment}
    pipe = asyncio.subprocess.PIPE
    async with process(command, stdout=pipe, stderr=asyncio.subprocess.STDOUT, env=environment, cwd=ROOT) as child:
        assert child.stdout is not None
        said: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while not (said and " listening on " in said[-1]):
                line = (await child.stdout.readline()).decode()
                assert line, f"the gateway ended: {''.join(said)}"
                said.append(line)
        served = Served(child, said[-1].split(" listening on ")[1].split()[0], said)
        reading = asyncio.ensure_future(_drain(child.stdout, said))
        try:
            yield served
        finally:
            reading.cancel()


async def _drain(stream: asyncio.StreamReader, said: list[str]) -> None:
    while line := await stream.readline():
        said.append(line.decode())
