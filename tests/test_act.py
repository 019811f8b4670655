"""What is stored with a run's intent."""

from gateway.act import Holds, opened
from gateway.approvals.request import Standing
from gateway.model import Code, Proposal, RunId, RunState
from gateway.writes import ApprovalMoved, RunEnded, RunOpened, RunResumed
from tests import nouns

RUN = RunId("018f0000-0000-7000-8000-000000000001")
PROPOSAL = Proposal(nouns.call(), nouns.pin())


def test_a_plain_run_is_opened_with_its_intent() -> None:
    assert list(Holds().opened(RUN, PROPOSAL)) == [opened(RUN, PROPOSAL)]
    assert opened(RUN, PROPOSAL) == RunOpened(RUN, "principal:agent", "agent", "default", "notes", "write_note")


def test_a_run_that_waited_goes_on_and_uses_its_approval_up() -> None:
    writes = Holds(Standing("a1", RUN, "granted", 0)).opened(RUN, PROPOSAL)
    assert list(writes) == [RunResumed(RUN), ApprovalMoved("a1", "used", ("granted",))]


def test_a_run_that_waited_and_may_not_run_any_more_ends_with_its_approval() -> None:
    ended, moved = Holds(Standing("a1", RUN, "granted", 0)).refused(RUN, Code.POLICY_DENIED)
    assert isinstance(ended, RunEnded)
    assert ended.expected == (RunState.WAITING,)
    assert moved == ApprovalMoved("a1", "void", ("granted",))
