"""A sandbox's way out, on the host's own loopback: what it lets through, what it refuses, and what it keeps."""

import asyncio
import errno
import socket
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from gateway.errors import Failed
from gateway.executors.egress import door as egress
from gateway.executors.egress.contacts import Verdict
from gateway.executors.egress.destinations import parse_allow
from gateway.executors.egress.door import ENVIRONMENT, Bounds, Door, listener_inside, look_up
from gateway.executors.egress.passage import Stream
from gateway.model import Code
from tests.executors.doors import PATIENCE, Names, ask, door, echo, site, tunnel

T = TypeVar("T")


async def soon(waiting: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE):
        return await waiting


def get(authority: str) -> bytes:
    return f"GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()


async def test_a_permitted_address_is_reached_and_its_bytes_are_counted() -> None:
    async with site() as there, door(f"127.0.0.1:{there.port}") as (way, port):
        assert (await ask(port, get(f"127.0.0.1:{there.port}"))).endswith(b"hi")
        assert there.got == [f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{there.port}\r\nConnection: close\r\n\r\n".encode()]
        [contact] = way.taken()
        assert (contact.host, contact.port, contact.verdict) == ("127.0.0.1", there.port, Verdict.ALLOWED)
        assert (contact.up, contact.down, contact.address) == (len(there.got[0]), len(there.answer), "127.0.0.1")
        assert way.taken() == []


async def test_a_tunnel_carries_bytes_both_ways_and_counts_them_while_it_is_open() -> None:
    async with site(echo) as there, door(f"127.0.0.1:{there.port}") as (way, port):
        answer, reader, writer = await tunnel(port, f"127.0.0.1:{there.port}")
        assert answer.startswith(b"HTTP/1.1 200 ")
        writer.write(b"hello")
        assert await soon(reader.readexactly(5)) == b"hello"
        assert [(contact.up, contact.down) for contact in way.taken()] == [(5, 5)]
        writer.close()


async def say_six(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"six")
    writer.close()


async def test_an_address_of_the_sixth_version_is_reached() -> None:
    try:
        server = await asyncio.start_server(say_six, "::1", 0)
    except OSError as error:
        pytest.skip(f"no ::1 here: {error.strerror}")
    there = server.sockets[0].getsockname()[1]
    async with server, door(f"[::1]:{there}") as (_, port):
        answer, reader, writer = await tunnel(port, f"[::1]:{there}")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert await soon(reader.read()) == b"six"
        writer.close()
        assert (await ask(port, get("[::1]:1"))).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("authority", "wanted"),
    [
        ("api.example:80", "api.example:80"),
        ("sub.pkg.example:444", "sub.pkg.example:444"),
        ("pkg.example:443", "pkg.example:443"),
        ("api.example.evil:443", "api.example.evil:443"),
        ("127.0.0.1:8081", "127.0.0.1:8081"),
        ("169.254.169.254:80", "169.254.169.254:80"),
        ("[::ffff:127.0.0.1]:8080", "[::ffff:7f00:1]:8080"),
    ],
)
async def test_what_is_not_listed_is_refused_unresolved_and_the_answer_says_what_would_open_it(
    authority: str, wanted: str
) -> None:
    names = Names(api_example=["93.184.216.34"])
    async with door("api.example:443", "*.pkg.example:443", "127.0.0.1:8080", resolve=names) as (way, port):
        number = authority.rpartition(":")[2]
        for request in (get(authority), f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()):
            answer = (await ask(port, request)).decode()
            assert answer.startswith("HTTP/1.1 403 Forbidden\r\n")
            assert "is not on the allow-list of this server" in answer
            assert parse_allow(answer.split('"')[1]) == parse_allow(wanted)
        [contact] = way.taken()
        assert (contact.verdict, contact.reason, contact.times) == (Verdict.REFUSED, "not on the allow-list", 2)
        assert contact.port == int(number)
        assert names.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1%lo",
        "0.0.0.0",
    ],
)
async def test_a_listed_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    async with door("api.example:443", resolve=Names(api_example=[address])) as (way, port):
        answer, _, writer = await tunnel(port, "api.example:443")
        writer.close()
        assert answer.startswith(b"HTTP/1.1 403 ")
        [contact] = way.taken()
        assert (contact.verdict, contact.address) == (Verdict.REFUSED, address)
        assert contact.reason == "resolves to a private address"


async def test_a_private_address_behind_a_listed_name_opens_once_it_is_listed_itself() -> None:
    async with site() as there:
        allow = (f"intranet.example:{there.port}", f"127.0.0.1:{there.port}")
        async with door(*allow, resolve=Names(intranet_example=["127.0.0.1"])) as (_, port):
            assert (await ask(port, get(f"intranet.example:{there.port}"))).endswith(b"hi")


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that would have been dialled; those that end with .1 do not answer."""
    seen: list[str] = []

    async def dial(address: str, port: int, within_s: float) -> Stream:
        seen.append(address)
        if address.endswith(".1"):
            raise OSError(errno.ECONNREFUSED, "refused")
        ours, theirs = socket.socketpair()
        theirs.close()
        return Stream(*await asyncio.open_connection(sock=ours))

    monkeypatch.setattr(egress, "connect", dial)
    return seen


async def test_the_address_that_was_judged_is_the_one_dialled_however_the_name_turns(dialled: list[str]) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])

    async def turning(host: str, port: int) -> list[str]:
        return next(answers)

    async with door("api.example:443", resolve=turning) as (_, port):
        first, _, writer = await tunnel(port, "api.example:443")
        writer.close()
        second, _, writer = await tunnel(port, "api.example:443")
        writer.close()
        assert (first[9:12], second[9:12], dialled) == (b"200", b"403", ["93.184.216.34"])


async def test_private_addresses_are_passed_over_and_the_next_is_tried_where_one_does_not_answer(
    dialled: list[str],
) -> None:
    names = Names(api_example=["10.0.0.5", "93.184.216.1", "93.184.216.34"])
    async with door("api.example:443", resolve=names) as (way, port):
        answer, _, writer = await tunnel(port, "api.example:443")
        writer.close()
        assert (answer[9:12], dialled) == (b"200", ["93.184.216.1", "93.184.216.34"])
        assert way.taken()[0].address == "93.184.216.34"


async def test_what_is_permitted_and_does_not_answer_has_failed(dialled: list[str]) -> None:
    names = Names(api_example=["93.184.216.1"])
    async with door("api.example:443", "gone.example:443", resolve=names) as (way, port):
        for host, told in (("api", b"could not be reached"), ("gone", b"could not be resolved")):
            answer = await ask(port, f"CONNECT {host}.example:443 HTTP/1.1\r\nHost: {host}.example\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 502 ")
            assert told in answer
        assert [contact.verdict for contact in way.taken()] == [Verdict.FAILED] * 2


async def test_a_name_that_nobody_resolves_is_given_up() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async with door("api.example:443", resolve=never, bounds=Bounds(resolve_s=0.01)) as (_, port):
        answer, _, writer = await tunnel(port, "api.example:443")
        writer.close()
        assert answer.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
        b"CONNECT 127.1:443 HTTP/1.1\r\nHost: 127.1:443\r\n\r\n",
        b"\x05\x01\x00\r\n\r\n",
        b"GET http://a.example/ HTTP/1.1\r\nX: " + b"a" * (1 << 15) + b"\r\n\r\n",
        b"A" * (1 << 17),
    ],
)
async def test_what_cannot_be_judged_is_answered_400_and_kept(request_bytes: bytes) -> None:
    async with door("a.example:80") as (way, port):
        assert (await ask(port, request_bytes)).startswith(b"HTTP/1.1 400 ")
        [contact] = way.taken()
        assert (contact.host, contact.verdict) == ("", Verdict.REFUSED)


async def test_a_head_that_comes_too_slowly_is_given_up() -> None:
    async with door("a.example:80", bounds=Bounds(head_s=0.05)) as (_, port):
        assert (await ask(port, b"GET http://a.example/ HT")).startswith(b"HTTP/1.1 400 ")


async def test_a_connection_that_says_nothing_leaves_nothing() -> None:
    async with door("a.example:80") as (way, port):
        assert await ask(port, b"", end=True) == b""
        assert way.taken() == []


async def test_connections_beyond_the_bound_wait_for_room_and_are_then_served() -> None:
    async with site(echo) as there, door(f"127.0.0.1:{there.port}", bounds=Bounds(connections=2)) as (way, port):
        authority = f"127.0.0.1:{there.port}"
        held = [await tunnel(port, authority) for _ in range(2)]
        third = asyncio.ensure_future(ask(port, get("b.example")))
        _, reader, writer = held[0]
        writer.write(b"alive")
        assert await soon(reader.readexactly(5)) == b"alive"
        assert not third.done()
        assert [contact.host for contact in way.taken()] == ["127.0.0.1"]
        for _, _, writer in held:
            writer.close()
        assert (await soon(third)).startswith(b"HTTP/1.1 403 ")


async def test_a_flood_of_refused_attempts_is_slowed_down_and_fills_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    pause = asyncio.sleep

    async def counted(seconds: float) -> None:
        pauses.append(seconds)
        await pause(0)

    monkeypatch.setattr(asyncio, "sleep", counted)
    async with door(bounds=Bounds(per_second=1)) as (way, port):
        await asyncio.gather(*(ask(port, get("a.example")) for _ in range(6)))
        assert len([seconds for seconds in pauses if seconds > 0]) >= 4
        [contact] = way.taken()
        assert contact.times == 6


async def test_what_cannot_be_accepted_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    accept = loop.sock_accept
    failures = iter([OSError(errno.EMFILE, "too many open files"), ConnectionAbortedError()])

    async def failing(listener: socket.socket) -> tuple[socket.socket, object]:
        if error := next(failures, None):
            raise error
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", failing)
    async with door() as (_, port):
        assert (await soon(ask(port, get("a.example")))).startswith(b"HTTP/1.1 403 ")


async def test_closing_the_door_ends_every_connection_and_the_listener() -> None:
    async with site(echo) as there, door(f"127.0.0.1:{there.port}") as (way, port):
        _, reader, writer = await tunnel(port, f"127.0.0.1:{there.port}")
        writer.write(b"x")
        assert await soon(reader.readexactly(1)) == b"x"
        await way.close()
        assert await soon(reader.read()) == b""
        writer.close()
        await soon(there.ended.wait())
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert [(contact.up, contact.down) for contact in way.taken()] == [(1, 1)]
        await way.close()


async def test_the_environment_tells_programs_of_it_and_of_no_exception() -> None:
    made = Door([])
    assert made.env == ENVIRONMENT
    assert made.env["HTTPS_PROXY"] == made.env["http_proxy"] == "http://127.0.0.1:3128"
    assert made.env["NO_PROXY"] == made.env["no_proxy"] == ""
    await made.close()


async def test_names_are_looked_up_as_the_host_does() -> None:
    assert await look_up("127.0.0.1", 80) == ["127.0.0.1"]
    assert set(await look_up("localhost", 80)) <= {"127.0.0.1", "::1"}


async def test_without_the_process_to_enter_there_is_no_door() -> None:
    with pytest.raises(Failed) as failed:
        await listener_inside(0)
    assert failed.value.code is Code.SANDBOX_UNAVAILABLE
    assert "/proc" not in failed.value.reason
    assert "FileNotFoundError" in failed.value.detail
    made = Door([])
    with pytest.raises(Failed):
        await made.open(0)
    await made.close()
