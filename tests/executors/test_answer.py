from typing import Any

import orjson
import pytest

from gateway.errors import Failed
from gateway.executors.answer import Reading, Resume, parse, response_to
from gateway.model import Code, JsonObject

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


class Listening:
    def __init__(self) -> None:
        self.heard: list[JsonObject] = []

    def hear(self, message: JsonObject) -> bool:
        self.heard.append(message)
        return bool(message["method"] == "mine")


def event(**message: Any) -> bytes:
    return b"data: " + orjson.dumps({"jsonrpc": "2.0", **message}) + b"\n\n"


def test_what_is_said_beside_the_answer_is_heard_as_it_comes_and_counted_where_it_is_nobodys() -> None:
    listener = Listening()
    reading = Reading("ours", 1_000, listener)
    reading.feed(event(method="mine") + event(method="other"))
    assert [message["method"] for message in listener.heard] == ["mine", "other"]
    reading.feed(event(id="ours", result={}) + event(method="mine"))
    assert reading.message == {"jsonrpc": "2.0", "id": "ours", "result": {}}
    assert len(listener.heard) == 2, "after the answer nobody listens"
    assert reading.passed_over == 2


def test_reports_do_not_count_as_the_result_but_have_bounds_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    report = event(method="mine", params={"message": "x" * 500})
    reading = Reading("ours", 1_000, Listening())
    for _ in range(100):
        reading.feed(report)
    reading.feed(event(id="ours", result={}))
    assert reading.message is not None
    for name, bound in (("BESIDE_BYTES", 5_000), ("BESIDE_EVENTS", 9)):
        with monkeypatch.context() as patched:
            patched.setattr(f"gateway.executors.answer.{name}", bound)
            reading = Reading("ours", 1_000, Listening())
            with pytest.raises(Failed) as failed:
                reading.feed(report * 11)
        assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_INVALID, True)


@pytest.mark.parametrize(
    ("given", "come_back"),
    [
        (b"", None),
        (b"data:\n\n", None),
        (b"retry: 5\n", None),
        (b"id: 7\ndata:\n\n", Resume("7", None)),
        (b"id: 7\nretry: 5\ndata:\n\n", Resume("7", 5)),
        ("id: \u00e9\ndata:\n\n".encode(), None),
        (b"id: a\x01\ndata:\n\n", None),
    ],
)
def test_a_stream_says_how_to_come_back_for_its_answer(given: bytes, come_back: Resume | None) -> None:
    reading = Reading("ours", 1_000)
    reading.feed(given)
    assert reading.resume == come_back
