from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared import inbound

from gateway.errors import Malformed
from gateway.wire import mcp

MODERN = "2026-07-28"


def received(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.lower().encode(): value.encode("latin-1") for name, value in headers.items()}


VALUES = [
    "",
    "a",
    "a b",
    " a",
    "a ",
    "\t",
    "a\tb",
    "\u00e9",
    "\U0001f600",
    "a\nb",
    "\x00",
    "\x7f",
    "~",
    "=?base64?",
    "?=",
]
VALUES += [
    "=?base64??=",
    "=?base64?dA==?=",
    "=?base64?x?=",
    "=?BASE64?dA==?=",
    "=?base64?dB==?=",
    "=?base64?/w==?=",
    "a=?base64?dA==?=",
]


@pytest.mark.parametrize("value", VALUES)
def test_header_values_are_written_and_read_as_the_sdk_does(value: str) -> None:
    assert mcp.encode_header(value) == inbound.encode_header_value(value)
    assert mcp.decode_header(value) == inbound.decode_header_value(value)


@given(st.text(st.characters(codec="utf-8")))
@settings(print_blob=True, deadline=None)
def test_any_text_survives_a_header(value: str) -> None:
    written = mcp.encode_header(value)
    assert written.isascii()
    assert written == written.strip()
    assert mcp.decode_header(written) == value


def field(token: object, kind: object = "string", **more: object) -> dict[str, Any]:
    return {"type": kind, "x-mcp-header": token} | more


SCHEMAS: dict[str, Any] = {
    "none": {"type": "object", "properties": {"a": {"type": "string"}}},
    "no schema": None,
    "true": True,
    "one": {"properties": {"a": field("Region")}},
    "nested": {"properties": {"a": {"properties": {"b": field("Deep", "integer")}}}},
    "three types": {"properties": {"a": field("A"), "b": field("B", "integer"), "c": field("C", "boolean")}},
    "number": {"properties": {"a": field("A", "number")}},
    "two types": {"properties": {"a": field("A", ["string", "null"])}},
    "no type": {"properties": {"a": {"x-mcp-header": "A"}}},
    "empty token": {"properties": {"a": field("")}},
    "token with a space": {"properties": {"a": field("A B")}},
    "token with a line break": {"properties": {"a": field("A\r\nX: y")}},
    "token not text": {"properties": {"a": field(7)}},
    "token null": {"properties": {"a": field(None)}},
    "twice": {"properties": {"a": field("A"), "b": field("a")}},
    "at the root": field("A"),
    "in items": {"properties": {"a": {"items": field("A")}}},
    "in items of a property": {"properties": {"a": {"items": {"properties": {"b": field("A")}}}}},
    "in anyOf": {"anyOf": [{"properties": {"a": field("A")}}]},
    "in $defs": {"$defs": {"x": field("A")}},
    "in patternProperties": {"patternProperties": {"^x": field("A")}},
    "in if": {"if": {"properties": {"a": field("A")}}},
    "in a default": {"properties": {"a": {"type": "object", "default": field("A")}}},
    "in an enum": {"properties": {"a": {"enum": [field("A")]}}},
    "a property called x-mcp-header": {"properties": {"x-mcp-header": {"type": "string"}}},
    "properties is a list": {"properties": [field("A")]},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_annotations_are_judged_as_the_sdk_does(name: str) -> None:
    schema = SCHEMAS[name]
    wrong = inbound.find_invalid_x_mcp_header(schema) is not None
    assert (mcp.invalid_annotation(schema) is not None) is wrong
    expected = {} if wrong else inbound.x_mcp_header_map(schema)
    assert {header.path: header.name for header in mcp.param_headers(schema)} == {
        path: f"Mcp-Param-{token}" for path, token in expected.items()
    }


def test_a_schema_that_is_very_deep_does_not_break_the_walk() -> None:
    schema: dict[str, Any] = {"properties": {"a": field("A")}}
    for _ in range(100_000):
        schema = {"not": schema}
    assert mcp.invalid_annotation(schema) is not None


PARAMS_SCHEMA = {
    "properties": {
        "s": field("S"),
        "i": field("I", "integer"),
        "b": field("B", "boolean"),
        "o": {"type": "object", "properties": {"d": field("D")}},
    }
}
DECLARED = mcp.param_headers(PARAMS_SCHEMA)
ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"s": None},
    {"s": "x"},
    {"s": ""},
    {"s": "\u00e9"},
    {"s": ["x"]},
    {"i": 42},
    {"i": 42.0},
    {"i": 42.5},
    {"i": True},
    {"i": 1e300},
    {"i": 10**5000},
    {"b": True},
    {"b": "true"},
    {"o": {"d": "x"}},
    {"o": {}},
    {"o": "x"},
    {"s": "x", "i": 1, "b": False, "o": {"d": "y"}},
]
SENT: list[dict[str, str]] = [
    {},
    {"S": "x"},
    {"S": ""},
    {"S": "=?base64?w6k=?="},
    {"S": "=?base64?eA==?="},
    {"S": "=?base64?e?="},
    {"S": "X"},
    {"I": "42"},
    {"I": "42.0"},
    {"I": "42.00"},
    {"I": "42.5"},
    {"I": "4.2e1"},
    {"I": "042"},
    {"I": "True"},
    {"I": "true"},
    {"I": "9" * 5000},
    {"B": "true"},
    {"B": "True"},
    {"D": "x"},
    {"X": "unknown"},
    {"S": "x", "I": "1", "B": "false", "D": "y"},
]


def test_param_headers_are_judged_as_the_sdk_does() -> None:
    verdicts = set()
    for arguments in ARGUMENTS:
        for sent in SENT:
            headers = {f"mcp-param-{token.lower()}": value for token, value in sent.items()}
            expected = inbound.validate_mcp_param_headers(PARAMS_SCHEMA, arguments, headers)
            if expected is None:
                mcp.check_params(DECLARED, arguments, received(headers))
            else:
                with pytest.raises(Malformed) as fault:
                    mcp.check_params(DECLARED, arguments, received(headers))
                assert fault.value.jsonrpc == expected.code
            verdicts.add(expected is None)
    assert verdicts == {True, False}


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_param_headers_are_written_as_the_sdk_does_and_accepted_again(arguments: dict[str, Any]) -> None:
    written = mcp.render_params(DECLARED, arguments)
    assert written == inbound.mcp_param_headers(inbound.x_mcp_header_map(PARAMS_SCHEMA), arguments)
    mcp.check_params(DECLARED, arguments, received(written))


def test_the_reason_of_a_mismatch_repeats_no_value() -> None:
    with pytest.raises(Malformed) as fault:
        mcp.check_params(DECLARED, {"s": "secret"}, {b"mcp-param-s": b"other-secret"})
    assert "secret" not in fault.value.reason


@pytest.mark.parametrize("name", ["t", "\u00e9", " t", "=?base64?dA==?="])
def test_upstream_headers_of_a_modern_call_climb_the_ladder(name: str) -> None:
    arguments = {"s": "\u00e9", "i": 3}
    meta = mcp.modern_meta(MODERN, {"name": "c", "version": "0"}, {})
    headers = mcp.upstream_headers(MODERN, "tools/call", name, mcp.render_params(DECLARED, arguments))
    body = {"method": "tools/call", "params": {"name": name, "_meta": meta}}
    assert isinstance(inbound.classify_inbound_request(body, headers=headers), inbound.InboundModernRoute)
    assert inbound.validate_mcp_param_headers(PARAMS_SCHEMA, arguments, headers) is None
    assert headers["accept"] == "application/json, text/event-stream"
    assert headers["content-type"] == "application/json"
