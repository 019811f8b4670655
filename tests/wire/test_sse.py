import itertools
import random

import pytest

from gateway.errors import Failed
from gateway.model import Code
from gateway.wire.sse import Event, EventStream

LIMIT = 10_000


def events(*chunks: bytes, limit: int = LIMIT) -> list[Event]:
    stream = EventStream(limit)
    return [event for chunk in chunks for event in stream.feed(chunk)]


def message(data: bytes) -> Event:
    return Event("message", data)


CASES = [
    (b"data: a\n\n", [message(b"a")]),
    (b"data: a\r\n\r\n", [message(b"a")]),
    (b"data: a\r\r", [message(b"a")]),
    (b"data: a\r\n\n", [message(b"a")]),
    (b"data: a\n\rdata: b\n\n", [message(b"a"), message(b"b")]),
    (b"data:a\ndata: b\ndata:  c\n\n", [message(b"a\nb\n c")]),
    (b"data\n\ndata\ndata\n\n", [message(b""), message(b"\n")]),
    (b": comment\n\n:\ndata: a\n: another\n\n", [message(b"a")]),
    (b"event: ping\ndata: a\n\ndata: b\n\n", [Event("ping", b"a"), message(b"b")]),
    (b"event: lost\n\ndata: a\n\n", [message(b"a")]),
    (b"event:\ndata: a\n\n", [message(b"a")]),
    (b"event: \xff\ndata: a\n\n", [Event("\ufffd", b"a")]),
    (b"id: 7\nretry: 10\nunknown: x\ndata: a\n\n", [message(b"a")]),
    (b"id: 7\ndata:\n\n", [message(b"")]),
    (b"\xef\xbb\xbfdata: a\n\n", [message(b"a")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [message(b"b")]),
    (b"data: \xef\xbb\xbf\n\n", [message(b"\xef\xbb\xbf")]),
    (b"\xef\xbbdata: a\n\ndata: b\n\n", [message(b"b")]),
    (b"data: a", []),
    (b"data: a\n", []),
    (b"\n\n\r\r\n", []),
    (b"", []),
    (b"data: a\x0bb\x0cc\x1cd\xc2\x85e\n\n", [message(b"a\x0bb\x0cc\x1cd\xc2\x85e")]),
    (b"data : a\n\n", []),
]


@pytest.mark.parametrize(("stream", "expected"), CASES)
def test_a_stream_gives_the_events_of_the_specification(stream: bytes, expected: list[Event]) -> None:
    assert events(stream) == expected


@pytest.mark.parametrize(("stream", "expected"), CASES)
def test_single_bytes_give_the_same_events(stream: bytes, expected: list[Event]) -> None:
    assert events(*(stream[place : place + 1] for place in range(len(stream)))) == expected


@pytest.mark.parametrize("seed", range(200))
def test_any_chunking_gives_the_same_events(seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    parts = [
        b"data: x",
        b"data",
        b":",
        b"event: e",
        b"\n",
        b"\r",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"id: 1",
        b"\xc3\xa9",
        b"a",
    ]
    whole = b"".join(chance.choices(parts, k=60))
    cuts = sorted(chance.randrange(len(whole) + 1) for _ in range(chance.randrange(30)))
    bounds = [0, *cuts, len(whole)]
    chunks = [whole[start:end] for start, end in itertools.pairwise(bounds)]
    assert events(*chunks) == events(whole)


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 200],
        [b": " + b"x" * 200],
        [b"x" * 60, b"x" * 60],
        [b"data: xxxxxxxxxx\n"] * 12,
        [b"data\n" * 200],
    ],
)
def test_an_event_that_does_not_end_is_held_only_up_to_the_limit(chunks: list[bytes]) -> None:
    with pytest.raises(Failed) as failed:
        events(*chunks, limit=100)
    assert failed.value.code is Code.RESULT_WITHHELD


def test_events_that_end_are_not_counted_against_the_limit() -> None:
    assert len(events(*[b"data: " + b"x" * 80 + b"\n\n"] * 50, limit=100)) == 50


@pytest.mark.parametrize(
    ("given", "last_id", "retry_ms"),
    [
        (b"data: a\n\n", b"", None),
        (b"id: 7\ndata: a\n\n", b"7", None),
        (b"id: 7\ndata: a\n\ndata: b\n\n", b"7", None),
        (b"id: 7\n\nid\ndata: b\n\n", b"", None),
        (b"id: 7\ndata: a\n\nid: 8\ndata: cut off", b"7", None),
        (b"id: 7\nretry: 500\ndata:\n\n", b"7", 500),
        (b"id: a\0b\ndata: a\n\n", b"", None),
        (b"retry: 500", b"", None),
        (b"retry: 500\n", b"", 500),
        (b"retry: -1\nretry: x\nretry: 1.5\n", b"", None),
        (b"retry: 99999999999999999999\n", b"", 999999999),
    ],
)
def test_where_a_stream_goes_on_is_kept_from_the_events_that_ended(
    given: bytes, last_id: bytes, retry_ms: int | None
) -> None:
    for chunks in ([given], [given[place : place + 1] for place in range(len(given))]):
        stream = EventStream(LIMIT)
        for chunk in chunks:
            stream.feed(chunk)
        assert (stream.last_id, stream.retry_ms) == (last_id, retry_ms)
