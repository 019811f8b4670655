"""What a rule demands of people."""

from typing import Any

import pytest

from gateway.model import Demand
from gateway.policy import demands

DAY = 86_400


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        (["why"], (Demand(),)),
        ([{"reason": "why"}], (Demand(),)),
        ([{"reason": "a", "from": ["ops", "ops"]}, {"reason": "b", "from": ["ops"]}], (Demand(("ops",)),)),
        (["why", {"reason": "b", "quorum": 2}], (Demand((), 2),)),
        ([{"reason": "b", "expires": "30m"}], (Demand((), 1, 1800),)),
        ([{"reason": "b", "from": ["a"]}, {"reason": "c", "from": ["b"]}], (Demand(("a",)), Demand(("b",)))),
    ],
)
def test_each_rule_s_demand_stands_by_itself_and_equal_ones_are_one(members: list[Any], wanted: tuple[Demand]) -> None:
    assert demands.of(members) == wanted


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ({"from": "ops"}, "`from` should be a list of roles"),
        ({"from": [""]}, "`from` should be a list of roles"),
        ({"quorum": 0}, "`quorum` should be a number of people from 1 to 20"),
        ({"quorum": True}, "`quorum` should be"),
        ({"quorum": 21}, "`quorum` should be"),
        ({"expires": 30}, "`expires` should be a time such as 30m"),
        ({"expires": "0m"}, "`expires` should be"),
        ({"expires": "31d"}, "`expires` should be"),
        ({"expires": "1h30m"}, "`expires` should be"),
    ],
)
def test_a_demand_that_nobody_could_meet_as_it_is_meant_is_an_engine_error(member: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        demands.of([{"reason": "why", **member}])
