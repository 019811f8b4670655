"""The sandbox of one stdio server: what it may see and use, as the start of a bubblewrap process.

Not the start itself (process.py), nor what is watched while it runs (watchdog.py).
"""

import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Literal

from gateway.errors import ConfigError, Failed
from gateway.executors.process import Start
from gateway.executors.program import Program
from gateway.executors.sandbox import seccomp
from gateway.executors.sandbox.folders import Mount, covering, judged, laid_out, needed
from gateway.executors.sandbox.machine import Host, cause_of
from gateway.executors.sandbox.profiles import Profile
from gateway.executors.sandbox.rootstart import as_identity
from gateway.model import Code, JsonObject

NOBODY = 65534
_MB = 1 << 20
_HOMES = (Path("/work"), Path("/home/server"), Path("/server"))
"""Where the server's own home is inside: the first that meets nothing else that is mounted."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a server runs as on a gateway that is root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Confinement:
    """What one server may see and use."""

    profile: Profile
    folders: Mapping[Path, Literal["ro", "rw"]] = field(default_factory=dict)
    work: Path | None = None
    """Its persistent home, at `home()` inside; without one its home is /tmp and ends with it."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Its own variables, secrets among them."""
    proxied: bool = False
    """Whether it is given a way out: then it is held until that way is open."""
    run_as: Identity | None = None
    state: Path | None = None
    """The gateway's state folder, which no server is given."""
    guarded: tuple[Path, ...] = ()
    """The operator's own files, which no server may write."""


def identity_for(folders: Mapping[Path, str], run_as: int | str | None) -> Identity | None:
    """Who the server runs as: on a root gateway `run_as`, else the owner of the first writable folder, else nobody.
    None on a gateway that is no root: the server runs as the gateway's own user.

    Raises:
        ConfigError: `run_as` is nobody known, is root, or cannot be met.
        Failed: SANDBOX_UNAVAILABLE, the folder's owner is root.
    """
    named = None if run_as is None else _named(run_as)
    if os.getuid() != 0:
        if named is not None and named.uid != os.getuid():
            raise ConfigError(f"run_as: {run_as} needs a gateway that was started as root; leave it out")
        return None
    if named is not None:
        return named
    writable = next((path for path, mode in folders.items() if mode == "rw"), None)
    if writable is None:
        return Identity(NOBODY, NOBODY)
    try:
        owner = writable.stat()
    except OSError:
        raise ConfigError(f"folders: {writable} does not exist") from None
    if owner.st_uid == 0:
        raise Failed(
            Code.SANDBOX_UNAVAILABLE,
            "the server's folder belongs to root, and no server runs as root",
            detail=f"{writable} belongs to root; fix: set run_as to the user that should own it, "
            f"or chown it to a user that is not root",
        )
    # A folder's group says who else may use it; that may be root, and no server is in root's group.
    return Identity(owner.st_uid, owner.st_gid or NOBODY)


def _named(run_as: int | str) -> Identity:
    try:
        known = pwd.getpwnam(run_as) if isinstance(run_as, str) else pwd.getpwuid(run_as)
        identity = Identity(known.pw_uid, known.pw_gid)
    except KeyError:
        if isinstance(run_as, str):
            raise ConfigError(f"run_as: there is no user {run_as}") from None
        identity = Identity(run_as, run_as)
    if identity.uid == 0 or identity.gid == 0:
        raise ConfigError(f"run_as: {run_as} is root; no server runs as root")
    return identity


def home(mounts: list[Mount], work: Path | None) -> Path:
    """Where the server's home is inside."""
    if work is None:
        return Path("/tmp")  # noqa: S108 - its own, in its own mount namespace
    paths = [mount.path for mount in mounts]
    further = (Path(f"/server{number}") for number in count(2))
    return next(
        place
        for place in chain(_HOMES, further)
        if not any(path == place or place in path.parents or path in place.parents for path in paths)
    )


def plan(program: Program, confinement: Confinement, host: Host) -> Start:
    """The start of the program, confined. Starts nothing and changes nothing.

    Raises:
        Failed: SANDBOX_UNAVAILABLE, with the cause and its fix in the detail.
    """
    if (unavailable := host.unavailable()) is not None:
        raise unavailable
    owner = _owner(confinement, host)
    mounts, at, weaker = _mounts(program, confinement, host)
    sources, prefix = [str(mount.source) for mount in mounts if mount.mode != "empty"], tuple[str, ...]()
    if host.uid == 0:
        sources, prefix = as_identity(host, sources, owner.uid, owner.gid)
    arguments = (
        *_namespaces(confinement),
        *_files(),
        *_variables(program, confinement, at),
        *_system(confinement.profile, host),
        *_bound(mounts, sources),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(at)),
    )
    command = (host.programs["bwrap"], "--args", "{fd:arguments}", "--", *_limited(confinement.profile, host))
    return Start(
        argv=(*prefix, *command, *program.argv),
        contents={
            "filter": seccomp.filter_bytes(confinement.profile.extra_deny, host.machine),
            "passwd": f"server:x:{owner.uid}:{owner.gid}::{at}:/bin/sh\n".encode(),
            "group": f"server:x:{owner.gid}:\n".encode(),
            "hosts": b"127.0.0.1 localhost\n::1 localhost\n",
            "arguments": _joined(arguments),
        },
        evidence=_evidence(confinement, host, owner, weaker),
        sandboxed=True,
        held=confinement.proxied,
    )


def _mounts(program: Program, confinement: Confinement, host: Host) -> tuple[list[Mount], Path, list[str]]:
    system = [Path(path) for path in confinement.profile.runtime_ro]
    prlimit = Path(host.programs["prlimit"])
    if not any(path in prlimit.parents for path in system):
        raise _misconfigured(
            f"the profile's runtime_ro lacks {prlimit.parent}, where prlimit is, which sets the limits"
        )
    try:
        granted = judged(confinement.folders, host.homes, confinement.state, confinement.guarded)
        runtime = needed(program.runtime, system, host.homes)
        runtime += covering(runtime, confinement.state, by_other=host.uid == 0)
        mounts, weaker = laid_out(runtime, granted, fixed=host.fixed)
    except ConfigError as problem:
        raise _misconfigured(problem.problem) from None
    at = home(mounts, confinement.work)
    if confinement.work is not None:
        mounts.append(Mount(at, "rw", Path(os.path.realpath(confinement.work))))
    return mounts, at, weaker


def _misconfigured(detail: str) -> Failed:
    return Failed(Code.SANDBOX_UNAVAILABLE, "the server cannot be confined as it is configured", detail=detail)


def _joined(arguments: Sequence[str]) -> bytes:
    # A zero byte within one would make several of it: options of the caller's choice.
    if any("\0" in part for part in arguments):
        raise _misconfigured("a path or a variable holds a zero byte")
    return b"".join(os.fsencode(part) + b"\0" for part in arguments)


def _owner(confinement: Confinement, host: Host) -> Identity:
    wanted = confinement.run_as
    if host.uid == 0:
        if wanted is None or wanted.uid == 0 or wanted.gid == 0:
            raise Failed(
                Code.SANDBOX_UNAVAILABLE,
                "no server runs as root",
                detail="the gateway runs as root and the server has no user of its own; fix: set run_as",
            )
        return wanted
    if wanted is not None and wanted.uid != host.uid:
        raise Failed(
            Code.SANDBOX_UNAVAILABLE,
            "the server cannot run as the user it is given",
            detail=f"run_as uid {wanted.uid} needs a gateway that was started as root; fix: leave run_as out",
        )
    return Identity(host.uid, host.gid)


def _namespaces(confinement: Confinement) -> tuple[str, ...]:
    return (
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"),
        *("--unshare-net", "--die-with-parent", "--disable-userns", "--new-session", "--cap-drop", "ALL"),
        *("--hostname", confinement.profile.hostname, "--clearenv"),
        *("--json-status-fd", "{fd:status}", "--seccomp", "{fd:filter}"),
        *(("--block-fd", "{fd:gate}") if confinement.proxied else ()),
    )


def _files() -> tuple[str, ...]:
    """A user with a name and a host with an address: programs ask for both, and neither is the host's."""
    names = ("passwd", "group", "hosts")
    return tuple(part for name in names for part in ("--perms", "0444", "--file", f"{{fd:{name}}}", f"/etc/{name}"))


def _variables(program: Program, confinement: Confinement, at: Path) -> tuple[str, ...]:
    ours = {"HOME": str(at), "TMPDIR": "/tmp", "USER": "server", "LOGNAME": "server"}  # noqa: S108 - its own
    variables = {**ours, **confinement.profile.env, **program.env, **confinement.env}
    if wrong := [name for name in variables if not name or "=" in name]:
        raise _misconfigured(f"{wrong[0]!r} is not the name of a variable")
    return tuple(part for name, value in variables.items() for part in ("--setenv", name, value))


def _system(profile: Profile, host: Host) -> tuple[str, ...]:
    seen: list[str] = []
    for path in profile.runtime_ro:
        link = host.links.get(path)
        seen += ("--symlink", link, path) if link is not None else ("--ro-bind-try", path, path)
    return (
        *seen,
        # Root's own settings of the kernel would be writable through a fresh /proc to a uid that is root's elsewhere.
        *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"),
        *("--size", str(profile.shm_mb * _MB), "--perms", "1777", "--tmpfs", "/dev/shm"),  # noqa: S108
        *("--size", str(profile.tmp_mb * _MB), "--perms", "1777", "--tmpfs", "/tmp"),  # noqa: S108
    )


def _bound(mounts: Sequence[Mount], sources: Sequence[str]) -> list[str]:
    """`sources` are where those that are not empty are found."""
    found, words = iter(sources), list[str]()
    for mount in mounts:
        if mount.mode == "empty":
            words += ("--perms", "0755", "--tmpfs", str(mount.path))
        else:
            words += ("--ro-bind" if mount.mode == "ro" else "--bind", next(found), str(mount.path))
    # Only now: what lies in an empty one had to be mounted there first.
    covers = [str(mount.path) for mount in mounts if mount.mode == "empty"]
    return [*words, *(word for path in covers for word in ("--remount-ro", path))]


def _limited(profile: Profile, host: Host) -> tuple[str, ...]:
    """Inside, where RLIMIT_NPROC counts this sandbox alone, and is enforced."""
    limits = profile.limits
    wanted = {
        "nproc": limits.pids,
        "data": limits.data_mb * _MB,
        "nofile": limits.nofile,
        "fsize": limits.fsize_mb * _MB,
        "core": 0,
    }
    values = {name: min(value, host.ceilings.get(name, value)) for name, value in wanted.items()}
    return (host.programs["prlimit"], *(f"--{name}={value}:{value}" for name, value in values.items()), "--")


def _evidence(confinement: Confinement, host: Host, owner: Identity, weaker: list[str]) -> JsonObject:
    return {
        "sandbox": "bubblewrap",
        "profile": confinement.profile.digest,
        "filter": seccomp.digest(confinement.profile.extra_deny, host.machine),
        "bubblewrap": f"{host.version} {'fixed' if host.fixed else 'legacy'}",
        "uid": owner.uid,
        "network": "allow-list" if confinement.proxied else "none",
        "limits": "rlimits, watchdog",
        "weaker": weaker,
    }


def failure(said: str) -> Failed:
    """What to say when bubblewrap ended before the program was run: the operator's detail from its last words."""
    lines = [line for line in said.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("bwrap:", "mount:", "unshare:", "setpriv:"))]
    last = (told or lines or ["it said nothing"])[-1]
    return Failed(
        Code.SANDBOX_UNAVAILABLE,
        "the sandbox could not be made",
        detail=f"{cause_of(said)}: {last[-300:]}",
    )


def settle_work(work: Path, owner: Identity | None) -> None:
    """Make the server's home, and give it to whom it runs as. Only ever one of our own folders."""
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    if owner is None or work.stat().st_uid == owner.uid:
        return
    # By descriptor and without following: what lies here was written by a server.
    for _, folders, files, at in os.fwalk(work, follow_symlinks=False):
        for name in (*folders, *files):
            os.chown(name, owner.uid, owner.gid, dir_fd=at, follow_symlinks=False)
    os.chown(work, owner.uid, owner.gid)
