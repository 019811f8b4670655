"""Which folders of this machine a server is given, read from its arguments and its environment; and which never.

Only what is there: a path that is not, or that is relative, is said and not granted.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = tuple(
    Path(path)
    for path in ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr")
)
_WHOLE = tuple(Path(path) for path in ("/", "/home", "/mnt", "/media", "/opt", "/var", "/Users"))
"""Not to be given whole; what is below may be."""
_PRIVATE = (
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store", ".mozilla", ".pki"),
    *(".local", ".config", ".cache", ".npm", ".claude", ".cursor", ".vscode", "Library", "AppData"),
)
"""Of the home folder: keys, sessions, and what other programs start from."""


@dataclass(frozen=True, slots=True)
class Grants:
    """What a server's words name."""

    folders: Mapping[str, str]
    """To grant, with the right."""
    refused: tuple[tuple[str, str], ...] = ()
    """A path and why it is not granted."""
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is never granted on this machine."""

    home: Path
    own: Sequence[Path]
    """What holds Bascule's own files."""
    as_root: bool = False
    """The gateway is root, and its servers run as whoever owns what they write: never as root."""

    def forbids(self, folder: Path) -> str | None:
        """Why a folder is not granted; None where it may be."""
        for path in {folder, folder.resolve()}:
            if path in _WHOLE or path == self.home or self.home.is_relative_to(path):
                return "is too much to give: name the folders below that are needed"
            if any(path.is_relative_to(kept) for kept in _SYSTEM if not self.home.is_relative_to(kept)):
                return "belongs to the system"
            if any(path.is_relative_to(self.home / name) for name in _PRIVATE):
                return "holds keys or settings of other programs"
            if any(path.is_relative_to(kept) or kept.is_relative_to(path) for kept in self.own):
                return "holds Bascule's own files"
        return None

    def _right(self, folder: Path) -> str:
        return "ro" if self.as_root and folder.stat().st_uid == 0 else "rw"

    def grants(self, args: Sequence[str], env: Mapping[str, str]) -> Grants:
        """What the arguments and the environment of a server name."""
        folders: dict[str, str] = {}
        refused: list[tuple[str, str]] = []
        hints: list[str] = []
        for word, from_args in [*((word, True) for word in _paths(args)), *((word, False) for word in env.values())]:
            folder, there = _folder(word)
            if folder is None:
                if from_args and word.startswith(("./", "../", "~/")):
                    hints.append(f"{word} is a relative path: it is not granted, and no folder is current")
                continue
            if why := self.forbids(folder):
                if from_args and there:
                    refused.append((str(folder), why))
                else:
                    hints.append(f"it names {word}; {folder} {why}: not granted")
                continue
            folders[str(folder)] = self._right(folder)
            if folders[str(folder)] == "ro":
                hints.append(f"{folder} belongs to root, and no server runs as root: it is given to read only")
        return Grants(_outermost(folders), tuple(refused), tuple(hints))


def _paths(args: Iterable[str]) -> list[str]:
    """The words that may be paths, also behind `--option=`."""
    return [arg.partition("=")[2] if arg.startswith("-") and "=" in arg else arg for arg in args]


def _folder(word: str) -> tuple[Path | None, bool]:
    """The folder a word names, or the one its file lies in; and whether it is there: a database may not be made yet,
    and is known by its ending."""
    if not word.startswith("/") or "\0" in word:
        return None, False
    path = Path(os.path.normpath(word))
    try:
        if path.is_dir():
            return path, True
        if path.is_file():
            return path.parent, True
        return (path.parent if path.suffix and path.parent.is_dir() else None), False
    except OSError:
        return None, False


def _outermost(folders: Mapping[str, str]) -> dict[str, str]:
    """Without those that lie below another."""
    return {
        path: right
        for path, right in folders.items()
        if not any(path != other and Path(path).is_relative_to(other) for other in folders)
    }
