"""What is stored together with a record: each noun one change of state, applied in the record's own transaction.

A write whose condition does not hold (a run that is not open, a budget that is spent) makes its whole item a conflict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.model import Demand, Digest, Ending, Record, RunId, RunState


@dataclass(frozen=True, slots=True)
class RunOpened:
    """Write: a run whose intent is being recorded."""

    run: RunId
    task: str
    principal: str
    tenant: str
    upstream: str
    tool: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Write: the run's ending; applies only to a run in one of the states `expected` (`runs.states` makes it)."""

    run: RunId
    state: RunState
    ending: Ending
    code: str = ""
    expected: tuple[RunState, ...] = (RunState.INTENDED,)


@dataclass(frozen=True, slots=True)
class RunRefused:
    """Write: a run that ended where it began."""

    run: RunId
    task: str
    principal: str
    tenant: str
    upstream: str
    tool: str
    code: str


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """Write: what a session has read and done: a restart does not wash it clean."""

    session: str
    labels: tuple[str, ...]
    writes: int
    sources: tuple[str, ...]
    runs: int


@dataclass(frozen=True, slots=True)
class BundleStored:
    """Write: a policy bundle's bytes, under the digest that decisions name."""

    digest: Digest
    content: bytes


@dataclass(frozen=True, slots=True)
class RunWaiting:
    """Write: a run that waits for people before its intent."""

    run: RunId
    task: str
    principal: str
    tenant: str
    upstream: str
    tool: str


@dataclass(frozen=True, slots=True)
class RunResumed:
    """Write: the intent of a run that waited; applies only to one that still does."""

    run: RunId


@dataclass(frozen=True, slots=True)
class ApprovalOpened:
    """Write: what people are asked. One proposal of one principal has at most one request that can be used."""

    approval: str
    run: RunId
    tenant: str
    requester: str
    digest: str
    upstream: str
    tool: str
    demands: tuple[Demand, ...]
    expires: int
    doc: bytes


@dataclass(frozen=True, slots=True)
class ApprovalAnswered:
    """Write: what one person said; nobody answers twice."""

    approval: str
    approver: str
    verdict: str
    roles: tuple[str, ...]
    signed: bool
    said: bytes = b""
    """Reason and signature, sealed."""


@dataclass(frozen=True, slots=True)
class ApprovalMoved:
    """Write: a request's next state; applies only in one of the states `expected`."""

    approval: str
    state: str
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BrakeSet:
    """Write: what an operator has slowed, questions or stopped; `until` is a Unix second, 0 for ever."""

    subject: str
    level: str
    seconds: int
    until: int
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class BrakeReleased:
    """Write: a brake that is no longer set; applies only to one that is."""

    subject: str


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """Write: an idempotency key belongs to this run; applies only where no run holds it, or this one does."""

    name: str
    call: str
    run: RunId


@dataclass(frozen=True, slots=True)
class KeyFollowed:
    """Write: what keys the previous round held, its next one holds."""

    previous: RunId
    run: RunId


@dataclass(frozen=True, slots=True)
class ReplyKept:
    """Write: what the client of a run was given, sealed, where a key is held by it; empty: not to be had again."""

    run: RunId
    reply: bytes


@dataclass(frozen=True, slots=True)
class BudgetReserved:
    """Write: what a run costs, taken from one counter; applies only where the limit allows it, in no older window."""

    budget: str
    scope: str
    start: int
    ends: int
    amount: int
    limit: int


@dataclass(frozen=True, slots=True)
class ReservationHeld:
    """Write: which run it was taken for; `sent` is what is used by being sent, whatever comes of it."""

    run: RunId
    budget: str
    scope: str
    start: int
    amount: int
    sent: bool


@dataclass(frozen=True, slots=True)
class BudgetSettled:
    """Write: what a run has reserved is used, or free again; `became` says which."""

    run: RunId
    became: str


@dataclass(frozen=True, slots=True)
class ReservationEnded:
    """Write: a run holds nothing any more."""

    run: RunId


Write = (
    RunOpened
    | RunEnded
    | RunRefused
    | RunWaiting
    | RunResumed
    | SessionSeen
    | BundleStored
    | ApprovalOpened
    | ApprovalAnswered
    | ApprovalMoved
    | BrakeSet
    | BrakeReleased
    | KeyTaken
    | KeyFollowed
    | ReplyKept
    | BudgetReserved
    | ReservationHeld
    | BudgetSettled
    | ReservationEnded
)


def placed(records: Sequence[Record], writes: Sequence[Write]) -> list[tuple[int, Write]]:
    """Each write beside the first record of its run, an ending and its reply beside the last; else the first of all."""
    last: dict[object, int] = {record.run: place for place, record in enumerate(records)}
    first: dict[object, int] = {records[place].run: place for place in reversed(range(len(records)))}
    places = ((last if isinstance(write, RunEnded | ReplyKept) else first, write) for write in writes)
    return [(of.get(getattr(write, "run", None), 0), write) for of, write in places]
