"""The requests that people have not answered: found, waited for, woken. Their truth is in the store.

No process has to live while a request waits: what is in memory here are only the clients that happen to hold on.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import orjson

from gateway.approvals.request import DENIED, OPEN, Standing, state_of
from gateway.boxes import Box
from gateway.model import Principal
from gateway.storage.database import Reader
from gateway.storage.tables import approvals
from gateway.storage.tables.approvals import AnswerRow, ApprovalRow

_PURPOSE: Final = b"bascule approval v1"


class Requests:
    """`secret` is the gateway's sealing key; `clock` gives Unix seconds."""

    def __init__(self, reader: Reader, secret: bytes, clock: Callable[[], float]) -> None:
        self._reader, self._clock = reader, clock
        self._box = Box(secret, _PURPOSE)
        self._holding: dict[str, set[asyncio.Future[None]]] = {}
        self.answering = asyncio.Lock()
        """Held while an answer is judged and stored: two at once would each count without the other."""

    def now(self) -> int:
        """Unix seconds."""
        return int(self._clock())

    def of(self, who: Principal, digest: str) -> Standing | None:
        """The newest request for exactly this proposal of this principal; None where it can be asked (again)."""
        row = approvals.newest(self._reader, who.tenant, who.id, digest)
        if row is None or row.state not in (*OPEN, DENIED):
            return None
        if row.state == DENIED and row.expires <= self.now():  # no is no for as long as yes could have been said
            return None
        return self.standing(row)

    def standing(self, row: ApprovalRow) -> Standing:
        """A stored request as it stands now."""
        agreed = [one for one in approvals.answers(self._reader, row.approval) if one.verdict == "grant"]
        by, signed = tuple(one.approver for one in agreed), bool(agreed) and all(one.signed for one in agreed)
        return Standing(row.approval, row.run, state_of(row, self.now()), row.expires, by, signed)

    def named(self, approval: str) -> ApprovalRow | None:
        """One request by its id."""
        return approvals.named(self._reader, approval)

    def answers(self, approval: str) -> list[AnswerRow]:
        """What people have said to it."""
        return approvals.answers(self._reader, approval)

    def late(self, limit: int) -> list[ApprovalRow]:
        """Requests whose time is over and that nobody ended yet."""
        return approvals.late(self._reader, self.now(), limit)

    async def changed(self, approval: str, within_s: float) -> None:
        """Returns once something may have become of the request, or after `within_s` seconds."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        holding = self._holding.setdefault(approval, set())
        holding.add(woken)
        try:
            await asyncio.wait([woken], timeout=within_s)
        finally:
            holding.discard(woken)
            if not holding:
                self._holding.pop(approval, None)

    def wake(self, approval: str) -> None:
        """Whoever holds on for this request looks again."""
        for woken in self._holding.get(approval, ()):
            if not woken.done():
                woken.set_result(None)

    def said_by(self, approval: str, approver: str, reason: str, signature: str) -> bytes:
        """What one person said, as it is stored."""
        return self._box.seal(f"{approval} {approver}", orjson.dumps({"reason": reason, "signature": signature}))

    def said(self, approval: str, answer: AnswerRow) -> dict[str, str]:
        """Reason and signature of one answer.

        Raises:
            Unreadable: it has none, it was changed, or it is another's.
        """
        said: dict[str, str] = orjson.loads(self._box.opened(f"{approval} {answer.approver}", answer.said or b""))
        return said

    def open_of(self, who: Principal) -> int:
        """How many requests of this principal can still be used."""
        return approvals.open_of(self._reader, who.tenant, who.id)

    def seal(self, approval: str, content: bytes) -> bytes:
        """What people are to see, as it is stored."""
        return self._box.seal(approval, content)

    def opened(self, row: ApprovalRow) -> bytes:
        """What people are to see.

        Raises:
            Unreadable: it was changed, or sealed with another key.
        """
        return self._box.opened(row.approval, row.doc)
