"""Every fault is told in our own words, by the number and the status that the specification has for it."""

import logging

import orjson
import pytest

from gateway.errors import Failed, LogUnavailable, Malformed, Refused
from gateway.model import Code
from gateway.transports import answers

SECRET = "what only the operator may read"
FAULTS = [
    (Malformed(Code.PARSE, "no", jsonrpc=-32600, data={"a": 1}), 400, -32600, "no"),
    (answers.unknown_method(), 404, -32601, "unknown method"),
    (answers.lost_session(), 404, -32600, "there is no such session"),
    (answers.unreadable(), 406, -32600, "the answer is text/event-stream, which the accept header must name"),
    (Refused(Code.NO_RULE, "no rule", would_pass="a rule", detail=SECRET), 200, 1007, "no rule"),
    (Failed(Code.UPSTREAM_TIMEOUT, "too late", detail=SECRET), 200, 1021, "too late"),
    (LogUnavailable(SECRET), 200, 1026, "the audit log cannot commit"),
]


@pytest.mark.parametrize(("fault", "status", "code", "reason"), FAULTS)
def test_a_fault_is_told_without_what_is_the_operators(fault: Exception, status: int, code: int, reason: str) -> None:
    answer = answers.of_fault(fault, 7)
    told = orjson.loads(answer.body)
    assert (answer.status, told["id"], told["error"]["code"], told["error"]["message"]) == (status, 7, code, reason)
    assert SECRET not in answer.body.decode()


def test_what_was_not_foreseen_leaves_a_reference_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = answers.of_fault(ValueError(SECRET), "a")
    message = orjson.loads(answer.body)["error"]["message"]
    assert (answer.status, message.split()[:2]) == (200, ["internal", "error"])
    assert message.split()[2] in caplog.text
    assert SECRET not in answer.body.decode()


def test_within_a_session_a_fault_does_not_say_that_the_session_has_ended() -> None:
    assert answers.malformed(answers.unknown_method(), 1, status=200).status == 200


def test_an_address_where_nothing_is_and_a_method_that_is_none() -> None:
    assert (answers.nowhere().status, answers.not_allowed().status) == (404, 405)
    assert answers.not_allowed().headers == ((b"allow", b"GET, POST, DELETE"),)
