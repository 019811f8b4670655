from typing import Any

import pytest

from gateway.errors import Failed
from gateway.executors.answer import Reading, parse, response_to
from gateway.model import Code

PADDING = "x" * 70_000


@pytest.mark.parametrize("padding", ["", PADDING])
@pytest.mark.parametrize("number", ["1e400", "-1e400", "1E+400", "9" * 400 + ".0"])
def test_a_number_that_would_leave_as_null_is_refused_in_bodies_of_any_size(number: str, padding: str) -> None:
    with pytest.raises(Failed) as failed:
        parse(f'{{"a": [{{"b": {number}}}], "c": "{padding}"}}'.encode())
    assert failed.value.code is Code.UPSTREAM_INVALID


@pytest.mark.parametrize("padding", ["", PADDING])
@pytest.mark.parametrize("value", ["1e300", "0.1", '"1e400"', "9" * 400, "null", "true"])
def test_other_values_are_kept(value: str, padding: str) -> None:
    assert parse(f'{{"a": {value}, "c": "{padding}"}}'.encode()).keys() == {"a", "c"}


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "notifications/message", "params": {}},
        {"jsonrpc": "2.0", "id": "ours", "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}},
    ],
)
def test_what_the_upstream_says_or_asks_meanwhile_is_no_response(message: Any) -> None:
    assert response_to(message, "ours") is None


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": "ours ", "result": {}},
        {"jsonrpc": "2.0", "result": {}},
        {"jsonrpc": "2.0", "method": 7},
        {"jsonrpc": "2.0", "method": "a", "result": {}},
        {"id": "ours", "result": {}},
        [],
        None,
    ],
)
def test_what_is_no_message_or_answers_something_else_is_refused(message: Any) -> None:
    with pytest.raises(Failed) as failed:
        response_to(message, "ours")
    assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_INVALID, True)


def test_a_reading_counts_all_bytes_and_stops_at_the_limit() -> None:
    reading = Reading("ours", 100)
    for _ in range(10):
        reading.feed(b":23456789\n")
    assert reading.size == 100
    with pytest.raises(Failed) as failed:
        reading.feed(b"\n")
    assert (failed.value.code, failed.value.unknown) == (Code.RESULT_WITHHELD, False)
