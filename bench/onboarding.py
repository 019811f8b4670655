"""What confinement and `wrap` cost: each figure beside the same thing without, in turn, medians."""

import asyncio
import contextlib
import hashlib
import json
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path as Folder
from typing import Any

from bench.governed import ORIGIN, PRINCIPAL
from bench.processes import ROOT, port_of, rss_mb, running, switches
from gateway.audit import keys
from gateway.config import Settings
from gateway.executors.egress.destinations import parse_allow
from gateway.executors.egress.door import Door
from gateway.executors.launcher import Grounds, stdio
from gateway.executors.packages.store import Packages
from gateway.executors.stdio.upstream import Stdio
from gateway.model import Call, Digest, Endpoint, Limits, Manifest, Pin, PinState, Principal, Proposal

SERVER = ROOT / "bench" / "servers" / "stdio_echo.py"
LIMITS = Limits(30, 1 << 20)
IDLE_UPSTREAMS, IDLE_SECONDS = 40, 10.0
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
    b'"clientInfo":{"name":"bench","version":"1"}}}\n'
)


async def onboarding(state: Folder, say: Callable[[str], None], *, short: bool) -> dict[str, Any]:
    """Every row; what they print stands under `said`."""
    folder = state / "onboarding"
    folder.mkdir()
    rounds = 5 if short else 20
    say("stdio servers, bare and confined")
    rows = {**await started(folder, rounds), **await called(folder, rounds)}
    say("egress")
    rows |= await reached(50 if short else 500)
    say("wrap, and forty idle upstreams")
    rows |= await governed(folder, rounds)
    return {**rows, "said": verdicts(rows)}


def settings_of(folder: Folder, sandbox: str) -> Settings:
    """One stdio upstream."""
    upstream = {"command": sys.executable, "args": [str(SERVER)], "sandbox": sandbox}
    told = {"version": 1, "state": folder / sandbox, "upstreams": {"echo": upstream}, "audit": {"origin": ORIGIN}}
    return Settings.model_validate({"file": folder / "bascule.yaml", **told})


def made(folder: Folder, sandbox: str) -> Stdio:
    """Its executor, as the gateway makes it."""
    settings = settings_of(folder, sandbox)
    settings.state.mkdir(mode=0o700, exist_ok=True)
    return stdio(
        "echo", settings, Grounds(settings.state, (ROOT / "sandboxes",), Packages(settings.state / "packages"))
    )


async def started(folder: Folder, rounds: int) -> dict[str, float]:
    """From nothing to the first list, in ms."""
    taken: dict[str, list[float]] = {"none": [], "default": []}
    executors = {name: made(folder, name) for name in taken}
    for round_ in range(rounds + 1):
        for name, executor in executors.items():
            begun = time.perf_counter()
            await executor.tools()
            if round_:  # the first looks at the machine
                taken[name].append((time.perf_counter() - begun) * 1e3)
            await executor.close()
            executors[name] = made(folder, name) if not round_ else _again(executor)
    return {f"start_{name}_ms": _middle(figures) for name, figures in taken.items()}


def _again(executor: Stdio) -> Stdio:
    return Stdio(executor.name, executor._start)  # noqa: SLF001 - the same launcher, so that the machine stays known


async def called(folder: Folder, rounds: int) -> dict[str, float]:
    """One call, in microseconds: slices in turn, one call at a time."""
    taken: dict[str, list[float]] = {"none": [], "default": []}
    async with contextlib.AsyncExitStack() as stack:
        executors = {name: made(folder, name) for name in taken}
        for executor in executors.values():
            stack.push_async_callback(executor.close)
            await _calls(executor, 200)
        for _ in range(rounds):
            for name, executor in executors.items():
                taken[name].append(await _calls(executor, 200))
    return {f"call_{name}_us": _middle(figures) for name, figures in taken.items()}


async def _calls(executor: Stdio, count: int) -> float:
    """Microseconds of one of them, the median."""
    figures = []
    for number in range(count):
        proposal = _proposal(f"{number:01024}")
        begun = time.perf_counter()
        await executor.execute(proposal, LIMITS)
        figures.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(figures)


def _proposal(text: str) -> Proposal:
    pin = Pin("echo", "echo", Digest(""), {"inputSchema": {}}, PinState.ACCEPTED, Manifest())
    endpoint = Endpoint("echo", ("echo",), qualified=False)
    call = Call(Principal("bench"), endpoint, "tool", "echo", {"text": text}, "mcp", "2025-11-25", "http", "s", "t")
    return Proposal(call, pin)


async def reached(count: int) -> dict[str, float]:
    """A new connection to a server on this machine and its first byte, direct and through the way out, in ms."""
    site = await asyncio.start_server(_greeted, "127.0.0.1", 0)
    port = site.sockets[0].getsockname()[1]
    door = Door([parse_allow(f"127.0.0.1:{port}")])
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    door.attach(listener)
    way = listener.getsockname()[1]
    head = f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()

    async def direct() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await _asked(reader, writer)

    async def through() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", way)
        writer.write(head)
        await reader.readuntil(b"\r\n\r\n")
        await _asked(reader, writer)

    taken: dict[str, list[float]] = {"direct": [], "egress": []}
    for _ in range(count):
        for name, connect in (("direct", direct), ("egress", through)):
            begun = time.perf_counter()
            await connect()
            taken[name].append((time.perf_counter() - begun) * 1e3)
            await asyncio.sleep(0.006)  # it accepts at most 200 a second of one sandbox
    await door.close()
    site.close()
    return {f"connect_{name}_ms": _middle(figures) for name, figures in taken.items()}


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"x")
    await reader.readexactly(1)
    writer.close()


async def _greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        writer.write(await reader.readexactly(1))
        await writer.drain()
    writer.close()


async def governed(folder: Folder, rounds: int) -> dict[str, float]:
    """`wrap` with an owner, and what forty stdio upstreams cost while nobody calls."""
    async with serving(folder, IDLE_UPSTREAMS) as (config, pid):
        for name in (f"echo{number}" for number in range(IDLE_UPSTREAMS)):
            await _wrapped(config, name, b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}\n')
        ready = [await _wrapped(config, "echo0") for _ in range(rounds)]
        woken, resident = await _woken(pid), rss_mb(pid)
    async with serving(folder / "alone", 0) as (_, pid):
        alone = await _woken(pid)
    return {"wrap_ready_ms": _middle(ready), "idle_wakeups_per_s": round(woken - alone, 1), "idle_rss_mb": resident}


async def _woken(pid: int) -> float:
    """How often a second an idle gateway wakes up."""
    await asyncio.sleep(1)
    before = switches(pid)
    await asyncio.sleep(IDLE_SECONDS)
    return (switches(pid) - before) / IDLE_SECONDS


@contextlib.asynccontextmanager
async def serving(folder: Folder, upstreams: int) -> AsyncIterator[tuple[Folder, int]]:
    """A gateway before that many confined servers: its configuration and its pid."""
    config, state = folder / "gateway.yaml", folder / "gateway"
    state.mkdir(mode=0o700, parents=True)
    keys.create(state, ORIGIN)
    command: Mapping[str, Any] = {"command": sys.executable, "args": [str(SERVER)]}
    told = {
        "version": 1,
        "state": str(state),
        "listen": {"port": 0},
        "principals": {PRINCIPAL: {"token_sha256": hashlib.sha256(b"bench").hexdigest()}},
        "upstreams": {f"echo{number}": command for number in range(upstreams)},
        "policy": {"bundle": str(ROOT / "bench" / "policy"), "manifests": str(ROOT / "bench" / "manifests")},
        "audit": {"origin": ORIGIN},
    }
    config.write_text(json.dumps(told))
    serve = (sys.executable, "-m", "gateway", "serve", "-c", str(config))
    async with running(*serve, core=0, log=folder / "gateway.log") as process:
        await port_of(process, "bascule serve")
        yield config, process.pid


async def _wrapped(config: Folder, name: str, then: bytes = b"") -> float:
    """Milliseconds from the start of a shim to the answer to `initialize`."""
    begun = time.perf_counter()
    shim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "wrap", "--name", name, "--config", str(config)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert shim.stdin
    assert shim.stdout
    async with asyncio.timeout(60):
        shim.stdin.write(INITIALIZE)
        assert b"serverInfo" in await shim.stdout.readline()
        took = (time.perf_counter() - begun) * 1e3
        if then:
            shim.stdin.write(then)
            assert b"tools" in await shim.stdout.readline()
        shim.stdin.close()
        await shim.wait()
    return took


def _middle(figures: list[float]) -> float:
    return round(statistics.median(figures), 3)


def verdicts(rows: Mapping[str, float]) -> list[str]:
    """The targets beside what was seen. They inform: a bench is never a test."""
    call = rows["call_default_us"] / rows["call_none_us"]
    start = rows["start_default_ms"] - rows["start_none_ms"]
    egress = rows["connect_egress_ms"] - rows["connect_direct_ms"]
    return [
        _line("call", f"{rows['call_none_us']:.0f} us bare, {rows['call_default_us']:.0f} confined", call, 1.05, "x"),
        _line(
            "start", f"{rows['start_none_ms']:.0f} ms bare, {rows['start_default_ms']:.0f} confined", start, 20, " ms"
        ),
        _line("egress", "a new connection through the way out, added", egress, 1, " ms"),
        _line("wrap", "ready, with an owner", rows["wrap_ready_ms"], 300, " ms"),
        _line("idle", f"{IDLE_UPSTREAMS} idle upstreams, memory of the gateway", rows["idle_rss_mb"], 200, " MB"),
        _line("idle", "wake-ups a second beyond a gateway without any", rows["idle_wakeups_per_s"], 0.5, ""),
    ]


def _line(row: str, what: str, value: float, bound: float, unit: str) -> str:
    return f"{'meets' if value <= bound else 'misses':<7}{row}: {what}: {value:.2f}{unit} (target <= {bound}{unit})"
