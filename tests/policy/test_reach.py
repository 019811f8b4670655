"""Which rule needs which."""

import pytest

from gateway.policy.reach import Reach, overlaps
from tests.policy.folders import modules

A = "package a\n\nimport data.b as other\n\nx if y\n\ny if other.z\n\nlost if input.tool\n\nwhole if data.b\n"
B = "package b\n\nz if input.principal.id\n\nu if input.args\n"


@pytest.mark.parametrize(
    ("start", "reached"),
    [
        (("a", "x"), {("a", "x"), ("a", "y"), ("b", "z")}),
        (("a", "x", "deeper"), {("a", "x"), ("a", "y"), ("b", "z")}),
        (("a", "whole"), {("a", "whole"), ("b", "z"), ("b", "u")}),
        (("b",), {("b", "z"), ("b", "u")}),
        (("none",), set()),
    ],
)
def test_what_a_rule_needs_is_followed_through_files(start: tuple[str, ...], reached: set[tuple[str, ...]]) -> None:
    assert Reach(modules(A, B)).from_([start]) == reached


def test_a_ring_of_rules_ends() -> None:
    assert Reach(modules("package a\n\nx if y\n\ny if x\n")).from_([("a", "x")]) == {("a", "x"), ("a", "y")}


def test_a_rule_asks_what_the_rules_it_needs_ask() -> None:
    reach = Reach(modules(A, B))
    assert reach.asking(["principal"]) == {("b", "z"), ("a", "y"), ("a", "x"), ("a", "whole")}
    assert reach.asking(["tool"]) == {("a", "lost")}
    assert reach.reach_any([("a", "lost", "z")], {("a", "lost")})
    assert not reach.reach_any([("a", "x")], {("a", "lost")})


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [((), ("tool",), True), (("tool", "name"), ("tool",), True), (("args",), ("tool",), False)],
)
def test_a_place_overlaps_what_holds_it_and_what_it_holds(
    one: tuple[str, ...], other: tuple[str, ...], answer: bool
) -> None:
    assert overlaps([one], [other]) is answer
