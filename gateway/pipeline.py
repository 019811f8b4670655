"""What happens to a call, from proposal to reply: the enforcement point and the whole data path.

    propose    bind the call to the definition the operator accepted, if this principal may know of it
    judge      schema, then typed values, then what is known, then Rego             (judging.py)
    repeat     done before under the same idempotency key: told again, not done     (repeating.py)
    afford     what its budgets have left pays for it                                (budgets/)
    authorize  decision and obligations become a grant: what may be done, once, within which limits
    approve    where policy asks for people, they are asked and waited for           (approving.py)
    perform    durable intent | execute
    settle     screen | Rego on the result | durable ending | reply                  (settling.py)
    pause      the upstream asks the client something first: a later round goes on   (asking.py, rounds.py)

A refusal is possible only before the intent is durable. From there on every path ends in a settled record.
"""

import logging
from dataclasses import replace

from gateway import approving, asking, keyed, listing
from gateway.act import NOTHING, Act, Holds, opened
from gateway.audit import records
from gateway.audit.ids import uuid7
from gateway.channel import SILENT, Channel, Unanswered
from gateway.errors import Failed, LogUnavailable, Refused
from gateway.executing import INPUT_REQUIRED, execute
from gateway.executors import Executor
from gateway.judging import afford, authorize, judge
from gateway.kinds import Kind
from gateway.listing import tasks
from gateway.model import (
    Call,
    Code,
    Decision,
    Ending,
    JsonObject,
    Pin,
    Proposal,
    Reply,
    Round,
    RunId,
)
from gateway.parts import Gateway
from gateway.recovery import UNKNOWN, settle_later, unsettled
from gateway.repeating import repeated
from gateway.rounds import NotOurs
from gateway.runs import states
from gateway.settling import Asked, conclude, fail, pause
from gateway.storage.database import Conflict
from gateway.wire import replies
from gateway.writes import BudgetReserved, RunRefused

MOST_ROUNDS = 16
"""Of one call, while its client waits."""
_NO_SUCH_METHOD = frozenset({Code.TOOL_UNKNOWN, Code.NO_RULE})
"""A method that nothing is known of, and one that no rule allows, look alike."""
_PASSING = frozenset({Code.POLICY_ENGINE, Code.UPSTREAM_UNAVAILABLE, Code.BUDGET, Code.RATE, Code.BRAKED})
"""Refusals that say nothing of the proposal itself."""
_WITHOUT_END = "the upstream asks without end"
_NO_LOG = "nothing may run while the audit log cannot commit"
_NO_ANSWER = "what the upstream asked was not answered"

logger = logging.getLogger(__name__)


class Overtaken(Exception):
    """Another call came first; `spent` where all it took is what was left of a budget."""

    def __init__(self, *, spent: bool) -> None:
        super().__init__()
        self.spent = spent


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
    try:
        if call.round is not None and call.round.previous is None and call.round.state is not None:
            call = gw.seals.opened(call)
    except NotOurs as refusal:
        return await refuse(run, call, None, None, refusal, gw)
    try:
        return await _judged(run, call, channel, gw)
    finally:  # its state is used up: what still waits upstream now would wait for nobody
        if call.round is not None:
            gw.parking.give_up(call.round.parked)


async def _judged(run: RunId, call: Call, channel: Channel, gw: Gateway) -> "Reply | Asked":
    holds = Holds()
    pin = decision = None
    try:
        pin, executor = await _bound(call, gw)
        proposal, decision = await judge(Proposal(call, pin), gw)
        holds.key = keyed.stated(proposal)
        if holds.key and (told := await repeated(run, holds.key, proposal, decision, channel, gw)) is not None:
            return told
        proposal = afford(proposal, decision, gw)
        if approving.needed(proposal, decision, gw):
            standing = await approving.granted(run, proposal, decision, channel, gw, holds.waiting(run))
            run, holds.standing = RunId(standing.run), standing
            pin, executor = await _bound(call, gw)  # all of it afresh: much may have changed while people thought
            proposal, decision = await judge(Proposal(call, pin), gw)
            proposal = afford(proposal, decision, gw)
            await approving.still(proposal, decision, standing, gw)
        grant = authorize(proposal, decision, gw, holds.standing)
        holds.claims = gw.budgets.claims(proposal)
    except approving.Asked as waits:
        return replies.refusal(waits.code, waits.reason, run=waits.run, would_pass=waits.would_pass, kind=call.kind)
    except Refused as refusal:
        if (told := await _overtaken(call, pin, decision, refusal, holds, channel, gw)) is not None:
            return told
        if holds.standing is not None and refusal.code in _PASSING:  # what people agreed to stands, and may be used yet
            return await refuse(RunId(uuid7()), call, pin, decision, refusal, gw)
        return await refuse(run, call, pin, decision, refusal, gw, holds)
    except LogUnavailable:
        return replies.refusal(Code.LOG_UNAVAILABLE, _NO_LOG, run=run, kind=call.kind)
    # The server never cancels a request's task when its client hangs up: what is begun here is settled here.
    act = Act(run, proposal, grant, holds)
    try:
        with gw.keyed.running(run, held=holds.keyed(proposal)):
            return await perform(act, executor, gw, channel)
    except Overtaken as over:
        return await lost(act, over, channel, gw)


async def _overtaken(
    call: Call,
    pin: Pin | None,
    decision: Decision | None,
    refusal: Refused,
    holds: Holds,
    channel: Channel,
    gw: Gateway,
) -> Reply | None:
    """What it came to, where the approval it waited for was used by the same call under the same key."""
    used = refusal.code is Code.APPROVAL_REQUIRED or isinstance(refusal, approving.KeyHeld)
    if holds.key is None or pin is None or decision is None or not used:
        return None
    try:
        return await repeated(RunId(uuid7()), holds.key, Proposal(call, pin), decision, channel, gw)
    except (Refused, LogUnavailable):
        return None


async def _bound(call: Call, gw: Gateway) -> tuple[Pin, Executor]:
    """The definition that was accepted, and the executor of the server whose list it stands in.

    Raises:
        Refused: there is none for this principal, or a reload came between.
    """
    executor = gw.executors.get(listing.upstream_of(call)) if call.kind == Kind.TOOL else None
    tasks.refuse_foreign(call, gw)
    pin = await listing.resolve(call, gw)
    if call.kind != Kind.TOOL:  # no list of an earlier server was consulted
        executor = gw.executors.get(pin.upstream)
    if executor is None or gw.executors.get(pin.upstream) is not executor:
        raise Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream was reconfigured meanwhile")
    return pin, executor


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
    await gw.log.append(kept, [opened(run, proposal), states.ended(run, Ending.DONE)])
    return pin


async def refuse(
    run: RunId,
    call: Call,
    pin: Pin | None,
    decision: Decision | None,
    refusal: Refused,
    gw: Gateway,
    holds: Holds = NOTHING,
) -> Reply:
    """Record a refused proposal, then say so; a refusal that cannot be recorded is LOG_UNAVAILABLE."""
    said = {"reason": refusal.reason, "would_pass": refusal.would_pass, "detail": refusal.detail}
    record = records.refused(run, call, pin, decision, code=refusal.code, said=said)
    ended = [_refused(run, call, pin, refusal.code)] if holds.standing is None else holds.refused(run, refusal.code)
    try:
        await gw.log.append([record], ended)
    except LogUnavailable:
        return replies.refusal(Code.LOG_UNAVAILABLE, _NO_LOG, run=run, kind=call.kind)
    except Conflict:
        if holds.standing is None:
            raise
        # The same call, made twice, has used the approval: the run that waited is that one's.
        return await refuse(RunId(uuid7()), call, pin, decision, refusal, gw)
    if call.kind == Kind.OTHER and refusal.code in _NO_SUCH_METHOD:
        return replies.no_method()
    if refusal.code is Code.TOOL_UNKNOWN or isinstance(refusal, NotOurs):
        return replies.unknown(refusal.reason, would_pass=refusal.would_pass)
    return replies.refusal(
        refusal.code,
        refusal.reason,
        run=run,
        would_pass=refusal.would_pass,
        decision=decision.id if decision else "",
        kind=call.kind,
        retry_after_s=refusal.retry_after_s,
    )


async def perform(act: Act, executor: Executor, gw: Gateway, channel: Channel = SILENT) -> "Reply | Asked":
    """Durable intent, effect, verdict on the result, durable ending, reply.

    `executor` is that of the server whose definition was judged: a reload may have put another in its place.

    Raises:
        Overtaken: what the intent needs was taken by another call in this moment: nothing of it was stored.
    """
    run, proposal, kind = act.run, act.proposal, act.proposal.call.kind
    try:
        intent = records.intent(run, proposal, act.grant, reserved=[one.told for one in act.holds.claims])
        await gw.log.append([intent], act.holds.opened(run, proposal))
    except LogUnavailable:
        gw.tasks.start(settle_later(run, gw))  # the intent may be stored all the same
        return replies.refusal(Code.LOG_UNAVAILABLE, _NO_LOG, run=run, kind=kind)
    except Conflict as conflict:
        raise Overtaken(spent=conflict.kind is BudgetReserved) from None
    # Point of no return: the intent is durable. Nothing below may leave without settling the run.
    try:
        outcome = await execute(run, proposal, act.grant.limits, executor, channel, gw)
        if outcome.result.get("resultType") == INPUT_REQUIRED:
            return await pause(act, outcome, channel, gw)
        return await conclude(act, outcome, gw)
    except Failed as failure:
        return await fail(act, failure, channel, gw)
    except Refused as refusal:  # the policy engine failed on the result, or what is asked is refused: it stays here
        return await fail(act, Failed(refusal.code, refusal.reason, detail=refusal.detail), channel, gw)
    except LogUnavailable:
        return unsettled(run, gw, kind)
    except Exception as fault:  # a response we did not foresee must not erase its own record
        logger.exception("run %s", run)
        broken = Failed(Code.OUTCOME_UNKNOWN, UNKNOWN, detail=repr(fault), unknown=True)
        return await fail(act, broken, channel, gw)


async def lost(act: Act, over: Overtaken, channel: Channel, gw: Gateway) -> "Reply | Asked":
    """What is told where another call took what the intent needs: nothing of it was stored, nothing runs."""
    call, pin = act.proposal.call, act.proposal.pin
    if over.spent:
        taken = gw.budgets.short(act.proposal) or gw.budgets.lost(act.holds.claims)
        return await refuse(act.run, call, pin, act.grant.decision, taken, gw, act.holds)
    if act.holds.key is not None:  # by the same call: what that one comes to is to be had as soon as it is stored
        return await one_round(call, channel, gw)
    refusal = Refused(Code.APPROVAL_REQUIRED, "its approval was used by another call", would_pass="asking again")
    return await refuse(RunId(uuid7()), call, pin, act.grant.decision, refusal, gw)


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
    return replace(asked.proposal.call, round=Round(answers, asked.state, asked.run, questions=asked.questions))


def _refused(run: RunId, call: Call, pin: Pin | None, code: Code) -> RunRefused:
    who, upstream = call.principal, pin.upstream if pin else _named_upstream(call)
    name = records.public_name(call.kind, pin.name if pin else call.name)
    return RunRefused(run, call.task, who.id, who.tenant, upstream, name, code)


def _named_upstream(call: Call) -> str:
    """The upstream that a call names by itself; an address names none."""
    by_name = call.kind in (Kind.TOOL, Kind.PROMPT) or not call.endpoint.qualified
    return listing.upstream_of(call) if by_name else ""
