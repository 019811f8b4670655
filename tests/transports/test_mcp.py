import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from mcp_types import methods as validators

from gateway.channel import About
from gateway.errors import Failed, LogUnavailable, Refused
from gateway.model import Call, Code, JsonObject, Reply
from gateway.wire import mcp
from tests.transports.exchange import CAPABILITIES, MODERN, SCHEMA, SERVER, Exchange, request

CALL: JsonObject = {"name": "read_file", "arguments": {"path": "/a"}}
SECRET = "postgres://root:hunter2@db"


async def test_discover_tells_what_is_served() -> None:
    answer = await Exchange().modern("server/discover")
    result = answer.json["result"]
    assert result["supportedVersions"] == [MODERN]
    assert (result["ttlMs"], result["cacheScope"], result["resultType"]) == (0, "private", "complete")
    assert (result["capabilities"], result["instructions"]) == (CAPABILITIES, "Ask.")
    assert result["_meta"] == {mcp.META_SERVER: SERVER}
    validators.validate_server_result("server/discover", MODERN, result)


async def test_without_instructions_none_are_told() -> None:
    exchange = Exchange(about=About({"tools": {}}))
    assert "instructions" not in (await exchange.modern("server/discover")).json["result"]


async def test_a_modern_list_is_one_private_page() -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/list")
    result = answer.json["result"]
    assert result["tools"] == [{"name": "read_file", "inputSchema": SCHEMA}]
    assert (result["ttlMs"], result["cacheScope"], "nextCursor" in result) == (0, "private", False)
    principal, endpoint, era, session = exchange.lists[0]
    assert (principal.id, endpoint.name, era, session) == ("agent", "files", MODERN, "principal:agent")
    validators.validate_server_result("tools/list", MODERN, result)


async def test_a_modern_call_is_everything_the_client_said() -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", CALL, meta={"traceparent": "00-1"})
    assert (answer.status, answer.json["id"]) == (200, 1)
    assert answer.json["result"]["resultType"] == "complete"
    call = exchange.calls[0]
    assert (call.principal.id, call.endpoint.name, call.kind) == ("agent", "files", "tool")
    assert (call.name, call.arguments, call.protocol, call.era, call.transport) == (
        "read_file",
        {"path": "/a"},
        "mcp",
        MODERN,
        "http",
    )
    assert (call.session, call.task) == ("principal:agent", "principal:agent")
    assert call.meta["traceparent"] == "00-1"


@pytest.mark.parametrize("params", [{"name": "t"}, {"name": "t", "arguments": None}, {"name": "t", "arguments": {}}])
async def test_a_call_without_arguments_has_none(params: JsonObject) -> None:
    exchange = Exchange()
    assert (await exchange.modern("tools/call", params)).status == 200
    assert exchange.calls[0].arguments == {}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"name": None},
        {"name": 1},
        {"name": ["t"]},
        {"name": "t", "arguments": []},
        {"name": "t", "arguments": "x"},
        {"name": "t", "arguments": 0},
        {"name": "t", "arguments": False},
        {"name": "t", "requestState": 1},
        {"name": "t", "inputResponses": []},
    ],
)
async def test_a_call_of_another_shape_reaches_nothing(params: JsonObject) -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", params)
    assert (answer.status, answer.error["code"]) in ((400, -32602), (400, mcp.HEADER_MISMATCH))
    session = await exchange.initialize()
    answer = await exchange.post(request("tools/call", params), mcp_session_id=session)
    assert (answer.status, answer.error["code"]) == (200, -32602)
    assert exchange.calls == []


@pytest.mark.parametrize(
    "method",
    [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "sampling/createMessage",
        "elicitation/create",
        "roots/list",
        "notifications/cancelled",
        "",
        "x" * 129,
    ],
)
async def test_a_method_that_is_not_served_is_404_on_the_modern_wire(method: str) -> None:
    exchange = Exchange()
    answer = await exchange.modern(method, {"protocolVersion": "2025-11-25"})
    assert (answer.status, answer.error, answer.json["id"]) == (404, {"code": -32601, "message": "unknown method"}, 1)
    assert (exchange.calls, len(exchange.sessions)) == ([], 0)


@pytest.mark.parametrize("method", ["notifications/initialized", "notifications/cancelled", "tools/call", "x"])
async def test_a_modern_notification_is_accepted_and_does_nothing(method: str) -> None:
    exchange = Exchange()
    body = {"jsonrpc": "2.0", "method": method, "params": CALL}
    answer = await exchange.post(body, mcp_protocol_version=MODERN, mcp_session_id="x")
    assert (answer.status, answer.body, exchange.calls) == (202, b"", [])


@pytest.mark.parametrize("version", ["2099-01-01", "2024-11-05", ""])
async def test_a_version_that_is_not_served_is_named_with_those_that_are(version: str) -> None:
    exchange = Exchange()
    notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    unsupported = {"supported": [MODERN], "requested": version}
    answer = await exchange.post(notice, mcp_protocol_version=version)
    assert (answer.status, answer.error["code"], answer.error["data"]) == (400, -32022, unsupported)
    answer = await exchange.modern("tools/list", meta={mcp.META_VERSION: version}, mcp_protocol_version=version)
    assert (answer.status, answer.error["code"], answer.error["data"]) == (400, -32022, unsupported)
    assert exchange.lists == []


MISMATCHES: dict[str, dict[str, str]] = {
    "name": {"mcp_name": "write_file"},
    "name in capitals": {"mcp_name": "READ_FILE"},
    "name as other base64": {"mcp_name": "=?base64?d3JpdGU=?="},
    "name as broken base64": {"mcp_name": "=?base64?!?="},
    "method": {"mcp_method": "tools/list"},
    "version": {"mcp_protocol_version": "2099-01-01"},
    "legacy version": {"mcp_protocol_version": "2025-11-25"},
    "argument that is not there": {"mcp_param_region": "eu"},
}


@pytest.mark.parametrize("name", MISMATCHES)
async def test_headers_that_disagree_with_the_body_reach_nothing(name: str) -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", CALL, **MISMATCHES[name])
    assert (answer.status, answer.error["code"], answer.json["id"]) == (400, mcp.HEADER_MISMATCH, 1)
    assert exchange.calls == []


async def test_a_modern_body_without_the_version_header_is_not_judged_by_legacy_rules() -> None:
    exchange = Exchange()
    body = request("tools/call", CALL | {"_meta": {mcp.META_VERSION: MODERN, mcp.META_CAPABILITIES: {}}})
    session = await exchange.initialize()
    for headers in ({}, {"mcp_session_id": session}, {"mcp_session_id": session, "mcp_protocol_version": "2025-11-25"}):
        answer = await exchange.post(body, **headers)
        assert (answer.status, answer.error["code"]) == (400, mcp.HEADER_MISMATCH)
    assert exchange.calls == []


@pytest.mark.parametrize(
    "name", ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-region", "Mcp-Param-Region"]
)
async def test_a_routing_header_that_comes_twice_is_a_mismatch(name: str) -> None:
    exchange = Exchange()
    body = json.dumps(request("tools/call", CALL | {"_meta": {mcp.META_VERSION: MODERN, mcp.META_CAPABILITIES: {}}}))
    headers = {"host": "localhost", "authorization": "Bearer token-of-the-agent", "content-type": "application/json"}
    headers |= {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "read_file"}
    lines = [*headers.items(), (name.lower(), headers.get(name, "x")), (name, headers.get(name, "x"))]
    answer = await exchange.request(headers=lines, parts=[body.encode()])
    assert (answer.status, answer.error["code"], exchange.calls) == (400, mcp.HEADER_MISMATCH, [])


REGION = {"name": "read_file", "arguments": {"region": "eu"}}


@pytest.mark.parametrize(
    ("arguments", "sent", "status"),
    [
        ({"region": "eu"}, {"mcp_param_region": "eu"}, 200),
        ({"region": "eu"}, {"Mcp_Param_REGION": "eu"}, 200),
        ({"region": "eu"}, {"mcp_param_region": "=?base64?ZXU=?="}, 200),
        ({}, {}, 200),
        ({"region": None}, {}, 200),
        ({"region": "eu"}, {"mcp_param_other": "x", "mcp_param_region": "eu"}, 200),
        ({"region": "eu"}, {}, 400),
        ({"region": "eu"}, {"mcp_param_region": "us"}, 400),
        ({"region": "eu"}, {"mcp_param_region": "EU"}, 400),
        ({}, {"mcp_param_region": "eu"}, 400),
    ],
)
async def test_a_declared_param_header_repeats_its_argument(arguments: Any, sent: dict[str, str], status: int) -> None:
    exchange = Exchange()
    for _ in range(2):  # the second time from what is kept of the schema
        answer = await exchange.modern("tools/call", {"name": "read_file", "arguments": arguments}, **sent)
        assert answer.status == status
    assert len(exchange.calls) == (2 if status == 200 else 0)


async def test_a_tool_the_principal_may_not_know_of_is_not_given_away_by_its_headers() -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", {"name": "hidden", "arguments": {"region": "eu"}})
    assert (answer.status, exchange.calls[0].name) == (200, "hidden")


@pytest.mark.parametrize("blanks", [" ", "\t", " \t "])
async def test_blanks_around_a_header_are_no_part_of_its_value(blanks: str) -> None:
    exchange = Exchange()
    stated = {"mcp_protocol_version": MODERN, "mcp_method": "tools/call", "mcp_name": str(REGION["name"])}
    stated |= {"mcp_param_region": "eu", "content_type": "application/json"}
    around = {name: f"{blanks}{value}{blanks}" for name, value in stated.items()}
    assert (await exchange.modern("tools/call", REGION, **around)).status == 200
    assert len(exchange.calls) == 1


async def test_blanks_within_a_header_and_other_white_space_around_it_are_part_of_its_value() -> None:
    exchange = Exchange()
    for name in (f"{REGION['name']}\xa0", f"{REGION['name']}\x0b", f"{REGION['name']} {REGION['name']}"):
        answer = await exchange.modern("tools/call", REGION, mcp_param_region="eu", mcp_name=name)
        assert (answer.status, answer.json["error"]["code"]) == (400, mcp.HEADER_MISMATCH)
    answer = await exchange.modern("tools/call ", REGION, mcp_name="read_file", mcp_param_region="eu")
    assert (answer.status, answer.json["error"]["code"]) == (400, mcp.HEADER_MISMATCH), "no header states that method"
    assert exchange.calls == []


async def test_blanks_around_a_session_and_its_version_are_no_part_of_them() -> None:
    exchange = Exchange()
    session = await exchange.initialize()
    answer = await exchange.post(request("ping"), mcp_session_id=f"{session} ", mcp_protocol_version="\t2025-11-25 ")
    assert (answer.status, answer.json["result"]) == (200, {})


async def test_what_is_kept_of_schemas_is_bounded_and_never_another_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = Exchange()
    schemas = iter([{"properties": {"region": {"type": "string", "x-mcp-header": f"H{n}"}}} for n in range(100)])
    monkeypatch.setattr("gateway.transports.served._DECLARED_LIMIT", 10)

    async def input_schema(*_asked: object) -> JsonObject:
        return next(schemas)

    exchange.front._served._behind = replace(exchange.front._served._behind, input_schema=input_schema)
    for number in range(100):
        answer = await exchange.modern("tools/call", REGION, **{f"mcp_param_h{number}": "eu"})
        assert answer.status == 200
    assert len(exchange.front._served._declared) <= 10


async def test_a_session_or_an_event_id_means_nothing_on_the_modern_wire() -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", CALL, mcp_session_id="made-up", last_event_id="7")
    assert answer.status == 200
    assert "mcp-session-id" not in answer.headers
    assert exchange.calls[0].session == "principal:agent"


async def test_equal_ids_in_flight_each_get_their_own_answer() -> None:
    exchange = Exchange(reply=lambda call: Reply(result={"content": [], "path": call.arguments["path"]}))
    calls = [{"name": "t", "arguments": {"path": str(number)}} for number in range(20)]
    answers = await asyncio.gather(*(exchange.modern("tools/call", call) for call in calls))
    assert [answer.json["result"]["path"] for answer in answers] == [str(number) for number in range(20)]
    assert {answer.json["id"] for answer in answers} == {1}


@pytest.mark.parametrize(("code", "modern"), [(-32602, 400), (-32601, 404), (1007, 200), (-32603, 200)])
async def test_an_error_reply_has_the_status_of_its_era(code: int, modern: int) -> None:
    error = {"code": code, "message": "unknown tool", "data": {"a": 1}}
    exchange = Exchange(reply=lambda _call: Reply(error=error))
    answer = await exchange.modern("tools/call", CALL)
    assert (answer.status, answer.error, answer.json["id"]) == (modern, error, 1)
    session = await exchange.initialize()
    answer = await exchange.post(request("tools/call", CALL), mcp_session_id=session)
    assert (answer.status, answer.error) == (200, error)


async def test_an_integer_beyond_64_bits_in_a_result_keeps_its_digits() -> None:
    exchange = Exchange(reply=lambda _call: Reply(result={"content": [], "n": 2**70}))
    assert (await exchange.modern("tools/call", CALL)).json["result"]["n"] == 2**70


FAULTS: dict[str, tuple[Exception, JsonObject]] = {
    "refused": (
        Refused(Code.RATE, "too many", would_pass="waiting", detail=SECRET),
        {
            "code": 1014,
            "message": "too many",
            "data": {"code": "RATE", "effect": "deny", "reasons": ["too many"], "would_pass": "waiting"},
        },
    ),
    "failed": (
        Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream is down", detail=SECRET),
        {
            "code": 1020,
            "message": "the upstream is down",
            "data": {"code": "UPSTREAM_UNAVAILABLE", "effect": "deny", "reasons": ["the upstream is down"]},
        },
    ),
    "log": (
        LogUnavailable(SECRET),
        {
            "code": 1026,
            "message": "the audit log cannot commit",
            "data": {"code": "LOG_UNAVAILABLE", "effect": "deny", "reasons": ["the audit log cannot commit"]},
        },
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_list_that_cannot_be_given_says_why_and_is_never_empty(name: str) -> None:
    fault, error = FAULTS[name]

    def tools() -> list[JsonObject]:
        raise fault

    exchange = Exchange(tools=tools)
    session = await exchange.initialize()
    legacy = await exchange.post(request("tools/list"), mcp_session_id=session)
    modern = await exchange.modern("tools/list")
    assert (legacy.status, legacy.error) == (modern.status, modern.error) == (200, error)
    assert SECRET.encode() not in legacy.body + modern.body


async def test_an_unforeseen_fault_tells_the_caller_a_reference_and_the_operator_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_call: Call) -> Reply:
        raise RuntimeError(SECRET)

    exchange = Exchange(reply=broken)
    with caplog.at_level(logging.ERROR):
        answer = await exchange.modern("tools/call", CALL)
    assert (answer.status, answer.error["code"], answer.json["id"]) == (200, -32603, 1)
    assert b"hunter2" not in answer.body
    reference = answer.error["message"].removeprefix("internal error ")
    assert len(reference) == 16
    assert reference in caplog.text
    assert "hunter2" in caplog.text
    assert len(exchange.calls) == 1


@pytest.mark.parametrize("reply", [Reply(), Reply(result={"content": object()})])
async def test_a_reply_that_cannot_be_sent_is_an_internal_error(reply: Reply) -> None:
    answer = await Exchange(reply=lambda _call: reply).modern("tools/call", CALL)
    assert (answer.status, answer.error["code"]) == (200, -32603)


async def test_a_cancelled_request_is_not_swallowed_by_the_boundary() -> None:
    def cancelled(_call: Call) -> Reply:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Exchange(reply=cancelled).modern("tools/call", CALL)


async def test_a_message_that_was_not_understood_is_answered_without_an_id() -> None:
    for body in (b"{", b'{"jsonrpc":"2.0","id":7,"method":"m","x":1}'):
        answer = await Exchange().post(body, mcp_protocol_version=MODERN)
        assert (answer.status, answer.json["id"]) == (400, None)
