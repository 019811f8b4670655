"""Writing several files as one step that can be taken back: all or none, to the byte.

A run is a folder of the state folder, `adoptions/0001/`: a journal that is durable before the first file is touched,
with the digest of each file before and after. What a client's file held lies beside it, what others held in there.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from gateway.errors import ConfigError

Kind = Literal["client", "config", "secret"]
SUFFIX = ".bascule-backup"
_TEMPORARY = ".bascule-new-"


@dataclass(frozen=True, slots=True)
class Change:
    """A file, what it holds, and what it is going to hold."""

    path: Path
    kind: Kind
    before: bytes | None = field(repr=False)
    """None: it is not there."""
    after: bytes = field(repr=False)
    entries: tuple[tuple[str, ...], ...] = ()
    """The keys that lead to what is changed in a client's file."""


@dataclass(frozen=True, slots=True)
class Line:
    """A file in the journal."""

    path: str
    kind: Kind
    before: str | None
    after: str
    mode: int
    backup: str | None
    entries: list[list[str]]


@dataclass(frozen=True, slots=True)
class Journal:
    """A run: its folder, and the files it changes."""

    folder: Path
    finished: bool
    lines: tuple[Line, ...]

    def save(self) -> None:
        """Make it durable."""
        content = {"version": 1, "finished": self.finished, "files": [asdict(line) for line in self.lines]}
        replace(self.folder / "journal.json", json.dumps(content, indent=1).encode(), 0o600)


def digest(content: bytes) -> str:
    """The name of a content."""
    return hashlib.sha256(content).hexdigest()


def content_of(path: Path) -> bytes | None:
    """What the file holds; None where there is none. Raises ConfigError where it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError("is no file", file=str(path))
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise ConfigError(f"cannot be read: {problem.strerror}", file=str(path)) from None


@contextlib.contextmanager
def locked(state: Path) -> Iterator[None]:
    """One run at a time in a state folder."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state / "adoptions.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise ConfigError(f"cannot be written: {problem.strerror}", file=str(state)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"another `bascule init` is at work in {state}: wait for it and run this again") from None
    finally:
        os.close(lock)


def journals(state: Path) -> list[Journal]:
    """The runs that were not taken back, oldest first."""
    found = []
    for file in sorted((state / "adoptions").glob("*/journal.json")):
        try:
            content = json.loads(file.read_bytes())
            lines = tuple(Line(**line) for line in content["files"])
            found.append(Journal(file.parent, bool(content["finished"]), lines))
        except (OSError, ValueError, KeyError, TypeError):
            problem = "this journal cannot be read: the backups beside the clients' files hold what they were"
            raise ConfigError(problem, file=str(file)) from None
    return found


def settle(state: Path) -> None:
    """See that no run was cut off. Raises ConfigError where one was before its last file was written."""
    for journal in journals(state):
        if journal.finished:
            continue
        if any(now(line) != line.after for line in journal.lines):
            raise ConfigError(
                "an earlier run was cut off: `bascule init --undo` puts its files back, then run this again"
            )
        Journal(journal.folder, True, journal.lines).save()  # noqa: FBT003 - a field


def now(line: Line) -> str | None:
    """The digest of what the file holds now; None where there is none."""
    content = content_of(Path(line.path))
    return None if content is None else digest(content)


def write(state: Path, changes: Sequence[Change]) -> list[Path]:
    """Make every change or none; the paths of the backups beside the clients' files. Hold `locked` around it."""
    for change in changes:
        check(change)
    journal = _opened(state, changes)
    written: list[Line] = []
    try:
        for line, change in zip(journal.lines, changes, strict=True):
            if line.backup is not None and change.before is not None:
                _copy(Path(line.backup), change.before, change.path)
        for line, change in zip(journal.lines, changes, strict=True):
            # Again, straight before: the client may have written since.
            check(change)
            Path(line.path).parent.mkdir(mode=0o700, exist_ok=True)
            replace(Path(line.path), change.after, line.mode, still=partial(_unchanged, change))
            written.append(line)
        Journal(journal.folder, True, journal.lines).save()  # noqa: FBT003 - a field
    except BaseException as problem:
        _taken_back(journal, written, problem)
        raise
    return [Path(line.backup) for line in journal.lines if line.kind == "client" and line.backup]


def _taken_back(journal: Journal, written: Sequence[Line], problem: BaseException) -> None:
    """Put back what a run that failed has written. Where a client wrote into its file meanwhile, our entries are among
    what it keeps: then all that they lead to stays, secrets and backups too, for `--undo` to work with."""
    mixed = [line for line in written if line.kind == "client" and now(line) not in {line.before, line.after}]
    if not mixed:
        restore(journal.lines)
        mixed = [line for line in written if line.kind == "client" and now(line) != line.before]
    if not mixed:
        remove(journal)
        return
    names = ", ".join(line.path for line in mixed)
    raise ConfigError(
        f"{problem}; meanwhile {names} was written by its client, so nothing was taken back: "
        "close the clients, then `bascule init --undo --force`"
    ) from None


def _unchanged(change: Change) -> bool:
    return content_of(change.path) == change.before


def check(change: Change) -> None:
    """Raise ConfigError unless the file may be written and still holds what was read."""
    target = change.path.resolve()
    folder = next(folder for folder in target.parents if folder.exists())
    if change.before is not None and not os.access(target, os.R_OK | os.W_OK):
        raise ConfigError("no permission to write it", file=str(change.path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"no permission to write in {folder}", file=str(change.path))
    if not _unchanged(change):
        raise ConfigError("was changed while it was read: close its client and run this again", file=str(change.path))


def restore(lines: Sequence[Line]) -> None:
    """Put back what these files held, wherever they hold what the run wrote; what others wrote since stays."""
    for line in reversed(lines):
        path = Path(line.path)
        _sweep(path)
        if now(line) != line.after or line.after == line.before:
            continue
        if line.before is None:
            path.resolve().unlink(missing_ok=True)
        else:
            replace(path, backup_of(line), line.mode, still=partial(_holds, line))


def _holds(line: Line) -> bool:
    return now(line) == line.after


def backup_of(line: Line) -> bytes:
    """What the file held. Raises ConfigError where its backup is gone or is not what it was."""
    content = content_of(Path(line.backup)) if line.backup else None
    if content is None or digest(content) != line.before:
        raise ConfigError(f"its backup {line.backup} is gone or changed: it cannot be put back", file=line.path)
    return content


def remove(journal: Journal) -> None:
    """Forget a run that was taken back: its journal last, so that a cut leaves it to be done again."""
    for line in journal.lines:
        if line.backup is not None:
            Path(line.backup).unlink(missing_ok=True)
    (journal.folder / "journal.json").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        journal.folder.rmdir()


def replace(path: Path, content: bytes, mode: int, still: Callable[[], bool] = lambda: True) -> None:
    """Replace a file in one step, through a link, with this mode and the owner it had, if it is `still` what it was.

    Raises:
        ConfigError: it cannot be written, or somebody has just written it.
    """
    target = path.resolve()
    temporary = ""
    try:
        owner = target.stat() if target.exists() else None
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}{_TEMPORARY}")
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            if owner is not None and (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(out.fileno(), owner.st_uid, owner.st_gid)
            os.fchmod(out.fileno(), mode)
            out.flush()
            os.fsync(out.fileno())
        if not still():  # after the slow part: what is left is the blink of a rename
            Path(temporary).unlink()
            raise ConfigError("was changed while it was written: close its client and run this again", file=str(path))
        os.replace(temporary, target)
    except OSError as problem:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigError(f"cannot be written: {problem.strerror}", file=str(path)) from None


def _opened(state: Path, changes: Sequence[Change]) -> Journal:
    runs = state / "adoptions"
    runs.mkdir(mode=0o700, exist_ok=True)
    number = max((int(path.name) for path in runs.iterdir() if path.name.isdigit()), default=0) + 1
    folder = runs / f"{number:04d}"
    folder.mkdir(mode=0o700)
    lines = []
    for place, change in enumerate(changes):
        backup = None
        if change.before is not None:
            backup = _free(change.path.resolve()) if change.kind == "client" else folder / f"{place}.before"
        lines.append(
            Line(
                path=str(change.path.absolute()),
                kind=change.kind,
                before=None if change.before is None else digest(change.before),
                after=digest(change.after),
                mode=0o600 if change.before is None else change.path.stat().st_mode & 0o7777,
                backup=str(backup) if backup else None,
                entries=[list(keys) for keys in change.entries],
            )
        )
    journal = Journal(folder, False, tuple(lines))  # noqa: FBT003 - a field
    journal.save()
    return journal


def _free(target: Path) -> Path:
    """A name for a backup beside the file that nothing has."""
    names = (target.with_name(target.name + SUFFIX + (f"-{number}" if number > 1 else "")) for number in range(1, 1000))
    return next(name for name in names if not name.exists() and not name.is_symlink())


def _copy(backup: Path, content: bytes, source: Path) -> None:
    """A backup with the mode and the owner of what it is one of."""
    status = source.stat()
    try:
        descriptor = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(out.fileno(), status.st_uid, status.st_gid)
            os.fchmod(out.fileno(), status.st_mode & 0o7777)
            out.flush()
            os.fsync(out.fileno())
    except OSError as problem:
        raise ConfigError(f"cannot be written: {problem.strerror}", file=str(backup)) from None


def _sweep(path: Path) -> None:
    """Take away what a run that was cut off left half written."""
    target = path.resolve()
    with contextlib.suppress(OSError):
        for left in target.parent.iterdir():
            if left.name.startswith(f".{target.name}{_TEMPORARY}"):
                left.unlink(missing_ok=True)
