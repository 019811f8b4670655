"""Which answers count now: a key or a role that was taken away since takes its answers along."""

from collections.abc import Mapping
from dataclasses import replace

from gateway.approvals import signing
from gateway.approvals.waiting import Requests
from gateway.errors import Unreadable
from gateway.separation import separated
from gateway.settings import ApproverSettings
from gateway.storage.tables.approvals import AnswerRow, ApprovalRow


def counted(
    row: ApprovalRow, requests: Requests, approvers: Mapping[str, ApproverSettings], origin: str
) -> list[AnswerRow]:
    """The answers to a request, each with the roles its person has today.

    Of who agreed: those who are enrolled with the key that signed exactly this, and unsigned ones where such count.
    Whoever disagreed did so for good.
    """
    found = (_counted(row, one, requests, approvers, origin) for one in requests.answers(row.approval))
    return [one for one in found if one is not None]


def _counted(
    row: ApprovalRow, one: AnswerRow, requests: Requests, approvers: Mapping[str, ApproverSettings], origin: str
) -> AnswerRow | None:
    if one.verdict != "grant":
        return one
    if not one.signed:
        return one if separated() else None
    known = approvers.get(one.approver)
    if known is None or known.tenant not in (None, row.tenant):
        return None
    try:
        said = requests.said(row.approval, one)
        statement = signing.statement(
            origin=origin,
            approval=row.approval,
            digest=row.digest,
            verdict=one.verdict,
            expires=row.expires,
            reason=said["reason"],
        )
    except (Unreadable, ValueError):
        return None
    return replace(one, roles=known.roles) if signing.verified(known.key, statement, said["signature"]) else None
