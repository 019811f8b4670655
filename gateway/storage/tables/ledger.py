"""The tables of the ledger of facts: its rows, and which run changes which."""

from dataclasses import dataclass
from typing import Any, Final

from gateway.storage.database import Reader
from gateway.storage.tables.statement import Row, Statement
from gateway.writes import FactsTouched, FactsUndone, FactsWritten, TouchSettled

_TOUCH: Final = "run, rule, tenant, ledger, key, plan, journal"
_FACT: Final = "tenant, ledger, key, fields, version, at"


@dataclass(frozen=True, slots=True)
class FactRow:
    """One row as stored. `at` is in Unix microseconds."""

    tenant: str
    ledger: str
    key: str
    fields: str
    version: int
    at: int


@dataclass(frozen=True, slots=True)
class TouchRow:
    """What one rule of a run's manifest does to a row; `journal` is None while the run's ending is not known."""

    run: str
    rule: int
    tenant: str
    ledger: str
    key: str
    plan: str
    journal: str | None


def row(reader: Reader, tenant: str, ledger: str, key: str) -> FactRow | None:
    """One row."""
    statement = f"SELECT {_FACT} FROM facts WHERE tenant = ? AND ledger = ? AND key = ?"  # noqa: S608 - constants
    return next((FactRow(*one) for one in reader.select(statement, tenant, ledger, key)), None)


def in_doubt(reader: Reader, tenant: str, ledger: str, key: str) -> list[str]:
    """The runs that may have changed a row and whose ending is not known."""
    statement = (
        "SELECT DISTINCT run FROM touches WHERE tenant = ? AND ledger = ? AND key = ? AND journal IS NULL ORDER BY run"
    )
    return [run for (run,) in reader.select(statement, tenant, ledger, key)]


def touches(reader: Reader, run: str) -> list[TouchRow]:
    """What a run does to rows, in the order of its rules."""
    statement = f"SELECT {_TOUCH} FROM touches WHERE run = ? ORDER BY rule"  # noqa: S608 - constants
    return [TouchRow(*one) for one in reader.select(statement, run)]


def shown(reader: Reader, *, ledger: str, key: str, limit: int) -> list[FactRow]:
    """Rows by tenant, ledger and key; of one ledger or one key where they are named."""
    statement = (
        f"SELECT {_FACT} FROM facts WHERE (? = '' OR ledger = ?) AND (? = '' OR key = ?) "  # noqa: S608 - constants
        "ORDER BY tenant, ledger, key LIMIT ?"
    )
    return [FactRow(*one) for one in reader.select(statement, ledger, ledger, key, key, limit)]


def of_task(reader: Reader, tenant: str, task: str, limit: int) -> list[str]:
    """The runs of a task, newest first."""
    statement = "SELECT run FROM runs WHERE tenant = ? AND task = ? ORDER BY run DESC LIMIT ?"
    return [run for (run,) in reader.select(statement, tenant, task, limit)]


def _touched(_leaf: int, _at: int, write: FactsTouched) -> Row:
    return (write.run, write.rule, write.tenant, write.ledger, write.key, write.plan)


def _written(_leaf: int, at: int, write: FactsWritten) -> Row:
    return (write.tenant, write.ledger, write.key, write.fields, write.version + 1, at)


def _settled(_leaf: int, _at: int, write: TouchSettled) -> Row:
    said = (write.run, write.rule, write.tenant, write.ledger, write.key, write.plan, write.journal)
    return said


def _undone(_leaf: int, _at: int, write: FactsUndone) -> Row:
    return (write.run, write.rule)


WRITES: dict[type[Any], Statement] = {
    FactsTouched: Statement(
        "INSERT INTO touches (run, rule, tenant, ledger, key, plan, journal) VALUES (?, ?, ?, ?, ?, ?, NULL)", _touched
    ),
    FactsWritten: Statement(
        "INSERT INTO facts (tenant, ledger, key, fields, version, at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (tenant, ledger, key) DO UPDATE SET fields = excluded.fields, version = excluded.version, "
        "at = excluded.at WHERE facts.version = excluded.version - 1",
        _written,
        unless="the row was written meanwhile",
    ),
    TouchSettled: Statement(
        "INSERT INTO touches (run, rule, tenant, ledger, key, plan, journal) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (run, rule) DO UPDATE SET journal = excluded.journal WHERE touches.journal IS NULL",
        _settled,
        unless="the run's facts were settled before",
    ),
    FactsUndone: Statement(
        "UPDATE touches SET journal = '[]' WHERE run = ? AND rule = ? AND journal NOT NULL AND journal != '[]'",
        _undone,
        unless="the run's facts were undone before",
    ),
}
