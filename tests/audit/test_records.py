"""What a record says in the open, and what only under seal."""

import orjson
import pytest

from gateway.audit import records
from gateway.model import Check, Code, Demand, Effect, Ending, Grant, Limits, Mode, RunId
from tests import nouns

RUN = RunId("0195-run")
SECRET = "4111-1111-1111-1111"


def grant(effect: Effect = Effect.ALLOW) -> Grant:
    return Grant(nouns.decision(effect), Effect.ALLOW, Limits(2.5, 1024))


@pytest.mark.promise("secrets-stay-inside")
def test_nothing_of_a_person_an_argument_or_a_result_stands_in_the_open() -> None:
    call = nouns.call(arguments={"path": SECRET}, session=SECRET, task=SECRET, name=SECRET)
    proposal = nouns.proposal(call=call)
    made = [
        records.intent(RUN, proposal, grant()),
        records.refused(RUN, call, None, None, code="NO_RULE", said={"reason": SECRET}),
        records.settled(RUN, Ending.DONE, outcome=nouns.outcome(SECRET), labels=(SECRET,), detail=SECRET),
    ]
    for record in made:
        text = orjson.dumps(record.public)
        assert SECRET.encode() not in text
        assert b"agent" not in text
        assert any(SECRET.encode() in value for value in record.sealed.values())


@pytest.mark.promise("decided-again")
def test_the_input_of_every_decision_is_kept() -> None:
    decided = nouns.decision(Effect.DENY, Code.POLICY_DENIED, input=b'{"v":1}')
    kept = [
        records.intent(RUN, nouns.proposal(), Grant(decided, Effect.ALLOW, Limits(1, 1))),
        records.refused(RUN, nouns.call(), nouns.pin(), decided, code="POLICY_DENIED", said={}),
        records.settled(RUN, Ending.WITHHELD, decision=decided),
    ]
    assert [record.sealed["input"] for record in kept] == [b'{"v":1}'] * 3


@pytest.mark.promise("decided-again")
def test_what_every_decision_said_is_kept_beside_its_input() -> None:
    asked = nouns.decision(Effect.REQUIRE_APPROVAL, Code.APPROVAL_REQUIRED, demands=(Demand(("ops",), 2, 60),))
    kept = [
        records.refused(RUN, nouns.call(), nouns.pin(), asked, code="APPROVAL_REQUIRED", said={}),
        records.answered(RUN, "approval.granted", asked, {}, {}),
        records.requested(RUN, nouns.proposal(), asked, approval="a", expires=1),
    ]
    for record in kept:
        said = orjson.loads(record.sealed["decision"])
        assert said["reasons"] == ["because"]
        assert said["demands"] == [{"from": ["ops"], "quorum": 2, "expires_s": 60}]
    assert "demands" not in orjson.loads(records.said_of(nouns.decision()))


def test_verdict_and_action_are_told_apart_in_shadow() -> None:
    proposal = nouns.proposal(pin=nouns.pin(mode=Mode.SHADOW))
    record = records.intent(RUN, proposal, grant(Effect.DENY))
    assert record.public["mode"] == "shadow"
    assert (record.public["decision"]["effect"], record.public["decision"]["action"]) == ("deny", "allow")


def test_checks_stand_in_the_open_with_integer_scores() -> None:
    record = records.settled(RUN, Ending.DONE, checks=[Check("secrets", "fail", 3, 0, detail="not this")])
    assert record.public["checks"] == [{"name": "secrets", "score": 3, "threshold": 0, "verdict": "fail"}]


def test_a_result_too_long_to_keep_stands_as_its_length() -> None:
    outcome = nouns.outcome("x" * (records.SEALED_LIMIT + 1))
    kept = orjson.loads(records.settled(RUN, Ending.DONE, outcome=outcome).sealed["result"])
    assert kept["not_kept"] > records.SEALED_LIMIT


def test_an_integer_beyond_64_bits_is_kept_digit_for_digit() -> None:
    outcome = nouns.outcome(result={"n": 2**80})
    assert records.settled(RUN, Ending.DONE, outcome=outcome).sealed["result"] == b'{"n":%d}' % 2**80


def test_an_event_belongs_to_no_run() -> None:
    record = records.event("pin.drifted", {"upstream": "notes"}, sealed={"who": "os:root"})
    assert (record.run, record.sealed) == (None, {"who": b'"os:root"'})
