import asyncio
from typing import Any

import orjson
import pytest

from gateway.errors import Failed
from gateway.executors.pool import Pool
from gateway.executors.sessions import Sessions
from gateway.model import Code, Principal
from tests.executors.hostile import (
    HELD,
    INVALID,
    LEGACY,
    LIMITS,
    UNAVAILABLE,
    Answer,
    Reply,
    Seen,
    always,
    event,
    http,
    legacy,
    live,
    never,
    proposal,
    remote,
    result,
    said,
    text,
    upstream,
)


def numbered() -> dict[str, Answer]:
    """A legacy server that numbers its sessions."""
    numbers = iter(range(1000))
    info = {"protocolVersion": LEGACY, "capabilities": {}}
    return legacy() | {"initialize": always(lambda seen: result(seen, info, mcp_session_id=f"s-{next(numbers)}"))}


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
async def test_the_version_the_upstream_chose_is_spoken(version: str) -> None:
    info = {"protocolVersion": version, "capabilities": {}}
    async with upstream(legacy() | {"initialize": always(lambda seen: result(seen, info))}) as server:
        session = await Sessions(Pool(server.url, {}), lambda: 0.0).of(("a", "1"))
    assert session is not None
    assert session.id is None
    assert session.version == version
    sent = session.headers("tools/call")
    assert sent.get("mcp-protocol-version") == (None if version == "2025-03-26" else version)
    assert "mcp-session-id" not in sent


async def test_a_handshake_declares_no_capabilities_and_is_confirmed_within_the_session() -> None:
    async with upstream(legacy()) as server:
        await Sessions(Pool(server.url, {}), lambda: 0.0).of(("a", "1"))
        [first, second] = server.seen
    assert first.message["params"]["capabilities"] == {}
    assert first.message["params"]["clientInfo"]["name"] == "bascule"
    assert second.method == "notifications/initialized"
    assert second.headers["mcp-session-id"] == "s-1"


@pytest.mark.parametrize("status", [400, 404, 405, 406, 415, 501])
async def test_a_refused_handshake_gives_no_session(status: int) -> None:
    async with upstream({"initialize": always(lambda seen: http(status))}) as server:
        assert await Sessions(Pool(server.url, {}), lambda: 0.0).of(("a", "1")) is None


INFO: dict[str, Any] = {"protocolVersion": LEGACY}


@pytest.mark.parametrize(
    ("on", "code"),
    [
        ({"initialize": always(lambda seen: http(401))}, UNAVAILABLE),
        ({"initialize": always(lambda seen: http(503))}, UNAVAILABLE),
        ({"initialize": always(lambda seen: result(seen, {"protocolVersion": "2024-11-05"}))}, INVALID),
        ({"initialize": always(lambda seen: result(seen, {"protocolVersion": ["2025-11-25"]}))}, INVALID),
        ({"initialize": always(lambda seen: result(seen, {}))}, INVALID),
        ({"initialize": always(lambda seen: result(seen, INFO, mcp_session_id="a b"))}, INVALID),
        ({"initialize": always(lambda seen: result(seen, INFO, mcp_session_id=""))}, INVALID),
        ({"notifications/initialized": always(lambda seen: http(400))}, UNAVAILABLE),
    ],
)
async def test_a_handshake_that_goes_wrong_leaves_nothing_behind(on: dict[str, Answer], code: Code) -> None:
    async with upstream(legacy() | on) as server:
        sessions = Sessions(Pool(server.url, {}), lambda: 0.0)
        with pytest.raises(Failed) as failed:
            await sessions.of(("a", "1"))
        assert failed.value.code is code
        assert len(sessions) == 0
        server.on = legacy()
        assert await sessions.of(("a", "1")) is not None


async def test_the_session_used_longest_ago_makes_room_and_is_ended() -> None:
    async with upstream(numbered()) as server:
        sessions = Sessions(Pool(server.url, {}), lambda: 0.0, most=2)
        for owner in ("a", "b", "a", "c"):
            await sessions.of((owner, "1"))
        assert len(sessions) == 2
        assert [seen.headers["mcp-session-id"] for seen in server.of("DELETE")] == ["s-1"]


async def test_a_session_in_use_is_neither_idle_nor_makes_room() -> None:
    now = [0.0]
    async with upstream(numbered()) as server:
        sessions = Sessions(Pool(server.url, {}), lambda: now[0], most=1)
        session = await sessions.of(("a", "1"))
        assert session is not None
        session.busy = 1
        now[0] = 10_000.0
        await sessions.sweep()
        assert await sessions.of(("a", "1")) is session
        with pytest.raises(Failed) as failed:
            await sessions.of(("b", "1"))
        assert failed.value.code is Code.UPSTREAM_UNAVAILABLE
        assert not server.of("DELETE")


async def test_an_idle_session_is_ended_and_another_opened() -> None:
    now = [0.0]
    async with upstream(numbered()) as server:
        sessions = Sessions(Pool(server.url, {}), lambda: now[0])
        first = await sessions.of(("a", "1"))
        now[0] = 10_000.0
        second = await sessions.of(("a", "1"))
        assert (first and first.id, second and second.id) == ("s-0", "s-1")
        assert [seen.headers["mcp-session-id"] for seen in server.of("DELETE")] == ["s-0"]


async def test_an_upstream_that_does_not_listen_to_farewells_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.sessions.FAREWELL_SECONDS", 0.05)
    async with upstream(numbered() | {"DELETE": never()}) as server:
        sessions = Sessions(Pool(server.url, {}), lambda: 0.0)
        await sessions.of(("a", "1"))
        await sessions.close()
        assert len(sessions) == 0


async def test_owners_who_come_at_once_share_no_session_and_no_owner_opens_two() -> None:
    async with upstream(numbered()) as server:
        sessions = Sessions(Pool(server.url, {}), lambda: 0.0)
        got = await asyncio.gather(*(sessions.of((owner, "1")) for owner in "aabbab"))
        assert len({session.id for session in got if session}) == len(server.of("initialize")) == 2


async def test_forgetting_a_session_leaves_a_newer_one_alone() -> None:
    async with upstream(numbered()) as server:
        sessions = Sessions(Pool(server.url, {}), lambda: 0.0)
        old = await sessions.of(("a", "1"))
        assert old is not None
        sessions.forget(("a", "1"), old)
        new = await sessions.of(("a", "1"))
        sessions.forget(("a", "1"), old)
        assert await sessions.of(("a", "1")) is new


async def test_sessions_are_not_shared_between_principals_or_client_sessions() -> None:
    numbers = iter(range(100))
    on = legacy()
    info = {"protocolVersion": LEGACY, "capabilities": {}}
    on["initialize"] = always(lambda seen: result(seen, info, mcp_session_id=f"s-{next(numbers)}"))
    async with upstream(on) as server, remote(server.url) as client:
        for principal, session in (("a", "1"), ("b", "1"), ("a", "2"), ("a", "1")):
            await client.execute(proposal(principal=Principal(principal), session=session), LIMITS)
        used = [seen.headers["mcp-session-id"] for seen in server.of("tools/call")]
    assert used == ["s-0", "s-1", "s-2", "s-0"]
    assert sorted(seen.headers["mcp-session-id"] for seen in server.of("DELETE")) == ["s-0", "s-1", "s-2"]


async def test_an_expired_session_is_renewed_once_and_the_call_repeated() -> None:
    calls: list[Seen] = []

    async def answer(seen: Seen) -> Reply:
        calls.append(seen)
        return http(404) if len(calls) == 1 else text(seen)

    async with upstream(legacy(answer)) as server, remote(server.url) as client:
        assert said(await client.execute(proposal(), LIMITS)) == "done"
        assert len(server.of("initialize")) == 2
    assert len(calls) == 2
    assert calls[0].ident != calls[1].ident


async def test_a_second_404_is_the_answer() -> None:
    on = legacy(always(lambda seen: http(404)))
    async with upstream(on) as server, remote(server.url) as client:
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
        assert len(server.of("tools/call")) == 2
    assert failed.value.code is Code.UPSTREAM_INVALID
    assert not failed.value.unknown


async def test_a_404_of_an_upstream_without_sessions_is_not_repeated() -> None:
    on = legacy(always(lambda seen: http(404)))
    on["initialize"] = always(lambda seen: result(seen, {"protocolVersion": LEGACY, "capabilities": {}}))
    async with upstream(on) as server, remote(server.url) as client:
        with pytest.raises(Failed):
            await client.execute(proposal(), LIMITS)
        assert len(server.of("tools/call")) == 1


async def test_an_upstream_that_lost_its_sessions_and_its_handshake_is_unavailable() -> None:
    on = legacy(always(lambda seen: http(404)))
    async with upstream(on) as server, remote(server.url) as client:
        handshake = on["initialize"]
        on["tools/call"] = _then(on, "initialize", always(lambda seen: http(405)), http(404))
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
        assert failed.value.code is Code.UPSTREAM_UNAVAILABLE
        assert not failed.value.unknown
        on |= {"initialize": handshake, "tools/call": always(text)}
        server.on = on
        assert said(await client.execute(proposal(), LIMITS)) == "done"


def _then(on: dict[str, Answer], method: str, becomes: Answer, reply: bytes) -> Answer:
    async def answer(seen: Seen) -> Reply:
        on[method] = becomes
        return reply

    return answer


async def test_idle_sessions_are_ended_by_a_sweep() -> None:
    now = [0.0]
    async with upstream(legacy()) as server, remote(server.url, clock=lambda: now[0]) as client:
        await client.execute(proposal(), LIMITS)
        await client.sweep()
        assert not server.of("DELETE")
        now[0] = 10_000.0
        await client.sweep()
        assert len(server.of("DELETE")) == 1


async def test_what_is_said_and_asked_before_the_answer_to_the_handshake_is_passed_over() -> None:
    info = orjson.dumps({"protocolVersion": LEGACY, "capabilities": {}}).decode()
    on = legacy() | {
        "initialize": live(
            "id: 1\ndata:\n\n",
            event("notifications/message", {"level": "info", "data": 1}),
            event("roots/list", id=1),
            f'data: {{"jsonrpc":"2.0","id":ID,"result":{info}}}\n\n',
        )
    }
    async with upstream(on) as server, remote(server.url) as client:
        assert said(await client.execute(proposal(), LIMITS)) == "done"
        assert not server.of("POST"), "nobody is asked anything before there is a session"


async def test_a_forgotten_session_closes_its_stream() -> None:
    async with upstream(numbered() | {"GET": live(HELD)}) as server:
        sessions = Sessions(Pool(server.url, {}), lambda: 0.0)
        session = await sessions.of(("a", "1", "digest"), {"roots": {}})
        assert session is not None
        stream = session.stream
        assert stream is not None, "servers may ask there"
        await stream.opened()
        sessions.forget(("a", "1", "digest"), session)
        await stream.over
        await sessions.close()


async def test_a_session_in_which_nobody_can_be_asked_opens_no_stream_by_itself() -> None:
    async with upstream(numbered()) as server:
        sessions = Sessions(Pool(server.url, {}), lambda: 0.0)
        neither: list[dict[str, Any]] = [{}, {"extensions": {}}]
        for capabilities in neither:
            session = await sessions.of(("a", "1", str(len(capabilities))), capabilities)
            assert session is not None
            assert session.stream is None
        await sessions.close()


async def test_an_answer_to_the_handshake_that_is_not_whole_is_no_session() -> None:
    on = legacy() | {"initialize": live("id: 1\ndata:\n\n")}
    async with upstream(on) as server:
        with pytest.raises(Failed) as failed:
            await Sessions(Pool(server.url, {}), lambda: 0.0).of(("a", "1"))
    assert failed.value.code is INVALID
