"""The judgement of one proposal: schema, typed values, what is known, Rego; and the grant it may come to.

Of every kind of proposal: a tool's call, a resource that is to be read, what an upstream asks of a client.
"""

from dataclasses import replace

from gateway.approvals.request import Standing
from gateway.audit.ids import uuid7
from gateway.errors import SOFTENED_BY_SHADOW, Refused
from gateway.kinds import Kind
from gateway.model import (
    Check,
    Code,
    Decision,
    Demand,
    Effect,
    Facts,
    Grant,
    Limits,
    Mode,
    Pin,
    Point,
    Proposal,
)
from gateway.parts import Gateway
from gateway.policy import inputs, obligations
from gateway.policy.decide import decide
from gateway.validators import schema, semantic

QUESTIONED = "an operator wants a person to agree to calls like this one"
"""The reason that a brake adds to what the policy allows."""


async def judge(proposal: Proposal, gw: Gateway) -> tuple[Proposal, Decision]:
    """Schema, typed values, facts, Rego: the first refusal wins.

    Raises:
        Refused: BRAKED, SCHEMA, SEMANTIC, POLICY_ENGINE. What the policy itself says is in the decision.
    """
    asks = await gw.brakes.press(proposal)
    if proposal.call.kind == Kind.TOOL:  # nothing else declares what it takes
        schema.check_arguments(proposal.pin, proposal.call.arguments)
    semantics: Refused | None = None
    try:
        proposal = semantic.typed(proposal)
        gw.budgets.check(proposal)
    except Refused as refusal:
        if not softened(refusal, proposal.pin):
            raise
        semantics = refusal
        proposal = replace(proposal, checks=(*proposal.checks, Check("semantic", "fail", detail=refusal.detail)))
    decision = await decide(gw.pdp, Point.CALL, inputs.for_call(proposal, gathered(proposal, gw)), id=uuid7())
    if semantics is not None and decision.effect is Effect.ALLOW:
        decision = replace(decision, effect=Effect.DENY, code=semantics.code, reasons=(semantics.reason,))
    if asks:
        decision = _questioned(decision, proposal)
    return proposal, decision


def gathered(proposal: Proposal, gw: Gateway) -> Facts:
    """What is known at this moment, with what is left of the budgets that count the proposal."""
    facts = gw.sessions.gather(proposal.call)
    return replace(facts, budget=left) if (left := gw.budgets.shown(proposal)) else facts


def afford(proposal: Proposal, decision: Decision, gw: Gateway) -> Proposal:
    """The proposal, if its budgets can pay for what the policy lets run; shadow notes that they cannot.

    Raises:
        Refused: BUDGET, RATE. Nobody is asked to approve what cannot be paid for.
    """
    if decision.effect is Effect.DENY or (short := gw.budgets.short(proposal)) is None:
        return proposal
    if not softened(short, proposal.pin):
        raise short
    return replace(proposal, checks=(*proposal.checks, Check("budget", "fail", detail=short.detail)))


def _questioned(decision: Decision, proposal: Proposal) -> Decision:
    """What the policy says, where an operator wants a person to agree to each call."""
    if proposal.pin.mode is Mode.SHADOW:  # which softens what policy asks for, and no brake
        raise Refused(Code.BRAKED, f"{QUESTIONED}, and this is shadow")
    return questioned(decision) if decision.effect is Effect.ALLOW else decision


def questioned(decision: Decision) -> Decision:
    """What the policy allows, once a person agrees."""
    why = (*decision.reasons, QUESTIONED)
    asked = replace(decision, effect=Effect.REQUIRE_APPROVAL, code=Code.APPROVAL_REQUIRED, reasons=why)
    return replace(asked, demands=decision.demands or (Demand(),))


def authorize(proposal: Proposal, decision: Decision, gw: Gateway, standing: Standing | None = None) -> Grant:
    """Turn an allow, or what shadow lets pass, into the right to act once.

    Raises:
        Refused: the decision's own code, or OBLIGATION.
    """
    agreed = standing is not None and decision.effect is Effect.REQUIRE_APPROVAL
    if decision.effect is not Effect.ALLOW and not agreed:
        code = decision.code or Code.POLICY_DENIED
        refusal = Refused(code, "; ".join(decision.reasons), would_pass=decision.would_pass)
        if not softened(refusal, proposal.pin):
            raise refusal
    limits = gw.settings.limits
    bounds = Limits(limits.call_s, limits.result_mb << 20, max(limits.call_s, limits.call_most_s))
    bounds, redaction, labels = obligations.apply(decision.obligations, bounds)
    return Grant(decision, Effect.ALLOW, bounds, redaction, labels, standing.approval if standing else "")


def softened(refusal: Refused, pin: Pin) -> bool:
    """Whether shadow lets this pass."""
    return pin.mode is Mode.SHADOW and refusal.code in SOFTENED_BY_SHADOW
