"""Running a program inside a real sandbox, as root for another user and as a plain user, and what it is to attack."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.executors import process
from gateway.executors.process import Child, Start
from gateway.executors.program import Program
from gateway.executors.sandbox.confinement import NOBODY, Confinement, Identity, plan
from gateway.executors.sandbox.host import Host, probe
from gateway.executors.sandbox.profiles import Profile, load_profile
from gateway.executors.sandbox.syscalls import LAST, NUMBERS
from gateway.executors.sandbox.watchdog import Watchdog
from tests.sandbox.attacks import PRELUDE

PYTHON = "/usr/bin/python3"
AS = ["root", "user"] if os.getuid() == 0 else ["user"]
"""Whom the suite can be: root starts every sandbox in both ways."""
SHIPPED = Path(__file__).resolve().parents[2] / "sandboxes"
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a confined program ended."""

    code: int
    out: str
    err: str
    violation: str
    sandbox_failed: bool


_known: list[Host] = []


async def host_as(who: str) -> Host:
    """This machine for root, or for a plain user; the test fails where there is no sandbox."""
    if shutil.which("bwrap") is None:
        pytest.fail("these tests need bubblewrap: apt-get install bubblewrap")
    if not _known:
        _known.append(await probe())
    if (unavailable := _known[0].unavailable()) is not None:
        pytest.fail(f"these tests need a sandbox: {unavailable.detail}")
    plain = who == "user" and os.getuid() == 0
    return replace(_known[0], uid=NOBODY, gid=NOBODY) if plain else _known[0]


def identity(who: str) -> Identity | None:
    return Identity(NOBODY, NOBODY) if who == "root" else None


def started_as(start: Start, who: str) -> Start:
    """As a plain user would start it, also when the suite is root."""
    if who == "root" or os.getuid() != 0:
        return start
    became = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
    return replace(start, argv=(str(shutil.which(became[0])), *became[1:], *start.argv))


def own(path: Path) -> Path:
    """A folder of the test that belongs to whom the sandbox runs as."""
    path.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    return path


def profile(**limits: int) -> Profile:
    """The shipped profile; with smaller limits, so that reaching them costs little."""
    shipped = load_profile("default", [SHIPPED])
    sizes: dict[str, Any] = {name: limits.pop(name) for name in ("work_mb", "tmp_mb") if name in limits}
    return shipped.model_copy(update=sizes | {"limits": shipped.limits.model_copy(update=limits)})


@contextlib.asynccontextmanager
async def running(program: Program, confinement: Confinement, who: str = "user") -> AsyncIterator[Child]:
    """The program, started, watched, and stopped in the end."""
    start = plan(program, replace(confinement, run_as=identity(who)), await host_as(who))
    child = await process.start(started_as(start, who))
    watch = Watchdog(child, confinement.profile, confinement.work)
    child.watch = watch
    child.on_end.append(watch.close)
    try:
        yield child
    finally:
        await child.stop(0)


async def run_inside(
    program: Program, confinement: Confinement, who: str = "user", *, given: bytes = b"", timeout_s: float = SECONDS
) -> Ran:
    """Run it to its end, working all the while."""
    async with running(program, confinement, who) as child:
        with child.working():
            child.stdin.write(given)
            child.stdin.close()
            async with asyncio.timeout(timeout_s):
                out, err = await asyncio.gather(child.stdout.read(), child.stderr.read())
                code = await child.wait()
        return Ran(
            code, out.decode(errors="replace"), err.decode(errors="replace"), child.violation, child.sandbox_failed
        )


def attack(source: str, targets: Mapping[str, Any]) -> Program:
    """A program that tries something."""
    numbers = {**NUMBERS[os.uname().machine], "futex_requeue_and_more": LAST + 1}
    given = json.dumps({**targets, "numbers": numbers})
    return Program((PYTHON, "-I", "-S", "-c", PRELUDE + source, given))


@dataclass(frozen=True, slots=True)
class Targets:
    """What stands on the host for an attack to reach: all of it open to the sandbox's user but for the sandbox."""

    folder: Path
    confinement: Confinement
    given: Mapping[str, Any]
    datagrams: socket.socket
    bystander: Child = field(repr=False)


def _listeners(folder: Path, stack: contextlib.ExitStack) -> dict[str, Any]:
    tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    named = stack.enter_context(socket.socket(socket.AF_UNIX))
    named.bind(str(folder / "socket"))
    named.listen()
    (folder / "socket").chmod(0o777)
    hidden = stack.enter_context(socket.socket(socket.AF_UNIX))
    abstract = f"bascule-{folder.name}-{os.getpid()}"
    hidden.bind(f"\0{abstract}")
    hidden.listen()
    return {"tcp": tcp.getsockname()[1], "abstract": abstract, "socket": str(folder / "socket")}


@contextlib.asynccontextmanager
async def targets(folder: Path, who: str) -> AsyncIterator[Targets]:
    """Set them out, and take them away again."""
    open_up(folder)
    names = {name: own(folder / name) for name in ("home", "rw", "ro", "outside", "work")}
    for file in (folder / "home" / "key", folder / "ro" / "file"):
        file.write_text("canary-of-a-file")
        if os.getuid() == 0:
            os.chown(file, NOBODY, NOBODY)
    with contextlib.ExitStack() as stack:
        found = _listeners(folder, stack)
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", 0))
        datagrams.setblocking(False)
        leak = stack.enter_context((folder / "home" / "key").open("rb"))
        os.set_inheritable(leak.fileno(), True)
        token = f"86400.{os.getpid()}"
        sleeping = Start(("/usr/bin/sleep", token), env={"SECRET": "canary-of-a-process"})
        bystander = await process.start(started_as(sleeping, "user"))
        given = {
            **found,
            **{name: str(path) for name, path in names.items()},
            "secret": str(folder / "home" / "key"),
            "siblings": ["rw", "ro"],
            # Backwards: or the attack would find them in its own arguments.
            "canary": "canary-of-a-process"[::-1],
            "token": token[::-1],
            "pid": bystander.pid,
            "udp": datagrams.getsockname()[1],
            "shm": 0x0BA5C1E,
        }
        granted: dict[Path, Literal["ro", "rw"]] = {folder / "rw": "rw", folder / "ro": "ro"}
        confined = Confinement(profile(), granted, work=folder / "work")
        try:
            yield Targets(folder, confined, given, datagrams, bystander)
        finally:
            await bystander.stop(0)


def open_up(folder: Path) -> None:
    """Let everybody pass through to it: the sandbox is to stop an attack, not the modes of pytest's folders."""
    for parent in (folder, *folder.parents):
        if parent == Path("/tmp") or parent.stat().st_uid != os.getuid():
            return
        parent.chmod(parent.stat().st_mode | 0o055)


@contextlib.contextmanager
def survivors(token: str) -> Iterator[None]:
    """Afterwards no process of the host has that word in its command."""
    yield
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and token in command(pid)]
    assert left == []


def command(pid: object) -> str:
    """The argument list that everybody on the host can read."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
