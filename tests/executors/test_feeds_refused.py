"""What a feed is acknowledged to leave out."""

import asyncio

import pytest

from gateway.executors.remote import Remote
from gateway.kinds import ACKNOWLEDGED
from gateway.model import JsonObject, Principal
from tests.executors.hostile import (
    HELD,
    LEGACY,
    MODERN,
    Answer,
    Reply,
    Seen,
    always,
    error,
    event,
    legacy,
    live,
    modern,
    remote,
    result,
    upstream,
)

OFFERED: JsonObject = {"resources": {"subscribe": True}}
META: JsonObject = {"_meta": {"io.modelcontextprotocol/subscriptionId": "TAG"}}


def acknowledged(**notifications: JsonObject | list[str]) -> str:
    return event(ACKNOWLEDGED, {**notifications, **META}).replace('"TAG"', "ID")


def offering(listen: Answer) -> dict[str, Answer]:
    discovered = {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": OFFERED}
    return modern() | {"server/discover": always(lambda seen: result(seen, discovered)), "subscriptions/listen": listen}


def choosy() -> Answer:
    """Refuses whatever names a resource that is `a://no…`, and accepts all else."""

    async def listen(seen: Seen) -> Reply:
        uris = seen.message["params"]["notifications"]["resourceSubscriptions"]
        if any(uri.startswith("a://no") for uri in uris):
            return error(seen, -32602)
        return await live(acknowledged(notifications={"resourceSubscriptions": uris}), HELD)(seen)

    return listen


async def left_out(through: Remote, *uris: str) -> list[str]:
    """What the one acknowledgement of a feed of these leaves out."""
    told: list[tuple[str, JsonObject]] = []
    heard = asyncio.Event()

    def tell(method: str, params: JsonObject) -> None:
        told.append((method, params))
        heard.set()

    feed = asyncio.ensure_future(through.feed(Principal("alice"), "1", uris, tell))
    try:
        async with asyncio.timeout(10):
            await heard.wait()
    finally:
        feed.cancel()
        await asyncio.wait({feed})
    assert [method for method, _ in told] == [ACKNOWLEDGED]
    return list(told[0][1]["refused"])


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"notifications": {"resourceSubscriptions": ["a://1", "a://2"]}}, []),
        ({"notifications": {"resourceSubscriptions": ["a://2", 7, "a://3"]}}, ["a://1"]),
        ({"notifications": {}}, ["a://1", "a://2"]),
        ({"notifications": {"resourceSubscriptions": "a://1"}}, ["a://1", "a://2"]),
        ({}, []),
    ],
)
async def test_what_an_upstream_acknowledges_is_what_it_tells_of(said: JsonObject, refused: list[str]) -> None:
    async with upstream(offering(live(acknowledged(**said), HELD))) as server, remote(server.url) as through:
        assert await left_out(through, "a://1", "a://2") == refused


async def test_what_a_modern_upstream_refuses_is_left_out_of_one_acknowledgement_of_all() -> None:
    async with upstream(offering(choosy())) as server, remote(server.url) as through:
        uris = ("a://1", "a://no1", "a://2", "a://3", "a://no2")
        assert sorted(await left_out(through, *uris)) == ["a://no1", "a://no2"]


async def test_what_a_legacy_upstream_refuses_is_left_out() -> None:
    async def subscribe(seen: Seen) -> Reply:
        return error(seen, -32602) if seen.message["params"]["uri"] == "a://no" else result(seen, {})

    said = {"protocolVersion": LEGACY, "capabilities": OFFERED}
    on = legacy() | {
        "initialize": always(lambda seen: result(seen, said, mcp_session_id="s-1")),
        "GET": live(": open\n\n", HELD),
        "resources/subscribe": subscribe,
        "resources/unsubscribe": always(lambda seen: result(seen, {})),
    }
    async with upstream(on) as server, remote(server.url) as through:
        assert await left_out(through, "a://no", "a://x") == ["a://no"]
