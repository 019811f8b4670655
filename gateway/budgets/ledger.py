"""The ledger of budgets: what is left of each, what a run reserves of them, and what became of that.

Its truth is in the store, and nothing here keeps a number: the write of a reservation applies only where the limit
allows it, in the transaction of the intent, and what it came to is written with the ending, by the run's id alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from gateway.allowances import BudgetSettings
from gateway.budgets import scoring
from gateway.errors import Refused
from gateway.model import Code, Ending, JsonObject, Mode, Proposal, RunId
from gateway.storage.database import Reader
from gateway.storage.tables import budgets
from gateway.storage.tables.budgets import ASKED, RELEASED, SPENT, CounterRow
from gateway.writes import BudgetReserved, BudgetSettled, ReservationEnded, ReservationHeld, Write

_SENT: Final = ("calls", "bytes_out")
"""What is used by being sent, whatever comes of it."""
_BOUNDLESS: Final = 2**62
"""The limit in shadow, which only records; sums stay within 64 bits all the same."""
HELD: Final = "held"


@dataclass(frozen=True, slots=True)
class Claim:
    """What one proposal costs of one budget, in the window that is now."""

    budget: str
    scope: str
    start: int
    """Unix second at which the window began; 0 where there is none."""
    ends: int
    """Unix second at which it begins anew; 0 for never."""
    amount: int
    limit: int
    of: str
    taken: int = 0
    """Of the limit, by all so far."""

    def reserved(self, run: RunId) -> Sequence[Write]:
        """The writes that reserve it."""
        counted = BudgetReserved(self.budget, self.scope, self.start, self.ends, self.amount, self.limit)
        return [counted, ReservationHeld(run, self.budget, self.scope, self.start, self.amount, self.of in _SENT)]

    @property
    def told(self) -> JsonObject:
        """As the record of the intent seals it."""
        said: JsonObject = {"budget": self.budget, "amount": self.amount, "from": self.start}
        return {**said, "scope": orjson.loads(self.scope)}


class Budgets:
    """What is declared, and what the store says of it. `clock` gives Unix seconds."""

    def __init__(self, reader: Reader, declared: Mapping[str, BudgetSettings], clock: Callable[[], float]) -> None:
        self._reader, self._clock = reader, clock
        self.declared = declared
        """Replaced whole on reload."""

    def check(self, proposal: Proposal) -> None:
        """Look whether each cost is one.

        Raises:
            Refused: SEMANTIC.
        """
        if self.declared:
            list(self._costs(proposal, strict=True))

    def shown(self, proposal: Proposal) -> JsonObject:
        """What is left of each budget that counts this proposal, as policy sees it."""
        if not self.declared:
            return {}
        return {name: self._shown(name, one, proposal) for name, one in self._touching(proposal)}

    def short(self, proposal: Proposal) -> Refused | None:
        """Why it cannot be paid for now; None where it can, or where its cost is none (`check`)."""
        if not self.declared:
            return None
        over = (
            one for one in self._claims(proposal, strict=False) if one.amount and one.taken + one.amount > one.limit
        )
        claim = next(over, None)
        return None if claim is None else refusal(claim, self.now())

    def lost(self, claims: Sequence[Claim]) -> Refused:
        """Why an intent was not stored that there was room for before: of its claims, the one with the least room."""
        return refusal(min(claims, key=lambda one: one.limit - one.taken - one.amount), self.now())

    def claims(self, proposal: Proposal) -> tuple[Claim, ...]:
        """What the intent reserves; in shadow what can be counted, however much it is.

        Raises:
            Refused: SEMANTIC.
        """
        if not self.declared:
            return ()
        shadow = proposal.pin.mode is Mode.SHADOW
        found = tuple(one for one in self._claims(proposal, strict=not shadow) if one.amount)
        return tuple(replace(one, limit=_BOUNDLESS) for one in found) if shadow else found

    def rows(self) -> list[tuple[CounterRow, BudgetSettings]]:
        """Every counter of a budget that is declared, as it is now."""
        now = self.now()
        rows = [row for row in budgets.listed(self._reader) if row.budget in self.declared]
        return [(row.at(now), self.declared[row.budget]) for row in rows]

    def now(self) -> int:
        """The Unix second."""
        return int(self._clock())

    def _claims(self, proposal: Proposal, *, strict: bool) -> Iterator[Claim]:
        for name, one, amount in self._costs(proposal, strict=strict):
            scope = scoring.scope(proposal, one)
            row = self._row(name, one, scope)
            yield Claim(name, scope, row.start, row.ends, amount, one.limit, one.of, row.used + row.reserved)

    def _costs(self, proposal: Proposal, *, strict: bool) -> Iterator[tuple[str, BudgetSettings, int]]:
        touching = list(self._touching(proposal))
        for name, one in touching:
            try:
                if one.of == "money" and not scoring.in_currency(proposal, one):
                    money = {other: it for other, it in touching if it.of == "money"}
                    if not any(scoring.in_currency(proposal, it) for it in money.values()):
                        raise scoring.foreign(money)
                    continue
                yield name, one, scoring.amount(proposal, name, one)
            except Refused:
                if strict:
                    raise

    def _touching(self, proposal: Proposal) -> Iterator[tuple[str, BudgetSettings]]:
        return ((name, one) for name, one in self.declared.items() if scoring.touches(proposal, one))

    def _row(self, name: str, one: BudgetSettings, scope: str) -> CounterRow:
        """The counter in the window that is now. A clock that went back finds the newest window there has been."""
        now = self.now()
        start, ends = (now - now % one.window, now - now % one.window + one.window) if one.window else (0, 0)
        row = budgets.counter(self._reader, name, scope)
        if row is None or start > row.start:
            return CounterRow(name, scope, start, ends, 0, 0)
        return replace(row, ends=max(row.ends, ends) if one.window else 0)

    def _shown(self, name: str, one: BudgetSettings, proposal: Proposal) -> JsonObject:
        row = self._row(name, one, scoring.scope(proposal, one))
        left = max(0, one.limit - row.used - row.reserved)
        shown: JsonObject = {"name": name, "limit": one.limit, "used": row.used, "reserved": row.reserved, "left": left}
        return {**shown, "frees_in_s": max(1, row.ends - self.now())} if row.ends else shown


def refusal(claim: Claim, now: int) -> Refused:
    """Why the budget does not pay for it, and when it would."""
    code = Code.RATE if claim.of == "calls" and claim.ends else Code.BUDGET
    detail = f"{claim.budget} {claim.scope}: {claim.taken} of {claim.limit} taken, {claim.amount} more asked for"
    if claim.amount > claim.limit:
        return Refused(code, f"it costs more than there is in all of the budget '{claim.budget}'", detail=detail)
    reason = f"the budget '{claim.budget}' has not enough left for it"
    if not claim.ends:
        return Refused(code, f"{reason}, and what is used of it does not come back", detail=detail)
    wait = max(1, claim.ends - now)
    would_pass = f"the same call in {wait} s"
    return Refused(
        code, f"{reason}; it begins anew in {wait} s", would_pass=would_pass, detail=detail, retry_after_s=wait
    )


def settled(run: RunId, ending: Ending, *, ran: bool = True, asked: bool = False) -> Sequence[Write]:
    """The writes of an ending; of a run that reserved nothing they change nothing.

    An unknown ending keeps it reserved, until a person says what happened: `settled` of that ending.
    """
    became = outcome(ending, ran=ran, asked=asked)
    return [] if became == HELD else [BudgetSettled(run, became), ReservationEnded(run)]


def outcome(ending: Ending, *, ran: bool = True, asked: bool = False) -> str:
    """What becomes of what a run has reserved. It is free again where nothing `ran`.

    Where the upstream only `asked` something, calls and bytes are used and the rest is free: a later round may do it.
    """
    if ending is Ending.UNKNOWN:
        return HELD
    if not ran or ending in (Ending.REFUSED, Ending.EXPIRED):
        return RELEASED
    return ASKED if asked else SPENT
