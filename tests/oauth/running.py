"""The server of server.py as a process of its own, an account at it, and a browser that consents to everything."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from gateway.executors.oauth.authorization import Account
from gateway.executors.oauth.login import Person, log_in
from gateway.executors.oauth.tokens import Login, Vault, token_key
from gateway.settings import OAuthSettings
from tests.serving import PATIENCE, ROOT, process

Browse = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class Protected:
    """The server, and everything secret it ever gave."""

    url: str
    issuer: str
    secrets: set[str] = field(default_factory=set)

    async def control(self, **changed: Any) -> dict[str, Any]:
        """Change how it behaves; what was asked of it so far."""
        async with httpx2.AsyncClient(verify=False, trust_env=False) as http:
            told: dict[str, Any] = (await http.post(f"{self.issuer}/control", json=changed)).json()
        self.secrets.update(told["secrets"])
        return told

    async def count(self, what: str) -> int:
        """How often it was asked for that."""
        return int((await self.control())["counts"][what])


@asynccontextmanager
async def protected() -> AsyncIterator[Protected]:
    """A server that listens."""
    with socket.socket() as one, socket.socket() as other:
        ports = []
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
            ports.append(str(free.getsockname()[1]))
    script = str(ROOT / "tests" / "oauth" / "server.py")
    command = [sys.executable, script, "--port", ports[0], "--issuer-port", ports[1]]
    async with process(command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL) as child:
        assert child.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await child.stdout.readline() == b"ready\n"
        yield Protected(f"http://127.0.0.1:{ports[0]}/mcp", f"http://127.0.0.1:{ports[1]}")


def account_at(url: str, state: Path, **oauth: Any) -> Account:
    """An account with its login kept in `state`."""
    state.mkdir(mode=0o700, exist_ok=True)
    return Account("notes", url, OAuthSettings(**oauth), Vault(state, "notes", token_key(state)))


async def consents(address: str) -> None:
    """A browser whose person consents: it follows every redirect, in the end to the gateway's own address."""
    async with httpx2.AsyncClient(verify=False, trust_env=False, follow_redirects=True) as http:
        await http.get(address)


async def logged_in(account: Account, browser: Browse = consents) -> Login:
    """A whole login."""
    return await log_in(account, Person(lambda _: None, browser))
