"""The tables of budgets: a counter for each budget and scope, and what runs have reserved of them."""

from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.storage.database import Reader
from gateway.storage.tables.statement import Row, Statement
from gateway.writes import BudgetReserved, BudgetSettled, ReservationEnded, ReservationHeld

FORGET: Final = (
    """DELETE FROM counters WHERE ends > 0 AND ends <= (
  SELECT strftime('%s', substr(json_extract(CAST(record AS TEXT), '$.ts'), 1, 19)) + 0 FROM leaves WHERE idx = ?)""",
)
"""What goes with the payload of a leaf: counters of windows that were over when the leaf was made."""
SPENT: Final = "spent"
RELEASED: Final = "released"
ASKED: Final = "asked"
_USED: Final = {SPENT: 0, ASKED: 1, RELEASED: 2}
"""From which `sent` on a reservation is used."""
_COLUMNS: Final = "budget, scope, start, ends, used, reserved"


@dataclass(frozen=True, slots=True)
class CounterRow:
    """One counter in its newest window. `start` and `ends` are Unix seconds, 0 where it has no window."""

    budget: str
    scope: str
    """Canonical JSON."""
    start: int
    ends: int
    used: int
    reserved: int

    def at(self, now: int) -> "CounterRow":
        """What it says at this time: nothing any more of a window that is over."""
        return replace(self, used=0, reserved=0, ends=0) if self.ends and self.ends <= now else self


def counter(reader: Reader, budget: str, scope: str) -> CounterRow | None:
    """One counter; None where nothing was ever counted."""
    statement = f"SELECT {_COLUMNS} FROM counters WHERE budget = ? AND scope = ?"  # noqa: S608 - constants
    return next((CounterRow(*row) for row in reader.select(statement, budget, scope)), None)


def listed(reader: Reader) -> list[CounterRow]:
    """Every counter."""
    statement = f"SELECT {_COLUMNS} FROM counters ORDER BY budget, scope"  # noqa: S608 - constants
    return [CounterRow(*row) for row in reader.select(statement)]


def held(reader: Reader, run: str) -> list[tuple[str, str, int, int]]:
    """What a run has reserved: budget, scope, window, amount."""
    statement = "SELECT budget, scope, start, amount FROM reservations WHERE run = ? ORDER BY budget"
    return [(budget, scope, start, amount) for budget, scope, start, amount in reader.select(statement, run)]


def _reserved(_leaf: int, _at: int, write: BudgetReserved) -> Row:
    said = (write.budget, write.scope, write.start, write.ends, write.amount)
    return (*said, write.amount, write.limit, write.limit)


def _held(_leaf: int, _at: int, write: ReservationHeld) -> Row:
    return (write.run, write.budget, write.scope, write.start, write.amount, write.sent)


def _settled(_leaf: int, _at: int, write: BudgetSettled) -> Row:
    return (_USED[write.became], write.run)


def _ended(_leaf: int, _at: int, write: ReservationEnded) -> Row:
    return (write.run,)


# DANGER: within a batch settlements come before reservations. They only make room, so that what applied item by item
# applies as a batch too.
WRITES: dict[type[Any], Statement] = {
    BudgetSettled: Statement(
        "UPDATE counters SET used = used + iif(held.sent >= ?, held.amount, 0), reserved = reserved - held.amount "
        "FROM (SELECT budget, scope, start, amount, sent FROM reservations WHERE run = ?) AS held "
        "WHERE counters.budget = held.budget AND counters.scope = held.scope AND counters.start = held.start",
        _settled,
    ),
    ReservationEnded: Statement("DELETE FROM reservations WHERE run = ?", _ended),
    # A window older than the counter's own changes nothing, which is a conflict: the newest window never goes back.
    BudgetReserved: Statement(
        "INSERT INTO counters (budget, scope, start, ends, used, reserved) SELECT ?, ?, ?, ?, 0, ? WHERE ? <= ? "
        "ON CONFLICT (budget, scope) DO UPDATE SET start = excluded.start, ends = excluded.ends, "
        "used = iif(excluded.start > start, 0, used), "
        "reserved = iif(excluded.start > start, 0, reserved) + excluded.reserved "
        "WHERE excluded.start > start OR "
        "(excluded.start = start AND used + reserved + excluded.reserved <= ?)",
        _reserved,
        unless="the budget has not enough left",
    ),
    ReservationHeld: Statement(
        "INSERT INTO reservations (run, budget, scope, start, amount, sent) VALUES (?, ?, ?, ?, ?, ?)", _held
    ),
}
