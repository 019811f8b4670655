"""What a proposal costs, and whose budget it costs; what is no cost refuses."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.allowances import BudgetSettings
from gateway.budgets import scoring
from gateway.errors import Refused
from gateway.kinds import Kind
from gateway.model import Code, Principal, Proposal
from tests import nouns


def budget(**said: Any) -> BudgetSettings:
    return BudgetSettings.model_validate({"of": "calls", "limit": 5, **said})


def proposal(arguments: dict[str, Any] | None = None, **changed: Any) -> Proposal:
    return nouns.proposal(call=nouns.call(arguments=arguments or {}, **changed))


UNITS = budget(of="units", cost={"at": "/a/n", "times": 3})


@pytest.mark.parametrize(
    ("said", "arguments", "cost"),
    [
        ({}, {}, 1),
        ({"of": "bytes_out"}, {"a": "ü"}, len('{"a":"ü"}'.encode())),
        ({"of": "risk", "cost": {"fixed": 7}}, {}, 7),
        ({"of": "risk", "cost": {"fixed": 0}}, {}, 0),
        ({"of": "units", "cost": {"at": "/n"}}, {"n": 4}, 4),
        ({"of": "units", "cost": {"at": "/n", "times": 3}}, {"n": 4}, 12),
        ({"of": "units", "cost": {"at": "/list/1/x~1y~0z"}}, {"list": [0, {"x/y~z": 6}]}, 6),
        ({"of": "units", "cost": {"at": "/n"}}, {"n": 2**53}, 2**53),
    ],
)
def test_what_a_call_costs(said: dict[str, Any], arguments: dict[str, Any], cost: int) -> None:
    assert scoring.amount(proposal(arguments), "b", budget(**said)) == cost


@pytest.mark.promise("budget.cost")
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "is missing"),
        ({"a": {}}, "is missing"),
        ({"a": [1]}, "is missing"),
        ({"a": 5}, "is missing"),
        ({"a": {"n": None}}, "is no integer"),
        ({"a": {"n": True}}, "is no integer"),
        ({"a": {"n": 5.0}}, "is no integer"),
        ({"a": {"n": 1e400}}, "is no integer"),
        ({"a": {"n": "5"}}, "is no integer"),
        ({"a": {"n": [5]}}, "is no integer"),
        ({"a": {"n": -1}}, "is negative"),
        ({"a": {"n": -(2**70)}}, "is negative"),
        ({"a": {"n": 2**53}}, "is too large to count"),
        ({"a": {"n": 2**200}}, "is too large to count"),
    ],
)
def test_what_is_no_cost_refuses(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused) as refused:
        scoring.amount(proposal(arguments), "b", UNITS)
    assert refused.value.code is Code.SEMANTIC
    assert refused.value.reason == f"the argument /a/n is its cost for the budget 'b', and {why}"
    assert refused.value.would_pass == "an integer of 0 or more (units) at /a/n"


@pytest.mark.parametrize("place", ["01", "-1", "-", "2", "\u0661", "9999999999"])
def test_a_place_in_a_list_is_a_plain_number_within_it(place: str) -> None:
    with pytest.raises(Refused, match="is missing"):
        scoring.amount(proposal({"a": [1, 2]}), "b", budget(of="units", cost={"at": f"/a/{place}"}))


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        ({}, True),
        ({"tool": ["write_note"]}, True),
        ({"tool": ["read", "write_*"]}, True),
        ({"tool": ["*note"]}, True),
        ({"tool": ["w**e"]}, True),
        ({"tool": ["write"]}, False),
        ({"tool": ["Write_note"]}, False),
        ({"tool": ["write.note"]}, False),
        ({"upstream": ["notes"], "tool": ["write_note"]}, True),
        ({"upstream": ["other"], "tool": ["write_note"]}, False),
        ({"tenant": ["def*"], "principal": ["agent"]}, True),
        ({"tenant": ["acme"]}, False),
        ({"principal": ["agen"]}, False),
    ],
)
def test_which_calls_it_counts(where: dict[str, Any], counts: bool) -> None:
    assert scoring.touches(proposal(), budget(where=where)) is counts


@pytest.mark.parametrize("kind", Kind)
def test_what_an_upstream_asks_is_not_counted_and_tools_are_named_as_tools(kind: Kind) -> None:
    asked = {Kind.SAMPLING, Kind.ELICITATION, Kind.ROOTS, Kind.SUBSCRIPTION}
    assert scoring.touches(proposal(kind=str(kind)), budget()) is (kind not in asked)
    assert scoring.touches(proposal(kind=str(kind)), budget(where={"tool": ["*"]})) is (kind is Kind.TOOL)


def test_a_scope_says_whose_it_is() -> None:
    who = Principal('a"b', tenant="acme")
    one = proposal(principal=who, task="t/1")
    every = ["task", "tool", "upstream", "principal", "tenant"]
    said = {"tenant": "acme", "principal": 'a"b', "upstream": "notes", "tool": "notes/write_note", "task": "t/1"}
    assert json.loads(scoring.scope(one, budget(per=every))) == said
    assert scoring.scope(one, budget(per=every)) == scoring.scope(one, budget(per=every[::-1]))
    assert scoring.scope(one, budget()) == "{}"


def test_an_address_stands_in_no_scope() -> None:
    read = replace(proposal(kind="resource"), pin=nouns.pin("file:///secret"))
    assert "secret" not in scoring.scope(read, budget(per=["tool"]))
