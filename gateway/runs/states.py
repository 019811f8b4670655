"""Run states and the only transitions between them. Everything that moves a run must look here.

Stored states are only what must survive a crash (design.md, Durability). A refused call never had a state
that could be lost: it is stored once, ended. The diagram in docs/runs.md is drawn from this table.

    (new) --intent--> intended --settle--> ended
    (new) --refuse--> ended
    (new) --wait----> waiting --intent--> intended      people answered, and it was judged again
                      waiting --refuse--> ended         denied, expired, or no longer allowed
                      intended --doubt--> frozen        the effect may have happened
                      frozen --resolve--> ended         a person says what happened
"""

from enum import StrEnum

from gateway.model import Code, Ending, RunId, RunState
from gateway.writes import RunEnded


class Event(StrEnum):
    """What can happen to a run; each is recorded in the same transaction as the transition."""

    INTENT = "call.intent"
    REFUSE = "call.refused"
    WAIT = "approval.requested"
    SETTLE = "call.settled"
    DOUBT = "call.settled (unknown)"
    RESOLVE = "run.resolved"


TRANSITIONS: dict[RunState | None, dict[Event, RunState]] = {
    None: {Event.INTENT: RunState.INTENDED, Event.REFUSE: RunState.ENDED, Event.WAIT: RunState.WAITING},
    RunState.WAITING: {Event.INTENT: RunState.INTENDED, Event.REFUSE: RunState.ENDED},
    RunState.INTENDED: {Event.SETTLE: RunState.ENDED, Event.DOUBT: RunState.FROZEN},
    RunState.FROZEN: {Event.RESOLVE: RunState.ENDED},
    RunState.ENDED: {},
}
"""From state (`None`: not stored yet) and event to the next state; what is absent cannot happen."""
ACTS = frozenset({RunState.INTENDED})
"""The states in which a call may have an effect: an intent is durable in each."""
BY_A_PERSON = frozenset({Event.RESOLVE})
"""The events that only a person brings about."""

_EVENTS: dict[Ending, Event] = {
    Ending.DONE: Event.SETTLE,
    Ending.FAILED: Event.SETTLE,
    Ending.WITHHELD: Event.SETTLE,
    Ending.UNKNOWN: Event.DOUBT,
    Ending.REFUSED: Event.REFUSE,
    Ending.EXPIRED: Event.REFUSE,
}


def ended(run: RunId, ending: Ending, code: Code | str = "") -> RunEnded:
    """The write that ends a stored run: from the states in which this ending can happen, to the one it leads to."""
    expected, state = _MOVES[_EVENTS[ending]]
    return RunEnded(run, state, ending, code, expected)


def resolved(run: RunId, ending: Ending, code: Code | str = "") -> RunEnded:
    """The write by which a person says how a frozen run ended."""
    expected, state = _MOVES[Event.RESOLVE]
    return RunEnded(run, state, ending, code, expected)


def _move(event: Event) -> tuple[tuple[RunState, ...], RunState]:
    of = [(before, after[event]) for before, after in TRANSITIONS.items() if before is not None and event in after]
    return tuple(before for before, _ in of), of[0][1]


_MOVES: dict[Event, tuple[tuple[RunState, ...], RunState]] = {
    event: _move(event) for event in Event if event is not Event.WAIT
}
