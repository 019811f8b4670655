"""The table of brakes."""

from dataclasses import dataclass
from typing import Any

from gateway.storage.database import Reader
from gateway.storage.tables.statement import Row, Statement
from gateway.writes import BrakeReleased, BrakeSet


@dataclass(frozen=True, slots=True)
class BrakeRow:
    """One brake as stored. `until` is in Unix seconds (0: for ever), `at` in microseconds."""

    subject: str
    level: str
    seconds: int
    until: int
    reason: str
    by: str
    at: int


def listed(reader: Reader) -> list[BrakeRow]:
    """All that are stored, by subject."""
    statement = "SELECT subject, level, seconds, until, reason, by, at FROM brakes ORDER BY subject"
    return [BrakeRow(*row) for row in reader.select(statement)]


def _set(_leaf: int, at: int, write: BrakeSet) -> Row:
    return (write.subject, write.level, write.seconds, write.until, write.reason, write.by, at)


def _released(_leaf: int, _at: int, write: BrakeReleased) -> Row:
    return (write.subject,)


WRITES: dict[type[Any], Statement] = {
    BrakeSet: Statement(
        "INSERT OR REPLACE INTO brakes (subject, level, seconds, until, reason, by, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        _set,
    ),
    BrakeReleased: Statement("DELETE FROM brakes WHERE subject = ?", _released, unless="no such brake is set"),
}
