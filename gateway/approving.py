"""A proposal that policy lets run only if people agree: asked, waited for, used once.

Granting runs nothing. It is the right to act once, and whoever asked uses it: the client that still waits, or the
same call made again, an hour or a restart later. What was true when people agreed is judged afresh before it acts.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import orjson

from gateway.approvals import request
from gateway.approvals.counting import counted
from gateway.approvals.request import DENIED, EXPIRED, GRANTED, WAITING, Standing
from gateway.audit import records
from gateway.audit.ids import uuid7
from gateway.channel import Channel
from gateway.errors import Refused
from gateway.judging import gathered, softened
from gateway.kinds import PROGRESS
from gateway.model import Code, Decision, Effect, Ending, Point, Proposal, RunId
from gateway.parts import Gateway
from gateway.policy import inputs
from gateway.policy.decide import decide
from gateway.runs import states
from gateway.separation import separated
from gateway.storage.database import Conflict
from gateway.storage.tables.approvals import ApprovalRow
from gateway.writes import ApprovalMoved, ApprovalOpened, KeyTaken, RunWaiting, Write

HOLD_SECONDS: Final = 40.0
"""A client that reports no progress gives up after a minute: it is told before that to come back."""
BEAT_SECONDS: Final = 10.0
"""How often a client that wants progress hears that it still waits."""
MOST_OPEN_EACH: Final = 500
"""Requests of one principal that people can still answer: a flood of them would hide those of others."""
AT_ONCE: Final = 100
"""Requests that are ended in one transaction; others get their turn between."""
_KEY_HELD: Final = "another call holds this idempotency key, or this one as it was judged before"


class Asked(Refused):
    """It waits for people; the request is its record, under its own run."""

    def __init__(self, run: RunId, code: Code, reason: str, *, would_pass: str = "") -> None:
        super().__init__(code, reason, would_pass=would_pass)
        self.run = run


class KeyHeld(Refused):
    """Its idempotency key is held by another call, or by this one as it was judged before."""

    def __init__(self) -> None:
        super().__init__(Code.KEY_REUSED, _KEY_HELD, would_pass="a key of its own")


def needed(proposal: Proposal, decision: Decision, gw: Gateway) -> bool:
    """Whether it waits for people: policy asks for it, and there is somebody whose answer would count."""
    if decision.effect is not Effect.REQUIRE_APPROVAL or not decision.demands:
        return False
    if softened(Refused(Code.APPROVAL_REQUIRED, ""), proposal.pin):
        return False
    return bool(gw.settings.approvers) or separated()


async def granted(
    run: RunId, proposal: Proposal, decision: Decision, channel: Channel, gw: Gateway, beside: Sequence[Write] = ()
) -> Standing:
    """The approval of exactly this proposal, once people agreed; a client that can wait is held meanwhile.

    `beside` are the writes that go with a request.

    Raises:
        Asked: nobody answered yet, and the request was opened under `run`: it is recorded.
        Refused: APPROVAL_REQUIRED (it waits under an earlier run), APPROVAL_DENIED, APPROVAL_EXPIRED, KEY_REUSED,
            SCHEMA.
        LogUnavailable: it could not be recorded.
    """
    try:
        asked = request.exact(proposal, decision.bundle)
        digest = request.digest(asked)
    except ValueError:
        raise Refused(Code.SCHEMA, "the arguments have no canonical form, so nobody can approve them") from None
    who = proposal.call.principal
    known = gw.requests.of(who, digest)
    if known is not None and known.state == EXPIRED and (late := gw.requests.named(known.approval)) is not None:
        await _lapsed(late, gw)
        known = None
    if known is None and gw.requests.open_of(who) >= MOST_OPEN_EACH:
        raise Refused(Code.RATE, "too many calls of this principal wait for people", would_pass="fewer at a time")
    again = False
    while known is None:
        try:
            known = await _opened(run, proposal, decision, digest, gw, beside)
        except Conflict as conflict:  # the same call came twice in one breath
            known = gw.requests.of(who, digest)
            if known is None and conflict.kind is KeyTaken and again:
                raise KeyHeld from None
            again = True
    if known.state == WAITING:
        known = await _held(known, channel, gw)
        if channel.hung_up and known.state == GRANTED:  # it stays for whoever comes back: nobody is here to use it
            known = replace(known, state=WAITING)
    return _usable(run, known)


def _usable(run: RunId, known: Standing) -> Standing:
    if known.state == GRANTED:
        return known
    opened_here = known.run == run
    if known.state == WAITING:
        reason = f"this waits for a person (approval {known.approval})"
        code, would_pass = Code.APPROVAL_REQUIRED, "the same call again, once it is granted"
    elif known.state == DENIED:
        code, reason, would_pass = Code.APPROVAL_DENIED, "a person said no to this", ""
    elif known.state == EXPIRED:
        code, reason, would_pass = Code.APPROVAL_EXPIRED, "nobody approved this in time", "asking again"
    else:
        code, reason = Code.APPROVAL_REQUIRED, "its approval was used by another call, or is void"
        would_pass = "asking again"
    if opened_here:
        raise Asked(run, code, reason, would_pass=would_pass)
    raise Refused(code, reason, would_pass=would_pass)


async def _opened(
    run: RunId, proposal: Proposal, decision: Decision, digest: str, gw: Gateway, beside: Sequence[Write]
) -> Standing:
    call, pin, who = proposal.call, proposal.pin, proposal.call.principal
    approval, expires = uuid7(), gw.requests.now() + request.lasts_s(decision.demands)
    name = records.public_name(call.kind, pin.name)
    shown = request.shown(proposal, decision.bundle, decision.reasons, decision.input)
    doc = gw.requests.seal(approval, orjson.dumps(shown))
    named = (pin.upstream, name)
    writes: list[Write] = [
        RunWaiting(run, call.task, who.id, who.tenant, *named),
        ApprovalOpened(approval, run, who.tenant, who.id, digest, *named, decision.demands, expires, doc),
        *beside,
    ]
    record = records.requested(run, proposal, decision, approval=approval, expires=expires)
    await gw.log.append([record], writes)
    return Standing(approval, run, WAITING, expires)


async def _held(known: Standing, channel: Channel, gw: Gateway) -> Standing:
    """The request as it stands when somebody answered, its time is over, or the client has waited long enough."""
    began = time.monotonic()
    longest = gw.settings.limits.call_most_s if channel.progress else HOLD_SECONDS
    beats = 0
    while known.state == WAITING and not channel.hung_up:
        left = min(longest - (time.monotonic() - began), known.expires - time.time())
        if left <= 0:
            break
        channel.on_hang_up = partial(gw.requests.wake, known.approval)
        try:
            await gw.requests.changed(known.approval, min(left, BEAT_SECONDS))
        finally:
            channel.on_hang_up = None
        row = gw.requests.named(known.approval)
        if row is None:
            break
        known = gw.requests.standing(row)
        beats += 1
        if channel.progress and known.state == WAITING:
            channel.tell(PROGRESS, {"progress": beats, "message": f"waiting for a person (approval {known.approval})"})
    return known


async def still(proposal: Proposal, decision: Decision, standing: Standing, gw: Gateway) -> None:
    """Straight before the intent: the approval covers what would run now, and nothing said meanwhile forbids it.

    Raises:
        Refused: APPROVAL_REQUIRED where it changed, or what `execute` says.
    """
    row = gw.requests.named(standing.approval)
    same = row is not None and row.digest == request.digest(request.exact(proposal, decision.bundle))
    if row is None or not same or gw.requests.standing(row).state != GRANTED:
        raise Refused(Code.APPROVAL_REQUIRED, "what was approved is not what would run now", would_pass="asking again")
    if not request.met(decision.demands, counted(row, gw.requests, gw.settings.approvers, gw.settings.audit.origin)):
        raise Refused(Code.APPROVAL_REQUIRED, "policy asks for more agreement by now", would_pass="asking again")
    told = request.told(row, standing.by, signed=standing.signed)
    document = inputs.for_execute(proposal, gathered(proposal, gw), told)
    verdict = await decide(gw.pdp, Point.EXECUTE, document, id=uuid7())
    if verdict.effect is not Effect.ALLOW:
        raise Refused(Code.POLICY_DENIED, "; ".join(verdict.reasons), would_pass=verdict.would_pass)


async def lapse(gw: Gateway) -> int:
    """End the requests whose time is over; how many. Called once a minute, and never holds the loop for long."""
    count = 0
    while late := gw.requests.late(AT_ONCE):
        ended = sum([await _lapsed(row, gw) for row in late])
        if not ended:  # rows that do not agree with each other are not for us to end
            break
        count += ended
    return count


async def _lapsed(row: ApprovalRow, gw: Gateway) -> bool:
    """End one request whose time is over; False where it was answered or used in this very moment."""
    run, public = RunId(row.run), {"approval": row.approval, "code": Code.APPROVAL_EXPIRED.value}
    moved = ApprovalMoved(row.approval, EXPIRED, (row.state,))
    ended = states.ended(run, Ending.EXPIRED, Code.APPROVAL_EXPIRED)
    try:
        await gw.log.append([records.event("approval.expired", public, run=run)], [moved, ended])
    except Conflict:
        return False
    gw.requests.wake(row.approval)
    return True
