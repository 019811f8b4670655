"""Patterns of a server: which engine reads them, and what stands before those that look around."""

from typing import Any

import jsonschema_rs
import pytest

from gateway.validators import patterns


@pytest.mark.parametrize("pattern", ["^a+$", r"^\d{3}$", r"^\p{L}+$", "[^/]"])
def test_a_linear_pattern_leaves_the_schema_alone(pattern: str) -> None:
    source = {"properties": {"a": {"pattern": pattern}}}
    ready, engine = patterns.contained(source, (pattern,))
    assert ready is source
    assert isinstance(engine, jsonschema_rs.RegexOptions)


def test_a_pattern_that_looks_around_stands_behind_a_length() -> None:
    source: dict[str, Any] = {
        "allOf": [{"properties": {"a": {"pattern": "(?!x)y", "allOf": [{"type": "string"}]}, "b": {"pattern": "z"}}}]
    }
    ready, engine = patterns.contained(source, ("(?!x)y", "z"))
    inner = ready["allOf"][0]["properties"]
    assert inner["a"] == {
        "allOf": [{"type": "string"}, {"allOf": [{"maxLength": patterns.LONGEST}, {"pattern": "(?!x)y"}]}]
    }
    assert inner["b"] == {"pattern": "z"}
    assert isinstance(engine, jsonschema_rs.FancyRegexOptions)
    assert source["allOf"][0]["properties"]["a"]["pattern"] == "(?!x)y"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ({"pattern": "("}, ("(",)),
        ({"patternProperties": {"(?!a)": {}}}, ("(?!a)",)),
        ({"pattern": "(a{999}){999}"}, ("(a{999}){999}",)),
    ],
)
def test_a_pattern_that_cannot_be_contained_is_unreadable(source: dict[str, Any], found: tuple[str, ...]) -> None:
    with pytest.raises(patterns.Unreadable):
        patterns.contained(source, found)
