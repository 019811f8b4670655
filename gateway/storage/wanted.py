"""Which runs are wanted: what an operator may ask of the index, as a condition in SQL. Values are only ever bound."""

from dataclasses import dataclass, fields

LATEST_MS = 3_600_000
"""A run's id is made when its call is read; its row is written when the intent is. No call takes longer than this."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Runs that agree in everything that is not empty. `since` and `until` are Unix microseconds, `until` outside."""

    principal: str = ""
    tenant: str = ""
    upstream: str = ""
    tool: str = ""
    ending: str = ""
    code: str = ""
    task: str = ""
    since: int = 0
    until: int = 0


_COLUMNS = tuple(field.name for field in fields(Wanted) if field.type is str)


def condition(wanted: Wanted, before: str = "") -> tuple[str, list[object]]:
    """The condition on the table `runs`, and its values. A span of time is a range of the primary key too.

    `before` is the id of a run that is too new, as all after it are.
    """
    # One upper bound: of two the database would use the first, whichever is lower.
    newest = min(before or "~", _first_id(wanted.until // 1000 + 1) if wanted.until else "~")
    said: list[str] = ["run < ?"]
    values: list[object] = [newest]
    for column in _COLUMNS:
        if value := getattr(wanted, column):
            said.append(f"{column} = ?")
            values.append(value)
    if wanted.since:
        said.append("run >= ? AND opened >= ?")
        values += [_first_id(wanted.since // 1000 - LATEST_MS), wanted.since]
    if wanted.until:
        said.append("opened < ?")
        values.append(wanted.until)
    return " AND ".join(said), values


def _first_id(milliseconds: int) -> str:
    """What sorts before every UUIDv7 of this millisecond and after all earlier ones."""
    digits = f"{min(max(milliseconds, 0), (1 << 48) - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}"
