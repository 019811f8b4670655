import asyncio
import socket

import pytest

from gateway.errors import Failed
from gateway.executors.pool import Pool
from gateway.model import Code
from tests.executors.hostile import (
    Reply,
    Seen,
    always,
    http,
    never,
    text,
    upstream,
)

ASKED = b'{"jsonrpc":"2.0","id":"i","method":"tools/call"}'


async def asked(pool: Pool) -> Failed:
    with pytest.raises(Failed) as failed:
        await pool.ask(ASKED, {}, "i", 1000, 5)
    return failed.value


async def test_a_connection_that_closes_after_the_request_is_not_taken_for_one_that_failed() -> None:
    # The client raises its ConnectError for both: only its causes tell whether a byte left.
    async with upstream({"tools/call": always(lambda seen: None)}) as server:
        pool = Pool(server.url, {})
        broken = await asked(pool)
        assert (broken.code, broken.unknown) == (Code.UPSTREAM_UNAVAILABLE, True)
        assert broken.detail.startswith("ConnectError: ")
        assert (await asked(pool)).reason == broken.reason, "an answerer that breaks off is not left alone"
        await pool.close()


async def test_a_request_never_goes_out_twice_when_a_kept_connection_turns_out_dead() -> None:
    async with upstream({"tools/call": always(text)}) as server:
        pool = Pool(server.url, {})
        await pool.ask(ASKED, {}, "i", 1000, 5)
        server.on["tools/call"] = always(lambda seen: None)
        await asked(pool)
        assert len(server.seen) == 2
        await pool.close()


async def test_a_connect_that_nobody_answers_is_not_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.pool.CONNECT_SECONDS", 0.2)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        pool = Pool(f"http://127.0.0.1:{full.getsockname()[1]}/mcp", {})
        failed = await asked(pool)
        await pool.close()
    assert (failed.code, failed.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)


async def test_a_closed_pool_sends_nothing() -> None:
    async with upstream({}) as server:
        pool = Pool(server.url, {})
        await pool.close()
        failed = await asked(pool)
        assert (failed.code, failed.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)
        assert not server.seen


async def test_a_drain_waits_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.pool.DRAIN_SECONDS", 0.05)
    arrived = asyncio.Event()
    silent = never()

    async def answer(seen: Seen) -> Reply:
        arrived.set()
        return await silent(seen)

    async with upstream({"tools/call": answer}) as server, asyncio.TaskGroup() as tasks:
        pool = Pool(server.url, {})
        await pool.drain()
        waiting = tasks.create_task(asked(pool))
        await arrived.wait()
        await pool.drain()
        await pool.close()
        failed = await waiting
    assert failed.unknown


async def test_a_header_that_no_request_can_hold_is_refused_before_it_is_sent() -> None:
    async with upstream({}) as server:
        pool = Pool(server.url, {})
        with pytest.raises(Failed) as failed:
            await pool.ask(ASKED, {"mcp-name": "a\nb"}, "i", 1000, 5)
        assert not failed.value.unknown
        assert not server.seen
        await pool.close()


def test_what_is_secret_is_scrubbed_from_every_text() -> None:
    pool = Pool(
        "http://h.example/mcp?api_key=abcdef123&x=1", {"authorization": "Bearer tok-123456", "x-key": "long key"}
    )
    said = "got 'Bearer tok-123456', tok-123456, long key, abcdef123 x=1"
    assert pool.scrubbed(said) == "got '***', ***, ***, *** x=1"
    assert len(pool.scrubbed("x" * 10_000)) == 2000


async def test_a_message_without_an_answer_gives_its_status() -> None:
    async with upstream({"n": always(lambda seen: http(202, kind=""))}) as server:
        pool = Pool(server.url, {})
        assert await pool.tell("POST", b'{"method":"n"}', {}) == 202
        server.on["n"] = always(lambda seen: None)
        with pytest.raises(Failed):
            await pool.tell("POST", b'{"method":"n"}', {})
        await pool.close()
