"""A decision made again, from the bundle's bytes and the recorded input alone."""

from pathlib import Path

import pytest

from gateway.kinds import Listed
from gateway.model import Check, JsonObject, Point
from gateway.policy import inputs
from gateway.policy.decide import decide
from gateway.policy.evaluation import evaluate_again
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
