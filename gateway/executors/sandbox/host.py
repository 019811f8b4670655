"""Looking at this machine: what it can enforce, by trying it. `machine.py` has the nouns."""

import asyncio
import contextlib
import os
import platform
import pwd
import resource
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from gateway.errors import Failed
from gateway.executors import process
from gateway.executors.program import Program
from gateway.executors.sandbox.confinement import NOBODY, Confinement, Identity, plan
from gateway.executors.sandbox.machine import Cause, Host, Line, cause_of
from gateway.executors.sandbox.profiles import Profile

__all__ = ["Cause", "Host", "Line", "examine", "probe"]

_START_SECONDS = 10.0
_NEEDED = ("bwrap", "prlimit")
_NEEDED_BY_ROOT = ("unshare", "setpriv", "mount", "env", "sh")
_OPTIONS = ("--args", "--disable-userns", "--json-status-fd", "--block-fd", "--size", "--perms")
_STAGES = tuple(Path(path) for path in ("/mnt", "/media", "/srv", "/opt", "/run"))
_CEILINGS: Mapping[str, int] = {
    "nproc": resource.RLIMIT_NPROC,
    "data": resource.RLIMIT_DATA,
    "nofile": resource.RLIMIT_NOFILE,
    "fsize": resource.RLIMIT_FSIZE,
}


async def probe(path: str | None = None) -> Host:
    """This machine, by one confined start of a program that does nothing. `path` stands for $PATH."""
    host = _looked(os.environ.get("PATH", os.defpath) if path is None else path)
    if host.cause is not None:
        return host
    bwrap = host.programs["bwrap"]
    (_, version), (_, options) = await asyncio.gather(
        process.run([bwrap, "--version"], _START_SECONDS), process.run([bwrap, "--help"], _START_SECONDS)
    )
    host = replace(host, version=version.strip().removeprefix("bubblewrap ")[:40])
    if any(option not in options for option in _OPTIONS):
        return replace(host, cause=Cause.OLD)
    code, said = await _tried(host, ("/usr/bin/env", "true"))
    if code != 0:
        return replace(host, cause=cause_of(said, sysctl=_sysctl()), said=said)
    return replace(host, fixed=await _refuses_planted_links(host))


def _sysctl() -> str:
    """Debian's switch; other kernels have none."""
    try:
        return Path("/proc/sys/kernel/unprivileged_userns_clone").read_text().strip()
    except OSError:
        return "1"


def _looked(path: str) -> Host:
    uid = os.getuid()
    wanted = _NEEDED + (_NEEDED_BY_ROOT if uid == 0 else ())
    found = {name: file for name in wanted if (file := shutil.which(name, path=path)) is not None}
    missing = Cause.MISSING if "bwrap" not in found else Cause.TOOLS if len(found) < len(wanted) else None
    # `hard` is -1 where there is no limit.
    hard = {name: resource.getrlimit(number)[1] for name, number in _CEILINGS.items()}
    return Host(
        uid=uid,
        gid=os.getgid(),
        machine=platform.machine(),
        kernel=platform.release(),
        programs=found,
        cause=missing,
        links={path: os.readlink(path) for path in Profile().runtime_ro if os.path.islink(path)},
        ceilings={name: value for name, value in hard.items() if value >= 0},
        homes=_homes(uid),
        stages=tuple(stage for stage in _STAGES if stage.is_dir() and not stage.is_symlink()),
    )


def _homes(uid: int) -> tuple[Path, ...]:
    homes = [os.environ.get("HOME", "")]
    with contextlib.suppress(KeyError):
        homes.append(pwd.getpwuid(uid).pw_dir)
    found = {path for home in homes if home.startswith("/") for path in (Path(home), Path(os.path.realpath(home)))}
    return tuple(sorted(found - {Path("/")}))


async def _tried(host: Host, argv: tuple[str, ...]) -> tuple[int, str]:
    """Run a program in the shipped profile, with nothing granted."""
    identity = Identity(NOBODY, NOBODY) if host.uid == 0 else None
    try:
        start = plan(Program(argv), Confinement(Profile(), run_as=identity), replace(host, cause=None))
        child = await process.start(start)
    except Failed as problem:
        return process.NOT_STARTED, problem.detail
    except OSError as problem:
        return process.NOT_STARTED, str(problem.strerror)
    try:
        async with asyncio.timeout(_START_SECONDS):
            said, printed = await asyncio.gather(child.stderr.read(), child.stdout.read())
            code = await child.wait()
    except TimeoutError:
        return process.TIMED_OUT, "it did not end"
    finally:
        await child.stop(0)
    return code, (said if code else printed).decode(errors="replace")


async def _refuses_planted_links(host: Host) -> bool:
    """Whether a symlink, planted where a server can write, leads bubblewrap out of the sandbox (CVE-2026-87766)."""
    with _scratch() as scratch:
        ours, outside = scratch / "writable", scratch / "outside"
        for folder in (ours, outside):
            folder.mkdir()
        (ours / "link").symlink_to(Path("/oldroot") / outside.relative_to("/"))
        for folder in (scratch, ours, outside):
            if host.uid == 0:
                os.chown(folder, NOBODY, NOBODY)
        # Without the control, a bubblewrap that fails for another reason would pass for a fixed one.
        control, _ = await process.run(_mounting(host, ours, "/writable/made"), _START_SECONDS)
        planted, _ = await process.run(_mounting(host, ours, "/writable/link/made"), _START_SECONDS)
        return control == 0 and planted != 0 and not (outside / "made").exists()


def _mounting(host: Host, writable: Path, at: str) -> tuple[str, ...]:
    """A command that makes a mount point below a writable folder."""
    identity = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
    return (
        *((host.programs["setpriv"], *identity) if host.uid == 0 else ()),
        *(host.programs["bwrap"], "--unshare-user"),
        *(word for path in Profile().runtime_ro for word in _shown(host, path)),
        *("--bind", str(writable), "/writable", "--ro-bind", "/usr", at, "/usr/bin/env", "true"),
    )


def _shown(host: Host, path: str) -> tuple[str, str, str]:
    link = host.links.get(path)
    return ("--ro-bind-try", path, path) if link is None else ("--symlink", link, path)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bascule-probe-") as folder:
        yield Path(folder)


_DENIED = "import ctypes,os;c=ctypes.CDLL(None,use_errno=True);print(c.unshare(0x10000000),ctypes.get_errno())"
_FORKS = """
import os, time
made = 0
for _ in range(400):
    try:
        pid = os.fork()
    except BlockingIOError:
        break
    if pid == 0:
        time.sleep(60)
    made += 1
print(made)
"""
_NETWORK = """
import os, socket
print(sorted(name for _, name in socket.if_nameindex()))
try:
    socket.create_connection(("192.0.2.1", 9), 1)
    print("connected")
except OSError as problem:
    print(os.strerror(problem.errno) if problem.errno else problem)
"""
_INHERITED = """
import os
held = {}
for name in os.listdir('/proc/self/fd'):
    try:
        held[name] = os.readlink('/proc/self/fd/' + name)
    except OSError:
        pass  # the listing's own
own = {held.get(name) for name in '012'}  # libuv leaves second numbers of these three
foreign = [what for what in held.values() if what not in own and not what.startswith('/proc/')]
print(foreign, repr(open('/proc/1/environ').read()))
"""


async def examine(host: Host) -> Host:
    """The same machine, with the self-tests that take longer: for `doctor`, not for a start."""
    if host.cause is not None:
        return host
    python = shutil.which("python3", path="/usr/bin:/bin")
    lines = [_memory()]
    if python is None:
        lines.append(("self-tests", "warn", "not run: they need /usr/bin/python3", "apt-get install python3"))
        return replace(host, examined=tuple(lines))
    pids = Profile().limits.pids
    answers = [await _tried(host, (python, "-I", "-S", "-c", code)) for code in (_DENIED, _FORKS, _NETWORK, _INHERITED)]
    denied, forks, network, inherited = (said.strip() if code == 0 else f"failed: {said}" for code, said in answers)
    lines += [
        _verdict("seccomp filter", denied, good=denied == "-1 1", evidence="a refused call answers EPERM"),
        _verdict("process limit", forks, good=forks.isdigit() and int(forks) < pids, evidence=f"{forks} of {pids}"),
        _verdict(
            "network", network, good=network == "['lo']\nNetwork is unreachable", evidence="only lo, nothing reachable"
        ),
        _verdict("inheritance", inherited, good=inherited == "[] ''", evidence="no descriptor, no variable of ours"),
        await _dies_with_us(host),
    ]
    return replace(host, examined=tuple(lines))


def _verdict(name: str, found: str, *, good: bool, evidence: str) -> Line:
    if good:
        return name, "ok", evidence, ""
    return name, "fail", f"found instead: {found[:200]}", "report this with the output of bascule doctor"


def _memory() -> Line:
    evidence = "watchdog only: every 50 ms while a server works (RssAnon, RssShmem); no cgroup is used"
    return "memory limit", "ok", evidence, ""


async def _dies_with_us(host: Host) -> Line:
    name = "end with the gateway"
    identity = Identity(NOBODY, NOBODY) if host.uid == 0 else None
    child = await process.start(
        plan(Program(("/usr/bin/env", "sleep", "60")), Confinement(Profile(), run_as=identity), host)
    )
    first = child.sandbox_pid
    assert first is not None
    ended = asyncio.Event()
    loop, ending = asyncio.get_running_loop(), os.pidfd_open(first)
    loop.add_reader(ending, ended.set)
    # As a kill of the gateway ends bubblewrap: by SIGKILL, with nobody left to clean up.
    child.kill("self-test")
    try:
        async with asyncio.timeout(_START_SECONDS):
            await child.wait()
            await ended.wait()
    except TimeoutError:
        return name, "fail", f"process {first} outlived bubblewrap", f"kill -9 {first}"
    finally:
        loop.remove_reader(ending)
        os.close(ending)
        await child.stop(0)
    return name, "ok", "everything in a sandbox ends when bubblewrap is killed", ""
