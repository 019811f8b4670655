import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared import inbound
from mcp_types import methods as validators
from mcp_types import version as sdk_version

from gateway.errors import Malformed
from gateway.model import Code
from gateway.wire import mcp

MODERN = "2026-07-28"
META: dict[str, Any] = {mcp.META_VERSION: MODERN, mcp.META_CAPABILITIES: {}}
HEADERS = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "t"}
CALL: dict[str, Any] = {"name": "t", "arguments": {}, "_meta": META}
Rejection = tuple[int, object] | None


def received(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.lower().encode(): value.encode("latin-1") for name, value in headers.items()}


def ours(method: str, params: Any, headers: Mapping[str, str]) -> Rejection:
    try:
        mcp.climb(method, params, received(headers))
    except Malformed as fault:
        return fault.jsonrpc, fault.data
    return None


def theirs(method: str, params: Any, headers: Mapping[str, str]) -> Rejection:
    verdict = inbound.classify_inbound_request({"method": method, "params": params}, headers=headers)
    return (verdict.code, verdict.data) if isinstance(verdict, inbound.InboundLadderRejection) else None


def without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


LADDER: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "whole": ("tools/call", CALL, HEADERS),
    "no meta": ("tools/call", without(CALL, "_meta"), HEADERS),
    "meta null": ("tools/call", CALL | {"_meta": None}, HEADERS),
    "meta list": ("tools/call", CALL | {"_meta": []}, HEADERS),
    "no version in meta": ("tools/call", CALL | {"_meta": without(META, mcp.META_VERSION)}, HEADERS),
    "no capabilities in meta": ("tools/call", CALL | {"_meta": without(META, mcp.META_CAPABILITIES)}, HEADERS),
    "capabilities null": ("tools/call", CALL | {"_meta": META | {mcp.META_CAPABILITIES: None}}, HEADERS),
    "no version header": ("tools/call", CALL, without(HEADERS, "mcp-protocol-version")),
    "version header differs": ("tools/call", CALL, HEADERS | {"mcp-protocol-version": "2025-11-25"}),
    "version null in meta": ("tools/call", CALL | {"_meta": META | {mcp.META_VERSION: None}}, HEADERS),
    "version number in meta": ("tools/call", CALL | {"_meta": META | {mcp.META_VERSION: 2026}}, HEADERS),
    "version unknown": (
        "tools/call",
        CALL | {"_meta": META | {mcp.META_VERSION: "2099-01-01"}},
        HEADERS | {"mcp-protocol-version": "2099-01-01"},
    ),
    "version legacy in both": (
        "tools/call",
        CALL | {"_meta": META | {mcp.META_VERSION: "2025-11-25"}},
        HEADERS | {"mcp-protocol-version": "2025-11-25"},
    ),
    "no method header": ("tools/call", CALL, without(HEADERS, "mcp-method")),
    "method header differs": ("tools/call", CALL, HEADERS | {"mcp-method": "tools/list"}),
    "method header in capitals": ("tools/call", CALL, HEADERS | {"mcp-method": "Tools/Call"}),
    "no name header": ("tools/call", CALL, without(HEADERS, "mcp-name")),
    "name header differs": ("tools/call", CALL, HEADERS | {"mcp-name": "u"}),
    "name header in capitals": ("tools/call", CALL, HEADERS | {"mcp-name": "T"}),
    "name header as base64": ("tools/call", CALL, HEADERS | {"mcp-name": "=?base64?dA==?="}),
    "name header as wrong base64": ("tools/call", CALL, HEADERS | {"mcp-name": "=?base64?dQ==?="}),
    "name header as broken base64": ("tools/call", CALL, HEADERS | {"mcp-name": "=?base64?d?="}),
    "name header as loose base64": ("tools/call", CALL, HEADERS | {"mcp-name": "=?base64?dB==?="}),
    "name is the sentinel itself": (
        "tools/call",
        CALL | {"name": "=?base64?dA==?="},
        HEADERS | {"mcp-name": "=?base64?dA==?="},
    ),
    "no name in the body": ("tools/call", without(CALL, "name"), HEADERS),
    "name null in the body": ("tools/call", CALL | {"name": None}, HEADERS),
    "name number in the body": ("tools/call", CALL | {"name": 1}, HEADERS | {"mcp-name": "1"}),
    "name beyond ascii": ("tools/call", CALL | {"name": "\u00e9"}, HEADERS | {"mcp-name": "=?base64?w6k=?="}),
    "name in latin-1": ("tools/call", CALL | {"name": "\u00e9"}, HEADERS | {"mcp-name": "\u00e9"}),
    "list needs no name": (
        "tools/list",
        {"_meta": META},
        {"mcp-protocol-version": MODERN, "mcp-method": "tools/list"},
    ),
    "list with a stray name": ("tools/list", {"_meta": META}, HEADERS | {"mcp-method": "tools/list"}),
    "resource by uri": (
        "resources/read",
        {"uri": "a:b", "_meta": META},
        HEADERS | {"mcp-method": "resources/read", "mcp-name": "a:b"},
    ),
    "resource by another uri": (
        "resources/read",
        {"uri": "a:b", "_meta": META},
        HEADERS | {"mcp-method": "resources/read", "mcp-name": "a:c"},
    ),
    "prompt by another name": (
        "prompts/get",
        {"name": "a", "_meta": META},
        HEADERS | {"mcp-method": "prompts/get", "mcp-name": "b"},
    ),
    "unknown method": ("x/y", {"_meta": META}, {"mcp-protocol-version": MODERN, "mcp-method": "x/y"}),
}


@pytest.mark.parametrize("name", LADDER)
def test_the_ladder_gives_the_verdict_of_the_sdk(name: str) -> None:
    method, params, headers = LADDER[name]
    assert ours(method, params, headers) == theirs(method, params, headers)


def test_the_table_holds_every_verdict() -> None:
    verdicts = {verdict[0] if (verdict := ours(*case)) else 0 for case in LADDER.values()}
    assert verdicts == {0, -32602, mcp.HEADER_MISMATCH, mcp.UNSUPPORTED_VERSION}


def test_an_unsupported_version_is_told_which_are_served() -> None:
    with pytest.raises(Malformed) as fault:
        mcp.unsupported("2099-01-01")
    assert fault.value.data == {"supported": [MODERN], "requested": "2099-01-01"}


texts = st.sampled_from(
    ["t", "u", "\u00e9", "=?base64?dA==?=", " t", "t ", "", "tools/call", "tools/list", MODERN, "2025-11-25"]
)
names = texts | st.none() | st.integers(0, 1)


@given(
    st.sampled_from(["tools/call", "tools/list", "prompts/get", "resources/read", "x"]),
    st.fixed_dictionaries({}, optional={"name": names, "uri": names}),
    st.none() | st.fixed_dictionaries({}, optional={mcp.META_VERSION: names, mcp.META_CAPABILITIES: names}),
    st.fixed_dictionaries({}, optional=dict.fromkeys(HEADERS, texts)),
    st.booleans(),
)
@settings(print_blob=True, deadline=None, max_examples=400)
def test_the_ladder_agrees_with_the_sdk_on_any_request(
    method: str, params: dict[str, Any], meta: dict[str, Any] | None, headers: dict[str, str], right: bool
) -> None:
    params = params | {"_meta": META if right else meta}
    headers = {"mcp-protocol-version": MODERN, "mcp-method": method} | headers if right else headers
    assert ours(method, params, headers) == theirs(method, params, headers)


def test_the_constants_are_those_of_the_sdk() -> None:
    assert mcp.MODERN == sdk_version.MODERN_PROTOCOL_VERSIONS
    assert set(mcp.LEGACY) == set(sdk_version.HANDSHAKE_PROTOCOL_VERSIONS) - {"2024-11-05"}
    assert mcp.LATEST_LEGACY == sdk_version.LATEST_HANDSHAKE_VERSION
    assert dict(mcp.STATUS) == dict(inbound.ERROR_CODE_HTTP_STATUS)
    assert dict(mcp.NAMED_BY) == dict(inbound.NAME_BEARING_METHODS)


@pytest.mark.parametrize(
    ("header", "params", "modern"),
    [
        (None, {}, False),
        ("2025-11-25", {}, False),
        ("2025-03-26", {}, False),
        (MODERN, {}, True),
        ("2099-01-01", {}, True),
        ("2024-11-05", {}, True),
        ("", {}, True),
        (None, {"_meta": META}, True),
        ("2025-11-25", {"_meta": META}, True),
        (None, {"_meta": {"progressToken": 1}}, False),
        (None, {"_meta": None}, False),
    ],
)
def test_header_or_body_alone_is_enough_for_the_modern_rules(
    header: str | None, params: dict[str, Any], modern: bool
) -> None:
    assert mcp.is_modern(header, params) is modern


@pytest.mark.parametrize("name", [b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-param-region"])
def test_a_routing_header_sent_twice_is_a_mismatch(name: bytes) -> None:
    with pytest.raises(Malformed) as fault:
        mcp.check_repeated(frozenset({name, b"x-other"}))
    assert (fault.value.code, fault.value.jsonrpc) == (Code.HEADER_MISMATCH, mcp.HEADER_MISMATCH)


def test_another_header_sent_twice_is_nobodys_concern() -> None:
    mcp.check_repeated(frozenset({b"x-other", b"accept"}))


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


SERVER = {"name": "bascule", "version": "0"}
SHAPES: dict[str, tuple[str, dict[str, Any], bool, dict[str, Any]]] = {
    "modern call": (MODERN, {"content": []}, False, {"resultType": "complete", "content": []}),
    "modern list": (
        MODERN,
        {"tools": []},
        True,
        {"resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "private"},
    ),
    "modern list that was public": (
        MODERN,
        {"tools": [], "ttlMs": 60_000, "cacheScope": "public"},
        True,
        {"resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "private"},
    ),
    "modern call that was public": (
        MODERN,
        {"content": [], "cacheScope": "public"},
        False,
        {"resultType": "complete", "content": [], "cacheScope": "private"},
    ),
    "modern result of its own type": (MODERN, {"resultType": "task"}, False, {"resultType": "task"}),
    "legacy call": ("2025-11-25", {"content": [], "vendor": 1}, False, {"content": [], "vendor": 1}),
    "legacy list": (
        "2025-03-26",
        {"resultType": "complete", "tools": [], "ttlMs": 1, "cacheScope": "public"},
        True,
        {"tools": []},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_result_is_shaped_for_its_revision(name: str) -> None:
    version, result, cacheable, expected = SHAPES[name]
    before = json.dumps(result)
    shaped = mcp.shape_result(version, result, cacheable=cacheable, server=SERVER)
    if version == MODERN:
        assert shaped.pop("_meta") == {mcp.META_SERVER: SERVER}
        assert mcp.shape_result(version, result, cacheable=cacheable) == expected
    assert shaped == expected
    assert json.dumps(result) == before, "the result that was judged is not changed"


def test_serverinfo_is_ours_for_modern_clients_and_absent_for_legacy_ones() -> None:
    result = {"content": [], "_meta": {mcp.META_SERVER: {"name": "upstream"}, "x": 1}}
    modern = mcp.shape_result(MODERN, result, cacheable=False, server=SERVER)
    assert modern["_meta"] == {mcp.META_SERVER: SERVER, "x": 1}
    assert mcp.shape_result("2025-06-18", result, cacheable=False, server=SERVER)["_meta"] == {"x": 1}
    bare = {"content": [], "_meta": {mcp.META_SERVER: {}}}
    assert mcp.shape_result("2025-06-18", bare, cacheable=False) == {"content": []}


def test_a_shaped_list_is_valid_for_the_sdk_in_each_revision() -> None:
    tools = [{"name": "t", "inputSchema": {"type": "object"}}]
    for version in (MODERN, *mcp.LEGACY):
        shaped = mcp.shape_result(version, {"tools": tools}, cacheable=True, server=SERVER)
        validators.validate_server_result("tools/list", version, shaped)


@pytest.mark.parametrize("name", ["t", "\u00e9", " t", "=?base64?dA==?="])
def test_upstream_headers_of_a_modern_call_climb_the_ladder(name: str) -> None:
    arguments = {"s": "\u00e9", "i": 3}
    meta = mcp.modern_meta(MODERN, {"name": "c", "version": "0"}, {})
    headers = mcp.upstream_headers(MODERN, "tools/call", name, mcp.render_params(DECLARED, arguments))
    assert theirs("tools/call", {"name": name, "_meta": meta}, headers) is None
    assert inbound.validate_mcp_param_headers(PARAMS_SCHEMA, arguments, headers) is None
    assert headers["accept"] == "application/json, text/event-stream"
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("version", "method", "stated"),
    [
        ("2025-11-25", "tools/call", "2025-11-25"),
        ("2025-06-18", "tools/list", "2025-06-18"),
        ("2025-11-25", "initialize", None),
        ("2025-03-26", "tools/call", None),
        (MODERN, "server/discover", MODERN),
    ],
)
def test_upstream_headers_state_the_version_where_the_revision_knows_of_it(
    version: str, method: str, stated: str | None
) -> None:
    headers = mcp.upstream_headers(version, method, "t" if version != MODERN else None)
    assert headers.get("mcp-protocol-version") == stated
    assert ("mcp-method" in headers) is (version == MODERN)
    assert "mcp-name" not in headers


def test_random_header_bytes_never_break_the_ladder() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(2000):
        headers = {name.encode(): chance.randbytes(chance.randint(0, 12)) for name in HEADERS}
        if chance.random() < 0.7:
            headers |= received(without(HEADERS, "mcp-name"))
            headers[b"mcp-name"] = b"=?base64?" + chance.randbytes(4) + b"?="
        with pytest.raises(Malformed) as fault:
            mcp.climb("tools/call", CALL, headers)
        assert fault.value.jsonrpc == mcp.HEADER_MISMATCH
