"""What the official suite is run against: the fixture server, and a gateway before it, each as its own process."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.serving import PATIENCE, ROOT, Folder, Served, process, serving

HERE = Path(__file__).parent
NAME = "suite"
POLICY = (HERE / "policies" / "suite.rego").read_text(encoding="utf-8")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


class Governed(Folder):
    """A gateway before one upstream, with policy and log, that takes callers of this machine without a token.

    Its port is chosen beforehand, since the suite comes with an Origin that names it.
    """

    port = 0

    def write(self) -> None:
        self.port = self.port or free_port()
        super().write()
        listen = f'port: {self.port}, origins: ["http://127.0.0.1:{self.port}"]'
        self.config.write_text(self.config.read_text().replace("port: 0", listen))


def governed(path: Path, url: str) -> Governed:
    """The folder of a gateway before the server at this address."""
    return Governed(path, {NAME: {"url": url}}, POLICY, "insecure_local: true\n")


@asynccontextmanager
async def fixture(era: str = "both", seen: Path | None = None) -> AsyncIterator[str]:
    """The address of a fixture server that listens; `seen` gets a line for each request."""
    port = free_port()
    command = [sys.executable, "-m", "tests.conformance.server", "--port", str(port), "--era", era]
    command += ["--seen", str(seen)] if seen else []
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    async with process(command, stdout=pipe, stderr=nothing, cwd=ROOT) as child:
        assert child.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while (line := await child.stdout.readline()) != b"ready\n":
                assert line, "the fixture server ended before it listened"
        yield f"http://127.0.0.1:{port}/mcp"


@asynccontextmanager
async def through(path: Path, era: str = "both", seen: Path | None = None) -> AsyncIterator[tuple[Served, Governed]]:
    """A gateway before the fixture server."""
    async with fixture(era, seen) as url:
        folder = governed(path, url)
        async with serving(folder) as served:
            yield served, folder
