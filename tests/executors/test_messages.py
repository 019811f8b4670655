from typing import Any

import orjson
import pytest

from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.messages import (
    OUR_META,
    Request,
    check_tool_result,
    error_code,
    legacy,
    modern,
    notification,
    passed_on,
    result_of,
)
from gateway.model import Code, JsonObject

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("meta", "kept"),
    [
        ({}, {}),
        ({"a": 1, "example.com/b": {"c": 2}}, {"a": 1, "example.com/b": {"c": 2}}),
        ({"bascule/task": "t", "bascule/anything": 1}, {}),
        ({"io.modelcontextprotocol/logLevel": "debug", "modelcontextprotocol.io/x": 1, "tools.mcp.com/x": 1}, {}),
        ({**OUR_META, "progressToken": 1, "baggage": "a=b"}, {}),
        ({"mcp": 1, "example.com/mcp": 2}, {"mcp": 1, "example.com/mcp": 2}),
        ({"traceparent": TRACE}, {"traceparent": TRACE}),
        ({"traceparent": TRACE, "tracestate": "a=1"}, {"traceparent": TRACE, "tracestate": "a=1"}),
        ({"traceparent": TRACE, "tracestate": "a" * 513}, {"traceparent": TRACE}),
        ({"traceparent": TRACE, "tracestate": ["a"]}, {"traceparent": TRACE}),
        ({"tracestate": "a=1"}, {}),
        ({"traceparent": TRACE.upper()}, {}),
        ({"traceparent": "ff" + TRACE[2:]}, {}),
        ({"traceparent": TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)}, {}),
        ({"traceparent": TRACE + "\n"}, {}),
        ({"traceparent": 7}, {}),
    ],
)
def test_of_the_clients_meta_only_what_is_not_reserved_goes_along(meta: JsonObject, kept: JsonObject) -> None:
    assert passed_on(meta) == kept


def request(meta: JsonObject) -> Request:
    return Request("tools/list", {"cursor": "c"}, meta, {}, ("a", "1"), "2026-07-28", 1)


def test_a_modern_message_carries_its_envelope_and_ours_wins() -> None:
    sent = orjson.loads(modern("i", request({"a": 1, **dict.fromkeys(OUR_META, "theirs")})))
    assert sent == {
        "jsonrpc": "2.0",
        "id": "i",
        "method": "tools/list",
        "params": {"cursor": "c", "_meta": {"a": 1, **OUR_META}},
    }


@pytest.mark.parametrize("meta", [{}, {"a": 1}])
def test_a_legacy_message_carries_only_what_goes_along(meta: JsonObject) -> None:
    sent = orjson.loads(legacy("i", request(meta)))
    assert sent["params"] == {"cursor": "c", **({"_meta": meta} if meta else {})}


def test_a_notification_has_no_id() -> None:
    assert orjson.loads(notification("n", {"a": 1})) == {"jsonrpc": "2.0", "method": "n", "params": {"a": 1}}


def answer(status: int = 200, **message: Any) -> Answer:
    return Answer(status, message or None)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (answer(error={"code": -32602}), -32602),
        (answer(error={"code": "x"}), None),
        (answer(error={"code": True}), None),
        (answer(error=7), None),
        (answer(result={}), None),
        (answer(404), None),
    ],
)
def test_an_error_code_is_an_integer_or_none(given: Answer, code: int | None) -> None:
    assert error_code(given) == code


@pytest.mark.parametrize("result", [{}, {"resultType": "complete"}, {"_meta": {}}])
def test_a_result_is_the_object_itself(result: JsonObject) -> None:
    assert result_of(answer(result=result), str) is result


@pytest.mark.parametrize(
    ("given", "code", "unknown", "reason"),
    [
        (answer(error={"code": -1}), Code.UPSTREAM_INVALID, False, "with error -1"),
        (answer(error={"code": 10**50}), Code.UPSTREAM_INVALID, False, "with error of an unknown code"),
        (answer(401), Code.UPSTREAM_UNAVAILABLE, False, "refused the gateway's credentials"),
        (answer(500, error={"code": -32603, "message": "m"}), Code.UPSTREAM_UNAVAILABLE, True, "HTTP status 500"),
        (answer(418), Code.UPSTREAM_INVALID, False, "with HTTP status 418"),
        (answer(408), Code.UPSTREAM_UNAVAILABLE, True, "with HTTP status 408"),
    ],
)
def test_an_answer_without_a_result_fails(given: Answer, code: Code, unknown: bool, reason: str) -> None:
    with pytest.raises(Failed) as failed:
        result_of(given, str)
    assert (failed.value.code, failed.value.unknown) == (code, unknown)
    assert failed.value.reason.endswith(reason)


def test_the_upstreams_words_are_for_the_operator_and_scrubbed() -> None:
    with pytest.raises(Failed) as failed:
        result_of(answer(error={"code": -1, "message": "psst KEY"}), lambda text: text.replace("KEY", "***"))
    assert failed.value.detail == "psst ***"
    assert "psst" not in failed.value.reason


@pytest.mark.parametrize(
    ("result", "tool_error"),
    [({}, False), ({"isError": None}, False), ({"isError": False, "content": [{}]}, False), ({"isError": True}, True)],
)
def test_a_tool_says_whether_it_failed(result: JsonObject, tool_error: bool) -> None:
    assert check_tool_result(result) is tool_error
