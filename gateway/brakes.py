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
from gateway.model import Code, Proposal
from gateway.storage.database import Reader
from gateway.storage.tables import brakes
from gateway.storage.tables.brakes import BrakeRow

EVERYTHING: Final = "everything"
MOST_WAITING: Final = 100
"""Calls that a slow brake lets wait their turn; others are refused."""
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
        self._waiting: dict[str, int] = {}
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
        row = max(self._touching(proposal), key=lambda one: Level[one.level], default=None)
        if row is None:
            return False
        level = Level[row.level]
        if level is Level.STOP:
            raise _braked("an operator has stopped calls like this one", row)
        if level is Level.SLOW:
            await self._turn(row)
        return level is Level.ASK

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

    async def _turn(self, row: BrakeRow) -> None:
        """Wait for one's turn, and keep the next one waiting for the brake's seconds."""
        waiting = self._waiting.get(row.subject, 0)
        if waiting >= MOST_WAITING:
            raise _braked("an operator has slowed calls like this one, and too many wait", row)
        self._waiting[row.subject] = waiting + 1
        try:
            async with self._turns[row.subject]:
                await sleep(row.seconds)
        finally:
            self._waiting[row.subject] -= 1


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
