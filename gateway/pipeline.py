"""What happens to a call, from proposal to reply: the enforcement point and the whole data path.

    propose    bind the call to the definition the operator accepted, if this principal may know of it
    judge      schema, then typed values, then what is known, then Rego             (judging.py)
    authorize  decision and obligations become a grant: what may be done, once, within which limits
    perform    durable intent | execute | screen | Rego on the result | durable ending | reply
    pause      the upstream asks the client something first: a later round goes on   (asking.py, rounds.py)

A refusal is possible only before the intent is durable. From there on every path ends in a settled record.
"""

import asyncio
import logging
from dataclasses import dataclass, replace

from gateway import asking, listing
from gateway.audit import proof, records
from gateway.audit.ids import uuid7
from gateway.channel import SILENT, Channel, Unanswered
from gateway.errors import Failed, LogUnavailable, Refused
from gateway.executing import INPUT_REQUIRED, execute
from gateway.executors import Executor
from gateway.judging import authorize, judge
from gateway.kinds import Kind
from gateway.model import (
    Call,
    Code,
    Decision,
    Effect,
    Ending,
    Grant,
    JsonObject,
    Mode,
    Outcome,
    Pin,
    Point,
    Proposal,
    Redaction,
    Reply,
    Round,
    RunEnded,
    RunId,
    RunOpened,
    RunRefused,
)
from gateway.parts import Gateway
from gateway.policy import inputs, obligations
from gateway.policy.decide import decide
from gateway.recovery import UNKNOWN, settle_later, unsettled
from gateway.rounds import NotOurs
from gateway.runs.states import after_ending
from gateway.screening import Screened, redact, screen
from gateway.validators import schema
from gateway.wire import replies
from gateway.wire.mcp import MISSING_CAPABILITY, MODERN

READ_ONLY = frozenset({"read"})
LARGE_BYTES = 262_144
MOST_ROUNDS = 16
"""Of one call, while its client waits."""
_WITHHOLDING = frozenset({Code.RESULT_WITHHELD, Code.POLICY_ENGINE, Code.POLICY_DENIED, Code.NO_RULE})
_NO_SUCH_METHOD = frozenset({Code.TOOL_UNKNOWN, Code.NO_RULE})
"""A method that nothing is known of, and one that no rule allows, look alike."""
_WITHOUT_END = "the upstream asks without end"
_NO_ANSWER = "what the upstream asked was not answered"

logger = logging.getLogger(__name__)


async def serve(call: Call, gw: Gateway, channel: Channel = SILENT) -> Reply:
    """One call of any kind, in as many rounds as its upstream asks a client that waits; each is a run of its own."""
    if (own := await listing.builtin(call, gw)) is not None:
        return own
    told = await one_round(call, channel, gw)
    rounds = 1
    while not isinstance(told, Reply):
        if rounds == MOST_ROUNDS:
            return replies.refusal(Code.UPSTREAM_INVALID, _WITHOUT_END, run=told.run, kind=call.kind)
        try:
            call = await _answered(told, channel, gw)
        except Unanswered:
            return replies.refusal(Code.CANCELLED, _NO_ANSWER, run=told.run, kind=call.kind)
        told = await one_round(call, channel, gw)
        rounds += 1
    return told


async def one_round(call: Call, channel: Channel, gw: Gateway) -> "Reply | Asked":
    """One proposal: judged, recorded, run, recorded, answered."""
    run = RunId(uuid7())
    executor = gw.executors.get(listing.upstream_of(call)) if call.kind == Kind.TOOL else None
    pin = decision = None
    try:
        if call.round is not None and call.round.previous is None and call.round.state is not None:
            call = gw.seals.opened(call)
        pin = await listing.resolve(call, gw)
        if call.kind != Kind.TOOL:  # no list of an earlier server was consulted
            executor = gw.executors.get(pin.upstream)
        if executor is None or gw.executors.get(pin.upstream) is not executor:
            raise Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream was reconfigured meanwhile")
        proposal, decision = await judge(Proposal(call, pin), gw)
        grant = authorize(proposal, decision, gw)
    except Refused as refusal:
        return await refuse(run, call, pin, decision, refusal, gw)
    # The server never cancels a request's task when its client hangs up: what is begun here is settled here.
    return await perform(run, proposal, grant, executor, gw, channel)


async def permit(call: Call, gw: Gateway) -> Pin:
    """Judge a proposal that something else carries out, such as a subscription; what is permitted is recorded at once.

    Raises:
        Refused: it is not allowed, which is recorded.
        LogUnavailable: it could not be recorded.
    """
    run = RunId(uuid7())
    pin = decision = None
    try:
        pin = await listing.resolve(call, gw)
        proposal, decision = await judge(Proposal(call, pin), gw)
        grant = authorize(proposal, decision, gw)
    except Refused as refusal:
        await refuse(run, call, pin, decision, refusal, gw)
        raise
    kept = [records.intent(run, proposal, grant), records.settled(run, Ending.DONE, pin=pin)]
    await gw.log.append(kept, [_opened(run, proposal), RunEnded(run, after_ending(Ending.DONE), Ending.DONE)])
    return pin


async def refuse(
    run: RunId, call: Call, pin: Pin | None, decision: Decision | None, refusal: Refused, gw: Gateway
) -> Reply:
    """Record a refused proposal, then say so; a refusal that cannot be recorded is LOG_UNAVAILABLE."""
    said = {"reason": refusal.reason, "would_pass": refusal.would_pass, "detail": refusal.detail}
    record = records.refused(run, call, pin, decision, code=refusal.code, said=said)
    who, upstream = call.principal, pin.upstream if pin else _named_upstream(call)
    name = records.public_name(call.kind, pin.name if pin else call.name)
    ended = RunRefused(run, call.task, who.id, who.tenant, upstream, name, refusal.code)
    try:
        await gw.log.append([record], [ended])
    except LogUnavailable:
        return replies.refusal(Code.LOG_UNAVAILABLE, "nothing may run while the audit log cannot commit", run=run)
    if call.kind == Kind.OTHER and refusal.code in _NO_SUCH_METHOD:
        return replies.no_method()
    if refusal.code is Code.TOOL_UNKNOWN or isinstance(refusal, NotOurs):
        return replies.unknown(refusal.reason)
    return replies.refusal(
        refusal.code,
        refusal.reason,
        run=run,
        would_pass=refusal.would_pass,
        decision=decision.id if decision else "",
        kind=call.kind,
    )


async def perform(
    run: RunId, proposal: Proposal, grant: Grant, executor: Executor, gw: Gateway, channel: Channel = SILENT
) -> "Reply | Asked":
    """Durable intent, effect, verdict on the result, durable ending, reply.

    `executor` is that of the server whose definition was judged: a reload may have put another in its place.
    """
    try:
        await gw.log.append([records.intent(run, proposal, grant)], [_opened(run, proposal)])
    except LogUnavailable:
        gw.tasks.start(settle_later(run, gw))  # the intent may be stored all the same
        return replies.refusal(
            Code.LOG_UNAVAILABLE, "nothing may run while the audit log cannot commit", run=run, kind=proposal.call.kind
        )
    # Point of no return: the intent is durable. Nothing below may leave without settling the run.
    try:
        outcome = await execute(run, proposal, grant.limits, executor, channel, gw)
        if outcome.result.get("resultType") == INPUT_REQUIRED:
            return await pause(run, proposal, grant, outcome, channel, gw)
        return await conclude(run, proposal, grant, outcome, gw)
    except Failed as failure:
        return await fail(run, proposal, failure, channel, gw)
    except Refused as refusal:  # the policy engine failed on the result: it stays here
        return await fail(run, proposal, Failed(refusal.code, refusal.reason, detail=refusal.detail), channel, gw)
    except LogUnavailable:
        return unsettled(run, gw)
    except Exception as fault:  # a response we did not foresee must not erase its own record
        logger.exception("run %s", run)
        broken = Failed(Code.OUTCOME_UNKNOWN, UNKNOWN, detail=repr(fault), unknown=True)
        return await fail(run, proposal, broken, channel, gw)


async def conclude(run: RunId, proposal: Proposal, grant: Grant, outcome: Outcome, gw: Gateway) -> Reply:
    """The verdict on a result, and what is released of it.

    Raises:
        Failed, Refused: it is not to be given.
        LogUnavailable: its ending is not durable.
    """
    call, pin = proposal.call, proposal.pin
    if call.kind == Kind.TOOL and outcome.result.get("resultType", "complete") == "complete":
        schema.check_result(pin, outcome.result)
    screened = await _screened(pin, outcome)
    known = gw.sessions.gather(call)
    found = [(finding.kind, finding.where) for finding in screened.findings]
    document = inputs.for_result(proposal, known, outcome, screened.checks, found)
    verdict = await decide(gw.pdp, Point.RESULT, document, id=uuid7())
    return await release(run, proposal, grant, outcome, screened, verdict, gw)


@dataclass(frozen=True, slots=True)
class Asked:
    """A round that ended with questions to a client that waits."""

    run: RunId
    proposal: Proposal
    questions: dict[str, JsonObject]
    state: str | None
    """The upstream's own, to be given back with the answers."""


async def pause(
    run: RunId, proposal: Proposal, grant: Grant, outcome: Outcome, channel: Channel, gw: Gateway
) -> Reply | Asked:
    """End a round whose upstream asks something first: of a client that waits, or sealed for one that comes back.

    Raises:
        Failed: this client cannot be asked that.
        LogUnavailable: the ending is not durable.
    """
    call = proposal.call
    questions: dict[str, JsonObject] = outcome.result.get("inputRequests", {})
    state, parked = outcome.result.get("requestState"), str(outcome.evidence.get("parked", ""))
    modern = call.era in MODERN
    if questions and not modern and channel.ask is None:
        raise Failed(Code.UPSTREAM_INVALID, "the upstream asks something that this client cannot be asked")
    if lacking := asking.missing([one["method"] for one in questions.values()], channel.capabilities):
        reason = "the upstream asks something for which the client declared no capability"
        fault = {"code": MISSING_CAPABILITY, "data": {"requiredCapabilities": lacking}}
        raise Failed(Code.UPSTREAM_INVALID, reason, fault=fault)
    if modern and not parked:
        try:
            questions = await asking.show(proposal, run, questions, channel.capabilities, gw)
        except Refused as refusal:
            return await fail(run, proposal, Failed(refusal.code, refusal.reason, detail=refusal.detail), channel, gw)
    seen = gw.sessions.learn(proposal, labels=asking.UNTRUSTED, wrote=not reads_only(proposal.pin))
    record = records.settled(run, Ending.DONE, pin=proposal.pin, outcome=outcome, labels=asking.UNTRUSTED)
    await gw.log.append([record], [RunEnded(run, after_ending(Ending.DONE), Ending.DONE), *seen])
    # Point of no return: the ending is durable, and only now is the client asked.
    if not modern:
        return Asked(run, proposal, questions, state)
    # Nothing else of it leaves: what is no question has passed no verdict on results.
    result: JsonObject = {"resultType": INPUT_REQUIRED, "requestState": gw.seals.seal(call, run, state, parked)}
    if questions:
        result["inputRequests"] = questions
    return replies.granted(result, {replies.DECISION: _told(run, grant)})


async def _answered(asked: Asked, channel: Channel, gw: Gateway) -> Call:
    """The next round, with what a client that waits has answered.

    Raises:
        Unanswered: it did not, or policy refuses a question or an answer.
    """
    answers: JsonObject = {}
    for key, one in asked.questions.items():
        assert channel.ask is not None
        method, params = one["method"], one.get("params", {})
        answers[key] = await asking.ask(
            asked.proposal, asked.run, method, params, channel.ask, channel.capabilities, gw
        )
    return replace(asked.proposal.call, round=Round(answers, asked.state, previous=asked.run))


async def _screened(pin: Pin, outcome: Outcome) -> Screened:
    """What screening finds. A large result is looked through beside the loop: its worst shapes take seconds."""
    if outcome.size <= LARGE_BYTES:
        return screen(pin, outcome.result)
    return await asyncio.to_thread(screen, pin, outcome.result)


async def release(
    run: RunId,
    proposal: Proposal,
    grant: Grant,
    outcome: Outcome,
    screened: Screened,
    verdict: Decision,
    gw: Gateway,
) -> Reply:
    """Settle a call that brought a result, and give what the policy lets through.

    Raises:
        LogUnavailable: the ending is not durable, so nothing of the result is told.
    """
    pin = proposal.pin
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
        result = redact(outcome.result, _both(grant.redaction, redaction), screened.findings)
        reply = replies.granted(result, {replies.DECISION: _told(run, grant)})
    record = records.settled(
        run, ending, code=code, pin=pin, outcome=outcome, checks=screened.checks, decision=verdict, labels=learned
    )
    if not kept_back:
        _remember_task(proposal, outcome, gw)
    seen = gw.sessions.learn(proposal, labels=learned, wrote=not reads_only(pin))
    stored = await gw.log.append([record], [RunEnded(run, after_ending(ending), ending, code), *seen])
    # Point of no return: the ending is durable, and only now is anything of the result told.
    return await _with_receipt(reply, proposal.call, stored.first, gw)


def _withheld(run: RunId, proposal: Proposal, why: str, verdict: Decision) -> Reply:
    code, kind = Code.RESULT_WITHHELD, proposal.call.kind
    return replies.refusal(code, why, run=run, would_pass=verdict.would_pass, decision=verdict.id, kind=kind)


def _remember_task(proposal: Proposal, outcome: Outcome, gw: Gateway) -> None:
    """Whose a task is that an upstream began in place of a result."""
    task = outcome.result.get("taskId")
    if outcome.result.get("resultType") == "task" and type(task) is str:
        listing.remember_task(task, proposal.pin.upstream, proposal.call.principal.id, gw)


async def fail(run: RunId, proposal: Proposal, failure: Failed, channel: Channel, gw: Gateway) -> Reply:
    """Settle a call that brought no result. An effect that may have happened freezes the run."""
    pin = proposal.pin
    withheld = failure.code in _WITHHOLDING
    unknown = failure.unknown and not reads_only(pin)  # what changes nothing has no unknown end
    ending = Ending.UNKNOWN if unknown else Ending.WITHHELD if withheld else Ending.FAILED
    detail = failure.detail or failure.reason
    record = records.settled(run, ending, code=failure.code, pin=pin, detail=detail)
    seen = gw.sessions.learn(proposal, labels=(), wrote=not reads_only(pin))
    try:
        await gw.log.append([record], [RunEnded(run, after_ending(ending), ending, failure.code), *seen])
    except LogUnavailable:
        return unsettled(run, gw)
    kind, fault = proposal.call.kind, await asking.visited(proposal, run, failure.fault, channel.capabilities, gw)
    if fault and (told := replies.fault(fault, failure.reason, kind=kind, name=proposal.call.name)):
        return told
    return replies.refusal(failure.code, failure.reason, run=run, kind=kind)


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


def _told(run: RunId, grant: Grant) -> JsonObject:
    """What stands beside a result that is given: that it was allowed, or that only shadow let it pass."""
    decision = grant.decision
    told: JsonObject = {"id": decision.id, "run": run, "effect": "allow"}
    if decision.effect is not Effect.ALLOW:
        told |= {"shadow": decision.effect, "code": decision.code, "reasons": decision.reasons}
        told["would_pass"] = decision.would_pass
    return told


def _both(one: Redaction, other: Redaction) -> Redaction:
    if not (one.pointers or one.kinds):
        return other
    return Redaction((*one.pointers, *other.pointers), (*one.kinds, *other.kinds))


def _labels_of(pin: Pin) -> tuple[str, ...]:
    untrusted = () if pin.manifest.trust == "trusted" else ("untrusted",)
    return (*untrusted, *pin.manifest.labels)


def reads_only(pin: Pin) -> bool:
    """Whether nothing is changed by it, as its manifest has it."""
    return READ_ONLY.issuperset(pin.manifest.effects)


def _opened(run: RunId, proposal: Proposal) -> RunOpened:
    call, pin, who = proposal.call, proposal.pin, proposal.call.principal
    return RunOpened(run, call.task, who.id, who.tenant, pin.upstream, records.public_name(call.kind, pin.name))


def _named_upstream(call: Call) -> str:
    """The upstream that a call names by itself; an address names none."""
    by_name = call.kind in (Kind.TOOL, Kind.PROMPT) or not call.endpoint.qualified
    return listing.upstream_of(call) if by_name else ""
