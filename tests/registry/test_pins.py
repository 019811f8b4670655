"""Digests of definitions: RFC 8785, with a short way that must give the same bytes."""

import hashlib
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry import pins

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), _VALUES))
def test_the_short_way_gives_the_canonical_bytes(definition: dict[str, Any]) -> None:
    assert pins.canonical(definition) == rfc8785.dumps(definition)


def test_the_digest_covers_the_canonical_bytes_and_not_the_order_of_keys() -> None:
    digest = pins.digest({"b": 1, "a": "é"})
    assert digest == "sha256:" + hashlib.sha256('{"a":"é","b":1}'.encode()).hexdigest()
    assert digest == pins.digest({"a": "é", "b": 1})


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2**53, -(2**53), 2**64, 2**100, "\ud800"], ids=repr)
@pytest.mark.parametrize("place", ["value", "deep"])
def test_a_definition_without_canonical_form_has_no_digest(value: object, place: str) -> None:
    definition = {"name": "x", "v": value if place == "value" else [{"w": value}]}
    with pytest.raises(ValueError, match=r".+"):
        pins.digest(definition)


def test_a_key_with_a_lone_surrogate_has_no_digest() -> None:
    with pytest.raises(ValueError, match="lone surrogate"):
        pins.digest({"\ud800": 1, "a": 2})


def test_a_definition_nested_without_end_has_no_digest() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="too deeply"):
        pins.digest(deep)


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": True}), ({"a": 1}, {"a": 1.5}), ({"a": None}, {"a": float("inf")}), ({"a": 1}, {"b": 1})],
)
def test_different_definitions_have_different_fingerprints(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert pins.fingerprint(one) != pins.fingerprint(other)


def test_equal_definitions_have_one_fingerprint_and_odd_ones_none() -> None:
    assert pins.fingerprint({"a": 1, "b": None}) == pins.fingerprint({"b": None, "a": 1}) != None  # noqa: E711
    assert pins.fingerprint({"a": 2**70}) is None
