"""What a run comes to once it has acted: the verdict on its result, its durable ending, the reply.

Not the way there: that is pipeline.py. Whatever happens here, the run ends in a settled record.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway import asking, judging
from gateway.act import Act
from gateway.audit import proof, records
from gateway.audit.ids import uuid7
from gateway.channel import Channel
from gateway.errors import Failed, LogUnavailable
from gateway.executing import INPUT_REQUIRED
from gateway.kinds import Kind
from gateway.listing import tasks
from gateway.model import (
    Call,
    Code,
    Decision,
    Effect,
    Ending,
    JsonObject,
    Mode,
    Outcome,
    Pin,
    Point,
    Proposal,
    Redaction,
    Reply,
    RunId,
)
from gateway.parts import Gateway
from gateway.policy import inputs, obligations
from gateway.policy.decide import decide
from gateway.recovery import unsettled
from gateway.runs import states
from gateway.screening import Screened, redact, screen
from gateway.validators import schema
from gateway.wire import replies
from gateway.wire.mcp import MISSING_CAPABILITY, MODERN
from gateway.writes import Write

READ_ONLY = frozenset({"read"})
LARGE_BYTES = 262_144
_WITHHOLDING = frozenset({Code.RESULT_WITHHELD, Code.POLICY_ENGINE, Code.POLICY_DENIED, Code.NO_RULE})
_NEVER_RAN = frozenset({Code.UPSTREAM_UNAVAILABLE, Code.SANDBOX_UNAVAILABLE})
"""What was not sent, unless the failure is `unknown`. Whatever else an upstream says of a call, it may have cost."""


async def conclude(act: Act, outcome: Outcome, gw: Gateway) -> Reply:
    """The verdict on a result, and what is released of it.

    Raises:
        Failed, Refused: it is not to be given.
        LogUnavailable: its ending is not durable.
    """
    proposal, call, pin = act.proposal, act.proposal.call, act.proposal.pin
    if call.kind == Kind.TOOL and outcome.result.get("resultType", "complete") == "complete":
        schema.check_result(pin, outcome.result)
    screened = await _screened(pin, outcome)
    known = judging.gathered(proposal, gw)
    found = [(finding.kind, finding.where) for finding in screened.findings]
    document = inputs.for_result(proposal, known, outcome, screened.checks, found)
    verdict = await decide(gw.pdp, Point.RESULT, document, id=uuid7())
    return await release(act, outcome, screened, verdict, gw)


@dataclass(frozen=True, slots=True)
class Asked:
    """A round that ended with questions to a client that waits."""

    run: RunId
    proposal: Proposal
    questions: dict[str, JsonObject]
    state: str | None
    """The upstream's own, to be given back with the answers."""


async def pause(act: Act, outcome: Outcome, channel: Channel, gw: Gateway) -> Reply | Asked:
    """End a round whose upstream asks something first: of a client that waits, or sealed for one that comes back.

    Raises:
        Failed, Refused: this client cannot be asked that.
        LogUnavailable: the ending is not durable.
    """
    run, proposal, call = act.run, act.proposal, act.proposal.call
    parked = str(outcome.evidence.get("parked", ""))
    with gw.parking.unless_told(parked):
        questions: dict[str, JsonObject] = outcome.result.get("inputRequests", {})
        state, modern = outcome.result.get("requestState"), call.era in MODERN
        if questions and not modern and channel.ask is None:
            raise Failed(Code.UPSTREAM_INVALID, "the upstream asks something that this client cannot be asked")
        if lacking := asking.missing([one["method"] for one in questions.values()], channel.capabilities):
            reason = "the upstream asks something for which the client declared no capability"
            fault = {"code": MISSING_CAPABILITY, "data": {"requiredCapabilities": lacking}}
            raise Failed(Code.UPSTREAM_INVALID, reason, fault=fault, unknown=bool(parked))
        if modern and not parked:
            questions = await asking.show(proposal, run, questions, channel.capabilities, gw)
        seen = gw.sessions.learn(proposal, labels=asking.UNTRUSTED, wrote=not reads_only(proposal.pin))
        became, freed = act.holds.settled(run, Ending.DONE, asked=True)
        record = records.settled(
            run, Ending.DONE, pin=proposal.pin, outcome=outcome, labels=asking.UNTRUSTED, budget=became
        )
        await gw.log.append([record], [states.ended(run, Ending.DONE), *seen, *freed])
        # Point of no return: the ending is durable, and only now is the client asked.
        if not modern:
            return Asked(run, proposal, questions, state)
        if channel.hung_up:  # nobody hears of the state
            gw.parking.give_up(parked)
        # Nothing else of it leaves: what is no question has passed no verdict on results.
        sealed = gw.seals.seal(call, run, state, parked, questions)
        result: JsonObject = {"resultType": INPUT_REQUIRED, "requestState": sealed}
        if questions:
            result["inputRequests"] = questions
        return replies.granted(result, {replies.DECISION: _told(act)})


async def _screened(pin: Pin, outcome: Outcome) -> Screened:
    """What screening finds. A large result is looked through beside the loop: its worst shapes take seconds."""
    if outcome.size <= LARGE_BYTES:
        return screen(pin, outcome.result)
    return await asyncio.to_thread(screen, pin, outcome.result)


async def release(act: Act, outcome: Outcome, screened: Screened, verdict: Decision, gw: Gateway) -> Reply:
    """Settle a call that brought a result, and give what the policy lets through.

    Raises:
        LogUnavailable: the ending is not durable, so nothing of the result is told.
    """
    run, proposal, grant, pin = act.run, act.proposal, act.grant, act.proposal.pin
    refused = verdict.effect is not Effect.ALLOW
    why = "; ".join(verdict.reasons) if refused else obligations.withheld(verdict.obligations)
    kept_back = why is not None and pin.mode is not Mode.SHADOW
    _, redaction, labels = obligations.apply(verdict.obligations, grant.limits)
    learned = () if kept_back else (*_labels_of(pin), *grant.labels, *labels)
    ending = Ending.WITHHELD if kept_back else Ending.FAILED if outcome.tool_error else Ending.DONE
    code = "" if why is None else Code.RESULT_WITHHELD
    if kept_back:
        reply = _withheld(run, proposal, why or "the policy withholds this result", verdict)
    else:
        result = redact(outcome.result, _both(grant.redaction, redaction), screened.findings, kind=proposal.call.kind)
        reply = replies.granted(result, {replies.DECISION: _told(act)})
    became, spent = act.holds.settled(run, ending)
    record = records.settled(
        run, ending, code=code, pin=pin, outcome=outcome, checks=screened.checks, decision=verdict, labels=learned,
        budget=became,
    )  # fmt: skip
    if not kept_back:
        tasks.remember(proposal, outcome, gw)
    seen = gw.sessions.learn(proposal, labels=learned, wrote=not reads_only(pin))
    kept = _kept(act, reply, learned, gw)
    stored = await gw.log.append([record], [states.ended(run, ending, code), *seen, *kept, *spent])
    # Point of no return: the ending is durable, and only now is anything of the result told.
    return await _with_receipt(reply, proposal.call, stored.first, gw)


def _kept(act: Act, reply: Reply, labels: tuple[str, ...], gw: Gateway) -> Sequence[Write]:
    """The write of what the client was given, where a key may belong to the run."""
    if not act.holds.keyed(act.proposal):
        return ()
    return [gw.keyed.keeps(act.run, reply, labels, whole=gw.settings.audit.payloads == "sealed")]


def _withheld(run: RunId, proposal: Proposal, why: str, verdict: Decision) -> Reply:
    code, kind = Code.RESULT_WITHHELD, proposal.call.kind
    return replies.refusal(code, why, run=run, would_pass=verdict.would_pass, decision=verdict.id, kind=kind)


async def fail(act: Act, failure: Failed, channel: Channel, gw: Gateway) -> Reply:
    """Settle a call that brought no result. An effect that may have happened freezes the run."""
    run, proposal, pin = act.run, act.proposal, act.proposal.pin
    withheld = failure.code in _WITHHOLDING
    unknown = failure.unknown and not reads_only(pin)  # what changes nothing has no unknown end
    ending = Ending.UNKNOWN if unknown else Ending.WITHHELD if withheld else Ending.FAILED
    reply = replies.refusal(failure.code, failure.reason, run=run, kind=proposal.call.kind)
    kept = _kept(act, reply, (), gw) if withheld else ()  # what failed without an effect gives its key back
    detail = failure.detail or failure.reason
    became, settled = act.holds.settled(run, ending, ran=failure.unknown or failure.code not in _NEVER_RAN)
    record = records.settled(run, ending, code=failure.code, pin=pin, detail=detail, budget=became)
    seen = gw.sessions.learn(proposal, labels=(), wrote=not reads_only(pin))
    kind = proposal.call.kind
    try:
        await gw.log.append([record], [states.ended(run, ending, failure.code), *seen, *kept, *settled])
    except LogUnavailable:
        return unsettled(run, gw, kind)
    fault = await asking.visited(proposal, run, failure.fault, channel.capabilities, gw)
    if fault and (told := replies.fault(fault, failure.reason, kind=kind, name=proposal.call.name)):
        return told
    return reply


async def _with_receipt(reply: Reply, call: Call, index: int, gw: Gateway) -> Reply:
    """The reply with the proof of its record, where the client asked for one (surface.md, `bascule/receipt`)."""
    if not call.meta.get(replies.RECEIPT) or reply.result is None:
        return reply
    try:
        head = await gw.log.head()
    except LogUnavailable:  # the ending is durable all the same: only its signature has to be asked for later
        return reply
    receipt = {"index": index, "head": head, "proof": proof.prove(gw.archive.reader, index)}
    return replies.granted(reply.result, {**reply.result["_meta"], replies.RECEIPT: receipt})


def _told(act: Act) -> JsonObject:
    """What stands beside a result that is given: that it was allowed, or that only shadow let it pass."""
    decision = act.grant.decision
    told: JsonObject = {"id": decision.id, "run": act.run, "effect": "allow"}
    if act.grant.approval:
        told["approval"] = act.grant.approval
    elif decision.effect is not Effect.ALLOW:
        told |= {"shadow": decision.effect, "code": decision.code, "reasons": decision.reasons}
        told["would_pass"] = decision.would_pass
    return told


def _both(one: Redaction, other: Redaction) -> Redaction:
    return Redaction((*one.pointers, *other.pointers), (*one.kinds, *other.kinds))


def _labels_of(pin: Pin) -> tuple[str, ...]:
    untrusted = () if pin.manifest.trust == "trusted" else ("untrusted",)
    return (*untrusted, *pin.manifest.labels)


def reads_only(pin: Pin) -> bool:
    """Whether nothing is changed by it, as its manifest has it."""
    return READ_ONLY.issuperset(pin.manifest.effects)
