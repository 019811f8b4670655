from typing import Any

import pytest

from gateway.errors import Failed
from gateway.executors.pool import Pool
from gateway.executors.streams import Stream, media_of, message_of, pause
from gateway.model import Code, JsonObject
from gateway.wire.sse import Event
from tests.executors.hostile import HELD, Answer, always, event, http, live, upstream


@pytest.mark.parametrize(("retry_ms", "seconds"), [(None, 1.0), (0, 0.1), (500, 0.5), (999_999_999, 30.0)])
def test_the_wait_before_coming_back_is_the_senders_within_bounds(retry_ms: int | None, seconds: float) -> None:
    assert pause(retry_ms) == seconds


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Event("message", b'{"jsonrpc":"2.0","method":"x"}'), {"jsonrpc": "2.0", "method": "x"}),
        (Event("endpoint", b'{"jsonrpc":"2.0","method":"x"}'), None),
        (Event("message", b""), None),
        (Event("message", b"[]"), None),
        (Event("message", b'{"jsonrpc":"1.0"}'), None),
    ],
)
def test_a_message_is_a_json_rpc_object(given: Event, message: JsonObject | None) -> None:
    assert message_of(given) == message


@pytest.mark.parametrize("data", [b"{", b'{"a":1,"a":2}', b'{"a":1e400}', b"\xff"])
def test_what_is_not_strict_json_ends_the_stream(data: bytes) -> None:
    with pytest.raises(Failed):
        message_of(Event("message", data))


@pytest.mark.parametrize(
    ("header", "media"), [(None, ""), ("Text/Event-Stream; charset=utf-8", "text/event-stream"), (" a/b ", "a/b")]
)
def test_a_media_type_is_told_without_its_parameters(header: str | None, media: str) -> None:
    class Response:
        def get_header(self, _name: str) -> str | None:
            return header

    response: Any = Response()
    assert media_of(response) == media


async def test_a_media_type_that_is_no_text_is_none() -> None:
    async with upstream({"GET": always(lambda seen: http(200, b"{}", "application/jsön"))}) as server:
        pool = Pool(server.url, {})
        stream = Stream(pool, {}, lambda _: True)
        why = await stream.over
        await stream.close()
        await pool.close()
    assert (why.code, why.reason[-9:]) == (Code.UPSTREAM_INVALID, "not ASCII")


async def test_a_stream_is_open_once_its_head_is_there_and_silent_after_it_was_closed() -> None:
    heard: list[JsonObject] = []

    def hear(message: JsonObject) -> bool:
        heard.append(message)
        return True

    async with upstream({"GET": live(HELD)}) as server:
        pool = Pool(server.url, {})
        stream = Stream(pool, {"accept": "text/event-stream"}, hear)
        await stream.opened()
        assert not stream.over.done()
        await stream.close()
        assert stream.over.done()
        with pytest.raises(Failed):
            await stream.opened()
        await pool.close()
    assert not heard


@pytest.mark.parametrize("answer", [always(lambda seen: http(405)), always(lambda seen: None), live(event("x"))])
async def test_a_stream_that_is_none_says_why_it_is_over(answer: Answer) -> None:
    async with upstream({"GET": answer}) as server:
        pool = Pool(server.url, {})
        stream = Stream(pool, {}, lambda _: True)
        why = await stream.over
        await stream.close()
        await pool.close()
    assert why.code is Code.UPSTREAM_UNAVAILABLE


async def test_a_listener_that_breaks_ends_the_stream_and_not_the_loop() -> None:
    def hear(_message: JsonObject) -> bool:
        raise ValueError("psst")

    async with upstream({"GET": live(event("x"), HELD)}) as server:
        pool = Pool(server.url, {})
        stream = Stream(pool, {}, hear)
        why = await stream.over
        await stream.close()
        await pool.close()
    assert why.code is Code.UPSTREAM_INVALID
    assert "psst" not in why.reason
