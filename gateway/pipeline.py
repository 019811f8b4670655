"""What happens to a call, from proposal to reply: the enforcement point and the whole data path.

    propose    bind the call to the definition the operator accepted, if this principal may know of it
    judge      schema, then typed values, then what is known, then Rego
    authorize  decision and obligations become a grant: what may be done, once, within which limits
    perform    durable intent | execute | screen | Rego on the result | durable ending | reply

A refusal is possible only before the intent is durable. From there on every path ends in a settled record.
"""

import asyncio
import logging
from dataclasses import replace

from gateway import listing
from gateway.audit import proof, records
from gateway.audit.ids import uuid7
from gateway.errors import SOFTENED_BY_SHADOW, Failed, LogUnavailable, Refused
from gateway.executors import Executor
from gateway.model import (
    Call,
    Check,
    Code,
    Decision,
    Effect,
    Ending,
    Grant,
    JsonObject,
    Limits,
    Mode,
    Outcome,
    Pin,
    Point,
    Proposal,
    Redaction,
    Reply,
    RunEnded,
    RunId,
    RunOpened,
    RunRefused,
    RunState,
)
from gateway.parts import Gateway
from gateway.policy import inputs, obligations
from gateway.policy.decide import decide
from gateway.runs.states import after_ending
from gateway.screening import Screened, redact, screen
from gateway.storage.database import Conflict
from gateway.validators import schema, semantic
from gateway.wire import replies

READ_ONLY = frozenset({"read"})
LARGE_BYTES = 262_144

logger = logging.getLogger(__name__)


async def call_tool(call: Call, gw: Gateway) -> Reply:
    """One call: judged, recorded, run, recorded, answered."""
    run = RunId(uuid7())
    executor = gw.executors.get(listing.upstream_of(call))
    pin = decision = None
    try:
        pin = await listing.resolve(call, gw)
        if executor is None or gw.executors.get(pin.upstream) is not executor:
            raise Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream was reconfigured meanwhile")
        proposal, decision = await judge(Proposal(call, pin), gw)
        grant = authorize(proposal, decision, gw)
    except Refused as refusal:
        return await refuse(run, call, pin, decision, refusal, gw)
    # The server never cancels a request's task when its client hangs up: what is begun here is settled here.
    return await perform(run, proposal, grant, executor, gw)


async def judge(proposal: Proposal, gw: Gateway) -> tuple[Proposal, Decision]:
    """Schema, typed values, facts, Rego: the first refusal wins.

    Raises:
        Refused: SCHEMA, SEMANTIC, POLICY_ENGINE. What the policy itself says is in the decision.
    """
    schema.check_arguments(proposal.pin, proposal.call.arguments)
    semantics: Refused | None = None
    try:
        proposal = semantic.typed(proposal)
    except Refused as refusal:
        if not _softened(refusal, proposal.pin):
            raise
        semantics = refusal
        proposal = replace(proposal, checks=(*proposal.checks, Check("semantic", "fail", detail=refusal.detail)))
    known = gw.sessions.gather(proposal.call)
    decision = await decide(gw.pdp, Point.CALL, inputs.for_call(proposal, known), id=uuid7())
    if semantics is not None and decision.effect is Effect.ALLOW:
        decision = replace(decision, effect=Effect.DENY, code=semantics.code, reasons=(semantics.reason,))
    return proposal, decision


def authorize(proposal: Proposal, decision: Decision, gw: Gateway) -> Grant:
    """Turn an allow, or what shadow lets pass, into the right to act once.

    Raises:
        Refused: the decision's own code, or OBLIGATION.
    """
    if decision.effect is not Effect.ALLOW:
        code = decision.code or Code.POLICY_DENIED
        refusal = Refused(code, "; ".join(decision.reasons), would_pass=decision.would_pass)
        if not _softened(refusal, proposal.pin):
            raise refusal
    bounds = Limits(gw.settings.limits.call_s, gw.settings.limits.result_mb << 20)
    limits, redaction, labels = obligations.apply(decision.obligations, bounds)
    return Grant(decision, Effect.ALLOW, limits, redaction, labels)


async def refuse(
    run: RunId, call: Call, pin: Pin | None, decision: Decision | None, refusal: Refused, gw: Gateway
) -> Reply:
    """Record a refused proposal, then say so; a refusal that cannot be recorded is LOG_UNAVAILABLE."""
    said = {"reason": refusal.reason, "would_pass": refusal.would_pass, "detail": refusal.detail}
    record = records.refused(run, call, pin, decision, code=refusal.code, said=said)
    upstream = pin.upstream if pin else listing.upstream_of(call)
    who = call.principal
    ended = RunRefused(run, call.task, who.id, who.tenant, upstream, pin.name if pin else call.name, refusal.code)
    try:
        await gw.log.append([record], [ended])
    except LogUnavailable:
        return replies.refusal(Code.LOG_UNAVAILABLE, "nothing may run while the audit log cannot commit", run=run)
    if refusal.code is Code.TOOL_UNKNOWN:
        return replies.unknown(refusal.reason)
    return replies.refusal(
        refusal.code,
        refusal.reason,
        run=run,
        would_pass=refusal.would_pass,
        decision=decision.id if decision else "",
        kind=call.kind,
    )


async def perform(run: RunId, proposal: Proposal, grant: Grant, executor: Executor, gw: Gateway) -> Reply:
    """Durable intent, effect, verdict on the result, durable ending, reply.

    `executor` is that of the server whose definition was judged: a reload may have put another in its place.
    """
    call, pin = proposal.call, proposal.pin
    opened = RunOpened(run, call.task, call.principal.id, call.principal.tenant, pin.upstream, pin.name)
    try:
        await gw.log.append([records.intent(run, proposal, grant)], [opened])
    except LogUnavailable:
        gw.tasks.start(settle_later(run, gw))  # the intent may be stored all the same
        return replies.refusal(Code.LOG_UNAVAILABLE, "nothing may run while the audit log cannot commit", run=run)
    # Point of no return: the intent is durable. Nothing below may leave without settling the run.
    try:
        outcome = await executor.execute(proposal, grant.limits)
        schema.check_result(pin, outcome.result)
        screened = await _screened(pin, outcome)
        known = gw.sessions.gather(call)
        found = [(finding.kind, finding.where) for finding in screened.findings]
        document = inputs.for_result(proposal, known, outcome, screened.checks, found)
        verdict = await decide(gw.pdp, Point.RESULT, document, id=uuid7())
        return await release(run, proposal, grant, outcome, screened, verdict, gw)
    except Failed as failure:
        return await fail(run, proposal, failure, gw)
    except Refused as refusal:  # the policy engine failed on the result: it stays here
        return await fail(run, proposal, Failed(refusal.code, refusal.reason, detail=refusal.detail), gw)
    except LogUnavailable:
        return _unsettled(run, gw)
    except Exception as fault:  # a response we did not foresee must not erase its own record
        logger.exception("run %s", run)
        return await fail(run, proposal, Failed(Code.OUTCOME_UNKNOWN, _UNKNOWN, detail=repr(fault), unknown=True), gw)


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
        said = why or "the policy withholds this result"
        reply = replies.refusal(Code.RESULT_WITHHELD, said, run=run, would_pass=verdict.would_pass, decision=verdict.id)
    else:
        result = redact(outcome.result, _both(grant.redaction, redaction), screened.findings)
        reply = replies.granted(result, {replies.DECISION: _told(run, grant)})
    record = records.settled(
        run, ending, code=code, pin=pin, outcome=outcome, checks=screened.checks, decision=verdict, labels=learned
    )
    seen = gw.sessions.learn(proposal, labels=learned, wrote=not READ_ONLY.issuperset(pin.manifest.effects))
    stored = await gw.log.append([record], [RunEnded(run, after_ending(ending), ending, code), *seen])
    # Point of no return: the ending is durable, and only now is anything of the result told.
    return await _with_receipt(reply, proposal.call, stored.first, gw)


async def fail(run: RunId, proposal: Proposal, failure: Failed, gw: Gateway) -> Reply:
    """Settle a call that brought no result. An effect that may have happened freezes the run."""
    pin = proposal.pin
    reads_only = READ_ONLY.issuperset(pin.manifest.effects)
    withheld = failure.code in (Code.RESULT_WITHHELD, Code.POLICY_ENGINE)
    unknown = failure.unknown and not reads_only  # what changes nothing has no unknown end
    ending = Ending.UNKNOWN if unknown else Ending.WITHHELD if withheld else Ending.FAILED
    detail = failure.detail or failure.reason
    record = records.settled(run, ending, code=failure.code, pin=pin, detail=detail)
    seen = gw.sessions.learn(proposal, labels=(), wrote=not reads_only)
    try:
        await gw.log.append([record], [RunEnded(run, after_ending(ending), ending, failure.code), *seen])
    except LogUnavailable:
        return _unsettled(run, gw)
    return replies.refusal(failure.code, failure.reason, run=run, kind=proposal.call.kind)


async def recover(gw: Gateway) -> int:
    """At a start: every intent without an ending gets one, `unknown`, by the same records and writes as ever.

    Whether its effect happened cannot be known here, so the run is frozen and an operator sees it.
    """
    rows = gw.archive.reader.runs(limit=-1, unfinished=True)
    unfinished = [RunId(row.run) for row in rows if row.state == RunState.INTENDED]
    for run in unfinished:
        await _doubt(run, gw, "found at a start")
    return len(unfinished)


async def settle_later(run: RunId, gw: Gateway) -> None:
    """Settle a run whose ending could not be recorded, as a start would, once the log is back."""
    while True:
        await gw.log.recovered()
        try:
            await _doubt(run, gw, "the log could not commit its ending")
        except LogUnavailable:
            await asyncio.sleep(1)  # it went away again: nobody waits for this
            continue
        except Conflict:  # its intent was never stored, or its ending was after all
            pass
        return


async def _doubt(run: RunId, gw: Gateway, detail: str) -> None:
    record = records.settled(run, Ending.UNKNOWN, code=Code.OUTCOME_UNKNOWN, detail=detail)
    ended = RunEnded(run, after_ending(Ending.UNKNOWN), Ending.UNKNOWN, Code.OUTCOME_UNKNOWN)
    await gw.log.append([record], [ended])


_UNKNOWN = "the call ran and how it ended could not be established; do not repeat it before asking the operator"


def _unsettled(run: RunId, gw: Gateway) -> Reply:
    gw.tasks.start(settle_later(run, gw))
    return replies.refusal(Code.OUTCOME_UNKNOWN, _UNKNOWN, run=run)


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


def _softened(refusal: Refused, pin: Pin) -> bool:
    return pin.mode is Mode.SHADOW and refusal.code in SOFTENED_BY_SHADOW
