"""The guard: one question, one Decision, and whatever is no answer refuses."""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.errors import Refused
from gateway.model import Code, Effect, JsonObject, Obligation, Point
from gateway.policy import decide as guard
from gateway.policy import regorus
from gateway.policy.bundle import Bundle
from gateway.policy.decide import decide, hidden, verdict_of
from gateway.policy.regorus import Regorus
from tests.policy import questions
from tests.policy.folders import CALL

BUNDLE = Bundle.of({"a.rego": "package a"}, {})
ALLOW: JsonObject = {"effect": "allow", "reasons": ["because"], "obligations": []}
DENY: JsonObject = {"effect": "deny", "reasons": ["no"], "obligations": []}
ASK: JsonObject = {"effect": "require_approval", "reasons": ["see it"], "obligations": []}
TIMEOUT: JsonObject = {"type": "timeout", "seconds": 5}


class PanicException(BaseException):
    """What a panic looks like: no `Exception`."""


@dataclass(slots=True)
class Says:
    """An engine that answers with one thing, or raises it."""

    answer: Any
    engine: str = "says/1"
    bundle: Bundle = BUNDLE
    value_bytes: int = 1_000
    asked: list[tuple[Point, JsonObject]] = field(default_factory=list)

    async def evaluate(self, point: Point, document: JsonObject) -> JsonObject:
        self.asked.append((point, document))
        if isinstance(self.answer, BaseException):
            raise self.answer
        answer: JsonObject = self.answer
        return answer

    def reload(self, bundle: Bundle) -> None:
        self.bundle = bundle

    async def close(self) -> None: ...


async def test_a_decision_carries_all_that_is_needed_to_give_it_again() -> None:
    engine = Says({**ALLOW, "obligations": [TIMEOUT]})
    decision = await decide(engine, Point.CALL, questions.call(), id="d-1")
    assert decision.id == "d-1"
    assert (decision.point, decision.effect, decision.code) == (Point.CALL, Effect.ALLOW, None)
    assert decision.reasons == ("because",)
    assert decision.obligations == (Obligation("timeout", {"seconds": 5}),)
    assert (decision.bundle, decision.engine) == (BUNDLE.digest, "says/1")
    assert orjson.loads(decision.input) == orjson.loads(orjson.dumps(questions.call()))
    assert decision.elapsed_us >= 0


async def test_the_recorded_input_is_what_the_engine_was_asked() -> None:
    engine = Says(ALLOW)
    decision = await decide(engine, Point.CALL, questions.call("x" * 2_000), id="d")
    ((point, asked),) = engine.asked
    assert point is Point.CALL
    assert decision.input == orjson.dumps(asked)
    assert asked["args"]["path"]["length"] == 2_000


async def test_the_bundle_named_is_the_one_that_was_asked() -> None:
    class Swaps(Says):
        async def evaluate(self, point: Point, document: JsonObject) -> JsonObject:
            self.reload(Bundle.of({"b.rego": "package b"}, {}))
            return ALLOW

    assert (await decide(Swaps(ALLOW), Point.CALL, questions.call(), id="d")).bundle == BUNDLE.digest


@pytest.mark.parametrize(
    ("point", "raw", "effect", "code"),
    [
        (Point.CALL, ALLOW, Effect.ALLOW, None),
        (Point.CALL, DENY, Effect.DENY, Code.POLICY_DENIED),
        (Point.LIST, DENY, Effect.DENY, Code.POLICY_DENIED),
        (Point.RESULT, DENY, Effect.DENY, Code.RESULT_WITHHELD),
        (Point.CALL, {**DENY, "code": "NO_RULE"}, Effect.DENY, Code.NO_RULE),
        (Point.RESULT, {**DENY, "code": "NO_RULE"}, Effect.DENY, Code.NO_RULE),
        (Point.CALL, {**DENY, "code": None}, Effect.DENY, Code.POLICY_DENIED),
        (Point.CALL, ASK, Effect.REQUIRE_APPROVAL, Code.APPROVAL_REQUIRED),
        (Point.RESULT, ASK, Effect.REQUIRE_APPROVAL, Code.APPROVAL_REQUIRED),
    ],
)
def test_an_effect_has_its_code(point: Point, raw: JsonObject, effect: Effect, code: Code | None) -> None:
    verdict = verdict_of(point, raw)
    assert (verdict.effect, verdict.code) == (effect, code)


@pytest.mark.parametrize("code", sorted(guard.MAY_GIVE))
def test_a_rule_may_give_its_refusal_one_of_its_codes(code: Code) -> None:
    raw = {**DENY, "reasons": ["other", {"reason": "no", "code": str(code)}]}
    assert verdict_of(Point.CALL, raw).code is code


def test_of_several_codes_one_is_taken_whatever_their_order() -> None:
    members = [{"reason": "a", "code": "SEMANTIC"}, {"reason": "b", "code": "CONTEXT"}]
    for reasons in (members, members[::-1]):
        assert verdict_of(Point.CALL, {**DENY, "reasons": reasons}).code is Code.CONTEXT


def test_reasons_are_cut_to_the_most_a_decision_carries() -> None:
    verdict = verdict_of(Point.CALL, {**ALLOW, "reasons": ["x" * 2_000, *(str(each) for each in range(100))]})
    assert verdict.reasons == ("x" * 1_000, *(str(each) for each in range(31)))


def test_what_would_pass_is_said_once_and_cut() -> None:
    members = ["plain", *({"reason": "r", "would_pass": text} for text in ("less", "more", "less"))]
    assert verdict_of(Point.CALL, {**DENY, "reasons": members}).would_pass == "less; more"
    assert verdict_of(Point.CALL, {**ASK, "reasons": members}).would_pass == "less; more"
    assert verdict_of(Point.CALL, {**ALLOW, "reasons": members}).would_pass == ""
    long = [{"reason": "r", "would_pass": "x" * 2_000}]
    assert len(verdict_of(Point.CALL, {**DENY, "reasons": long}).would_pass) == 1_000


@pytest.mark.parametrize("raw", [ALLOW, ASK])
def test_obligations_are_folded_where_the_call_may_yet_run(raw: JsonObject) -> None:
    stated = [TIMEOUT, {"type": "timeout", "seconds": 3}]
    folded = verdict_of(Point.CALL, {**raw, "obligations": stated}).obligations
    assert folded == (Obligation("timeout", {"seconds": 3}),)


def test_a_refusal_owes_nothing() -> None:
    assert verdict_of(Point.CALL, {**DENY, "obligations": [{"type": "pray"}]}).obligations == ()


NO_ANSWER: dict[str, Any] = {
    "nothing": None,
    "a text": "allow",
    "a list": [],
    "an empty object": {},
    "an unknown effect": {**ALLOW, "effect": "permit"},
    "an effect in capitals": {**ALLOW, "effect": "ALLOW"},
    "no effect": {"reasons": [], "obligations": []},
    "true for an effect": {**ALLOW, "effect": True},
    "a list for an effect": {**ALLOW, "effect": ["allow"]},
    "an unknown code": {**DENY, "code": "NOPE"},
    "an empty code": {**DENY, "code": ""},
    "a code that is the gateway's": {**DENY, "code": "FROZEN"},
    "a code of an allow": {**ALLOW, "code": "NO_RULE"},
    "a code of a question": {**ASK, "code": "NO_RULE"},
    "a rule's unknown code": {**DENY, "reasons": [{"reason": "r", "code": "NOPE"}]},
    "a rule's code that is the gateway's": {**DENY, "reasons": [{"reason": "r", "code": "LOG_UNAVAILABLE"}]},
    "a rule's code that is none": {**DENY, "reasons": [{"reason": "r", "code": None}]},
    "one unknown code among known ones": {
        **DENY,
        "reasons": [{"reason": "r", "code": "SEMANTIC"}, {"reason": "s", "code": "NOPE"}],
    },
    "no reasons": {"effect": "allow", "obligations": []},
    "reasons that are an object": {**ALLOW, "reasons": {"a": 1}},
    "reasons that are a text": {**ALLOW, "reasons": "because"},
    "a number for a reason": {**ALLOW, "reasons": [1]},
    "an empty reason": {**ALLOW, "reasons": [""]},
    "a reason without its text": {**DENY, "reasons": [{"code": "SEMANTIC"}]},
    "a reason whose text is none": {**DENY, "reasons": [{"reason": ["x"]}]},
    "no obligations": {"effect": "allow", "reasons": []},
    "obligations that are an object": {**ALLOW, "obligations": {"type": "timeout"}},
    "a would_pass that is no text": {**DENY, "reasons": [{"reason": "r", "would_pass": 1}]},
}


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("what", NO_ANSWER)
async def test_what_is_no_decision_refuses_as_an_engine_error(what: str) -> None:
    with pytest.raises(Refused) as refused:
        await decide(Says(NO_ANSWER[what]), Point.CALL, questions.call(), id="d")
    assert refused.value.code is Code.POLICY_ENGINE
    assert refused.value.reason == "the policy could not be evaluated for this call"
    assert refused.value.detail


@pytest.mark.parametrize(
    ("raised", "detail"),
    [
        (RuntimeError("first line\nStack backtrace:\n 0: x"), "RuntimeError: first line"),
        (PanicException("window size must be non-zero"), "PanicException: window size must be non-zero"),
        (ValueError(), "ValueError: "),
        (BaseException(" \n "), "BaseException: "),
        (TimeoutError("x" * 1_000), "TimeoutError: " + "x" * 300),
        (RecursionError("deep"), "RecursionError: deep"),
        (MemoryError(), "MemoryError: "),
    ],
)
async def test_whatever_the_engine_raises_refuses_and_only_the_operator_is_told(
    raised: BaseException, detail: str
) -> None:
    for asked in (
        decide(Says(raised), Point.CALL, questions.call(), id="d"),
        hidden(Says(raised), {"point": "list"}),
    ):
        with pytest.raises(Refused) as refused:
            await asked
        assert (refused.value.code, refused.value.detail) == (Code.POLICY_ENGINE, detail)
        assert refused.value.reason == "the policy could not be evaluated for this call"
        assert refused.value.__cause__ is None


@pytest.mark.parametrize("raised", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
async def test_what_ends_the_task_or_the_process_is_let_through(raised: BaseException) -> None:
    with pytest.raises(type(raised)):
        await decide(Says(raised), Point.CALL, questions.call(), id="d")
    with pytest.raises(type(raised)):
        await hidden(Says(raised), {"point": "list"})


async def test_an_obligation_that_cannot_be_kept_refuses_with_its_own_code() -> None:
    with pytest.raises(Refused) as refused:
        await decide(Says({**ALLOW, "obligations": [{"type": "pray"}]}), Point.CALL, questions.call(), id="d")
    assert refused.value.code is Code.OBLIGATION


async def test_a_document_that_cannot_be_written_refuses_before_the_engine_is_asked() -> None:
    engine = Says(ALLOW)
    with pytest.raises(Refused) as refused:
        await decide(engine, Point.CALL, {"args": {"a": "\ud800"}}, id="d")
    assert refused.value.code is Code.POLICY_ENGINE
    assert engine.asked == []


async def test_what_is_hidden_is_named_by_text_or_by_object() -> None:
    engine = Says({**ALLOW, "hide": ["a", {"name": "b", "reason": "x"}, "a"]})
    assert await hidden(engine, {"point": "list"}) == {"a", "b"}
    assert engine.asked[0][0] is Point.LIST


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(
    "raw",
    [
        ALLOW,
        {**ALLOW, "hide": "write_note"},
        {**ALLOW, "hide": {"write_note": True}},
        {**ALLOW, "hide": None},
        {**ALLOW, "hide": [1]},
        {**ALLOW, "hide": [["a"]]},
        {**ALLOW, "hide": [{"reason": "a"}]},
        {**ALLOW, "hide": [{"name": 1}]},
        {**ALLOW, "hide": [], "effect": "permit"},
        {**ALLOW, "hide": [], "obligations": [TIMEOUT]},
        {**DENY, "hide": []},
        {"hide": []},
        None,
    ],
)
async def test_a_list_that_is_none_refuses_as_an_engine_error(raw: Any) -> None:
    with pytest.raises(Refused) as refused:
        await hidden(Says(raw), {"point": "list"})
    assert refused.value.code is Code.POLICY_ENGINE


@pytest.mark.promise("fail-closed")
async def test_a_panic_refuses_and_the_engine_answers_again_afterwards() -> None:
    pdp = Regorus(questions.unchecked(questions.PANICS))
    before = await decide(pdp, Point.CALL, questions.call("a"), id="d")
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await decide(pdp, Point.CALL, questions.call(""), id="d")
        assert refused.value.code is Code.POLICY_ENGINE
        assert refused.value.detail == "PanicException: window size must be non-zero"
        after = await decide(pdp, Point.CALL, questions.call("b"), id="d")
        assert (after.effect, after.bundle) == (before.effect, before.bundle) == (Effect.ALLOW, pdp.bundle.digest)


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("point", [Point.CALL, Point.RESULT])
async def test_an_answer_that_came_too_late_refuses_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, point: Point
) -> None:
    pdp = Regorus(questions.loaded(tmp_path, questions.ALLOW_ALL))
    monkeypatch.setitem(regorus.LONGEST_NS, point, 0)
    with caplog.at_level(logging.ERROR), pytest.raises(Refused) as refused:
        await decide(pdp, point, {**questions.call(), "point": str(point)}, id="d")
    assert refused.value.code is Code.POLICY_ENGINE
    assert "its answer is not used" in caplog.text
    assert pdp.slow == 1


async def test_a_builtin_that_fails_while_it_decides_refuses(tmp_path: Path) -> None:
    policy = questions.ALLOW_ALL + '\ndeny contains "x" if to_number(input.args.path) > 5\n'
    pdp = Regorus(questions.loaded(tmp_path, policy))
    assert (await decide(pdp, Point.CALL, questions.call("3"), id="d")).effect is Effect.ALLOW
    with pytest.raises(Refused) as refused:
        await decide(pdp, Point.CALL, questions.call("three"), id="d")
    assert refused.value.code is Code.POLICY_ENGINE
    assert "backtrace" not in refused.value.detail


async def test_two_rules_that_contradict_each_other_refuse(tmp_path: Path) -> None:
    policy = CALL + 'allow contains who if true\n\nwho := input.args.path\n\nwho := "b" if input.args.path != "b"\n'
    pdp = Regorus(questions.loaded(tmp_path, policy))
    assert (await decide(pdp, Point.CALL, questions.call("b"), id="d")).effect is Effect.ALLOW
    with pytest.raises(Refused) as refused:
        await decide(pdp, Point.CALL, questions.call("a"), id="d")
    assert refused.value.code is Code.POLICY_ENGINE
