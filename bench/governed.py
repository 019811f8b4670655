"""The real gateway as a path: a configuration in a folder of its own, then `bascule serve`."""

import contextlib
import hashlib
import json
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT, port_of, running
from gateway.audit import keys

PRINCIPAL = "bench"
ORIGIN = "bench.example/bascule"


@dataclass(frozen=True, slots=True)
class Governed:
    """A running gateway: where it listens, the token of its one principal, its process."""

    port: int
    token: str
    pid: int


def configure(folder: Path, upstream: str, token: str) -> Path:
    """Write a configuration as an operator would have it: enforcing, sealed payloads, one principal."""
    config = {
        "version": 1,
        "state": "state",
        "listen": {"port": 0},
        "principals": {PRINCIPAL: {"tenant": "bench", "token_sha256": hashlib.sha256(token.encode()).hexdigest()}},
        "upstreams": {"echo": {"url": upstream, "mode": "enforce", "trust": "first_use"}},
        "policy": {"bundle": str(ROOT / "bench" / "policy"), "manifests": str(ROOT / "bench" / "manifests")},
        "audit": {"origin": ORIGIN, "payloads": "sealed"},
    }
    (folder / "state").mkdir(mode=0o700, parents=True)
    keys.create(folder / "state", ORIGIN)
    path = folder / "bascule.yaml"
    path.write_text(json.dumps(config, indent=1))  # JSON is YAML
    return path


@contextlib.asynccontextmanager
async def governed(folder: Path, upstream: str, core: int) -> AsyncIterator[Governed]:
    """`bascule serve` in front of `upstream` while the block lasts."""
    token = secrets.token_urlsafe(32)
    command = (sys.executable, "-m", "gateway", "serve", "-c", str(configure(folder, upstream, token)))
    log = folder / "serve.log"
    async with running(*command, core=core, log=log) as process:
        try:
            port = await port_of(process, "bascule serve")
        except (RuntimeError, TimeoutError) as problem:
            raise RuntimeError(f"{problem}:\n{_end_of(log)}") from None
        yield Governed(port, token, process.pid)


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
