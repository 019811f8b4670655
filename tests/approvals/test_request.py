"""What people are asked, and when enough of them have agreed."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.approvals import request
from gateway.errors import Refused
from gateway.model import Code, Demand, Digest, Manifest, Principal, Proposal, Round, RunId
from gateway.storage.tables.approvals import AnswerRow
from tests import nouns

RUN = RunId("018f0000-0000-7000-8000-000000000001")
BUNDLE = Digest("sha256:" + "b" * 64)


def digest(proposal: Proposal, bundle: Digest = BUNDLE) -> str:
    return request.digest(request.exact(proposal, bundle))


def proposal(**changed: Any) -> Proposal:
    return Proposal(nouns.call(**changed), nouns.pin())


OTHERS = {
    "argument": proposal(arguments={"path": "notes/a.md", "text": "hello "}),
    "type of an argument": proposal(arguments={"path": "notes/a.md", "text": 1}),
    "principal": proposal(principal=Principal("other")),
    "tenant": proposal(principal=Principal("agent", "acme", ("dev",))),
    "person": proposal(principal=Principal("agent", roles=("dev",), person="ann")),
    "answers": proposal(round=Round({"q": {"action": "accept"}}, None)),
    "tool": Proposal(nouns.call(), nouns.pin("other")),
    "upstream": Proposal(nouns.call(), nouns.pin(upstream="other")),
    "definition": Proposal(nouns.call(), nouns.pin(digest=Digest("sha256:" + "9" * 64))),
    "manifest": Proposal(nouns.call(), nouns.pin(manifest=Manifest(digest=Digest("sha256:" + "8" * 64)))),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_everything_that_was_judged_is_under_the_digest(other: Proposal) -> None:
    assert digest(other) != digest(proposal())


def test_another_policy_is_another_request() -> None:
    assert digest(proposal(), Digest("sha256:" + "c" * 64)) != digest(proposal())


def test_the_same_proposal_has_the_same_digest_whatever_the_order_of_its_arguments() -> None:
    assert digest(proposal(arguments={"text": "hello", "path": "notes/a.md"})) == digest(proposal())
    assert digest(replace(proposal(), checks=())) == digest(proposal(session="another", task="another"))


def test_the_same_answer_to_another_question_is_another_proposal() -> None:
    rounds = [Round({"q": {"action": "accept"}}, None, RUN, questions={"q": {"params": {"n": n}}}) for n in (1, 2)]
    one, other = (digest(proposal(round=one)) for one in rounds)
    assert one != other


def test_what_upstream_state_an_answer_goes_back_with_is_nobodys_business() -> None:
    rounds = [Round({}, state, RUN, questions={}) for state in ("x", "y")]
    one, other = (digest(proposal(round=one)) for one in rounds)
    assert one == other


def test_an_answer_to_what_cannot_be_shown_is_not_put_to_anybody() -> None:
    with pytest.raises(Refused, match="too large to show") as refused:
        request.exact(proposal(round=Round({}, None, RUN)), BUNDLE)
    assert refused.value.code == Code.SCHEMA


@pytest.mark.parametrize("value", [2**53 + 1, float("inf"), "\ud800"], ids=["large", "infinite", "surrogate"])
def test_what_has_no_canonical_form_cannot_be_asked(value: object) -> None:
    with pytest.raises(ValueError, match="no canonical form"):
        digest(proposal(arguments={"x": value}))


def said(approver: str, *roles: str, verdict: str = "grant") -> AnswerRow:
    return AnswerRow(approver, verdict, roles, True, 0)


@pytest.mark.parametrize(
    ("demands", "answers", "enough"),
    [
        ([Demand()], [], False),
        ([Demand()], [said("ann")], True),
        ([Demand(("ops",))], [said("ann")], False),
        ([Demand(("ops", "sec"))], [said("ann", "sec")], True),
        ([Demand((), 2)], [said("ann"), said("ann")], False),
        ([Demand((), 2)], [said("ann"), said("bob")], True),
        ([Demand(("ops",)), Demand(("sec",))], [said("ann", "ops")], False),
        ([Demand(("ops",)), Demand(("sec",))], [said("ann", "ops"), said("bob", "sec")], True),
        ([Demand()], [said("ann"), said("bob", verdict="deny")], False),
    ],
)
def test_each_demand_needs_enough_distinct_people_of_its_roles(
    demands: list[Demand], answers: list[AnswerRow], *, enough: bool
) -> None:
    assert request.met(demands, answers) is enough


def test_the_shortest_time_and_the_largest_quorum_hold() -> None:
    demands = [Demand((), 3, 60), Demand((), 1, 30)]
    assert (request.lasts_s(demands), request.needed(demands)) == (30, 3)
