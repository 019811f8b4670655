"""The table of runs: each call's state, moved only from the states that its write expects."""

from typing import Any

from gateway.storage.database import Reader
from gateway.storage.tables.statement import Row, Statement
from gateway.writes import RunEnded, RunOpened, RunRefused


def interrupted(reader: Reader) -> list[str]:
    """Runs whose intent is durable and whose ending is not, oldest first."""
    return [run for (run,) in reader.select("SELECT run FROM runs WHERE state = 'intended' ORDER BY run")]


def _opened(leaf: int, at: int, write: RunOpened) -> Row:
    return (write.run, write.task, write.principal, write.tenant, write.upstream, write.tool, leaf, at)


def _refused(leaf: int, at: int, write: RunRefused) -> Row:
    return (
        write.run, write.task, write.principal, write.tenant, write.upstream, write.tool, write.code, leaf, at, at,
    )  # fmt: skip


def _ended(leaf: int, at: int, write: RunEnded) -> Row:
    first, second = (*write.expected, "", "")[:2]
    return (write.state, write.ending, write.code, leaf, at, write.run, first, second)


WRITES: dict[type[Any], Statement] = {
    RunOpened: Statement(
        "INSERT INTO runs (run, task, principal, tenant, upstream, tool, state, ending, code, intent, opened) "
        "VALUES (?, ?, ?, ?, ?, ?, 'intended', '', '', ?, ?)",
        _opened,
    ),
    RunRefused: Statement(
        "INSERT INTO runs (run, task, principal, tenant, upstream, tool, state, ending, code, settled, opened, ended) "
        "VALUES (?, ?, ?, ?, ?, ?, 'ended', 'refused', ?, ?, ?, ?)",
        _refused,
    ),
    RunEnded: Statement(
        "UPDATE runs SET state = ?, ending = ?, code = ?, settled = ?, ended = ? WHERE run = ? AND state IN (?, ?)",
        _ended,
        unless="a run to be ended is not open",
    ),
}
