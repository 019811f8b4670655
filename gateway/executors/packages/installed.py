"""What is pinned and installed for one upstream: its lock, and whether the files are still those that were installed.

Not how it is resolved or installed: that is npm and pypi.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import rfc8785

from gateway.errors import ConfigError
from gateway.model import JsonObject

_FORMAT = 1
_SEAL = "installed.json"
_SKIPPED_MODES = stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True, slots=True)
class Pinned:
    """What one upstream's command was resolved to."""

    spec: str
    """What was asked: `npm:@scope/name@latest`, `pypi:mcp-server-git`. Another one resolves anew."""
    version: str
    """What that is: `npm:@scope/name@1.2.3`."""
    digest: str
    """`sha256:…` over every package's version and integrity."""
    packages: int
    lock: str
    """The lock file's text."""
    scripts: tuple[str, ...] = ()
    """What runs code of its own while it is installed; empty unless `allow_build`."""
    python: str = ""
    """The Python it was resolved for, `3.11`."""

    @property
    def folder(self) -> str:
        """The name of the folder it is installed in."""
        return self.digest.removeprefix("sha256:")[:32]


def digest_of(locked: Any) -> str:
    """The digest of what a lock pins, the same for any order and spelling of its file."""
    return f"sha256:{hashlib.sha256(rfc8785.dumps(locked)).hexdigest()}"


def read_pin(file: Path) -> Pinned | None:
    """What is pinned; None where nothing is.

    Raises:
        ConfigError: the file is damaged. Nothing is resolved anew in silence: a pin is a decision.
    """
    try:
        value = json.loads(file.read_bytes())
        if value.pop("format") != _FORMAT:
            raise ValueError("another format")
        known: JsonObject = {field.name: value[field.name] for field in fields(Pinned)}
        return Pinned(**known | {"scripts": tuple(known["scripts"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            "what is pinned here cannot be read: remove the file to resolve anew", file=str(file)
        ) from error


def write_pin(file: Path, pinned: Pinned) -> None:
    """Replace what is pinned, whole or not at all."""
    partial = file.with_suffix(".new")
    with partial.open("w") as out:
        json.dump({"format": _FORMAT} | asdict(pinned), out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)


def seal(folder: Path) -> None:
    """Make an installation readable by the uid that tools run as, writable by nobody else, and note what it holds."""
    folder.chmod(0o755)
    for entry in _entries(folder):
        if not entry.is_symlink():
            mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode) & ~_SKIPPED_MODES
            runs = 0o111 if entry.is_dir() or mode & 0o100 else 0
            os.chmod(entry.path, mode | 0o444 | runs)
    contents = {"quick": _quick(folder), "full": _full(folder)}
    (folder / _SEAL).write_text(json.dumps(contents))
    (folder / _SEAL).chmod(0o644)


def is_intact(folder: Path, *, full: bool) -> bool:
    """Whether an installation holds what was installed: paths, sizes and times; with `full` every byte."""
    try:
        noted = json.loads((folder / _SEAL).read_bytes())
        return bool(_quick(folder) == noted["quick"] and (not full or _full(folder) == noted["full"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _entries(folder: Path | str) -> Iterator["os.DirEntry[str]"]:
    """Everything below a folder but the seal, each folder before what it holds."""
    with os.scandir(folder) as listing:
        found = sorted(listing, key=lambda entry: entry.name)
    for entry in found:
        if entry.name != _SEAL:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)


def _quick(folder: Path) -> str:
    total = hashlib.sha256()
    start = len(str(folder)) + 1
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            continue
        seen = entry.stat(follow_symlinks=False)
        target = os.readlink(entry.path) if entry.is_symlink() else ""
        time = 0 if target else seen.st_mtime_ns
        total.update(f"{entry.path[start:]}\0{seen.st_mode}\0{seen.st_size}\0{time}\0{target}\0".encode())
    return total.hexdigest()


def _full(folder: Path) -> str:
    total = hashlib.sha256()
    start = len(str(folder)) + 1
    for entry in _entries(folder):
        if entry.is_file(follow_symlinks=False):
            with Path(entry.path).open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(f"{entry.path[start:]}\0{content}\0".encode())
    return total.hexdigest()
