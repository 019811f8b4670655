"""Operator actions on approvals: shown, granted, denied. An answer is judged and recorded before it counts."""

from typing import Final

import orjson

from gateway.approvals import request, signing
from gateway.approvals.counting import counted
from gateway.approvals.request import DENIED, GRANTED, WAITING
from gateway.audit import records
from gateway.audit.ids import uuid7
from gateway.errors import ConfigError, Refused
from gateway.model import Code, Decision, Effect, Ending, JsonObject, Point, Principal, Record, RunId
from gateway.parts import Gateway
from gateway.policy import inputs
from gateway.policy.decide import decide
from gateway.runs import states
from gateway.separation import separated
from gateway.storage.database import Conflict
from gateway.storage.tables import approvals as table
from gateway.storage.tables.approvals import AnswerRow, ApprovalRow
from gateway.writes import ApprovalAnswered, ApprovalMoved, Write

MOST: Final = 1000
REASON_LENGTH: Final = 1000
VERDICTS: Final = ("grant", "deny")


async def approvals_list(gw: Gateway, *, operator: str, all: bool = False) -> JsonObject:  # noqa: A002 - its name
    """Requests, newest first; without `all` only those that can still be used."""
    rows = table.listed(gw.archive.reader, ended=all, limit=MOST)
    return {"approvals": [told(row, gw) for row in rows]}


async def approvals_show(gw: Gateway, *, operator: str, approval: str) -> JsonObject:
    """One request whole: what exactly would run, for whom, why, and who has answered."""
    row = _named(approval, gw)
    asked: JsonObject = orjson.loads(gw.requests.opened(row))
    judged = asked["input"]
    return {
        **told(row, gw),
        "digest": row.digest,
        "origin": gw.settings.audit.origin,
        "asked": {
            "proposal": asked["proposal"],
            "principal": judged["principal"],
            "upstream": asked["proposal"]["upstream"],
            "tool": asked["proposal"]["name"],
            "kind": asked["proposal"]["kind"],
            "arguments": asked["proposal"]["arguments"],
            "typed": judged["typed"],
            "reasons": asked["reasons"],
            "effects": asked["effects"],
            "reversal": asked["reversal"],
            "undo": asked["undo"],
        },
        "demands": [{"from": list(one.roles), "quorum": one.quorum} for one in row.demands],
        "answers": [
            {"approver": one.approver, "verdict": one.verdict, "signed": one.signed, "at": one.at}
            for one in table.answers(gw.archive.reader, approval)
        ],
    }


async def approvals_answer(
    gw: Gateway,
    *,
    operator: str,
    approval: str,
    verdict: str,
    reason: str = "",
    approver: str = "",
    signature: str = "",
) -> JsonObject:
    """Grant or deny: as an enrolled approver who signed, or as the operator, where that counts.

    Raises:
        Refused: FORBIDDEN (the signature, or no signature, does not count), POLICY_DENIED or NO_RULE (`approve`).
        ConfigError: there is no such request, or it can be answered no more.
    """
    if verdict not in VERDICTS or len(reason) > REASON_LENGTH:
        raise ConfigError(f"an answer is grant or deny, with a reason of at most {REASON_LENGTH} characters")
    async with gw.requests.answering:
        row = _named(approval, gw)
        if gw.requests.standing(row).state != WAITING:
            raise ConfigError(f"approval {approval} is {gw.requests.standing(row).state}: it cannot be answered")
        who = _approver(row, verdict, reason, approver, signature, operator, gw)
        decision = await _judged(row, who, signed=bool(signature), gw=gw)
        said = AnswerRow(who.id, verdict, who.roles, bool(signature), 0)
        after = _after(row, said, gw)
        kept = _records(row, said, after, decision, {"reason": reason, "signature": signature})
        stored = gw.requests.said_by(approval, who.id, reason, signature)
        writes: list[Write] = [ApprovalAnswered(approval, who.id, verdict, who.roles, bool(signature), stored)]
        if after != WAITING:
            writes.append(ApprovalMoved(approval, after, (WAITING,)))
        if after == DENIED:
            writes.append(states.ended(RunId(row.run), Ending.REFUSED, Code.APPROVAL_DENIED))
        try:
            await gw.log.append(kept, writes)
        except Conflict:
            raise ConfigError(f"{who.id} has answered approval {approval} before") from None
    # Point of no return: the answer is durable, and only now may anybody act on it.
    gw.requests.wake(approval)
    return {"approval": approval, "state": after, "approver": who.id, "verdict": verdict, "signed": bool(signature)}


def _approver(
    row: ApprovalRow, verdict: str, reason: str, approver: str, signature: str, operator: str, gw: Gateway
) -> Principal:
    """Who answers, once it is sure."""
    if not signature:
        if approver:
            raise Refused(Code.FORBIDDEN, f"an answer as {approver} needs its signature")
        if not separated():
            raise Refused(
                Code.FORBIDDEN,
                "an unsigned answer does not count here: the gateway shares its user with whatever runs as that user",
                would_pass="`--as NAME` with an enrolled key, or a gateway that runs as a user of its own",
            )
        return Principal(operator, row.tenant)
    known = gw.settings.approvers.get(approver)
    statement = signing.statement(
        origin=gw.settings.audit.origin,
        approval=row.approval,
        digest=row.digest,
        verdict=verdict,
        expires=row.expires,
        reason=reason,
    )
    if known is None or not signing.verified(known.key, statement, signature):
        raise Refused(Code.FORBIDDEN, "the signature is not that of an enrolled approver over exactly this request")
    if known.tenant is not None and known.tenant != row.tenant:
        raise Refused(Code.FORBIDDEN, f"{approver} approves for tenant {known.tenant} only")
    return Principal(approver, row.tenant, known.roles)


async def _judged(row: ApprovalRow, who: Principal, *, signed: bool, gw: Gateway) -> Decision:
    asked: JsonObject = orjson.loads(gw.requests.opened(row))
    agreed = tuple(one.approver for one in table.answers(gw.archive.reader, row.approval) if one.verdict == "grant")
    told = request.told(row, agreed, signed=signed)
    document = inputs.for_approve(asked["input"], who, gw.sessions.now(), told)
    decision = await decide(gw.pdp, Point.APPROVE, document, id=uuid7())
    if decision.effect is not Effect.ALLOW:
        code = decision.code or Code.POLICY_DENIED
        told = {"approval": row.approval, "code": code.value}
        kept = records.answered(RunId(row.run), "approval.refused", decision, told, {"approver": who.id})
        await gw.log.append([kept])
        raise Refused(code, "; ".join(decision.reasons), would_pass=decision.would_pass)
    return decision


def _after(row: ApprovalRow, said: AnswerRow, gw: Gateway) -> str:
    if said.verdict == "deny":
        return DENIED
    counting = counted(row, gw.requests, gw.settings.approvers, gw.settings.audit.origin)
    so_far = [one for one in counting if one.approver != said.approver]
    return GRANTED if request.met(row.demands, [*so_far, said]) else WAITING


def _records(row: ApprovalRow, said: AnswerRow, after: str, decision: Decision, sealed: JsonObject) -> list[Record]:
    run = RunId(row.run)
    public = {"approval": row.approval, "signed": said.signed, "complete": after != WAITING}
    kind = f"approval.{GRANTED if said.verdict == 'grant' else DENIED}"
    sealed = {"approver": said.approver, "digest": row.digest, **sealed}
    kept = [records.answered(run, kind, decision, public, sealed)]
    if after == DENIED:
        kept.append(records.event("call.refused", {"code": Code.APPROVAL_DENIED.value}, run=run))
    return kept


def _named(approval: str, gw: Gateway) -> ApprovalRow:
    row = gw.requests.named(approval)
    if row is None:
        raise ConfigError(f"there is no approval {approval}: see `bascule approvals list`")
    return row


def told(row: ApprovalRow, gw: Gateway) -> JsonObject:
    """One line of a list."""
    return {
        "approval": row.approval,
        "run": row.run,
        "state": gw.requests.standing(row).state,
        "principal": row.requester,
        "upstream": row.upstream,
        "tool": row.tool,
        "opened": row.opened,
        "expires": row.expires,
        "answers": len(table.answers(gw.archive.reader, row.approval)),
        "needed": request.needed(row.demands),
    }
