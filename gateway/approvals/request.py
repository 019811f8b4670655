"""What people are asked: one exact proposal, bound by its digest, and what has come of it so far. Pure.

The digest covers who asks, what exactly would run, and everything that judged it: a changed argument, tool
definition, manifest or policy is another proposal, for which nobody has agreed to anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import orjson
import rfc8785

from gateway.errors import Refused
from gateway.model import Code, Demand, Digest, JsonObject, Proposal
from gateway.storage.tables.approvals import AnswerRow, ApprovalRow
from gateway.wire.meta import stated

WAITING: Final = "waiting"
GRANTED: Final = "granted"
DENIED: Final = "denied"
USED: Final = "used"
VOID: Final = "void"
"""Granted, and not allowed any more when it was to be used."""
EXPIRED: Final = "expired"
OPEN: Final = (WAITING, GRANTED)


@dataclass(frozen=True, slots=True)
class Standing:
    """An approval that may be used: the run it is for, and who agreed."""

    approval: str
    run: str
    state: str
    expires: int
    by: tuple[str, ...] = ()
    signed: bool = False
    """Whether every one of them signed."""


def exact(proposal: Proposal, bundle: Digest) -> JsonObject:
    """Everything a grant is bound to.

    Raises:
        Refused: SCHEMA, it answers questions that cannot be shown.
    """
    call, pin, who, later = proposal.call, proposal.pin, proposal.call.principal, proposal.call.round
    if later is not None and later.previous is not None and later.questions is None:
        raise Refused(Code.SCHEMA, "what the upstream asked is too large to show, so nobody can approve the answer")
    return {
        "tenant": who.tenant,
        "principal": who.id,
        "person": who.person,
        "upstream": pin.upstream,
        "kind": str(call.kind),
        "name": pin.name,
        "arguments": call.arguments,
        "questions": later.questions if later is not None else None,
        "answers": later.answers if later is not None else None,
        "meta": stated(call.meta) or None,
        "pin": pin.digest,
        "manifest": pin.manifest.digest,
        "bundle": bundle,
    }


def digest(asked: JsonObject) -> str:
    """Of what `exact` gives: SHA-256 over its canonical JSON (RFC 8785).

    Raises:
        ValueError: it has no canonical form (a number beyond 2^53, a lone surrogate).
    """
    try:
        return f"sha256:{sha256(rfc8785.dumps(asked)).hexdigest()}"
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise ValueError("it has no canonical form") from error


def shown(proposal: Proposal, bundle: Digest, reasons: Iterable[str], judged: bytes) -> JsonObject:
    """All that a person is to see, and all that is needed to judge an answer."""
    manifest = proposal.pin.manifest
    return {
        "proposal": exact(proposal, bundle),
        "reasons": list(reasons),
        "effects": list(manifest.effects),
        "reversal": manifest.reversal,
        "undo": manifest.stated.get("undo"),
        "input": orjson.loads(judged),
    }


def state_of(row: ApprovalRow, now: int) -> str:
    """What became of a stored request by this Unix second."""
    return EXPIRED if row.state in OPEN and row.expires <= now else row.state


def lasts_s(demands: Iterable[Demand]) -> int:
    """How long people may take: the shortest of what the rules say."""
    return min(one.expires_s for one in demands)


def needed(demands: Iterable[Demand]) -> int:
    """How many people must agree at least."""
    return max(one.quorum for one in demands)


def met(demands: Iterable[Demand], answers: Iterable[AnswerRow]) -> bool:
    """Whether each demand has enough people of its roles who agreed, and nobody disagreed."""
    said = list(answers)
    if any(one.verdict != "grant" for one in said):
        return False
    return all(_agreeing(demand, said) >= demand.quorum for demand in demands)


def _agreeing(demand: Demand, answers: list[AnswerRow]) -> int:
    roles = set(demand.roles)
    return len({one.approver for one in answers if not roles or roles.intersection(one.roles)})


def told(row: ApprovalRow, by: Iterable[str], *, signed: bool) -> JsonObject:
    """What policies see of a request and of who agreed."""
    roles = sorted({role for one in row.demands for role in one.roles})
    return {"id": row.approval, "run": row.run, "roles": roles, "by": list(by), "signed": signed}
