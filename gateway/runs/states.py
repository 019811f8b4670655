"""Run states and the only transitions between them. Everything that moves a run must look here.

Stored states are only what must survive a crash (design.md, Durability). A refused call never had a state
that could be lost: it is stored once, ended. The diagram in docs/runs.md is drawn from this table.

    (new) --intent--> intended --settle--> ended
    (new) --refuse--> ended
                      intended --doubt---> frozen      the effect may have happened; a person resolves it
"""

from enum import StrEnum

from gateway.model import Ending, RunState


class Event(StrEnum):
    """What can happen to a run; each is recorded in the same transaction as the transition."""

    INTENT = "call.intent"
    REFUSE = "call.refused"
    SETTLE = "call.settled"
    DOUBT = "call.settled (unknown)"


TRANSITIONS: dict[RunState | None, dict[Event, RunState]] = {
    None: {Event.INTENT: RunState.INTENDED, Event.REFUSE: RunState.ENDED},
    RunState.INTENDED: {Event.SETTLE: RunState.ENDED, Event.DOUBT: RunState.FROZEN},
    RunState.FROZEN: {},
    RunState.ENDED: {},
}
"""From state (`None`: not stored yet) and event to the next state; what is absent cannot happen."""


def after_ending(ending: Ending) -> RunState:
    """The state in which a run that was intended rests after this ending."""
    event = Event.DOUBT if ending is Ending.UNKNOWN else Event.SETTLE
    return TRANSITIONS[RunState.INTENDED][event]
