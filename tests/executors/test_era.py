import asyncio
from typing import Any

import pytest

from gateway.errors import Failed
from gateway.executors.answer import Answer as Received
from gateway.executors.era import Era, Verdict, judge
from gateway.model import Code
from tests.executors.hostile import (
    LEGACY,
    LIMITS,
    MODERN,
    always,
    http,
    legacy,
    modern,
    proposal,
    remote,
    said,
    text,
    upstream,
)


def received(status: int = 200, **message: Any) -> Received:
    return Received(status, {"jsonrpc": "2.0", "id": "1", **message} if message else None)


def fault(code: int, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": "", **more}}


SUPPORTED = {"supported": [MODERN]}


@pytest.mark.parametrize(
    ("answer", "modern_spoken"),
    [
        (received(result={"supportedVersions": [MODERN]}), True),
        (received(result={"supportedVersions": ["2027-01-01", MODERN, LEGACY]}), True),
        (received(result={"supportedVersions": [LEGACY]}), False),
        (received(result={"anything": 1}), False),
        (received(400, **fault(-32020)), True),
        (received(400, **fault(-32021)), True),
        (received(400, **fault(-32022, data=SUPPORTED)), True),
        (received(400, **fault(-32022, data={"supported": [LEGACY]})), False),
        (received(400, **fault(-32022)), False),
        (received(404, **fault(-32601)), True),
        (received(404), False),
        (received(200, **fault(-32601)), False),
        (received(200, **fault(-32602)), False),
        (received(400, **fault(-32600)), False),
        (received(400), False),
        (received(405), False),
        (received(406), False),
        (received(500), False),
    ],
)
def test_the_answer_to_a_modern_request_tells_the_era(answer: Received, modern_spoken: bool) -> None:
    assert judge(answer) == Verdict(modern=modern_spoken)


@pytest.mark.parametrize("status", [301, 307, 401, 403, 408, 429, 502, 503, 504])
def test_an_outage_a_refusal_or_a_redirect_is_no_verdict(status: int) -> None:
    with pytest.raises(Failed):
        judge(received(status))


@pytest.mark.parametrize(
    "answer",
    [
        received(result={"supportedVersions": ["2027-01-01"]}),
        received(result={"supportedVersions": []}),
        received(400, **fault(-32022, data={"supported": ["2027-01-01"]})),
    ],
)
def test_a_server_of_other_revisions_only_is_an_error(answer: Received) -> None:
    with pytest.raises(Failed) as failed:
        judge(answer)
    assert failed.value.code is Code.UPSTREAM_INVALID
    assert not failed.value.unknown


async def test_one_probe_serves_all_who_wait_and_is_kept_until_forgotten() -> None:
    asked: list[int] = []

    async def ask() -> Received:
        asked.append(1)
        await asyncio.sleep(0)
        return received(result={"supportedVersions": [MODERN]})

    era = Era(ask)
    assert await asyncio.gather(*(era.find() for _ in range(5))) == [Verdict(modern=True)] * 5
    assert len(asked) == 1
    era.learned(legacy=True)
    assert era.known == Verdict(modern=True, legacy=True)
    era.forget()
    era.learned(legacy=True)
    assert await era.find() == Verdict(modern=True)
    assert len(asked) == 2


@pytest.mark.parametrize(("code", "kept"), [(Code.UPSTREAM_INVALID, True), (Code.UPSTREAM_UNAVAILABLE, False)])
async def test_nonsense_is_not_modern_and_an_outage_is_nothing(code: Code, kept: bool) -> None:
    async def ask() -> Received:
        raise Failed(code, "no")

    era = Era(ask)
    if kept:
        assert await era.find() == Verdict(modern=False)
    else:
        with pytest.raises(Failed):
            await era.find()
        assert era.known is None


@pytest.mark.parametrize("era", [MODERN, LEGACY, "2025-03-26"])
async def test_a_legacy_upstream_serves_clients_of_every_era_in_a_session(era: str) -> None:
    async with upstream(legacy()) as server, remote(server.url) as client:
        outcome = await client.execute(proposal(era=era, meta={"bascule/task": "t", "example.com/k": 1}), LIMITS)
        await client.execute(proposal(era=era), LIMITS)
        seen = server.of("tools/call")
        assert len(server.of("initialize")) == len(server.of("server/discover")) == 1
    assert outcome.evidence == {"era": LEGACY}
    assert all(one.headers["mcp-session-id"] == "s-1" for one in seen)
    assert all(one.headers["mcp-protocol-version"] == LEGACY for one in seen)
    assert all("mcp-method" not in one.headers for one in seen)
    assert [one.message["params"].get("_meta") for one in seen] == [{"example.com/k": 1}, None]


async def test_a_server_of_both_eras_is_spoken_to_in_the_era_of_the_client() -> None:
    on = {**legacy(), **modern()}
    async with upstream(on) as server, remote(server.url) as client:
        assert (await client.execute(proposal(era=MODERN), LIMITS)).evidence["era"] == MODERN
        assert not server.of("initialize")
        assert (await client.execute(proposal(era=LEGACY), LIMITS)).evidence["era"] == LEGACY
        assert (await client.execute(proposal(era=MODERN), LIMITS)).evidence["era"] == MODERN


async def test_a_legacy_client_reaches_a_modern_server_whose_handshake_is_tried_once() -> None:
    async with upstream(modern()) as server, remote(server.url) as client:
        for _ in range(3):
            assert (await client.execute(proposal(era=LEGACY), LIMITS)).evidence["era"] == MODERN
        assert len(server.of("initialize")) == 1


async def test_a_modern_server_may_answer_a_handshake_with_nonsense() -> None:
    on = modern() | {"initialize": always(lambda seen: http(200, b"nonsense", "text/plain"))}
    async with upstream(on) as server, remote(server.url) as client:
        assert (await client.execute(proposal(era=LEGACY), LIMITS)).evidence["era"] == MODERN


async def test_a_server_that_changes_its_era_is_probed_again_after_the_call_that_noticed() -> None:
    async with upstream(modern()) as server, remote(server.url) as client:
        await client.execute(proposal(), LIMITS)
        refused = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Missing session ID"}}'
        server.on = legacy(always(lambda seen: text(seen) if "mcp-session-id" in seen.headers else http(400, refused)))
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
        assert not failed.value.unknown
        assert (await client.execute(proposal(), LIMITS)).evidence["era"] == LEGACY


async def test_an_address_without_an_mcp_server_is_unavailable_and_asked_again_next_time() -> None:
    async with upstream({}) as server, remote(server.url) as client:
        server.on = {
            method: always(lambda seen: http(404, b"<html>", "text/html"))
            for method in ("server/discover", "initialize")
        }
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
        assert failed.value.code is Code.UPSTREAM_UNAVAILABLE
        server.on = modern()
        assert said(await client.execute(proposal(), LIMITS)) == "done"


@pytest.mark.parametrize("status", [0, 401, 429, 500, 503], ids=str)
async def test_a_probe_that_fails_leaves_no_verdict(status: int) -> None:
    """0: the connection ends without an answer."""
    async with upstream(modern()) as server, remote(server.url) as client:
        well = server.on
        server.on = {"server/discover": always(lambda seen: http(status) if status else None)}
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
        assert failed.value.code is Code.UPSTREAM_UNAVAILABLE
        assert not failed.value.unknown
        server.on = well
        assert (await client.execute(proposal(), LIMITS)).evidence["era"] == MODERN


async def test_a_probe_that_breaks_does_not_make_a_server_of_both_eras_a_legacy_one_for_good() -> None:
    on = legacy() | {"server/discover": always(lambda seen: None)}
    async with upstream(on) as server, remote(server.url) as client:
        with pytest.raises(Failed):
            await client.execute(proposal(), LIMITS)
        server.on |= modern()
        assert (await client.execute(proposal(), LIMITS)).evidence["era"] == MODERN


async def test_many_first_calls_probe_and_shake_hands_once() -> None:
    async with upstream(legacy()) as server, remote(server.url) as client:
        await asyncio.gather(*(client.execute(proposal(), LIMITS) for _ in range(20)))
        assert len(server.of("server/discover")) == len(server.of("initialize")) == 1
