"""A decision made again from what was stored of it."""

from pathlib import Path

from gateway.model import Facts, Point
from gateway.policy import inputs
from gateway.policy.decide import decide
from gateway.policy.evaluation import evaluate_again
from gateway.policy.regorus import Regorus
from tests import nouns
from tests.policy.rego import loaded

RULE = 'allow contains sprintf("%s may", [input.principal.id]) if input.args.path == data.path'
FACTS = Facts("2026-11-22T12:00:00Z")


async def test_the_stored_bundle_and_input_give_the_answer_again_after_a_swap(tmp_path: Path) -> None:
    old = loaded(tmp_path, RULE, data='{"path": "notes/a.md"}')
    pdp = Regorus(old)
    decision = await decide(pdp, Point.CALL, inputs.for_call(nouns.proposal(), FACTS), id="d")
    pdp.reload(loaded(tmp_path, RULE, data='{"path": "elsewhere"}'))
    assert decision.bundle == old.digest != pdp.bundle.digest
    again = await evaluate_again(old.content, decision.input)
    assert (again["effect"], again["reasons"]) == (str(decision.effect), list(decision.reasons))


async def test_a_value_too_large_to_be_judged_is_judged_alike_again(tmp_path: Path) -> None:
    made = loaded(tmp_path, 'deny contains "long" if input.args.text.length > 100')
    pdp = Regorus(made, value_bytes=100)
    proposal = nouns.proposal(call=nouns.call(arguments={"text": "x" * 1_000}))
    decision = await decide(pdp, Point.CALL, inputs.for_call(proposal, FACTS), id="d")
    assert decision.reasons == ("long",)
    assert (await evaluate_again(made.content, decision.input))["effect"] == "deny"
