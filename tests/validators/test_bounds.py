"""What a schema may cost before it is compiled."""

from typing import Any

import pytest

from gateway.validators import bounds


def chain(length: int, width: int) -> dict[str, Any]:
    names: dict[str, Any] = {"x0": {"type": "string"}}
    for place in range(1, length + 1):
        names[f"x{place}"] = {"anyOf": [{"$ref": f"#/$defs/x{place - 1}"}] * width}
    return {"$defs": names, "$ref": f"#/$defs/x{length}"}


def nested(depth: int) -> Any:
    schema: Any = {}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "recursive"),
    [
        ({}, False),
        (True, False),
        ({"$ref": "#"}, True),
        ({"properties": {"a": {"$ref": "#"}}}, True),
        ({"$defs": {"a": {"$anchor": "q", "items": {"$ref": "#q"}}}, "$ref": "#/$defs/a"}, True),
        ({"$defs": {"a": {"$dynamicAnchor": "q"}}, "$dynamicRef": "#q"}, False),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, True),
        ({"$defs": {"a/b ~": {}}, "$ref": "#/$defs/a~1b%20~0"}, False),
        ({"prefixItems": [{}, {"$ref": "#/prefixItems/0"}]}, False),
        ({"properties": {"$ref": {"type": "string"}, "$id": {}, "definitions": {"type": "string"}}}, False),
        (chain(200, 1), False),
        (chain(15, 2), False),
        ({"$id": "https://example.com/root", "$ref": "#/$defs/a", "$defs": {"a": {}}}, False),
    ],
)
def test_a_schema_within_bounds_is_measured(schema: object, recursive: bool) -> None:
    assert bounds.measure(schema).recursive is recursive


def test_a_reference_costs_what_it_stands_for() -> None:
    costs = [bounds.measure(chain(length, 2)).cost for length in (8, 9, 10)]
    assert costs[0] > 2**8
    assert 1.9 < costs[2] / costs[1] < 2.1


def test_definitions_nobody_refers_to_cost_nothing_but_a_property_of_that_name_does() -> None:
    many: dict[str, Any] = {f"p{place}": {} for place in range(100)}
    assert bounds.measure({"$defs": many}).cost < 5
    assert bounds.measure({"properties": {"definitions": {"properties": many}}}).cost > 100


def test_patterns_are_collected() -> None:
    schema = {"items": {"pattern": "a"}, "patternProperties": {"b": {}}, "properties": {"pattern": {"pattern": "c"}}}
    assert sorted(bounds.measure(schema).patterns) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        (nested(bounds.DEEP + 1), "nested deeper"),
        ({"enum": list(range(bounds.NODES))}, "more than 50000 values"),
        (chain(25, 2), "expand to more"),
        (chain(2000, 1), "too long a chain"),
        ({"allOf": [{"pattern": str(number)} for number in range(bounds.PATTERNS + 1)]}, "more than 64 patterns"),
        ({"$ref": "http://x/y"}, "outside itself"),
        ({"$ref": "y.json#/a"}, "outside itself"),
        ({"$ref": "#missing"}, "does not hold"),
        ({"$ref": "#/a/b"}, "does not hold"),
        ({"allOf": [{}], "$ref": "#/allOf/1"}, "does not hold"),
        ({"allOf": [{}], "$ref": "#/allOf/x"}, "does not hold"),
        ({"properties": {"a": {"$id": "other", "type": "object"}}}, "embeds another"),
    ],
)
def test_a_schema_out_of_bounds_is_refused(schema: object, word: str) -> None:
    with pytest.raises(bounds.TooHeavy, match=word):
        bounds.measure(schema)
