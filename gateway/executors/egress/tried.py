"""Which files a server asked for: read from its settings, from what it said went wrong, and from a trace. Pure.

Not complete, and it cannot be: a server that swallows its errors says nothing, and a trace needs strace. What is found
here is put to a person as a question, never granted.
"""

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from gateway.executors.process import Start

Access = Literal["ro", "rw"]
Tried = Mapping[str, Access]
"""Absolute paths, and what was wanted of them."""
LINES = 2000
LONGEST = 4096
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/sys", "/dev")
INSIDE = (*SYSTEM, "/tmp", "/run", "/work", "/etc")  # noqa: S108
"""What a sandbox has of its own, or never has of the host: looking there is no reason to grant it."""
_TRACED = re.compile(
    r"^(?:\[pid +\d+\] |\d+ +)?(?P<call>\w+)\((?:[A-Za-z0-9_]+(?:<[^>]*>)?, )?"
    r'"(?P<path>/(?:[^"\\]|\\.)*)"(?P<rest>.*)\) += -1 (?P<error>E[A-Z]+)'
)
_DENIED = frozenset({"ENOENT", "EACCES", "EROFS", "EPERM"})
_WRITES = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "W_OK")
_WRITING = frozenset(
    {"mkdir", "mkdirat", "creat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "symlink", "truncate"}
)
_QUOTED = re.compile(r"""(['"`])(/(?:(?!\1)[^\n\\]|\\.){1,1024}?)\1""")
_BARE = re.compile(r"(?<![\w./:'\"`])(/[\w.@+~-]+(?:/[\w.@+~-]+)*)")
_COMPLAINT = re.compile(
    r"ENOENT|EACCES|EROFS|EPERM|no such file|not found|does not exist|permission denied|read-only|"
    r"cannot (?:open|access|read|stat)",
    re.IGNORECASE,
)
_WRITE_COMPLAINT = re.compile(r"EROFS|read-only|mkdir|cannot write", re.IGNORECASE)


def traced(start: Start, into: Path) -> Start:
    """The same start under strace, which writes every refused access to a file into `into`. Only for learning: it makes
    each call of the system slower, and it stands outside of the sandbox, so nothing of it is inside."""
    argv = ("strace", "-f", "-qq", "-s", "4096", "-e", "trace=%file", "-e", "signal=none", "-Z", "-o", str(into), "--")
    return replace(start, argv=(*argv, *start.argv))


def read_trace(lines: Iterable[str]) -> Tried:
    """What a trace shows to have been refused."""
    found: dict[str, Access] = {}
    for line in lines:
        match = _TRACED.match(line)
        if match is None or match["error"] not in _DENIED:
            continue
        path = codecs.escape_decode(match["path"].encode())[0].decode(errors="surrogateescape")
        writes = match["call"] in _WRITING or any(flag in match["rest"] for flag in _WRITES)
        _want(found, path, "rw" if writes else "ro")
    return found


def read_texts(texts: Iterable[str]) -> Tried:
    """Paths in what a server said, where it complains about them: its stderr, its error answers."""
    found: dict[str, Access] = {}
    for text in texts:
        for line in text.splitlines()[:LINES]:
            line = line[:LONGEST]  # noqa: PLW2901 - a hostile server's line costs its square
            if not _COMPLAINT.search(line):
                continue
            access: Access = "rw" if _WRITE_COMPLAINT.search(line) else "ro"
            for path in (*(match[2] for match in _QUOTED.finditer(line)), *_BARE.findall(line)):
                _want(found, path, access)
    return found


def named(args: Sequence[str], env: Mapping[str, str]) -> Tried:
    """Absolute paths in the arguments and the environment a server is configured with: `/a`, `--dir=/a`, `/a:/b`,
    `file:///a`."""
    found: dict[str, Access] = {}
    for text in (*args, *env.values()):
        parts = [text] if "://" in text else re.split(r"[=:,;]", text)
        for part in parts:
            path = unquote(urlsplit(part).path) if part.startswith("file://") else part
            if path.startswith("/") and "\0" not in path:
                _want(found, path, "ro")
    return found


def _want(found: dict[str, Access], path: str, access: Access) -> None:
    path = str(PurePosixPath(path))
    if ".." not in PurePosixPath(path).parts:
        found[path] = "rw" if "rw" in {access, found.get(path)} else "ro"


def folder_of(path: str, home: str) -> str:
    """What to grant for a file: the folder that holds it (a database writes beside its file), but the file alone where
    that folder would be a whole home or a top of the tree."""
    parent = PurePosixPath(path).parent
    wide = len(parent.parts) <= 2 or parent == PurePosixPath(home) or parent.parent == PurePosixPath("/home")
    return path if wide else str(parent)


def covers(folder: str, path: str) -> bool:
    """Whether a path is the folder or below it."""
    return PurePosixPath(path).is_relative_to(folder)
