"""Operator actions on budgets."""

from gateway.admin.budgets import budgets_list
from gateway.allowances import BudgetSettings
from tests.agreeing import OPERATOR
from tests.path import DataPath


def declare(path: DataPath, **limits: int) -> None:
    path.gw.budgets.declared = {
        name: BudgetSettings(of="calls", limit=limit, per=("principal",), window=60 if name == "minute" else None)
        for name, limit in limits.items()
    }


async def test_each_budget_is_listed_with_what_is_left_for_whom_and_when_it_frees(path: DataPath) -> None:
    declare(path, minute=5, ever=3, unused=1)
    path.gw.budgets.declared = {**path.gw.budgets.declared, "money": BudgetSettings.model_validate(
        {"of": "money", "currency": "EUR", "limit": 7, "cost": {"fixed": 0}}
    )}  # fmt: skip
    path.gw.budgets._clock = lambda: 1_800_000_010
    await path.write()
    listed = {one["name"]: one for one in (await budgets_list(path.gw, operator=OPERATOR))["budgets"]}
    counter = {"scope": {"principal": "agent"}, "used": 1, "reserved": 0}
    assert listed["minute"]["counters"] == [{**counter, "left": 4, "frees_in_s": 50}]
    assert listed["ever"]["counters"] == [{**counter, "left": 2, "frees_in_s": None}]
    assert listed["money"] == {"name": "money", "of": "money EUR", "limit": 7, "window_s": None, "counters": []}


async def test_a_window_that_is_over_and_a_budget_that_is_declared_no_more_hold_nothing(path: DataPath) -> None:
    declare(path, minute=5, ever=3)
    path.gw.budgets._clock = lambda: 1_800_000_010
    await path.write()
    declare(path, minute=5)
    path.gw.budgets._clock = lambda: 1_800_000_060
    (minute,) = (await budgets_list(path.gw, operator=OPERATOR))["budgets"]
    (counter,) = minute["counters"]
    assert (counter["used"], counter["left"], counter["frees_in_s"]) == (0, 5, None)
