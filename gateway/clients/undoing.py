"""Taking back the last run of `init --from … --write`: each file as it was, to the byte, unless it was edited since."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.clients import backups, jsonc, servers, showing
from gateway.clients.backups import Journal, Line
from gateway.clients.jsonc import Edit, Value
from gateway.errors import ConfigError

EDITED = ".bascule-edited"


@dataclass(frozen=True, slots=True)
class Undone:
    """What was put back."""

    restored: tuple[Path, ...]
    removed: tuple[Path, ...]
    """Files that the run had made."""
    kept: tuple[tuple[Path, str], ...]
    """Files that stay as they are, or are not wholly as they were, and why."""
    earlier: int
    """Runs before it that can be taken back too."""


def undo(state: Path, *, force: bool = False) -> Undone:
    """Take back the last run. Raises ConfigError, having changed nothing, where a client's file was edited since."""
    if not (state / "adoptions").is_dir():
        raise _nothing(state)
    with backups.locked(state):
        runs = backups.journals(state)
        if not runs:
            raise _nothing(state)
        journal = runs[-1]
        edited = [line for line in journal.lines if _edited(line)]
        kept = [_keep(line) for line in edited if line.kind == "config"]
        touched = [line for line in edited if line.kind == "client"]
        if touched and not force:
            raise _refusal(touched)
        stay = {line.path for line in edited} | {line.path for line in journal.lines if kept and line.kind == "secret"}
        going = [line for line in journal.lines if line.path not in stay]
        for line in going:
            if line.before is not None and backups.now(line) != line.before:
                backups.backup_of(line)
        kept += [(Path(line.path), _put_back(line)) for line in touched]
        backups.restore(going)
        backups.remove(journal)
    return _undone(journal, going, kept, len(runs) - 1)


def _undone(journal: Journal, going: list[Line], kept: list[tuple[Path, str]], earlier: int) -> Undone:
    seen = [line for line in journal.lines if line in going and line.kind != "secret"]
    restored = tuple(Path(line.path) for line in seen if line.before is not None)
    removed = tuple(Path(line.path) for line in seen if line.before is None)
    return Undone(restored, removed, tuple(kept), earlier)


def _nothing(state: Path) -> ConfigError:
    return ConfigError(f"nothing to undo: {state} records no `bascule init --from … --write`")


def _edited(line: Line) -> bool:
    return backups.now(line) not in {line.before, line.after}


def _keep(line: Line) -> tuple[Path, str]:
    return Path(
        line.path
    ), "was edited since, and keeps its upstreams and their secrets: nothing reaches them by itself"


def _refusal(lines: list[Line]) -> ConfigError:
    differences = "\n".join(_difference(line) for line in lines)
    names = ", ".join(line.path for line in lines)
    return ConfigError(
        f"edited since `bascule init` wrote: {names}. Nothing was put back. "
        f"`bascule init --undo --force` puts back the servers' entries and keeps what else was edited:\n{differences}"
    )


def _difference(line: Line) -> str:
    """What was edited since, as far as it can be told."""
    path = Path(line.path)
    now, then = _text(path), backups.backup_of(line).decode()
    if now is None:
        return f"{path}: is gone, or no text any more"
    return showing.difference(path, then, _entries_back(line, now, then) or now)


def _put_back(line: Line) -> str:
    """Put the entries back into an edited file, the whole of it where that cannot be; says what was done."""
    path, then = Path(line.path), backups.backup_of(line)
    now = backups.content_of(path)
    if (text := _text(path)) is not None and (new := _entries_back(line, text, then.decode())) is not None:
        backups.replace(path, new.encode(), path.stat().st_mode & 0o7777)
        return "was edited since: its servers' entries are as they were, the rest stays as edited"
    if now is not None:
        backups.replace(path.with_name(path.name + EDITED), now, path.stat().st_mode & 0o7777)
    backups.replace(path, then, line.mode)
    if now is not None:
        return f"was edited since and is no JSON: it is as it was, the edited one is beside it ({path.name}{EDITED})"
    return "was gone: it is as it was"


def _text(path: Path) -> str | None:
    content = backups.content_of(path)
    try:
        return None if content is None else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _entries_back(line: Line, now: str, then: str) -> str | None:
    """The text as it is now with the entries of then; None where it cannot be read."""
    try:
        current, original = jsonc.read(now, line.path), jsonc.read(then, line.path)
    except ConfigError:
        return None
    return jsonc.edited(now, _edits(line, current.root, original.root, then))


def _edits(line: Line, current: Value, original: Value, then: str) -> Iterator[Edit]:
    for keys in line.entries:
        there, was = _at(current, keys), _at(original, keys)
        # An entry that no longer is ours was edited by a person: it stays.
        if there is not None and was is not None and servers.governed(there, None):
            yield there.start, there.end, then[was.start : was.end]


def _at(value: Value, keys: list[str]) -> Value | None:
    found: Value | None = value
    for key in keys:
        found = found.get(key) if found else None
    return found
