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
    tasks = {f"tasks/{verb}": "taskId" for verb in ("get", "update", "cancel")}  # of an extension, which the SDK lacks
    assert dict(mcp.NAMED_BY) == dict(inbound.NAME_BEARING_METHODS) | tasks


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


@pytest.mark.parametrize("ttl_ms", [0, 5000])
def test_what_may_be_kept_says_for_how_long_and_only_by_whom(ttl_ms: int) -> None:
    shaped = mcp.shape_result(MODERN, {"ttlMs": 9, "cacheScope": "public"}, cacheable=True, ttl_ms=ttl_ms)
    assert shaped == {"resultType": "complete", "ttlMs": ttl_ms, "cacheScope": "private"}


def test_a_result_that_asks_something_is_nothing_to_keep() -> None:
    asking = {"resultType": "input_required", "inputRequests": {}, "requestState": "x"}
    shaped = mcp.shape_result(MODERN, asking | {"ttlMs": 9, "cacheScope": "public"}, cacheable=True, ttl_ms=5)
    assert shaped == asking
