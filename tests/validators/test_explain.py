"""Schema errors in words: the rule from the schema's side, never the value."""

from typing import Any

import jsonschema_rs
import pytest

from gateway.validators import explain

VALUE = "do-not-tell"


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        ({"type": ["string", "null"]}, 1, "must be of type null, string"),
        ({"enum": [1, "a"]}, VALUE, "must be one of 1, a"),
        ({"enum": list(range(30))}, VALUE, "19, …"),
        ({"const": "a"}, VALUE, "must be a"),
        ({"const": "\u202e"}, VALUE, "must be …"),
        ({"required": ["q"]}, {}, "must hold q"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": VALUE}, "must hold b"),
        ({"additionalProperties": False}, {"x": VALUE}, "must hold only names the tool's schema knows"),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"x": VALUE}, "must not hold the unknown x"),
        ({"unevaluatedProperties": False}, {"x": VALUE}, "must not hold the unknown x"),
        ({"properties": {"x": False}}, {"x": VALUE}, "/x must be left out"),
        ({"prefixItems": [{}], "unevaluatedItems": False}, [1, VALUE], "must hold no further elements"),
        ({"propertyNames": {"maxLength": 1}}, {VALUE: 1}, "must have only names"),
        ({"maxLength": 1}, VALUE, "at most this many characters: 1"),
        ({"minLength": 99}, VALUE, "at least this many characters: 99"),
        ({"pattern": "^x"}, VALUE, "must match the pattern"),
        ({"maximum": 1}, 77, "must be at most 1"),
        ({"minimum": 99}, 77, "must be at least 99"),
        ({"exclusiveMaximum": 1}, 77, "must be less than 1"),
        ({"exclusiveMinimum": 99}, 77, "must be greater than 99"),
        ({"multipleOf": 2}, 77, "must be a multiple of 2"),
        ({"maxItems": 0}, [VALUE], "at most this many elements: 0"),
        ({"minItems": 2}, [VALUE], "at least this many elements: 2"),
        ({"uniqueItems": True}, [VALUE, VALUE], "must hold no element twice"),
        ({"contains": {"type": "integer"}}, [VALUE], "must contain an element"),
        ({"maxProperties": 0}, {"a": VALUE}, "at most this many names: 0"),
        ({"minProperties": 2}, {"a": VALUE}, "at least this many names: 2"),
        ({"anyOf": [{"type": "integer"}]}, VALUE, "must have one of the forms"),
        ({"oneOf": [{}, {}]}, VALUE, "must have exactly one of the forms"),
        ({"not": {}}, VALUE, "must not have the form"),
        ({"contentMediaType": "application/json"}, VALUE, None),
    ],
)
def test_every_rule_has_its_words(schema: Any, value: object, told: str | None) -> None:
    errors = list(jsonschema_rs.Draft202012Validator(schema).iter_errors(value))
    if told is None:
        assert errors == []
        return
    reason, would_pass = explain.first(errors, "argument")
    assert told in reason
    assert would_pass
    assert VALUE not in reason + would_pass
    assert "77" not in reason + would_pass


def test_a_rule_without_words_of_its_own_is_still_told() -> None:
    errors = jsonschema_rs.Draft7Validator({"contentEncoding": "base64"}).iter_errors("***")
    assert explain.first(errors, "argument")[0] == "the arguments must match the tool's schema"


def test_the_error_nearest_to_the_top_is_told() -> None:
    schema: Any = {"properties": {"a": {"properties": {"b/~": {"type": "string"}}}, "c": {"type": "string"}}}
    errors = jsonschema_rs.Draft202012Validator(schema).iter_errors({"a": {"b/~": 1}, "c": 1})
    assert explain.first(errors, "argument")[0] == "argument /c must be of type string"
    errors = jsonschema_rs.Draft202012Validator(schema).iter_errors({"a": {"b/~": 1}})
    assert explain.first(errors, "argument")[0] == "argument /a/… must be of type string"


def test_no_error_at_all_is_told_plainly() -> None:
    assert explain.first([], "argument") == ("the argument does not match the schema", "")
