"""A call made again under its idempotency key: told what it came to, never done a second time.

It is judged like any call first: what its principal may not do any more, it is not told of either.
"""

import time
from typing import Final

from gateway.audit import records
from gateway.channel import Channel
from gateway.errors import Refused, Unreadable
from gateway.judging import softened
from gateway.keyed import Key
from gateway.model import Code, Decision, Effect, Ending, JsonObject, Proposal, Reply, RunId, RunState
from gateway.parts import Gateway
from gateway.recovery import UNKNOWN
from gateway.storage.tables.keys import KeyRow
from gateway.wire import replies

WAIT_SECONDS: Final = 40.0
"""How long a client is held while the call under its key still runs."""
_OTHER: Final = "this idempotency key was used for another call"
_RUNS: Final = "the call with this idempotency key still runs"
_ASKED: Final = "the call with this idempotency key asked something, and waits for the answer"
_NOT_KEPT: Final = "This call was done before, under the same idempotency key; its result is not kept any more."


async def repeated(
    run: RunId, key: Key, proposal: Proposal, decision: Decision, channel: Channel, gw: Gateway
) -> Reply | None:
    """What the call under this key came to; None where it has not acted yet.

    Raises:
        Refused: KEY_REUSED (another call, or it still runs), OUTCOME_UNKNOWN.
        LogUnavailable: it could not be recorded.
    """
    if decision.effect is Effect.DENY and not softened(Refused(decision.code or Code.POLICY_DENIED, ""), proposal.pin):
        return None
    longest = gw.settings.limits.call_most_s if channel.progress else WAIT_SECONDS
    until = time.monotonic() + longest
    while (row := gw.keyed.named(key)) is not None:
        if row.call != key.call:
            raise Refused(Code.KEY_REUSED, _OTHER, would_pass="a key of its own")
        if row.state == RunState.WAITING:
            return None
        if row.state == RunState.ENDED:
            return await _told(run, row, proposal, decision, gw)
        if row.state != RunState.INTENDED or not gw.keyed.runs(row.run):
            raise Refused(Code.OUTCOME_UNKNOWN, UNKNOWN, detail=f"run {row.run}")
        if channel.hung_up or not await gw.keyed.over(row.run, until - time.monotonic()):
            raise Refused(Code.KEY_REUSED, _RUNS, would_pass="the same call again, a little later")
    return None


async def _told(run: RunId, row: KeyRow, proposal: Proposal, decision: Decision, gw: Gateway) -> Reply:
    try:
        kept = gw.keyed.opened(row)
    except Unreadable as error:
        raise Refused(Code.OUTCOME_UNKNOWN, "what this call came to cannot be read", detail=str(error)) from None
    if kept is None and row.reply is None and row.ending == Ending.DONE:
        raise Refused(Code.KEY_REUSED, _ASKED, would_pass="the answer with its requestState, or a key of its own")
    labels = kept.labels if kept is not None else ()
    seen = gw.sessions.learn(proposal, labels=labels, wrote=False)
    await gw.log.append([records.repeated(run, proposal, decision, of=row.run)], seen)
    told: JsonObject = {"id": decision.id, "run": row.run, "effect": "allow", "repeated": True}
    if kept is None:
        done: JsonObject = {"content": [{"type": "text", "text": _NOT_KEPT}], "isError": row.ending != Ending.DONE}
        return replies.granted(done, {replies.DECISION: told})
    if kept.reply.result is None or row.ending == Ending.WITHHELD:
        return kept.reply
    return replies.granted(kept.reply.result, {replies.DECISION: told})
