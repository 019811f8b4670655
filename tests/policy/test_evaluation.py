"""A decision made again, from the bundle's bytes and the recorded input alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.kinds import Listed
from gateway.model import Check, Code, Effect, JsonObject, Point
from gateway.policy import inputs
from gateway.policy.bundle import Bundle
from gateway.policy.decide import decide
from gateway.policy.evaluation import decide_again, engine_of, evaluate_again
from gateway.policy.regorus import Regorus
from tests import nouns
from tests.policy import questions
from tests.policy.folders import CALL

POLICY = (
    CALL
    + """allow contains {"reason": "notes", "would_pass": "x"} if startswith(input.args.path, data.folder)

deny contains "long" if input.args.text.length > 100

deny contains "large" if input.args.number == "18446744073709551616"

obligations contains {"type": "timeout", "seconds": 3} if input.session.writes > 2
"""
)
RESULT = 'package bascule.result\n\ndeny contains "failed" if { some check in input.checks; check.verdict == "fail" }\n'
LIST = """package bascule.list

hide contains tool.name if {
	some tool in input.tools
	"write" in tool.manifest.effects
}
"""


def asked(**arguments: object) -> JsonObject:
    return inputs.for_call(nouns.proposal(call=nouns.call(arguments=arguments)), questions.NOW)


DOCUMENTS = {
    "allowed": asked(path="notes/a"),
    "no rule": asked(path="private/a"),
    "with an obligation": questions.call(writes=3),
    "with a value that stands as its digest": asked(path="notes/a", text="x" * 1_000),
    "with an integer that stands as text": asked(path="notes/a", number=2**64),
    "result": inputs.for_result(
        nouns.proposal(), questions.NOW, nouns.outcome(), (Check("hidden_text", "fail"),), [("tag", "/content/0")]
    ),
}


@pytest.mark.promise("decided-again")
@pytest.mark.parametrize("what", DOCUMENTS)
async def test_the_same_answer_comes_from_the_stored_bytes_alone(tmp_path: Path, what: str) -> None:
    bundle = questions.loaded(tmp_path, POLICY, **{"result.rego": RESULT, "data.json": '{"folder": "notes/"}'})
    pdp = Regorus(bundle, value_bytes=900)
    point = Point(DOCUMENTS[what]["point"])
    decision = await decide(pdp, point, DOCUMENTS[what], id="d")
    judged, _ = inputs.encode(DOCUMENTS[what], 900)
    first = await pdp.evaluate(point, judged)
    pdp.reload(questions.loaded(tmp_path / "other", questions.ALLOW_ALL))
    again = await evaluate_again(bundle.content, decision.input)
    assert again == first
    assert again["effect"] == decision.effect


async def test_what_was_hidden_is_told_again(tmp_path: Path) -> None:
    bundle = questions.loaded(tmp_path, POLICY, **{"list.rego": LIST, "data.json": '{"folder": "notes/"}'})
    document = inputs.for_list(
        nouns.AGENT, "notes", Listed.TOOLS, [nouns.pin()], protocol="mcp", era="e", transport="http"
    )
    _, recorded = inputs.encode(document, 65_536)
    assert (await evaluate_again(bundle.content, recorded))["hide"] == ["write_note"]


async def test_another_bundle_may_answer_otherwise(tmp_path: Path) -> None:
    _, recorded = inputs.encode(questions.call("private/a"), 65_536)
    strict = questions.loaded(tmp_path / "one", CALL + 'deny contains "no" if input.args.path == "private/a"\n')
    open_ = questions.loaded(tmp_path / "two", questions.ALLOW_ALL)
    assert (await evaluate_again(strict.content, recorded))["effect"] == "deny"
    assert (await evaluate_again(open_.content, recorded))["effect"] == "allow"


@pytest.mark.promise("decided-again")
@pytest.mark.parametrize("what", DOCUMENTS)
async def test_the_whole_decision_is_made_again_and_no_input_is_bounded_twice(tmp_path: Path, what: str) -> None:
    bundle = questions.loaded(tmp_path, POLICY, **{"result.rego": RESULT, "data.json": '{"folder": "notes/"}'})
    for value_bytes in (900, 10**6):
        decision = await decide(
            Regorus(bundle, value_bytes=value_bytes), Point(DOCUMENTS[what]["point"]), DOCUMENTS[what], id=""
        )
        again = await decide_again(engine_of(Bundle.from_content(bundle.content)), decision.input)
        assert replace(again, elapsed_us=0) == replace(decision, elapsed_us=0)


async def test_a_policy_that_fails_at_an_input_refuses_it(tmp_path: Path) -> None:
    _, recorded = inputs.encode(questions.call(), 65_536)
    for member, code in (
        ('obligations contains {"type": "unheard-of"}', Code.OBLIGATION),
        ("deny contains 7", Code.POLICY_ENGINE),
    ):
        broken = questions.loaded(tmp_path / code, CALL + f'allow contains "x"\n\n{member}\n')
        again = await decide_again(engine_of(broken), recorded)
        assert (again.effect, again.code, again.bundle) == (Effect.DENY, code, broken.digest)
        assert again.reasons[0]


def test_a_bundle_that_only_opa_takes_is_said_to_be_one() -> None:
    foreign = Bundle.of({"policies/a.rego": 'package bascule.call\n\nallow contains $"{input.x}"\n'}, {})
    with pytest.raises(ConfigError, match=f"the engine in process does not take the bundle {foreign.digest}"):
        engine_of(foreign)
