"""Budgets as the file declares them: what is refused there, where, and with which advice."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway import config
from gateway.allowances import BudgetSettings
from gateway.errors import ConfigError

LEAST = "version: 1\naudit: {origin: example.org/bascule}\nbudgets:\n  refunds: "


def declared(**said: Any) -> BudgetSettings:
    return BudgetSettings.model_validate({"of": "calls", "limit": 5, **said})


def read(entry: str) -> BudgetSettings:
    return config.parse(f"{LEAST}{entry}\n", Path("bascule.yaml"), {}).budgets["refunds"]


@pytest.mark.parametrize(
    ("window", "seconds"),
    [("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86_400), ("1w", 604_800), ("366d", 31_622_400)],
)
def test_a_window_is_a_time_with_its_unit(window: str, seconds: int) -> None:
    assert read(f"{{of: calls, limit: 1, window: {window}}}").window == seconds


def test_without_a_window_it_lasts_for_ever_and_without_per_it_is_one_for_all() -> None:
    budget = read("{of: calls, limit: 0}")
    assert (budget.window, budget.per, budget.where.tool, budget.cost) == (None, (), (), None)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{of: calls, limit: 1, windw: 1d}", "budgets.refunds.windw: unknown key; did you mean 'window'?"),
        ("{of: calls, limit: 1, where: {tols: [a]}}", "budgets.refunds.where.tols: unknown key; did you mean 'tool'?"),
        ("{of: risk, limit: 1, cost: {fixd: 1}}", "budgets.refunds.cost.fixd: unknown key; did you mean 'fixed'?"),
        ("{of: calls}", "budgets.refunds.limit: is missing"),
        ("{of: call, limit: 1}", "budgets.refunds.of: should be 'calls', 'units', 'money', 'bytes_out' or 'risk'"),
        ("{of: calls, limit: -1}", "budgets.refunds.limit: should be greater than or equal to 0"),
        ("{of: calls, limit: 1.5}", "budgets.refunds.limit: should be a valid integer"),
        ("{of: calls, limit: '9'}", "budgets.refunds.limit: should be a valid integer"),
        ("{of: calls, limit: 9007199254740993}", "budgets.refunds.limit: should be less than or equal to"),
        ("{of: calls, limit: 1, window: 60}", "budgets.refunds.window: should be a time with its unit, such as 30s"),
        ("{of: calls, limit: 1, window: 0s}", "budgets.refunds.window: should be a time with its unit, such as 30s"),
        ("{of: calls, limit: 1, window: 999w}", "budgets.refunds.window: should be at most 366d"),
        ("{of: calls, limit: 1, per: [people]}", "budgets.refunds.per[0]: should be 'tenant', 'principal', 'upstream'"),
        ("{of: calls, limit: 1, per: [task, task]}", "budgets.refunds: per names one of them twice"),
        ("{of: calls, limit: 1, where: {tool: ['']}}", "budgets.refunds.where.tool[0]: String should have at least 1"),
        ("{of: calls, limit: 1, cost: {fixed: 2}}", "cost does not go with of: calls, which is counted by itself"),
        ("{of: units, limit: 1}", "of: units needs cost, such as cost: {fixed: 1}"),
        ("{of: risk, limit: 1, cost: {}}", "budgets.refunds.cost: should have fixed (the same for each call) or at"),
        ("{of: risk, limit: 1, cost: {fixed: 1, at: /a}}", "budgets.refunds.cost: should have fixed"),
        ("{of: risk, limit: 1, cost: {fixed: 1, times: 2}}", "budgets.refunds.cost: times and currency_at go with at"),
        ("{of: risk, limit: 1, cost: {fixed: -1}}", "budgets.refunds.cost.fixed: should be greater than or equal to 0"),
        ("{of: risk, limit: 1, cost: {at: a}}", "budgets.refunds.cost.at: String should match pattern"),
        ("{of: risk, limit: 1, cost: {at: /a, times: 0}}", "budgets.refunds.cost.times: should be greater than or"),
        ("{of: risk, limit: 1, cost: {at: /a, currency_at: /b}}", "currency_at belongs to of: money"),
        ("{of: money, limit: 1, cost: {at: /a}}", "budgets.refunds: of: money needs currency"),
        ("{of: money, currency: euro, limit: 1, cost: {at: /a}}", "budgets.refunds.currency: String should match"),
        ("{of: calls, currency: EUR, limit: 1}", "budgets.refunds: currency belongs to of: money"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_what_would_be_right(entry: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(entry)
    assert said in str(caught.value)
    assert str(caught.value).startswith("bascule.yaml:4:")


@pytest.mark.parametrize("name", ["Refunds", "a-b", "", "1st", "a" * 41, "a.b"])
def test_a_name_is_one_that_a_policy_can_read_as_a_field(name: str) -> None:
    with pytest.raises(ConfigError, match="String should match pattern"):
        config.parse(f"{LEAST[:-11]}  '{name}': {{of: calls, limit: 1}}\n", Path("bascule.yaml"), {})


def test_a_model_made_without_a_file_takes_seconds() -> None:
    assert declared(window=60).window == 60
    with pytest.raises(ValidationError):
        declared(window="60")
