"""The tables of approvals and of the answers to them; and the runs that wait for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.model import Demand
from gateway.storage.database import Reader
from gateway.storage.tables.statement import Row, Statement
from gateway.writes import ApprovalAnswered, ApprovalMoved, ApprovalOpened, RunResumed, RunWaiting

_COLUMNS: Final = "approval, run, tenant, requester, digest, upstream, tool, demands, state, opened, expires, doc"
_ANSWERS: Final = (
    "SELECT approver, verdict, roles, signed, at, said FROM answers WHERE approval = ? ORDER BY at, approver"
)


_OF_LEAF: Final = "(SELECT approval FROM approvals WHERE run IN (SELECT run FROM runs WHERE asked = ?))"
FORGET: Final = (
    f"DELETE FROM answers WHERE approval IN {_OF_LEAF}",  # noqa: S608 - constants
    f"DELETE FROM approvals WHERE approval IN {_OF_LEAF}",  # noqa: S608 - constants
)
"""What goes with the payload of a request's leaf."""


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """One request as stored. `opened` is in Unix microseconds, `expires` in seconds."""

    approval: str
    run: str
    tenant: str
    requester: str
    digest: str
    upstream: str
    tool: str
    demands: tuple[Demand, ...]
    state: str
    opened: int
    expires: int
    doc: bytes
    """Sealed."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What one person said to it. `at` is in Unix microseconds."""

    approver: str
    verdict: str
    roles: tuple[str, ...]
    signed: bool
    at: int
    said: bytes | None = None
    """Reason and signature, sealed."""


def named(reader: Reader, approval: str) -> ApprovalRow | None:
    """One request by its id."""
    return next(_found(reader, "approval = ?", approval), None)


def newest(reader: Reader, tenant: str, requester: str, digest: str) -> ApprovalRow | None:
    """The newest request for exactly this proposal of this principal, whatever became of it."""
    # One that can be used comes first: after a clock went back, an ended one may have the larger id.
    order = "state IN ('waiting', 'granted') DESC, approval DESC"
    where = f"tenant = ? AND requester = ? AND digest = ? ORDER BY {order} LIMIT 1"
    return next(_found(reader, where, tenant, requester, digest), None)


def listed(reader: Reader, *, ended: bool, limit: int) -> list[ApprovalRow]:
    """Requests, newest first; without `ended` only those that can still be used."""
    where = "1" if ended else "state IN ('waiting', 'granted')"
    return list(_found(reader, f"{where} ORDER BY approval DESC LIMIT ?", limit))


def waiting_in(reader: Reader, tenant: str, limit: int) -> list[ApprovalRow]:
    """Requests of a tenant that wait for people, newest first."""
    return list(_found(reader, "tenant = ? AND state = 'waiting' ORDER BY approval DESC LIMIT ?", tenant, limit))


def late(reader: Reader, now: int, limit: int) -> list[ApprovalRow]:
    """Requests that can still be used, and whose time is over."""
    return list(_found(reader, "state IN ('waiting', 'granted') AND expires <= ? ORDER BY expires LIMIT ?", now, limit))


def open_of(reader: Reader, tenant: str, requester: str) -> int:
    """How many requests of one principal can still be used."""
    where = "tenant = ? AND requester = ? AND state IN ('waiting', 'granted')"
    (count,) = next(reader.select(f"SELECT count(*) FROM approvals WHERE {where}", tenant, requester))  # noqa: S608
    return int(count)


def answers(reader: Reader, approval: str) -> list[AnswerRow]:
    """What people have said to it, in order."""
    return [
        AnswerRow(approver, verdict, tuple(orjson.loads(roles)), bool(signed), at, said)
        for approver, verdict, roles, signed, at, said in reader.select(_ANSWERS, approval)
    ]


def _found(reader: Reader, where: str, *values: object) -> Iterator[ApprovalRow]:
    statement = f"SELECT {_COLUMNS} FROM approvals WHERE {where}"  # noqa: S608 - constants
    for row in reader.select(statement, *values):
        said: list[Any] = list(row)
        said[7] = _demands(row[7])
        yield ApprovalRow(*said)


def _demands(packed: str) -> tuple[Demand, ...]:
    return tuple(Demand(tuple(roles), quorum, seconds) for roles, quorum, seconds in orjson.loads(packed))


def _waiting(leaf: int, at: int, write: RunWaiting) -> Row:
    return (write.run, write.task, write.principal, write.tenant, write.upstream, write.tool, leaf, at)


def _resumed(leaf: int, _at: int, write: RunResumed) -> Row:
    return (leaf, write.run)


def _opened(_leaf: int, at: int, write: ApprovalOpened) -> Row:
    demands = orjson.dumps([[one.roles, one.quorum, one.expires_s] for one in write.demands]).decode()
    said = (write.approval, write.run, write.tenant, write.requester, write.digest, write.upstream, write.tool)
    return (*said, demands, at, write.expires, write.doc)


def _answered(_leaf: int, at: int, write: ApprovalAnswered) -> Row:
    roles = orjson.dumps(write.roles).decode()
    return (write.approval, write.approver, write.verdict, roles, write.signed, at, write.said)


def _moved(_leaf: int, _at: int, write: ApprovalMoved) -> Row:
    first, second = (*write.expected, "", "")[:2]
    return (write.state, write.approval, first, second)


WRITES: dict[type[Any], Statement] = {
    RunWaiting: Statement(
        "INSERT INTO runs (run, task, principal, tenant, upstream, tool, state, ending, code, asked, opened) "
        "VALUES (?, ?, ?, ?, ?, ?, 'waiting', '', '', ?, ?)",
        _waiting,
    ),
    RunResumed: Statement(
        "UPDATE runs SET state = 'intended', intent = ? WHERE run = ? AND state = 'waiting'",
        _resumed,
        unless="the run does not wait",
    ),
    ApprovalOpened: Statement(
        "INSERT INTO approvals (approval, run, tenant, requester, digest, upstream, tool, demands, state, opened, "
        "expires, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?, ?)",
        _opened,
    ),
    ApprovalAnswered: Statement(
        "INSERT INTO answers (approval, approver, verdict, roles, signed, at, said) VALUES (?, ?, ?, ?, ?, ?, ?)",
        _answered,
    ),
    ApprovalMoved: Statement(
        "UPDATE approvals SET state = ? WHERE approval = ? AND state IN (?, ?)",
        _moved,
        unless="the approval was answered, used or expired meanwhile",
    ),
}
