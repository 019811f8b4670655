"""The canaries: what a policy is asked before it may decide, and what then refuses it."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.model import Point
from gateway.policy import canaries, regorus
from gateway.policy.bundle import Bundle, load, shipped
from gateway.policy.regorus import Regorus
from tests.policy import questions
from tests.policy.folders import CALL

OPEN_ENTRY = """package bascule.call

decision := {"effect": "allow", "reasons": ["all"], "obligations": []}
"""
ASKING_ENTRY = OPEN_ENTRY.replace('"allow"', '"require_approval"')
BAD_LIST = """package bascule.list

decision := {"effect": "allow", "hide": [1], "reasons": [], "obligations": []}
"""
BAD_RESULT = 'package bascule.result\n\ndecision := {"effect": "allow", "reasons": [1], "obligations": []}\n'


@pytest.mark.promise("fail-closed")
async def test_the_canary_is_denied_under_a_policy_that_allows_everything(tmp_path: Path) -> None:
    evidence = await canaries.prove(Regorus(questions.loaded(tmp_path, questions.ALLOW_ALL)))
    assert "the reserved one was denied" in evidence
    assert evidence.startswith("13 canaries on regorus/")


async def test_the_starter_policy_is_proven() -> None:
    assert await canaries.prove(Regorus(load(shipped() / "packs" / "starter")))


async def test_a_policy_without_any_rule_is_proven() -> None:
    assert await canaries.prove(Regorus(Bundle.of(questions.ENTRIES, {})))


REFUSED = {
    "the deny replaced": (questions.unchecked(CALL, call=OPEN_ENTRY), "answers allow to a call"),
    "the deny replaced by a question": (questions.unchecked(CALL, call=ASKING_ENTRY), "answers require_approval to a"),
    "no entry": (questions.unchecked(CALL, call="package bascule.call\n"), "fails at `call` on a canary"),
    "a panic": (questions.unchecked(questions.PANICS), "fails at `call` on a canary: PanicException"),
    "names that are none at list": (questions.unchecked(CALL, list=BAD_LIST), "fails at `list` on a canary"),
    "reasons that are none at result": (questions.unchecked(CALL, result=BAD_RESULT), "fails at `result` on a canary"),
    "a panic on a long text in a long text": (
        questions.unchecked(CALL + 'deny contains "x" if strings.count(input.args.path, input.args.text) > 5\n'),
        "fails at `call` on a canary: PanicException",
    ),
    "a rule that fails on a text that is no number": (
        questions.unchecked(CALL + 'deny contains "x" if to_number(input.args.text) > 5\n'),
        "fails at `call` on a canary: RuntimeError",
    ),
    "an obligation that does not exist": (
        questions.unchecked(questions.ALLOW_ALL + '\nobligations contains {"type": "pray"} if true\n'),
        "there is no obligation 'pray'",
    ),
}


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("what", REFUSED)
async def test_a_policy_is_refused_by_the_canaries(what: str) -> None:
    bundle, why = REFUSED[what]
    with pytest.raises(ConfigError) as refused:
        await canaries.prove(Regorus(bundle))
    assert why in refused.value.problem


@pytest.mark.parametrize("point", list(Point))
async def test_a_policy_that_takes_too_long_at_any_point_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, point: Point
) -> None:
    pdp = Regorus(questions.loaded(tmp_path, questions.ALLOW_ALL))
    monkeypatch.setitem(regorus.LONGEST_NS, point, 0)
    with pytest.raises(ConfigError, match=f"fails at `{point}` on a canary: EvaluationError: the evaluation took"):
        await canaries.prove(pdp)


async def test_no_evaluation_of_a_canary_stays_to_answer_somebody_else(tmp_path: Path) -> None:
    """Whoever is not the canary is not denied as if it were."""
    pdp = Regorus(questions.loaded(tmp_path, questions.ALLOW_ALL))
    await canaries.prove(pdp)
    assert (await pdp.evaluate(Point.CALL, questions.call()))["effect"] == "allow"
