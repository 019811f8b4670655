"""The paths under test, one row each: how each is started, and where the load finds it."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path as Folder

from bench.governed import governed
from bench.load import Target
from bench.measure import Path
from bench.processes import LOAD, ROOT, UNDER_TEST, serving

FLOOR = "minimal-proxy"
FASTMCP = ROOT / ".venv-fastmcp" / "bin" / "python"
FEW, MANY = 10, 10_000
Start = Callable[[contextlib.AsyncExitStack, str, Folder], Awaitable[Path]]


@contextlib.asynccontextmanager
async def started(state: Folder, say: Callable[[str], None], wanted: tuple[str, ...] = ()) -> AsyncIterator[list[Path]]:
    """Every path that can run here, side by side, in front of one echo. Says which are left out, and why."""
    async with contextlib.AsyncExitStack() as stack:
        port, pid = await stack.enter_async_context(echoing(FEW))
        running = [Path("direct", Target(port), pid)]
        for name, start in STARTS.items():
            if wanted and name not in wanted:
                continue
            if missing := lacking(name):
                say(f"left out: {name} ({missing})")
                continue
            running.append(await start(stack, f"http://127.0.0.1:{port}/mcp", state))
        yield running


def echoing(tools: int) -> contextlib.AbstractAsyncContextManager[tuple[int, int]]:
    """An echo with that many tools, on the core of the load generator."""
    return serving("bench.servers.echo", "--tools", str(tools), core=LOAD)


def lacking(name: str) -> str:
    """What a path needs and this checkout does not have."""
    if name.startswith("fastmcp") and not FASTMCP.exists():
        return f"no {FASTMCP.relative_to(ROOT)}: `make test` makes it"
    if name == "bascule-full" and find_spec("gateway.app") is None:
        return "no gateway.app in this checkout"
    return ""


def plain(name: str, module: str, *options: str, python: str = "") -> tuple[str, Start]:
    """A proxy of `bench.servers`."""

    async def start(stack: contextlib.AsyncExitStack, upstream: str, _: Folder) -> Path:
        extra = {"python": python} if python else {}
        command = serving(f"bench.servers.{module}", "--upstream", upstream, *options, core=UNDER_TEST, **extra)
        port, pid = await stack.enter_async_context(command)
        return Path(name, Target(port), pid)

    return name, start


async def bare(stack: contextlib.AsyncExitStack, upstream: str, _: Folder) -> Path:
    """The gateway's transport and executor with nothing in between."""
    token = secrets.token_urlsafe(32)
    command = serving("bench.servers.bascule_bare", "--upstream", upstream, "--token", token, core=UNDER_TEST)
    port, pid = await stack.enter_async_context(command)
    return Path("bascule-bare", Target(port, "/mcp/echo", token), pid)


async def full(stack: contextlib.AsyncExitStack, upstream: str, state: Folder, name: str = "bascule-full") -> Path:
    """The gateway as an operator runs it."""
    gateway = await stack.enter_async_context(governed(state / name, upstream, UNDER_TEST))
    return Path(name, Target(gateway.port, "/mcp/echo", gateway.token), gateway.pid)


STARTS: dict[str, Start] = dict(
    [
        plain(FLOOR, "minimal_proxy"),
        plain("minimal-proxy-pyreqwest", "minimal_pyreqwest"),
        ("bascule-bare", bare),
        ("bascule-full", full),
        plain("fastmcp-proxy", "fastmcp_proxy", python=str(FASTMCP)),
        plain("fastmcp-proxy-shared", "fastmcp_proxy", "--shared", python=str(FASTMCP)),
    ]
)
