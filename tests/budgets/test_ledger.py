"""The ledger of budgets on a real store: never overdrawn, nothing lost, nothing twice."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.allowances import BudgetSettings
from gateway.audit.log import Log
from gateway.budgets.ledger import Budgets, settled
from gateway.errors import Refused
from gateway.model import Code, Ending, Principal, Proposal, RunId
from gateway.storage.database import Conflict
from gateway.storage.sqlite import SqliteReader
from gateway.storage.tables.budgets import CounterRow, counter, held, listed
from gateway.writes import BudgetReserved
from tests import nouns
from tests.audit import samples
from tests.audit.samples import Store

NOON = 1_800_014_400
"""A Unix second at the beginning of an hour."""


def declared(**said: Any) -> BudgetSettings:
    return BudgetSettings.model_validate({"of": "calls", "limit": 5, **said})


def asking(who: str = "agent", **arguments: Any) -> Proposal:
    return nouns.proposal(call=nouns.call(principal=Principal(who), arguments=arguments))


@dataclass
class Spending:
    """One store with its budgets, and a clock that a test moves."""

    log: Log
    reader: SqliteReader
    budgets: Budgets = field(init=False)
    now: float = NOON

    def declare(self, **of: BudgetSettings) -> "Spending":
        self.budgets = Budgets(self.reader, of, lambda: self.now)
        return self

    async def reserve(self, proposal: Proposal) -> RunId | None:
        """A run whose intent is stored, as the pipeline does it; None where no budget is left."""
        run = samples.run_id()
        writes = [write for claim in self.budgets.claims(proposal) for write in claim.reserved(run)]
        try:
            await self.log.append([samples.intent(run)], [samples.opening(run), *writes])
        except Conflict as conflict:
            if conflict.kind is not BudgetReserved:
                raise
            return None
        return run

    async def settle(self, run: RunId, ending: Ending = Ending.DONE, **how: bool) -> None:
        writes = [samples.ending(run, ending), *settled(run, ending, **how)]
        await self.log.append([samples.settled(run, ending)], writes)

    def row(self, name: str = "b", scope: str = "{}") -> CounterRow:
        found = counter(self.reader, name, scope)
        assert found is not None
        return found

    def sums(self, name: str = "b", scope: str = "{}") -> tuple[int, int]:
        row = counter(self.reader, name, scope)
        return (row.used, row.reserved) if row else (0, 0)

    def kill(self) -> None:
        """As the kernel would: nothing more is written, nothing is said."""
        if self.log._timer is not None:
            self.log._timer.cancel()
        self.log._database._connection.close()  # type: ignore[attr-defined]
        self.log._thread.stop()
        self.reader.close()


@pytest.fixture
async def spending(tmp_path: Path) -> Any:
    store = Store(tmp_path)
    log = store.open()
    reader = store.reader()
    yield Spending(log, reader)
    reader.close()
    await log.close()


@pytest.mark.promise("budget.edge")
@pytest.mark.parametrize("left", [1, 7, 63])
async def test_of_64_at_once_exactly_as_many_run_as_there_are_units(spending: Spending, left: int) -> None:
    spending.declare(b=declared(limit=left))
    runs = [run for run in await asyncio.gather(*(spending.reserve(asking()) for _ in range(64))) if run]
    assert len(runs) == left
    assert spending.sums() == (0, left)
    await asyncio.gather(*(spending.settle(run) for run in runs))
    assert spending.sums() == (left, 0)
    assert spending.budgets.short(asking()) is not None


@pytest.mark.promise("budget.edge")
async def test_64_tasks_that_release_and_reserve_at_the_edge_never_pass_it(spending: Spending) -> None:
    spending.declare(b=declared(limit=3))
    done: Counter[bool] = Counter()

    async def working() -> None:
        for _ in range(4):
            run = await spending.reserve(asking())
            done[run is not None] += 1
            used, reserved = spending.sums()
            assert used + reserved <= 3
            if run:
                await spending.settle(run, Ending.FAILED, ran=False)

    await asyncio.gather(*(working() for _ in range(64)))
    assert sum(done.values()) == 256
    assert done[True] >= 3
    assert spending.sums() == (0, 0)


@pytest.mark.parametrize(
    ("ending", "how", "used", "reserved"),
    [
        (Ending.DONE, {}, 1, 0),
        (Ending.FAILED, {}, 1, 0),
        (Ending.WITHHELD, {}, 1, 0),
        (Ending.FAILED, {"ran": False}, 0, 0),
        (Ending.REFUSED, {}, 0, 0),
        (Ending.EXPIRED, {}, 0, 0),
        (Ending.UNKNOWN, {}, 0, 1),
        (Ending.UNKNOWN, {"ran": False}, 0, 1),
    ],
)
async def test_what_becomes_of_a_reservation(
    spending: Spending, ending: Ending, how: dict[str, bool], used: int, reserved: int
) -> None:
    spending.declare(b=declared())
    run = await spending.reserve(asking())
    assert run is not None
    await spending.log.append([samples.settled(run, ending)], settled(run, ending, **how))
    assert spending.sums() == (used, reserved)
    assert bool(held(spending.reader, run)) is (ending is Ending.UNKNOWN)


async def test_a_round_that_only_asked_uses_calls_and_bytes_and_frees_the_rest(spending: Spending) -> None:
    risk = declared(of="risk", cost={"fixed": 3})
    spending.declare(calls=declared(), sent=declared(of="bytes_out", limit=99), risk=risk)
    run = await spending.reserve(asking(a="b"))
    assert run is not None
    await spending.settle(run, asked=True)
    assert [spending.sums(name) for name in ("calls", "sent", "risk")] == [(1, 0), (9, 0), (0, 0)]


@pytest.mark.promise("budget.kept")
@pytest.mark.parametrize(("says", "used"), [(Ending.DONE, 1), (Ending.FAILED, 1)])
async def test_a_kill_loses_no_unit_and_settles_none_twice(tmp_path: Path, says: Ending, used: int) -> None:
    store = Store(tmp_path)
    before = Spending(store.open(), store.reader()).declare(b=declared(limit=2))
    run = await before.reserve(asking())
    assert run is not None
    before.kill()
    after = Spending(store.open(), store.reader()).declare(b=declared(limit=2))
    await after.settle(run, Ending.UNKNOWN)  # as recovery does, with nothing but the id
    assert after.sums() == (0, 1)
    assert await after.reserve(asking())
    assert await after.reserve(asking()) is None
    for _ in range(2):
        await after.log.append([samples.settled(run, says)], settled(run, says))
        assert after.sums() == (used, 1)
    after.reader.close()
    await after.log.close()


async def test_what_does_not_fit_one_budget_takes_nothing_of_another(spending: Spending) -> None:
    spending.declare(a=declared(limit=9), b=declared(limit=1), c=declared(limit=9))
    assert await spending.reserve(asking())
    assert await spending.reserve(asking()) is None
    assert [spending.sums(name) for name in "abc"] == [(0, 1)] * 3


async def test_each_scope_has_its_own(spending: Spending) -> None:
    spending.declare(b=declared(limit=1, per=["principal"]))
    assert await spending.reserve(asking("ann"))
    assert await spending.reserve(asking("ben"))
    assert await spending.reserve(asking("ann")) is None
    assert [row.scope for row in listed(spending.reader)] == ['{"principal":"ann"}', '{"principal":"ben"}']


async def test_a_window_begins_anew_and_an_old_run_does_not_touch_it(spending: Spending) -> None:
    spending.declare(b=declared(limit=1, window=3600))
    old = await spending.reserve(asking())
    spending.now = NOON + 3599
    assert await spending.reserve(asking()) is None
    spending.now = NOON + 3600
    new = await spending.reserve(asking())
    assert old is not None
    assert new is not None
    await spending.settle(old)
    assert spending.sums() == (0, 1)
    await spending.settle(new, Ending.FAILED, ran=False)
    assert spending.sums() == (0, 0)


@pytest.mark.promise("budget.time")
@pytest.mark.parametrize("back", [1, 3600, 86_400, NOON])
async def test_a_clock_that_goes_back_opens_no_old_window(spending: Spending, back: int) -> None:
    spending.declare(b=declared(limit=2, window=3600))
    assert await spending.reserve(asking())
    spending.now = NOON + 3600
    assert await spending.reserve(asking())
    spending.now = NOON + 3600 - back
    assert await spending.reserve(asking())
    assert await spending.reserve(asking()) is None
    assert spending.row().start == NOON + 3600
    short = spending.budgets.short(asking())
    assert short is not None
    assert short.retry_after_s == 3600 + back
    spending.now = NOON + 7200
    assert await spending.reserve(asking())


async def test_a_write_of_an_older_window_conflicts(spending: Spending) -> None:
    spending.declare(b=declared(limit=9, window=3600))
    (old,) = spending.budgets.claims(asking())
    spending.now += 3600
    assert await spending.reserve(asking())
    run = samples.run_id()
    with pytest.raises(Conflict):
        await spending.log.append([samples.intent(run)], [samples.opening(run), *old.reserved(run)])
    assert spending.row().start == NOON + 3600


@pytest.mark.promise("budget.time")
async def test_a_clock_that_ran_ahead_leaves_a_spent_window_until_its_end(spending: Spending) -> None:
    spending.declare(b=declared(limit=1, window=60))
    spending.now = NOON + 1_000_000
    assert await spending.reserve(asking())
    spending.now = NOON
    assert await spending.reserve(asking()) is None
    spending.now = NOON + 1_000_080
    assert await spending.reserve(asking())


@pytest.mark.parametrize(("before", "after"), [(3600, 86_400), (86_400, 3600), (None, 3600), (3600, None)])
async def test_a_window_that_is_declared_anew_never_counts_a_run_below_zero(
    spending: Spending, before: int | None, after: int | None
) -> None:
    spending.declare(b=declared(window=before))
    run = await spending.reserve(asking())
    spending.declare(b=declared(window=after))
    spending.now += 7200
    assert await spending.reserve(asking())
    assert run is not None
    await spending.settle(run)
    assert min(spending.sums()) >= 0
    assert spending.row().ends == 0 if after is None else spending.row().ends > spending.now


async def test_a_lower_limit_holds_at_once_and_takes_nothing_back(spending: Spending) -> None:
    spending.declare(b=declared(limit=3))
    for _ in range(3):
        assert await spending.reserve(asking())
    spending.declare(b=declared(limit=2))
    assert await spending.reserve(asking()) is None
    assert spending.budgets.shown(asking())["b"]["left"] == 0
    spending.declare(b=declared(limit=4))
    assert await spending.reserve(asking())


@pytest.mark.parametrize(
    ("said", "code", "reason", "retry"),
    [
        ({"window": 3600}, Code.RATE, "the budget 'b' has not enough left for it; it begins anew in 3600 s", 3600),
        ({}, Code.BUDGET, "the budget 'b' has not enough left for it, and what is used of it does not come back", 0),
        ({"of": "risk", "cost": {"fixed": 1}, "window": 60}, Code.BUDGET, "begins anew in 60 s", 60),
        ({"of": "risk", "cost": {"fixed": 9}}, Code.BUDGET, "it costs more than there is in all of the budget 'b'", 0),
    ],
)
async def test_a_refusal_says_which_and_when_it_frees(
    spending: Spending, said: dict[str, Any], code: Code, reason: str, retry: int
) -> None:
    spending.declare(b=declared(limit=1, **said))
    await spending.reserve(asking())
    short = spending.budgets.short(asking())
    assert short is not None
    assert short.code is code
    assert reason in short.reason
    assert short.retry_after_s == retry


async def test_what_policy_sees_is_what_is_left(spending: Spending) -> None:
    spending.declare(b=declared(window=3600), other=declared(where={"tool": ["other"]}), c=declared())
    run = await spending.reserve(asking())
    assert run is not None
    await spending.reserve(asking())
    await spending.settle(run)
    spending.now += 100.5
    shown = spending.budgets.shown(asking())
    assert shown["b"] == {"name": "b", "limit": 5, "used": 1, "reserved": 1, "left": 3, "frees_in_s": 3500}
    assert list(shown) == ["b", "c"]
    assert "frees_in_s" not in shown["c"]


async def test_money_counts_in_the_budget_of_its_currency_and_in_no_other(spending: Spending) -> None:
    cost = {"at": "/cents", "currency_at": "/currency"}
    money = {name: declared(of="money", currency=name.upper(), limit=100, cost=cost) for name in ("eur", "usd")}
    spending.declare(**money)
    assert await spending.reserve(asking(cents=60, currency="EUR"))
    assert await spending.reserve(asking(cents=60, currency="EUR")) is None
    assert await spending.reserve(asking(cents=60, currency="USD"))
    for wrong in ("GBP", "eur", None, 7):
        with pytest.raises(Refused, match="its currency is none that its budgets are in") as refused:
            spending.budgets.check(asking(cents=60, currency=wrong))
        assert refused.value.code is Code.SEMANTIC


async def test_a_cost_of_nothing_is_not_written(spending: Spending) -> None:
    spending.declare(b=declared(of="units", limit=0, cost={"at": "/n"}))
    assert spending.budgets.claims(asking(n=0)) == ()
    assert spending.budgets.short(asking(n=0)) is None
    assert spending.budgets.short(asking(n=1)) is not None


async def test_without_budgets_the_store_is_not_asked(spending: Spending) -> None:
    spending.declare()
    spending.budgets._reader = None  # type: ignore[assignment]
    spending.budgets.check(asking())
    assert (spending.budgets.shown(asking()), spending.budgets.short(asking())) == ({}, None)
    assert spending.budgets.claims(asking()) == ()


async def test_counters_of_windows_that_are_over_go_with_what_is_erased(tmp_path: Path) -> None:
    store = Store(tmp_path)
    spending = Spending(store.open(), store.reader(), now=time.time() - 86_400)
    spending.declare(b=declared(window=60), c=declared(), d=declared(window=86_400 * 300))
    run = await spending.reserve(asking())
    assert run is not None
    await spending.settle(run)
    await spending.log.expire(int(time.time()) + 400 * 86_400)
    assert [row.budget for row in listed(spending.reader)] == ["c", "d"]
    spending.reader.close()
    await spending.log.close()


BUDGETS = {
    "few": declared(limit=60, per=["principal"]),
    "soon": declared(limit=5, window=60),
    "units": declared(of="units", limit=40, window=3600, per=["tenant", "tool"], cost={"at": "/n", "times": 2}),
}


@pytest.mark.promise("budget.kept", "budget.edge", "budget.time")
@pytest.mark.parametrize("turn", range(4))
async def test_counters_equal_the_sum_over_runs_whatever_happens(tmp_path: Path, turn: int) -> None:
    seed = time.time_ns() + turn
    print(f"seed {seed}")
    rolled = random.Random(seed)
    store = Store(tmp_path)
    spending = Spending(store.open(), store.reader()).declare(**BUDGETS)
    took: dict[RunId, list[tuple[str, str, int, int]]] = {}
    became: dict[RunId, str] = {}
    for _ in range(60):
        spending.now += rolled.choice([0, 0, 0, 1, 30, 90, -45, -4000])
        calls = [asking(rolled.choice("ab"), n=rolled.randint(0, 9)) for _ in range(rolled.randint(1, 8))]
        runs = [run for run in await asyncio.gather(*(spending.reserve(one) for one in calls)) if run]
        took |= {run: held(spending.reader, run) for run in runs}
        for run in [run for run in took if became.get(run, "open") == "open" and rolled.random() < 0.6]:
            became[run] = rolled.choice(["spent", "released", "unknown"])
            ending = {"spent": Ending.DONE, "released": Ending.FAILED, "unknown": Ending.UNKNOWN}[became[run]]
            await spending.settle(run, ending, ran=became[run] != "released")
        if rolled.random() < 0.1:  # killed, and opened again
            spending.kill()
            spending.log, spending.reader = store.open(), store.reader()
            spending.declare(**BUDGETS)
        _compare(spending, took, became)
    assert took
    spending.reader.close()
    await spending.log.close()


def _compare(spending: Spending, took: dict[RunId, list[tuple[str, str, int, int]]], became: dict[RunId, str]) -> None:
    sums: dict[tuple[str, str, int], Counter[str]] = {}
    for run, claims in took.items():
        for budget, scope, start, amount in claims:
            place = sums.setdefault((budget, scope, start), Counter())
            place[{"spent": "used", "released": "free"}.get(became.get(run, "open"), "reserved")] += amount
    for row in listed(spending.reader):
        right = sums.get((row.budget, row.scope, row.start), Counter())
        assert (row.used, row.reserved) == (right["used"], right["reserved"]), row
        assert row.used + row.reserved <= BUDGETS[row.budget].limit
