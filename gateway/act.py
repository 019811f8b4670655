"""One granted proposal on its way: its run, what it may do, and what it holds from the judgement to its ending."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.approvals.request import GRANTED, USED, VOID, Standing
from gateway.audit import records
from gateway.model import Code, Ending, Grant, Proposal, RunId
from gateway.runs import states
from gateway.writes import ApprovalMoved, RunOpened, RunResumed, Write


@dataclass(slots=True)
class Holds:
    """What is stored with a run's intent and with its ending, besides the run itself."""

    standing: Standing | None = None
    """The approval that the intent uses up."""

    def opened(self, run: RunId, proposal: Proposal) -> Sequence[Write]:
        """The writes of the intent."""
        if self.standing is not None:
            return [RunResumed(run), ApprovalMoved(self.standing.approval, USED, (GRANTED,))]
        return [opened(run, proposal)]

    def refused(self, run: RunId, code: Code) -> Sequence[Write]:
        """The writes of a refusal of what people had agreed to: the approval is void."""
        assert self.standing is not None
        moved = ApprovalMoved(self.standing.approval, VOID, (GRANTED,))
        return [states.ended(run, Ending.REFUSED, code), moved]


NOTHING: Final = Holds()


@dataclass(frozen=True, slots=True)
class Act:
    """What `pipeline.perform` carries out."""

    run: RunId
    proposal: Proposal
    grant: Grant
    holds: Holds = field(default_factory=Holds)


def opened(run: RunId, proposal: Proposal) -> RunOpened:
    """The write of a run whose intent is recorded."""
    call, pin, who = proposal.call, proposal.pin, proposal.call.principal
    return RunOpened(run, call.task, who.id, who.tenant, pin.upstream, records.public_name(call.kind, pin.name))
