"""Granted folders: which may be granted at all, and what is mounted for them in which order.

Not whether a path may be an argument of a call: that is the validators' and the policies'.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.errors import ConfigError

Mode = Literal["ro", "rw", "empty"]

_KERNEL = tuple(Path(path) for path in ("/proc", "/sys", "/dev"))
"""Never, nor anything below."""
_SYSTEM = tuple(
    Path(path) for path in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/boot")
)
"""Nothing in them is ever writable."""
_WHOLE = (*_SYSTEM, Path("/"), Path("/home"), Path("/root"), Path("/run"), Path("/var"), Path("/var/run"))
"""Never whole: secrets, sockets, or other people's files lie in them."""
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - refused, not used
_PRIVATE = (".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".config", ".local", ".mozilla", ".password-store")
"""Names below a home that hold credentials."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One folder or file of the host, at the same path inside; an `empty` one covers what would be seen there."""

    path: Path
    mode: Mode
    source: Path
    """Where it really is, symlinks resolved when it was judged: what is checked is what is mounted."""


def judged(
    folders: Mapping[Path, str], homes: Iterable[Path], state: Path | None, guarded: Iterable[Path] = ()
) -> list[Mount]:
    """The folders as mounts. Looks at the disk only to resolve symlinks. `guarded` are the operator's own files, which
    say what a server may: none may write them.

    Raises:
        ConfigError: one of them may not be granted, or is not there; with what would be right.
    """
    homes, guarded = tuple(homes), tuple(Path(os.path.realpath(one)) for one in guarded)
    mounts = [_judged(path, mode, homes, state) for path, mode in folders.items()]
    for mount in mounts:
        if mount.mode == "rw" and (own := next((one for one in guarded if _meet(mount.source, one)), None)):
            raise ConfigError(
                f"folders: {mount.path} is rw and holds, or is in, {own}, which says what servers may; "
                "grant it ro, or grant another folder"
            )
    return mounts


def _judged(path: Path, mode: str, homes: tuple[Path, ...], state: Path | None) -> Mount:
    if not path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"folders: {path} should be an absolute path without ..")
    if mode not in {"ro", "rw"}:
        raise ConfigError(f"folders: {path}: should be ro or rw, not {mode!r}")
    source = Path(os.path.realpath(path))
    for place in {path, source}:
        if problem := _problem(place, mode, homes):
            raise ConfigError(f"folders: {path} {problem}")
    if state is not None and _meet(source, Path(os.path.realpath(state))):
        raise ConfigError(f"folders: {path} holds or is in the gateway's own state folder; grant another folder")
    if not source.exists():
        raise ConfigError(f"folders: {path} does not exist")
    return Mount(path, "rw" if mode == "rw" else "ro", source)


def _problem(path: Path, mode: str, homes: tuple[Path, ...]) -> str:
    if any(path == place or place in path.parents for place in _KERNEL):
        return "is the kernel's own; no server is given that"
    if path in _WHOLE or path in _TEMPORARY:
        return "holds far more than one server should see; grant a folder in it"
    if path.parent == Path("/home") or any(path == home or path in home.parents for home in homes):
        return "is a whole home, with the keys and tokens in it; grant a folder in it"
    if mode == "rw" and any(place in path.parents for place in _SYSTEM):
        return "is part of the system and cannot be rw; grant it ro"
    return ""


def _meet(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def warnings(folders: Mapping[Path, str], homes: Iterable[Path]) -> list[str]:
    """What the operator should know about folders that are granted all the same."""
    return [
        f"folders: {path} is where programs keep credentials: the server can read them"
        for path in folders
        for home in homes
        if home in path.parents and path.relative_to(home).parts[0] in _PRIVATE
    ]


def needed(runtime: Iterable[Path], system: Iterable[Path], homes: Iterable[Path]) -> list[Mount]:
    """What a program needs beyond what every server sees, as mounts.

    Raises:
        ConfigError: it would need more than a runtime may be.
    """
    system, homes = tuple(system), tuple(homes)
    mounts = []
    for path in runtime:
        if any(path == place or place in path.parents for place in system):
            continue
        plain = path.is_absolute() and ".." not in path.parts
        if problem := _problem(path, "ro", homes) if plain else "should be an absolute path without ..":
            raise ConfigError(f"the program's runtime {path} {problem}")
        mounts.append(Mount(path, "ro", Path(os.path.realpath(path))))
    return mounts


def covering(mounts: Iterable[Mount], state: Path | None, *, by_other: bool) -> list[Mount]:
    """What covers the gateway's state folder where a runtime would show it: a project may hold both.

    `by_other`: another user makes the mounts, and can make none below a folder that is closed to it; so the outermost
    such folder above the state is covered instead.
    """
    if state is None:
        return []
    hidden = Path(os.path.realpath(state))
    covers = []
    for mount in mounts:
        if mount.source == hidden or mount.source in hidden.parents:
            place = _outermost_closed(mount.source, hidden) if by_other else hidden
            covers.append(Mount(mount.path / place.relative_to(mount.source), "empty", place))
    return covers


def _outermost_closed(top: Path, state: Path) -> Path:
    below = [path for path in (*reversed(state.parents), state) if top in path.parents]
    return next((path for path in below if path.exists() and not path.stat().st_mode & 0o001), state)


def laid_out(runtime: Iterable[Mount], granted: Iterable[Mount], *, fixed: bool) -> tuple[list[Mount], list[str]]:
    """What is mounted, outer before inner and nothing twice, and what is weaker for it.

    Bubblewrap before the fix of CVE-2026-87766 must not make a mount point below a folder that a server writes to: it
    may have planted a symlink there, through which bubblewrap would then write to the host.

    Raises:
        ConfigError: a read-only folder inside a writable one, which only a fixed bubblewrap can keep apart.
    """
    granted = tuple(granted)
    named = {mount.path: mount for mount in (*runtime, *granted)}
    of_granted = {mount.path for mount in granted}
    kept: dict[Path, Mount] = {}
    weaker: list[str] = []
    for path in sorted(named, key=lambda path: path.parts):
        mount = named[path]
        outer = next((kept[parent] for parent in path.parents if parent in kept), None)
        if outer is not None and outer.mode == mount.mode and outer.source in mount.source.parents:
            continue
        if outer is not None and outer.mode == "rw" and not fixed:
            if path in of_granted:
                raise ConfigError(
                    f"folders: {path} lies inside {outer.path}, which is rw: this bubblewrap cannot keep them apart; "
                    "install bubblewrap 0.12 or newer, or grant folders that do not overlap"
                )
            weaker.append("part of the runtime lies inside a writable folder and is writable too")
            continue
        kept[path] = mount
    return list(kept.values()), sorted(set(weaker))
