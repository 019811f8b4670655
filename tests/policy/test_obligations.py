"""Obligations: each folds to its strictest, and whatever cannot be kept refuses."""

from typing import Any

import pytest

from gateway.errors import Refused
from gateway.model import Code, Limits, Obligation, Point, Redaction
from gateway.policy import obligations

BASE = Limits(timeout_s=60.0, result_bytes=1_000)
EVERY: dict[str, dict[str, Any]] = {
    "timeout": {"seconds": 5},
    "redact": {"kinds": ["secrets"]},
    "label": {"labels": ["pii"]},
    "withhold": {"reason": "not today"},
}


def timeout(seconds: Any) -> dict[str, Any]:
    return {"type": "timeout", "seconds": seconds}


def redact(**settings: Any) -> dict[str, Any]:
    return {"type": "redact", **settings}


def label(*labels: Any) -> dict[str, Any]:
    return {"type": "label", "labels": list(labels)}


def withhold(reason: Any) -> dict[str, Any]:
    return {"type": "withhold", "reason": reason}


@pytest.mark.parametrize(
    ("stated", "settings"),
    [
        ([timeout(5)], {"seconds": 5}),
        ([timeout(5), timeout(0.5), timeout(86_400)], {"seconds": 0.5}),
        ([redact(kinds=["a"])], {"pointers": (), "kinds": ("a",)}),
        ([redact(pointers=["/a"], kinds=[])], {"pointers": ("/a",), "kinds": ()}),
        (
            [redact(kinds=["b", "a"]), redact(pointers=["/x"]), redact(kinds=["a"], pointers=["/x", "/w"])],
            {"pointers": ("/w", "/x"), "kinds": ("a", "b")},
        ),
        ([label("b"), label("a", "b")], {"labels": ("a", "b")}),
        ([withhold("b"), withhold("a"), withhold("b")], {"reason": "a; b"}),
    ],
)
def test_several_of_one_type_fold_to_the_strictest(stated: list[Any], settings: dict[str, Any]) -> None:
    point = Point.RESULT if stated[0]["type"] == "withhold" else Point.CALL
    assert obligations.fold(point, stated) == (Obligation(stated[0]["type"], settings),)
    assert obligations.fold(point, reversed(stated)) == obligations.fold(point, stated)


def test_types_are_folded_each_by_itself_in_order_of_name() -> None:
    folded = obligations.fold(Point.CALL, [timeout(5), label("a"), redact(kinds=["x"]), timeout(4)])
    assert [each.type for each in folded] == ["label", "redact", "timeout"]


def test_nothing_stated_is_nothing_owed() -> None:
    assert obligations.fold(Point.CALL, []) == ()


def refusal(point: Point, stated: object) -> Refused:
    with pytest.raises(Refused) as refused:
        obligations.fold(point, [stated])  # type: ignore[list-item]
    assert refused.value.code is Code.OBLIGATION
    assert refused.value.reason == "the policy attached an obligation that cannot be kept"
    return refused.value


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("kind", ["pray", "", "Timeout", "timeout ", None, 1, ["timeout"], {}])
def test_an_unknown_type_refuses_and_the_operator_is_told_which_there_are(kind: object) -> None:
    told = refusal(Point.CALL, {"type": kind, "seconds": 5}).detail
    assert told.startswith(f"there is no obligation {kind!r}; there are timeout, redact, label, withhold")


@pytest.mark.parametrize("stated", ["timeout", 5, None, ["type", "timeout"], True])
def test_what_is_no_object_refuses(stated: object) -> None:
    assert "should be an object with a type" in refusal(Point.CALL, stated).detail


def test_an_object_without_a_type_refuses() -> None:
    assert "there is no obligation None" in refusal(Point.CALL, {"seconds": 5}).detail


MEANT_AT = {
    "timeout": {Point.CALL},
    "redact": {Point.CALL, Point.RESULT},
    "label": {Point.CALL, Point.RESULT},
    "withhold": {Point.RESULT},
}


@pytest.mark.parametrize("point", list(Point))
@pytest.mark.parametrize("kind", EVERY)
def test_an_obligation_holds_at_its_points_and_refuses_at_others(kind: str, point: Point) -> None:
    stated = {"type": kind, **EVERY[kind]}
    if point in MEANT_AT[kind]:
        assert len(obligations.fold(point, [stated])) == 1
    else:
        assert refusal(point, stated).detail == f"obligation {kind} has no meaning at `{point}`"


WRONG: list[dict[str, Any]] = [
    {"type": "timeout"},
    timeout(0),
    timeout(-1),
    timeout(86_401),
    timeout(True),
    timeout("5"),
    timeout(None),
    timeout(float("nan")),
    {**timeout(5), "unit": "s"},
    {"type": "redact"},
    redact(kinds=[]),
    redact(kinds=[], pointers=[]),
    redact(kinds="secrets"),
    redact(kinds=[1]),
    redact(kinds=[""]),
    redact(kinds=None),
    redact(pointers=["a"]),
    redact(pointers=[""]),
    redact(pointers=["/a"], kinds=["x"], more=1),
    redact(pointers={"/a": 1}),
    {"type": "label"},
    label(),
    label(1),
    label(""),
    {"type": "label", "labels": "pii"},
    {**label("a"), "until": "now"},
    {"type": "withhold"},
    withhold(""),
    withhold(1),
    withhold("x" * 1_001),
    {**withhold("x"), "code": "X"},
]


@pytest.mark.parametrize("stated", WRONG, ids=lambda stated: str(stated)[:60])
def test_wrong_settings_refuse_and_are_told_to_the_operator_only(stated: dict[str, Any]) -> None:
    point = Point.RESULT if stated["type"] == "withhold" else Point.CALL
    refused = refusal(point, stated)
    assert refused.detail.startswith(f"obligation {stated['type']} has wrong settings: ")
    assert len(refused.detail) < 300


@pytest.mark.parametrize("stated", [timeout(86_400), timeout(0.001), withhold("x" * 1_000)])
def test_settings_at_their_bounds_hold(stated: dict[str, Any]) -> None:
    point = Point.RESULT if stated["type"] == "withhold" else Point.CALL
    assert len(obligations.fold(point, [stated])) == 1


def test_one_wrong_one_among_right_ones_refuses_all() -> None:
    with pytest.raises(Refused):
        obligations.fold(Point.CALL, [timeout(5), label("a"), timeout(0)])


@pytest.mark.parametrize(("seconds", "kept"), [(5, 5), (0.5, 0.5), (60, 60), (600, 60.0)])
def test_a_timeout_only_ever_shortens(seconds: float, kept: float) -> None:
    limits, redaction, labels = obligations.apply([Obligation("timeout", {"seconds": seconds})], BASE)
    assert limits == Limits(kept, 1_000)
    assert (redaction, labels) == (Redaction(), ())


def test_every_obligation_of_a_decision_is_applied() -> None:
    folded = obligations.fold(Point.CALL, [redact(kinds=["x"], pointers=["/a"]), label("b", "a"), timeout(5)])
    assert obligations.apply(folded, BASE) == (Limits(5, 1_000), Redaction(("/a",), ("x",)), ("a", "b"))


def test_without_obligations_the_base_holds() -> None:
    assert obligations.apply([], BASE) == (BASE, Redaction(), ())


def test_a_withhold_changes_no_limit_and_is_told_by_its_reason() -> None:
    folded = obligations.fold(Point.RESULT, [withhold("not today"), label("a")])
    assert obligations.apply(folded, BASE) == (BASE, Redaction(), ("a",))
    assert obligations.withheld(folded) == "not today"


@pytest.mark.parametrize("stated", [[], [label("a")], [label("a"), redact(kinds=["x"])]])
def test_nothing_else_withholds(stated: list[Any]) -> None:
    assert obligations.withheld(obligations.fold(Point.RESULT, stated)) is None
