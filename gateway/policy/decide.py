"""One question to the PDP, one Decision back; whatever goes wrong on the way refuses.

This is the guard: one of the package boundaries where every exception is caught, the panics of an engine
(which are no `Exception`) included.
"""

import asyncio
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from gateway.errors import Refused
from gateway.model import Code, Decision, Demand, Effect, JsonObject, Obligation, Point
from gateway.policy import Pdp, demands, inputs, obligations

MAY_GIVE = frozenset({Code.POLICY_DENIED, Code.SEMANTIC, Code.CONTEXT, Code.RATE, Code.BUDGET, Code.RESULT_WITHHELD})
"""The codes a rule may give its refusal; every other one is the gateway's own."""
REASONS = 32
TEXT = 1_000
"""The most reasons a decision carries, and the most characters of each; more is cut."""

_EFFECTS: dict[object, Effect] = {str(effect): effect for effect in Effect}
_LET_THROUGH = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A raw decision once it was found to be one."""

    effect: Effect
    code: Code | None
    reasons: tuple[str, ...]
    would_pass: str
    obligations: tuple[Obligation, ...]
    demands: tuple[Demand, ...] = ()


async def decide(pdp: Pdp, point: Point, document: JsonObject, *, id: str) -> Decision:  # noqa: A002 - a decision's id
    """The policy's answer at `point`. Raises Refused with POLICY_ENGINE or OBLIGATION, and nothing else. HOT."""
    started = perf_counter_ns()
    try:
        judged, encoded = inputs.encode(document, pdp.value_bytes)
        bundle = pdp.bundle.digest
        verdict = verdict_of(point, await pdp.evaluate(point, judged))
    except Refused:
        raise
    except _LET_THROUGH:
        raise
    except BaseException as error:  # noqa: BLE001 - the guard: a panic of the engine is no Exception
        raise _no_answer(error) from None
    return Decision(
        id,
        point,
        verdict.effect,
        verdict.code,
        verdict.reasons,
        verdict.would_pass,
        verdict.obligations,
        bundle,
        pdp.engine,
        encoded,
        (perf_counter_ns() - started) // 1000,
        verdict.demands,
    )


async def hidden(pdp: Pdp, document: JsonObject) -> frozenset[str]:
    """The names at `list` that this principal is not shown. Raises Refused with POLICY_ENGINE."""
    try:
        judged, _ = inputs.encode(document, pdp.value_bytes)
        raw = await pdp.evaluate(Point.LIST, judged)
        if verdict_of(Point.LIST, raw).effect is not Effect.ALLOW or type(raw["hide"]) is not list:
            raise ValueError("`list` should allow, and hide a list of names")
        return frozenset(_name(member) for member in raw["hide"])
    except _LET_THROUGH:
        raise
    except BaseException as error:  # noqa: BLE001 - the guard: a panic of the engine is no Exception
        raise _no_answer(error) from None


def verdict_of(point: Point, raw: Any) -> Verdict:
    """The raw decision, strictly: an unknown effect or code, or any other shape, is an engine error."""
    effect = _EFFECTS.get(raw["effect"])
    if effect is None:
        raise ValueError(f"unknown effect {raw['effect']!r:.80}")
    code = raw.get("code")
    if code is not None and (code != Code.NO_RULE or effect is not Effect.DENY):
        raise ValueError(f"unknown code {code!r:.80} of {effect}")
    members, stated = raw["reasons"], raw["obligations"]
    if type(members) is not list or type(stated) is not list:
        raise ValueError("reasons and obligations should be lists")
    reasons = tuple([_reason(member) for member in members[:REASONS]]) if members else ()
    if effect is Effect.ALLOW:
        return Verdict(effect, None, reasons, "", obligations.fold(point, stated) if stated else ())
    if effect is Effect.REQUIRE_APPROVAL:
        folded = obligations.fold(point, stated) if stated else ()
        wanted = demands.of(members)
        return Verdict(effect, Code.APPROVAL_REQUIRED, reasons, _would_pass(members), folded, wanted)
    given = Code.NO_RULE if code else _code(point, members)
    return Verdict(effect, given, reasons, _would_pass(members), ())


def _code(point: Point, members: list[Any]) -> Code:
    given = sorted({str(member["code"]) for member in members if type(member) is dict and "code" in member})
    for code in given:
        if code not in MAY_GIVE:
            raise ValueError(f"a rule may not give the code {code!r:.80}")
    if given:
        return Code(given[0])
    return Code.RESULT_WITHHELD if point is Point.RESULT else Code.POLICY_DENIED


def _reason(member: Any) -> str:
    text = member if type(member) is str else member["reason"]
    if type(text) is not str or not text:
        raise ValueError(f"a reason should be text, not {text!r:.80}")
    return text if len(text) <= TEXT else text[:TEXT]


def _would_pass(members: list[Any]) -> str:
    given = [member["would_pass"] for member in members if type(member) is dict and "would_pass" in member]
    if not all(type(text) is str for text in given):
        raise ValueError("would_pass should be text")
    return "; ".join(dict.fromkeys(given))[:TEXT]


def _name(member: Any) -> str:
    name = member if type(member) is str else member["name"]
    if type(name) is not str:
        raise ValueError(f"hide should hold names, not {name!r:.80}")
    return name


def _no_answer(error: BaseException) -> Refused:
    said = str(error).strip()
    first = said.splitlines()[0] if said else ""
    return Refused(
        Code.POLICY_ENGINE,
        "the policy could not be evaluated for this call",
        detail=f"{type(error).__name__}: {first:.300}",
    )
