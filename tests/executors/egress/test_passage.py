"""Two connections made one."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar, cast

import pytest

from gateway.executors.egress.contacts import Contacts, Verdict
from gateway.executors.egress.door import Bounds
from gateway.executors.egress.passage import Passage, Stream
from gateway.executors.egress.tls import UNRECOGNISED_NAME
from tests.executors.doors import PATIENCE, Names, Site, ask, door, echo, site, tunnel
from tests.executors.hellos import hello, message, record, server_name

T = TypeVar("T")


async def soon(waiting: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE):
        return await waiting


def named(port: int) -> tuple[str, ...]:
    """What opens the name `api.example`, which leads to loopback in these tests."""
    return (f"api.example:{port}", f"127.0.0.1:{port}")


HERE = Names(api_example=["127.0.0.1"])


@pytest.mark.parametrize("name", ["api.example", "API.Example", "api.example."])
async def test_tls_that_names_the_host_of_the_tunnel_goes_on_byte_for_byte(name: str) -> None:
    sent = record(message(server_name(name.encode())))
    async with site(echo) as there, door(*named(there.port), resolve=HERE) as (_, port):
        _, reader, writer = await tunnel(port, f"api.example:{there.port}")
        for byte in sent:
            writer.write(bytes([byte]))
            await writer.drain()
        assert await soon(reader.readexactly(len(sent))) == sent
        writer.close()


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (hello("evil.example"), "its TLS names evil.example"),
        (hello(None), "its TLS names no server"),
        (
            record(message(server_name(b"api.example"), server_name(b"evil.example"))),
            "its TLS cannot be read: it names its server twice",
        ),
        (record(message(server_name(b"api.example\x00.evil"))), "its TLS names what is no host"),
        (b"\x16\x02\x00\x00\x01x", "its TLS cannot be read: its version is none of TLS"),
        (hello("api.example")[:50], "it ended within its first message"),
    ],
    ids=["another", "none", "two", "no host", "no TLS", "half"],  # the bytes are random
)
async def test_tls_that_does_not_is_cut_before_a_byte_of_it_goes_on(first: bytes, why: str) -> None:
    async with site(echo) as there, door(*named(there.port), resolve=HERE) as (way, port):
        _, reader, writer = await tunnel(port, f"api.example:{there.port}")
        writer.write(first)
        writer.write_eof()
        assert await soon(reader.read()) == UNRECOGNISED_NAME
        writer.close()
        await soon(there.ended.wait())
        allowed, refused = sorted(way.taken(), key=lambda contact: contact.verdict)
        assert (allowed.up, allowed.down, allowed.verdict) == (0, 0, Verdict.ALLOWED)
        assert (refused.reason, refused.verdict) == (why, Verdict.REFUSED)


async def test_tls_to_an_address_may_name_nobody() -> None:
    sent = hello(None)
    async with site(echo) as there, door(f"127.0.0.1:{there.port}") as (_, port):
        _, reader, writer = await tunnel(port, f"127.0.0.1:{there.port}")
        writer.write(sent)
        assert await soon(reader.readexactly(len(sent))) == sent
        writer.close()


@pytest.fixture
def https(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every port but one is taken for 443: a test cannot listen there."""

    class Any443(int):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, int)

        __hash__ = int.__hash__

    monkeypatch.setattr("gateway.executors.egress.passage.HTTPS", Any443(443))


@pytest.mark.usefixtures("https")
@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"\x00"])
async def test_port_443_carries_nothing_but_tls(first: bytes) -> None:
    async with site(echo) as there, door(*named(there.port), resolve=HERE) as (way, port):
        _, reader, writer = await tunnel(port, f"api.example:{there.port}")
        writer.write(first)
        assert await soon(reader.read()) == UNRECOGNISED_NAME
        writer.close()
        assert "what was sent to port 443 is not TLS" in [contact.reason for contact in way.taken()]


@pytest.mark.usefixtures("https")
async def test_a_hello_to_port_443_comes_at_once_or_not_at_all() -> None:
    async with site(echo) as there, door(*named(there.port), resolve=HERE, bounds=Bounds(head_s=0.2)) as (way, port):
        _, reader, writer = await tunnel(port, f"api.example:{there.port}")
        writer.write(hello("api.example")[:20])
        assert await soon(reader.read()) == UNRECOGNISED_NAME
        writer.close()
        assert "no TLS came in time" in [contact.reason for contact in way.taken()]


async def test_elsewhere_the_server_may_speak_first() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        writer.write(await reader.readline())

    async with site(greet) as there, door(*named(there.port), resolve=HERE) as (_, port):
        _, reader, writer = await tunnel(port, f"api.example:{there.port}")
        assert await soon(reader.readline()) == b"220 ready\r\n"
        writer.write(b"EHLO\r\n")
        assert await soon(reader.read()) == b"EHLO\r\n"
        writer.close()


async def test_each_end_may_stop_talking_and_still_listen() -> None:
    async def after_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(len(await reader.read())).encode())

    async with site(after_all) as there, door(f"127.0.0.1:{there.port}") as (_, port):
        _, reader, writer = await tunnel(port, f"127.0.0.1:{there.port}")
        writer.write(b"x" * 300_000)
        writer.write_eof()
        assert await soon(reader.read()) == b"300000"
        writer.close()


async def test_a_long_answer_arrives_whole() -> None:
    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _number in range(64):
            writer.write(b"y" * (1 << 16))
            await writer.drain()

    async with site(pour) as there, door(f"127.0.0.1:{there.port}") as (way, port):
        _, reader, writer = await tunnel(port, f"127.0.0.1:{there.port}")
        assert len(await soon(reader.read())) == 1 << 22
        writer.close()
        assert way.taken()[0].down == 1 << 22


async def test_a_connection_on_which_nothing_moves_ends() -> None:
    async with site(echo) as there, door(f"127.0.0.1:{there.port}", bounds=Bounds(idle_s=0.1)) as (_, port):
        _, reader, writer = await tunnel(port, f"127.0.0.1:{there.port}")
        assert await soon(reader.read()) == b""
        writer.close()
        await soon(there.ended.wait())


async def test_a_connection_on_which_something_moved_is_looked_at_again_later() -> None:
    stream = Stream(asyncio.StreamReader(), cast(asyncio.StreamWriter, None))
    passage = Passage(stream, stream, Contacts().opened("a.example", 443, "93.184.216.34"), idle_s=1000)
    loop = asyncio.get_running_loop()
    way: asyncio.Future[None] = loop.create_future()
    passage._moved = loop.time() - 10
    passage._look([way])
    assert not way.cancelled()
    assert passage._timer.when() - loop.time() <= 990
    passage._timer.cancel()
    passage._moved = loop.time() - 1001
    passage._look([way])
    assert way.cancelled()


async def test_a_body_goes_on_and_nothing_behind_it() -> None:
    async def last(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(3)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body + await reader.read())

    async with site(last) as there, door(f"127.0.0.1:{there.port}") as (way, port):
        head = (
            f"POST http://127.0.0.1:{there.port}/ HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\nContent-Length: 3\r\n\r\n"
        )
        assert b"GET" not in await ask(port, head.encode() + b"abcGET http://x/ HTTP/1.1\r\n\r\n")
        await soon(there.ended.wait())
        assert Verdict.REFUSED in [contact.verdict for contact in way.taken()]


async def test_a_program_that_goes_away_within_its_request_ends_it_at_the_origin(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    async with site(listen) as there, door(f"127.0.0.1:{there.port}") as (_, port):
        head = (
            f"POST http://127.0.0.1:{there.port}/ HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\nContent-Length: 9\r\n\r\n"
        )
        assert await ask(port, head.encode() + b"abc", end=True) == b""
        await soon(there.ended.wait())
        assert heard[0].endswith(b"abc")
    assert caplog.records == []


async def test_an_origin_that_breaks_off_ends_the_program_s_connection() -> None:
    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    made: Site
    async with site(break_off) as made, door(f"127.0.0.1:{made.port}") as (_, port):
        _, reader, writer = await tunnel(port, f"127.0.0.1:{made.port}")
        writer.write(b"x")
        assert await soon(reader.read()) == b""
        writer.close()
