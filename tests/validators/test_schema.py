"""Arguments and results against the schemas of the pin."""

import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import Failed, Refused
from gateway.model import Code, Pin
from gateway.validators import patterns, schema

Pins = Callable[..., Pin]


def refused(pin: Pin, arguments: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        schema.check_arguments(pin, arguments)
    assert caught.value.code is Code.SCHEMA
    return caught.value


def failed(pin: Pin, result: Any) -> Failed:
    with pytest.raises(Failed) as caught:
        schema.check_result(pin, result)
    assert caught.value.code is Code.UPSTREAM_INVALID
    assert caught.value.reason == "the tool's result does not match the schema it declares"
    return caught.value


WRITE = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "mode": {"enum": ["w", "a"]}, "tags": {"items": {"type": "string"}}},
    "required": ["path"],
    "additionalProperties": False,
}


def test_arguments_that_match_pass(pin: Pins) -> None:
    subject = pin(WRITE)
    for _ in range(2):
        schema.check_arguments(subject, {"path": "a", "mode": "w", "tags": ["x"]})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"path": 7}, "argument /path must be of type string"),
        ({}, "the arguments must hold path"),
        ({"path": "a", "mode": "secret-value"}, "argument /mode must be one of w, a"),
        ({"path": "a", "tags": ["x", 4]}, "argument /tags/1 must be of type string"),
        ({"path": "a", "pth": 1}, "the arguments must not hold the unknown pth"),
        ({"path": "a", "p\u202e": 1}, "the arguments must not hold the unknown …"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_without_its_value(pin: Pins, arguments: Any, reason: str) -> None:
    refusal = refused(pin(WRITE), arguments)
    assert refusal.reason == reason
    assert refusal.would_pass
    assert "secret-value" not in refusal.reason + refusal.would_pass + refusal.detail


def test_a_tool_without_a_schema_takes_any_object(pin: Pins) -> None:
    schema.check_arguments(pin(), {"anything": [1]})


@pytest.mark.parametrize(
    "dialect", ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema"]
)
def test_a_schema_is_read_in_the_dialect_it_names(pin: Pins, dialect: str) -> None:
    subject = pin({"$schema": dialect, "properties": {"a": {"items": [{"type": "string"}]}}})
    schema.check_arguments(subject, {"a": ["x", 1]})
    assert refused(subject, {"a": [1]}).reason == "argument /a/0 must be of type string"


@pytest.mark.parametrize(
    ("source", "arguments", "passes"),
    [
        (
            {"properties": {"a": {"prefixItems": [{"type": "string"}], "unevaluatedItems": False}}},
            {"a": ["x", 1]},
            False,
        ),
        ({"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}, {"a": 1, "b": 2}, False),
        (
            {"$defs": {"n": {"$dynamicAnchor": "n", "properties": {"k": {"$dynamicRef": "#n"}}}}, "$ref": "#/$defs/n"},
            {"k": {}},
            True,
        ),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, False),
        ({"properties": {"e": {"format": "email"}}}, {"e": "not one"}, True),
        ({"properties": {"n": {"type": "integer", "maximum": 2**70}}}, {"n": 2**69}, True),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, False),
    ],
)
def test_the_whole_of_2020_12_is_checked(pin: Pins, source: Any, arguments: Any, passes: bool) -> None:
    subject = pin(source)
    if passes:
        schema.check_arguments(subject, arguments)
    else:
        refused(subject, arguments)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ({"type": "strin"}, "not valid JSON Schema"),
        ({"$schema": "http://example.invalid/x", "type": "object"}, "not valid JSON Schema"),
        ({"$ref": "#/$defs/missing"}, "does not hold"),
        ([], "not an object"),
        (True, "not an object"),
        ("{}", "not an object"),
        ({"minLength": "\ud800"}, "not valid JSON Schema"),
        ({"properties": {"a": {"pattern": "(?=a)" + "(a{1000}){1000}"}}}, "pattern"),
        ({"properties": {"a": {"pattern": "[[["}}}, "pattern"),
        ({"patternProperties": {"(?!a)b": {}}}, "pattern for names"),
    ],
)
def test_a_schema_that_cannot_be_used_refuses_every_call_and_is_reported(pin: Pins, source: Any, word: str) -> None:
    subject = pin(source)
    refusal = refused(subject, {})
    assert "this tool cannot be called: " in refusal.reason
    assert word in refusal.reason
    assert schema.problems(subject) == (f"inputSchema: {refusal.reason.partition(': ')[2]}",)


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:9/x",
        "https://example.com/s.json",
        "file:///etc/passwd",
        "other.json",
        "https://json-schema.org/draft/2020-12/schema",
    ],
)
def test_no_reference_leaves_the_schema(pin: Pins, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket, "socket", never)
    assert "outside itself" in refused(pin({"properties": {"a": {"$ref": reference}}}), {"a": 1}).reason


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "(a*)*b", "^(?=(a+)+$)(a|aa)+$", "(?:(?=.*b)a)*c(?!d)", r"(.*)(?=.*b).*\1.*(.*)(?=.*q)"]
)
def test_a_catastrophic_pattern_ends(pin: Pins, pattern: str) -> None:
    assert refused(pin({"properties": {"a": {"pattern": pattern}}}), {"a": "a" * 100_000 + "!"}).reason


def test_a_pattern_that_looks_around_is_obeyed_up_to_its_length(pin: Pins) -> None:
    source = {
        "properties": {"a": {"pattern": r"^(?!\.)[a-z.@]+$", "allOf": [{"minLength": 2}]}, "b": {"type": "string"}}
    }
    subject = pin(source)
    schema.check_arguments(subject, {"a": "x@y.z", "b": "." * 5000})
    assert refused(subject, {"a": ".x@y.z"}).reason == "the arguments do not match the tool's schema"
    refused(subject, {"a": "x"})
    refused(subject, {"a": "x" * (patterns.LONGEST + 1)})


def test_a_schema_that_refers_to_itself_is_decided_quickly(pin: Pins) -> None:
    node = {"$ref": "#/$defs/n"}
    both = [
        {"properties": {"a": node}, "required": ["a"]},
        {"properties": {"a": node}, "required": ["a"], "maxProperties": 1},
    ]
    subject = pin({"$defs": {"n": {"oneOf": [{"type": "integer"}, *both]}}, **node})
    arguments: Any = {"a": "wrong"}
    for _ in range(60):
        arguments = {"a": arguments}
    assert refused(subject, arguments).reason == "the arguments do not match the tool's schema"


def test_a_heavy_schema_refuses_arguments_too_large_for_it(pin: Pins) -> None:
    heavy: Any = {"$defs": {"x0": {"type": "object"}}, "$ref": "#/$defs/x15"}
    for place in range(1, 16):
        heavy["$defs"][f"x{place}"] = {"anyOf": [{"$ref": f"#/$defs/x{place - 1}"}] * 2}
    subject = pin(heavy, output=heavy)
    schema.check_arguments(subject, {"a": 1})
    schema.check_result(subject, {"structuredContent": {"a": 1}})
    large = {"a": "x" * 100_000}
    assert "too large" in refused(subject, large).reason
    assert "too large" in failed(subject, {"structuredContent": large}).detail
    assert "too large" in refused(subject, {"a": 2**70}).reason


def test_text_that_is_not_unicode_is_refused(pin: Pins) -> None:
    assert "not Unicode" in refused(pin({"properties": {"a": {"pattern": "a"}}}), {"a": "\ud800"}).reason


OUTPUT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    "result",
    [
        {"structuredContent": {"n": 1}, "content": []},
        {"content": [], "isError": True},
        {"structuredContent": {"n": "secret"}, "isError": True},
    ],
)
def test_a_result_that_keeps_to_its_schema_or_is_an_error_passes(pin: Pins, result: Any) -> None:
    schema.check_result(pin(output=OUTPUT), result)


def test_a_result_is_free_where_no_schema_is_declared(pin: Pins) -> None:
    schema.check_result(pin(), {"structuredContent": "anything"})


@pytest.mark.parametrize(
    ("result", "detail"),
    [
        ({"content": []}, "structuredContent is missing"),
        ({"content": [], "isError": "true"}, "structuredContent is missing"),
        ({"structuredContent": {"n": "secret"}}, "structuredContent /n must be of type integer"),
        ({"structuredContent": None}, "structuredContent must be of type object"),
        ({"structuredContent": {}}, "structuredContent must hold n"),
    ],
)
def test_a_result_its_own_schema_refuses_fails_the_call(pin: Pins, result: Any, detail: str) -> None:
    assert failed(pin(output=OUTPUT), result).detail == detail


def test_a_result_whose_schema_cannot_be_used_fails_the_call(pin: Pins) -> None:
    subject = pin(output={"type": "strin"})
    assert "not valid" in failed(subject, {"structuredContent": {}}).detail
    assert schema.problems(subject)[0].startswith("outputSchema: ")


def test_a_result_of_a_recursive_schema_fails_without_a_cause(pin: Pins) -> None:
    subject = pin(output={"properties": {"a": {"$ref": "#"}}, "additionalProperties": False})
    assert failed(subject, {"structuredContent": {"b": 1}}).detail == ""


def test_a_result_that_is_not_unicode_fails_the_call(pin: Pins) -> None:
    subject = pin(output={"properties": {"a": {"pattern": "a"}}})
    assert "surrogates" in failed(subject, {"structuredContent": {"a": "\ud800"}}).detail


def test_the_validators_of_many_pins_are_not_all_kept(pin: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "KEPT", 8)
    for _ in range(20):
        schema.check_arguments(pin(), {})
    assert len(schema._compiled) <= 8


def test_a_validator_in_use_outlives_those_that_are_not(pin: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "KEPT", 4)
    used = pin()
    for _ in range(12):
        schema.check_arguments(used, {})
        schema.check_arguments(pin(), {})
    assert used.digest in schema._compiled
    assert re.match("sha256:", used.digest)
