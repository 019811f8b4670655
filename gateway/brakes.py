"""The brake: an operator slows, questions or stops what somebody does, from the next decision on.

    slow   one call at a time, `seconds` after the one before     ask   a person agrees to each     stop   nothing runs

Set for everything, a tenant, a principal, an upstream or one tool; of several that touch a call the hardest holds. A
brake is no policy: it outlives reloads and restarts, allows nothing, and is released by an operator or by its time.
"""

import re
from asyncio import Lock, sleep
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final

from gateway.errors import Refused
from gateway.model import Code, Principal, Proposal
from gateway.storage.database import Reader
from gateway.storage.tables import brakes
from gateway.storage.tables.brakes import BrakeRow

EVERYTHING: Final = "everything"
MOST_WAITING: Final = 100
"""Calls that a slow brake lets wait their turn; others are refused."""
MOST_WAITING_EACH: Final = 20
"""Of one principal, so that it leaves room for those who share the brake with it."""
_SUBJECT: Final = re.compile(r"everything|(tenant|principal|upstream):[^\s/]{1,200}|tool:[^\s/]{1,100}/\S{1,200}")


class Level(IntEnum):
    """How hard it is pressed."""

    SLOW = 1
    ASK = 2
    STOP = 3


class Brakes:
    """What is set, in memory as in the store. `clock` gives Unix seconds."""

    def __init__(self, reader: Reader, clock: Callable[[], float]) -> None:
        self._reader, self._clock = reader, clock
        self._set: dict[str, BrakeRow] = {}
        self._turns: dict[str, Lock] = {}
        self._waiting: dict[str, list[Principal]] = {}
        self.load()

    def load(self) -> None:
        """Take what is stored into force."""
        self._set = {row.subject: row for row in brakes.listed(self._reader)}
        self._turns = {subject: self._turns.get(subject, Lock()) for subject in self._set}

    def listed(self) -> list[BrakeRow]:
        """Those in force."""
        return [row for row in self._set.values() if not self._over(row)]

    async def press(self, proposal: Proposal) -> bool:
        """Let a proposal through, late where it is slowed; True where a person has to agree to it. HOT

        Raises:
            Refused: BRAKED.
        """
        if not self._set:
            return False
        waited: set[str] = set()
        # Much may be set or released while it waits its turn: what holds then is what counts.
        while (row := self._hardest(proposal)) is not None and _slows(row) and row.subject not in waited:
            await self._turn(row, proposal)
            waited.add(row.subject)
        if row is None:
            return False
        level = Level[row.level]
        if level is Level.STOP:
            raise _braked("an operator has stopped calls like this one", row)
        return level is Level.ASK

    def _hardest(self, proposal: Proposal) -> BrakeRow | None:
        return max(self._touching(proposal), key=lambda one: (Level[one.level], one.seconds), default=None)

    def _touching(self, proposal: Proposal) -> Iterator[BrakeRow]:
        who, pin = proposal.call.principal, proposal.pin
        subjects = (
            EVERYTHING,
            f"tenant:{who.tenant}",
            f"principal:{who.id}",
            f"upstream:{pin.upstream}",
            f"tool:{pin.upstream}/{pin.name}",
        )
        for subject in subjects:
            row = self._set.get(subject)
            if row is not None and not self._over(row):
                yield row

    def _over(self, row: BrakeRow) -> bool:
        return bool(row.until) and row.until <= self._clock()

    async def _turn(self, row: BrakeRow, proposal: Proposal) -> None:
        """Wait for one's turn, and keep the next one waiting for the brake's seconds, if it still slows then."""
        waiting, who = self._waiting.setdefault(row.subject, []), proposal.call.principal
        mine = sum((one.tenant, one.id) == (who.tenant, who.id) for one in waiting)
        if len(waiting) >= MOST_WAITING or mine >= MOST_WAITING_EACH:
            raise _braked("an operator has slowed calls like this one, and too many wait", row)
        waiting.append(who)
        try:
            async with self._turns[row.subject]:
                now = self._hardest(proposal)
                if now is not None and now.subject == row.subject and _slows(now):
                    await sleep(now.seconds)
        finally:
            waiting.remove(who)


def _slows(row: BrakeRow) -> bool:
    return Level[row.level] is Level.SLOW


def checked(subject: str) -> str:
    """A subject as an operator writes it.

    Raises:
        ValueError: what would be right.
    """
    if not _SUBJECT.fullmatch(subject):
        raise ValueError("a brake is set for everything, tenant:T, principal:P, upstream:U or tool:U/T")
    return subject


def _braked(reason: str, row: BrakeRow) -> Refused:
    return Refused(Code.BRAKED, reason, would_pass="the brake released", detail=f"{row.level} of {row.subject}")
