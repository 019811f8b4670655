"""Approvals for people who are not at the gateway's machine: what waits for them, shown, answered.

Not who they are: that is known by their token before. An answer is judged and recorded like every other
(approvals.py), and is always signed: a token may lie where an agent reads, a passphrase does not.
"""

from gateway.admin.approvals import MOST, approvals_answer, approvals_show, told
from gateway.approvals.request import WAITING
from gateway.errors import ConfigError
from gateway.model import JsonObject, Principal
from gateway.parts import Gateway
from gateway.settings import ApproverSettings
from gateway.storage.tables import approvals as table
from gateway.storage.tables.approvals import ApprovalRow


class NotTheirs(ConfigError):
    """There is no such request, or it is not asked of them: the same for all."""

    def __init__(self) -> None:
        super().__init__("there is no such approval")


async def waiting_for(gw: Gateway, who: Principal) -> JsonObject:
    """What waits and is asked of this person, newest first.

    Raises:
        NotTheirs: they are no approver.
    """
    known = _known(gw, who)
    rows = table.waiting_in(gw.archive.reader, who.tenant, MOST)
    mine = [row for row in rows if _asked_of(row, who, known) and gw.requests.standing(row).state == WAITING]
    return {"approvals": [told(row, gw) for row in mine]}


async def shown_to(gw: Gateway, who: Principal, approval: str) -> JsonObject:
    """One request whole, as it is signed.

    Raises:
        NotTheirs: it is not asked of them.
    """
    _check(gw, who, approval)
    return await approvals_show(gw, operator=who.id, approval=approval)


async def answered_by(
    gw: Gateway, who: Principal, approval: str, *, verdict: str, reason: str, signature: str
) -> JsonObject:
    """Grant or deny as this person, who signed.

    Raises:
        NotTheirs: it is not asked of them.
        Refused, ConfigError: as `approvals_answer`.
    """
    _check(gw, who, approval)
    said = {"verdict": verdict, "reason": reason, "approver": who.id, "signature": signature}
    return await approvals_answer(gw, operator=who.id, approval=approval, **said)


def _known(gw: Gateway, who: Principal) -> ApproverSettings:
    known = gw.settings.approvers.get(who.id)
    if known is None or known.tenant not in (None, who.tenant):
        raise NotTheirs
    return known


def _check(gw: Gateway, who: Principal, approval: str) -> None:
    known, row = _known(gw, who), gw.requests.named(approval)
    if row is None or not _asked_of(row, who, known):
        raise NotTheirs


def _asked_of(row: ApprovalRow, who: Principal, known: ApproverSettings) -> bool:
    """Whether it is of their tenant and some rule wants somebody like them, or anybody."""
    roles = set(known.roles)
    return row.tenant == who.tenant and any(not one.roles or roles.intersection(one.roles) for one in row.demands)
