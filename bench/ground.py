"""A gateway before many upstreams, whose policy lets its principals do everything: for streams, lists and the soak."""

import contextlib
import hashlib
import json
import resource
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.governed import ORIGIN
from bench.processes import ROOT, port_of, running
from gateway.audit import keys

POLICY = 'package bascule.call\n\nallow contains "the bench may" if input.principal.id != ""\n'


@dataclass(frozen=True, slots=True)
class Ground:
    """A running gateway: where it is reached, the token of each principal, its process, what it says."""

    base: str
    tokens: Mapping[str, str]
    pid: int
    log: Path

    def url(self, upstream: str = "") -> str:
        """Of one upstream, or of all of them as one."""
        return f"{self.base}/mcp/{upstream}" if upstream else f"{self.base}/mcp"


@contextlib.asynccontextmanager
async def ground(
    folder: Path,
    upstreams: Mapping[str, Mapping[str, Any]],
    principals: Sequence[str] = ("bench",),
    *,
    core: int,
    module: str = "gateway",
) -> AsyncIterator[Ground]:
    """`bascule serve` before these upstreams while the block lasts."""
    raise_files()
    tokens = {name: secrets.token_urlsafe(32) for name in principals}
    config, log = configure(folder, upstreams, tokens), folder / "serve.log"
    command = (sys.executable, "-m", module, "serve", "-c", str(config))
    async with running(*command, core=core, log=log) as process:
        try:
            port = await port_of(process, "bascule serve")
        except (RuntimeError, TimeoutError) as problem:
            said = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{problem}:\n{said}") from None
        yield Ground(f"http://127.0.0.1:{port}", tokens, process.pid, log)


def configure(folder: Path, upstreams: Mapping[str, Mapping[str, Any]], tokens: Mapping[str, str]) -> Path:
    """Write what an operator would have: enforcing, a signed log with sealed payloads."""
    told = {
        "version": 1,
        "state": "state",
        "listen": {"port": 0},
        "principals": {
            name: {"token_sha256": hashlib.sha256(token.encode()).hexdigest()} for name, token in tokens.items()
        },
        "upstreams": upstreams,
        "policy": {"bundle": "policies", "manifests": "manifests"},
        "audit": {"origin": ORIGIN, "payloads": "sealed"},
    }
    (folder / "state").mkdir(mode=0o700, parents=True)
    keys.create(folder / "state", ORIGIN)
    for name in ("policies", "manifests"):
        (folder / name).mkdir()
    (folder / "policies" / "bench.rego").write_text(POLICY)
    path = folder / "bascule.yaml"
    path.write_text(json.dumps(told, indent=1))  # JSON is YAML
    return path


def everything(name: str, *, era: str, tools: int = 6, port: int = 0) -> tuple[str, ...]:
    """The options of `bench.servers.everything`."""
    return ("--name", name, "--tools", str(tools), "--era", era, "--port", str(port))


def confinable(name: str) -> dict[str, Any]:
    """The stdio upstream, run without a sandbox so that it runs anywhere."""
    run = {"command": sys.executable, "args": ["-m", "bench.servers.stdio_everything", name], "sandbox": "none"}
    return {**run, "env": {"PYTHONPATH": str(ROOT)}}


def raise_files() -> None:
    """As many open files as this user may have: a subscription takes one at each of its ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
