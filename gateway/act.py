"""One granted proposal on its way: its run, what it may do, and what it holds from the judgement to its ending."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.approvals.request import GRANTED, USED, VOID, Standing
from gateway.audit import records
from gateway.budgets import ledger
from gateway.budgets.ledger import Claim
from gateway.keyed import Key
from gateway.model import Code, Ending, Grant, Proposal, RunId
from gateway.runs import states
from gateway.writes import ApprovalMoved, KeyFollowed, RunOpened, RunResumed, Write


@dataclass(slots=True)
class Holds:
    """What is stored with a run's intent and with its ending, besides the run itself."""

    standing: Standing | None = None
    """The approval that the intent uses up."""
    key: Key | None = None
    """The idempotency key that the run takes."""
    claims: tuple[Claim, ...] = ()
    """What the run reserves of budgets."""

    def keyed(self, proposal: Proposal) -> bool:
        """Whether a key may belong to the run: it states one, or goes on where an earlier round stated one."""
        return self.key is not None or proposal.call.round is not None

    def waiting(self, run: RunId) -> Sequence[Write]:
        """The writes beside a run's request for an approval."""
        return [] if self.key is None else [self.key.taken(run)]

    def opened(self, run: RunId, proposal: Proposal) -> Sequence[Write]:
        """The writes of the intent."""
        begun: list[Write] = [opened(run, proposal)]
        if self.standing is not None:
            begun = [RunResumed(run), ApprovalMoved(self.standing.approval, USED, (GRANTED,))]
        if self.key is not None:
            begun.append(self.key.taken(run))
        if proposal.call.round is not None and proposal.call.round.previous is not None:
            begun.append(KeyFollowed(proposal.call.round.previous, run))
        for claim in self.claims:
            begun += claim.reserved(run)
        return begun

    def settled(
        self, run: RunId, ending: Ending, *, ran: bool = True, asked: bool = False
    ) -> tuple[str, Sequence[Write]]:
        """What becomes of what the run has reserved, in a word and as writes; nothing where it reserved nothing."""
        if not self.claims:
            return "", ()
        return ledger.outcome(ending, ran=ran, asked=asked), ledger.settled(run, ending, ran=ran, asked=asked)

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
