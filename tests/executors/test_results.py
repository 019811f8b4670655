from typing import Any

import pytest

from gateway.channel import About
from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.results import about_of, check, result_of
from gateway.model import Code, JsonObject


def answer(status: int = 200, **message: Any) -> Answer:
    return Answer(status, message or None)


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


ASKING = {"method": "elicitation/create", "params": {}}
ASKED: JsonObject = {"resultType": "input_required", "inputRequests": {"a": ASKING}}


@pytest.mark.parametrize(
    ("kind", "result", "tool_error"),
    [
        ("tool", {}, False),
        ("tool", {"isError": None}, False),
        ("tool", {"isError": False, "content": [{}]}, False),
        ("tool", {"isError": True}, True),
        ("tool", {"resultType": "task", "taskId": "1"}, False),
        ("tool", ASKED, False),
        ("tool", {"resultType": "input_required", "requestState": "s"}, False),
        ("resource", {"contents": [{"uri": "a://b"}]}, False),
        ("prompt", {"messages": []}, False),
        ("completion", {"completion": {"values": ["a"]}}, False),
        ("other", {"anything": 1}, False),
    ],
)
def test_a_result_of_its_kind_says_whether_a_tool_failed(kind: str, result: JsonObject, tool_error: bool) -> None:
    assert check(kind, result) is tool_error


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("tool", {"content": "x"}),
        ("tool", {"content": ["x"]}),
        ("tool", {"isError": "no"}),
        ("resource", {}),
        ("resource", {"contents": {}}),
        ("resource", {"contents": ["x"]}),
        ("prompt", {"messages": [1]}),
        ("completion", {"completion": []}),
        ("completion", {"completion": {"values": [1]}}),
        ("tool", {"resultType": "input_required"}),
        ("tool", {"resultType": "input_required", "inputRequests": {}}),
        ("tool", {"resultType": "input_required", "inputRequests": []}),
        ("tool", {"resultType": "input_required", "requestState": 7}),
        ("tool", {"resultType": "input_required", "inputRequests": {"a": 7}}),
        ("tool", {"resultType": "input_required", "inputRequests": {"a": {"method": "tools/call"}}}),
        ("tool", {"resultType": "input_required", "inputRequests": {"a": {**ASKING, "params": []}}}),
    ],
)
def test_a_result_that_is_not_what_its_kind_must_be_is_invalid(kind: str, result: JsonObject) -> None:
    with pytest.raises(Failed) as failed:
        check(kind, result)
    assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_INVALID, True)


@pytest.mark.parametrize(
    ("code", "data", "fault"),
    [
        (-32602, {"secret": 1}, {"code": -32602}),
        (-32602, "text", {"code": -32602}),
        (
            -32021,
            {"requiredCapabilities": {"sampling": {"x": 1}, "else": {}}},
            {"code": -32021, "data": {"requiredCapabilities": {"sampling": {}}}},
        ),
        (
            -32042,
            {"elicitations": [{"mode": "url", "url": "https://a.example", "else": 1}], "more": 1},
            {"code": -32042, "data": {"elicitations": [{"mode": "url", "url": "https://a.example"}]}},
        ),
    ],
)
def test_of_an_error_its_number_and_what_the_specification_puts_there_travel_on(
    code: int, data: Any, fault: JsonObject
) -> None:
    with pytest.raises(Failed) as failed:
        result_of(answer(error={"code": code, "message": "m", "data": data}), str)
    assert failed.value.fault == fault


@pytest.mark.parametrize(
    ("result", "about"),
    [
        ({}, About({}, "", "v")),
        ({"capabilities": {"tools": {}, "odd": 7}, "instructions": "i"}, About({"tools": {}}, "i", "v")),
        ({"capabilities": [], "instructions": 7}, About({}, "", "v")),
    ],
)
def test_what_a_server_says_of_itself_is_kept_as_far_as_it_is_sound(result: JsonObject, about: About) -> None:
    assert about_of(result, "v") == about


@pytest.mark.parametrize("elicitations", [[7], [{}], [{"mode": "form", "message": "who?"}]])
def test_an_error_that_wants_something_visited_that_is_no_address_is_no_answer(elicitations: list[Any]) -> None:
    with pytest.raises(Failed, match="no address") as failed:
        result_of(answer(error={"code": -32042, "message": "m", "data": {"elicitations": elicitations}}), str)
    assert failed.value.fault is None
