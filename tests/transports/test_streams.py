"""Streams without a network: what is kept, what is sent again, who is cut off, what keeps them open."""

import asyncio
from typing import cast

import pytest

from gateway.transports import streams
from gateway.transports.protocol import StrictProtocol
from gateway.transports.streams import Pulse, Replay, Stream


class Wire:
    """Stands in for a connection: what was written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.unsent = 0
        self.gone = self.finished = self.aborted = False
        self.on_lost = None

    def begin(self, _headers: object) -> None:
        self.written += b"<"

    def put(self, piece: bytes) -> int:
        self.written += piece
        return self.unsent

    def finish(self) -> None:
        self.finished = True

    def cut(self) -> None:
        self.aborted = True

    @property
    def protocol(self) -> StrictProtocol:
        return cast(StrictProtocol, self)


def lost(stream: Stream) -> list[str]:
    """Tells when the stream has lost its connection."""
    told: list[str] = []
    stream.on_lost = lambda: told.append("lost")
    return told


async def test_nothing_is_sent_before_the_first_event_and_nothing_after_the_last() -> None:
    wire = Wire()
    stream = Stream(wire.protocol, Pulse())
    assert wire.written == b""
    assert stream.send(b"{}")
    stream.end(b"[]")
    assert not stream.send(b"late")
    assert (wire.written, wire.finished) == (b"<data: {}\n\ndata: []\n\n", True)


@pytest.mark.parametrize(("primes", "first"), [(True, b"<id: 1-0\nretry: 1000\ndata: \n\n"), (False, b"<")])
async def test_each_event_of_a_session_has_an_id_of_its_own(primes: bool, first: bytes) -> None:
    wire, other, replay = Wire(), Wire(), Replay(Pulse(), primes=primes)
    Stream(wire.protocol, replay.pulse, replay).end(b"a")
    assert wire.written == first + b"id: 1-1\ndata: a\n\n"
    Stream(other.protocol, replay.pulse, replay).end(b"b")
    assert other.written.endswith(b"id: 2-1\ndata: b\n\n")


async def test_who_reads_nothing_is_cut_off_and_what_follows_is_dropped() -> None:
    wire = Wire()
    stream = Stream(wire.protocol, pulse := Pulse())
    told = lost(stream)
    stream.send(b"a")
    wire.unsent = streams.MOST_UNSENT + 1
    stream.send(b"b")
    assert (wire.aborted, stream.connected, told, len(pulse)) == (True, False, ["lost"], 0)
    assert not stream.send(b"c")
    stream.end(b"d")
    assert b"c" not in wire.written


async def test_a_client_that_comes_back_is_sent_exactly_what_it_missed() -> None:
    first, second, third = Wire(), Wire(), Wire()
    replay = Replay(Pulse(), primes=True)
    stream, other = (Stream(wire.protocol, replay.pulse, replay) for wire in (first, third))
    for message in (b"a", b"b", b"c"):
        stream.send(message)
        other.send(b"other")
    found = replay.after(b"1-1")
    assert found is not None
    told = lost(stream)
    found[0].resume(second.protocol, found[1], lambda: None)
    assert (first.finished, told) == (True, ["lost"])
    expected = b"<id: 1-1\nretry: 1000\ndata: \n\nid: 1-2\ndata: b\n\nid: 1-3\ndata: c\n\n"
    assert second.written == expected
    stream.end(b"d")
    assert second.written == expected + b"id: 1-4\ndata: d\n\n"
    assert second.finished


async def test_what_is_kept_is_bounded_in_number_and_bytes_and_gaps_are_not_passed_over() -> None:
    replay = Replay(Pulse(), primes=True)
    stream = Stream(None, replay.pulse, replay)
    for _ in range(streams.MOST_KEPT + 1):
        stream.send(b"x")
    assert replay.after(b"1-0") is None
    assert replay.after(b"1-1") is not None
    stream.send(b"y" * streams.MOST_KEPT_BYTES)
    assert replay.after(b"1-300") is None
    assert replay.after(b"1-256") is None
    assert replay.of(stream) == []


async def test_a_stream_of_which_nothing_is_kept_is_forgotten_once_it_is_whole() -> None:
    replay = Replay(Pulse(), primes=True)
    ended, going_on = (Stream(None, replay.pulse, replay) for _ in range(2))
    ended.end(b"a")
    going_on.send(b"b")
    assert len(replay.streams) == 2
    for _ in range(streams.MOST_KEPT + 1):
        going_on.send(b"x")
    assert list(replay.streams.values()) == [going_on]
    going_on.end(b"y" * streams.MOST_KEPT_BYTES)
    assert replay.streams == {}


async def test_a_connection_that_is_gone_already_is_not_written_to() -> None:
    wire = Wire()
    wire.gone = True
    stream = Stream(wire.protocol, Pulse())
    assert not stream.send(b"a")
    assert (wire.written, stream.connected) == (b"", False)


async def test_one_timer_keeps_all_streams_open_and_runs_only_while_there_are_any() -> None:
    loop = asyncio.get_running_loop()
    pulse = Pulse(every_s=0.02, places=2)
    wires = [Wire() for _ in range(5)]
    opened = [Stream(wire.protocol, pulse) for wire in wires]
    for stream in opened:
        stream.begin()
    seen = loop.create_future()
    last = wires[-1]

    def put(piece: bytes) -> int:
        if piece == b":\n\n" and not seen.done():
            seen.set_result(None)
        return 0

    last.put = put  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await seen
    assert len(pulse) == 5
    for stream in opened:
        stream.end()
    assert (len(pulse), pulse._timer) == (0, None)
