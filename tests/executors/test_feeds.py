import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.channel import About
from gateway.errors import Failed
from gateway.executors.feeds import OURS, Feed, Feeds, wanted
from gateway.executors.remote import Remote
from gateway.kinds import ACKNOWLEDGED
from gateway.model import Code, JsonObject, Principal
from tests.executors.hostile import (
    FINAL,
    HELD,
    INVALID,
    LEGACY,
    LIMITS,
    MODERN,
    UNAVAILABLE,
    Answer,
    Reply,
    Seen,
    always,
    error,
    event,
    http,
    legacy,
    live,
    modern,
    proposal,
    remote,
    result,
    upstream,
)

OFFERED: JsonObject = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
}
TOOLS, PROMPTS = "notifications/tools/list_changed", "notifications/prompts/list_changed"
UPDATED = "notifications/resources/updated"
LISTENED = "subscriptions/listen"
ACK = "notifications/subscriptions/acknowledged"
ALICE = Principal("alice")


class Told:
    """Keeps what a feed tells."""

    def __init__(self) -> None:
        self.said: list[tuple[str, JsonObject]] = []
        self._more = asyncio.Event()
        self.listening = False

    def __call__(self, method: str, params: JsonObject) -> None:
        if method == ACKNOWLEDGED:
            self.listening = True
            return
        self.said.append((method, params))
        self._more.set()

    async def until(self, count: int) -> list[tuple[str, JsonObject]]:
        """What was told once it is so much."""
        async with asyncio.timeout(10):
            while len(self.said) < count:
                self._more.clear()
                await self._more.wait()
        return self.said


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0)


@asynccontextmanager
async def feeding(
    through: Remote, told: Told, owner: Principal | None = None, uris: tuple[str, ...] = ()
) -> AsyncIterator["asyncio.Future[None]"]:
    feed = asyncio.ensure_future(through.feed(owner, "1", uris, told))
    try:
        yield feed
    finally:
        feed.cancel()
        await asyncio.wait({feed})


async def ending(through: Remote, uris: tuple[str, ...] = (), owner: Principal | None = None) -> Failed:
    with pytest.raises(Failed) as failed:
        async with asyncio.timeout(5):
            await through.feed(owner, "1", uris, Told())
    assert not failed.value.unknown
    return failed.value


# Who is told what


def feeds(*uris: str) -> tuple[Feeds, dict[str, Told]]:
    made, told = Feeds(), {"ours": Told(), "alice": Told(), "bob": Told()}
    made._feeds = [
        Feed(OURS, (), told["ours"]),
        Feed(("alice", "1"), uris, told["alice"]),
        Feed(("bob", "1"), ("a://x",), told["bob"]),
    ]
    return made, told


@pytest.mark.parametrize(
    ("owner", "hearers"),
    [
        (OURS, ["ours"]),
        (("alice", "1"), ["ours", "alice"]),
        (("alice", "1", "digest"), ["ours", "alice"]),
        (("alice", "2"), ["ours"]),
    ],
)
def test_a_changed_list_is_told_to_the_gateway_and_whose_session_it_was(
    owner: tuple[str, ...], hearers: list[str]
) -> None:
    made, told = feeds()
    assert made.noticed(owner, TOOLS, {"secret": 1})
    assert made.changed
    assert [name for name in told if told[name].said] == hearers
    assert all(each.said in ([], [(TOOLS, {})]) for each in told.values())


@pytest.mark.parametrize(
    ("uri", "heard"),
    [
        ("a://x", True),
        ("a://x/below", True),
        ("a://xy", False),
        ("a://y", False),
        (7, False),
        (None, False),
    ],
)
def test_an_update_is_told_to_whoever_subscribed_in_that_session(uri: Any, heard: bool) -> None:
    made, told = feeds("a://x")
    assert made.noticed(("alice", "1"), UPDATED, {"uri": uri, "more": 1}) is heard
    assert told["alice"].said == ([(UPDATED, {"uri": uri})] if heard else [])
    assert not told["bob"].said
    assert not made.changed


def test_what_is_no_news_of_lists_or_resources_is_nobodys() -> None:
    made, told = feeds()
    assert not made.noticed(OURS, "notifications/unheard-of", {})
    assert not any(each.said for each in told.values())


@pytest.mark.parametrize(
    ("about", "uris", "asked"),
    [
        (None, (), {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}),
        (About(OFFERED), (), {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}),
        (About({"tools": {"listChanged": True}}), (), {"toolsListChanged": True}),
        (About({"resources": {"subscribe": True}}), ("a://x",), {"resourceSubscriptions": ["a://x"]}),
        (About({"tools": {"listChanged": "yes"}}), (), None),
        (About({"tools": {"listChanged": True}}), ("a://x",), None),
        (About(), (), None),
    ],
)
def test_only_what_is_offered_is_asked_for(
    about: About | None, uris: tuple[str, ...], asked: JsonObject | None
) -> None:
    if asked is not None:
        assert wanted(about, uris) == asked
        return
    with pytest.raises(Failed) as failed:
        wanted(about, uris)
    assert failed.value.code is INVALID


# subscriptions/listen


def offering(listen: Answer, capabilities: JsonObject = OFFERED) -> dict[str, Answer]:
    discovered = {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": capabilities}
    return modern() | {"server/discover": always(lambda seen: result(seen, discovered)), LISTENED: listen}


def tagged(method: str, ident: str = "ID", **params: Any) -> str:
    meta = {"io.modelcontextprotocol/subscriptionId": "TAG"}
    return event(method, {**params, "_meta": meta}).replace('"TAG"', ident)


async def test_a_modern_upstream_is_listened_to_and_only_what_bears_the_subscription_counts() -> None:
    told = Told()
    listen = live(
        tagged(TOOLS, '"early"'),
        ": keep-alive\n\n",
        tagged(ACK, notifications={}),
        event(TOOLS),
        tagged(TOOLS, '"other"'),
        tagged(PROMPTS),
        tagged(UPDATED, uri="a://else"),
        tagged("notifications/unheard-of"),
        tagged(UPDATED, uri="a://x"),
        HELD,
    )
    async with upstream(offering(listen)) as server, remote(server.url) as through:
        async with feeding(through, told, ALICE, ("a://x",)):
            assert await told.until(2) == [(PROMPTS, {}), (UPDATED, {"uri": "a://x"})]
        [seen] = server.of(LISTENED)
        assert through.changed
    assert seen.message["params"]["notifications"] == {
        "toolsListChanged": True,
        "promptsListChanged": True,
        "resourcesListChanged": True,
        "resourceSubscriptions": ["a://x"],
    }
    assert seen.headers["mcp-method"] == LISTENED
    assert seen.message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == MODERN


@pytest.mark.parametrize(
    ("listen", "code"),
    [
        (live(tagged(TOOLS), tagged(ACK)), INVALID),
        (live(tagged(ACK), event("roots/list", id=1)), INVALID),
        (live(tagged(ACK), "data: {\n\n"), INVALID),
        (live(tagged(ACK)), UNAVAILABLE),
        (live(tagged(ACK), 'data: {"jsonrpc":"2.0","id":ID,"result":{}}\n\n', HELD), UNAVAILABLE),
        (live('data: {"jsonrpc":"2.0","id":ID,"error":{"code":-1,"message":""}}\n\n', HELD), INVALID),
        (always(lambda seen: error(seen, -32601, status=404)), INVALID),
        (always(lambda seen: error(seen, -32603)), INVALID),
        (always(lambda seen: result(seen, {})), UNAVAILABLE),
        (always(lambda seen: http(200, b"<html>", "text/html")), UNAVAILABLE),
        (always(lambda seen: http(503)), UNAVAILABLE),
        (always(lambda seen: None), UNAVAILABLE),
        (live(tagged(ACK), "data: " + "x" * 1_100_000), Code.RESULT_WITHHELD),
    ],
)
async def test_a_subscription_that_is_none_or_ends_says_so(listen: Answer, code: Code) -> None:
    async with upstream(offering(listen)) as server, remote(server.url) as through:
        assert (await ending(through)).code is code


def choosy() -> Answer:
    """Refuses whatever names a resource that is `a://no…`, and tells of an update of each other."""

    async def listen(seen: Seen) -> Reply:
        uris = seen.message["params"]["notifications"]["resourceSubscriptions"]
        if any(uri.startswith("a://no") for uri in uris):
            return error(seen, -32602)
        return await live(tagged(ACK), *[tagged(UPDATED, uri=uri) for uri in uris], HELD)(seen)

    return listen


async def test_a_resource_that_a_modern_upstream_refuses_leaves_the_others_of_its_feed() -> None:
    told, uris = Told(), ("a://1", "a://2", "a://no", "a://4", "a://5")
    async with upstream(offering(choosy())) as server, remote(server.url) as through:
        async with feeding(through, told, ALICE, uris):
            said = await told.until(4)
        asked = len(server.of(LISTENED))
    assert sorted(params["uri"] for _, params in said) == ["a://1", "a://2", "a://4", "a://5"]
    assert asked <= 7


async def test_a_feed_of_which_all_is_refused_ends_after_so_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.feeds.MOST_REFUSED", 3)
    uris = tuple(f"a://no{number}" for number in range(64))
    async with upstream(offering(choosy())) as server, remote(server.url) as through:
        assert (await ending(through, uris, ALICE)).code is INVALID
        assert len(server.of(LISTENED)) <= 9


async def test_a_subscription_that_is_never_acknowledged_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.feeds._ACKNOWLEDGED_SECONDS", 0.05)
    async with upstream(offering(live(": nothing\n\n", HELD))) as server, remote(server.url) as through:
        assert (await ending(through)).code is Code.UPSTREAM_TIMEOUT


async def test_a_storm_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.streams.BESIDE_EVENTS", 100)
    told = Told()
    listen = live(tagged(ACK), *[tagged(TOOLS)] * 200, HELD)
    async with upstream(offering(listen)) as server, remote(server.url) as through:
        with pytest.raises(Failed) as failed:
            await through.feed(None, "", (), told)
    assert failed.value.code is INVALID
    assert len(told.said) <= 100


@pytest.mark.parametrize("server_of", [modern, legacy])
async def test_an_upstream_that_offers_nothing_is_not_listened_to(server_of: Callable[[], dict[str, Answer]]) -> None:
    async with upstream(server_of()) as server, remote(server.url) as through:
        assert (await ending(through)).code is INVALID
        assert not server.of(LISTENED)
        assert not server.of("GET")


# The streams of sessions


def subscribing(stream: Answer) -> dict[str, Answer]:
    info = {"protocolVersion": LEGACY, "capabilities": OFFERED}
    done = always(lambda seen: result(seen, {}))
    return legacy() | {
        "initialize": always(lambda seen: result(seen, info, mcp_session_id="s-1")),
        "GET": stream,
        "resources/subscribe": done,
        "resources/unsubscribe": done,
    }


async def test_a_legacy_upstream_is_listened_to_in_the_owners_session() -> None:
    told, go_on = Told(), asyncio.Event()
    on = subscribing(live(event(TOOLS), go_on, event(UPDATED, {"uri": "a://x"}), HELD))
    async with upstream(on) as server, remote(server.url) as through:
        async with feeding(through, told, ALICE, ("a://x",)):
            await told.until(1)
            go_on.set()
            assert await told.until(2) == [(TOOLS, {}), (UPDATED, {"uri": "a://x"})]
        await through.close()
        assert [seen.message["params"] for seen in server.of("resources/subscribe")] == [{"uri": "a://x"}]
        assert {seen.headers["mcp-session-id"] for seen in server.of("GET")} == {"s-1"}


async def test_two_feeds_of_one_session_share_its_stream_and_its_subscriptions() -> None:
    first, second, go_on = Told(), Told(), asyncio.Event()
    unsubscribed = asyncio.Event()

    async def unsubscribe(seen: Seen) -> Reply:
        unsubscribed.set()
        return result(seen, {})

    on = subscribing(live(event(TOOLS), go_on, event(UPDATED, {"uri": "a://x"}), go_on, HELD))
    on["resources/unsubscribe"] = unsubscribe
    async with upstream(on) as server, remote(server.url) as through:
        async with feeding(through, first, ALICE, ("a://x",)):
            await first.until(1)
            async with feeding(through, second, ALICE, ("a://x",)):
                await until(lambda: len(through._feeds._feeds) == 2)
                go_on.set()
                await first.until(2)
                await second.until(1)
            assert not unsubscribed.is_set()
        async with asyncio.timeout(10):
            await unsubscribed.wait()
        assert len(server.of("GET")) == len(server.of("resources/subscribe")) == 1
        assert len(server.of("resources/unsubscribe")) == 1


@pytest.mark.parametrize(
    ("on", "code"),
    [
        ({"GET": always(lambda seen: http(405))}, UNAVAILABLE),
        ({"GET": always(lambda seen: http(200, b"{}"))}, UNAVAILABLE),
        ({"GET": live(event(TOOLS))}, UNAVAILABLE),
        ({"GET": live("data: {\n\n", HELD)}, INVALID),
        ({"resources/subscribe": always(lambda seen: error(seen, -32602))}, INVALID),
        ({"resources/subscribe": always(lambda seen: http(404))}, INVALID),
    ],
)
async def test_a_feed_ends_with_its_stream(on: dict[str, Answer], code: Code) -> None:
    async with upstream(subscribing(live(HELD)) | on) as server, remote(server.url) as through:
        assert (await ending(through, ("a://x",), ALICE)).code is code


async def test_a_resource_that_is_refused_leaves_the_others_of_its_feed() -> None:
    told, go_on = Told(), asyncio.Event()

    async def subscribe(seen: Seen) -> Reply:
        return error(seen, -32602) if seen.message["params"]["uri"] == "a://no" else result(seen, {})

    on = subscribing(live(go_on, event(UPDATED, {"uri": "a://x"}), HELD)) | {"resources/subscribe": subscribe}
    async with upstream(on) as server, remote(server.url) as through:
        async with feeding(through, told, ALICE, ("a://no", "a://x")):
            await until(lambda: told.listening)
            go_on.set()
            assert await told.until(1) == [(UPDATED, {"uri": "a://x"})]
        await through.close()
        assert [seen.message["params"]["uri"] for seen in server.of("resources/unsubscribe")] == ["a://x"]


async def test_a_stream_of_a_session_is_come_back_to_where_its_sender_says_how() -> None:
    told = Told()
    first, second = live(f"id: 4\nretry: 100\n{event(TOOLS)}"), live(event(PROMPTS), HELD)

    async def stream(seen: Seen) -> Reply:
        return await (first if len(server.of("GET")) == 1 else second)(seen)

    async with upstream(subscribing(stream)) as server, remote(server.url) as through:
        async with feeding(through, told):
            assert await told.until(2) == [(TOOLS, {}), (PROMPTS, {})]
        assert [seen.headers.get("last-event-id") for seen in server.of("GET")] == [None, "4"]


async def test_a_stream_that_brings_nothing_is_not_come_back_to_for_ever() -> None:
    async with upstream(subscribing(live("id: 4\nretry: 0\n\n"))) as server, remote(server.url) as through:
        assert (await ending(through)).code is UNAVAILABLE
        assert 1 < len(server.of("GET")) <= 5


async def test_news_on_the_stream_of_a_call_reaches_the_feeds_of_its_owner() -> None:
    told = Told()
    on = subscribing(live(HELD)) | {"tools/call": live(event(TOOLS), event(UPDATED, {"uri": "a://x"}), FINAL)}
    async with upstream(on) as server, remote(server.url) as through:
        async with feeding(through, told, ALICE, ("a://x",)):
            await until(lambda: server.of("resources/subscribe"))
            await through.execute(proposal(principal=ALICE, session="1"), LIMITS)
            assert await told.until(2) == [(TOOLS, {}), (UPDATED, {"uri": "a://x"})]
        assert through.changed


async def test_closing_ends_the_feeds() -> None:
    told = Told()
    async with upstream(subscribing(live(event(TOOLS), HELD))) as server, remote(server.url) as through:
        async with feeding(through, told) as feed:
            await told.until(1)
            await through.close()
            with pytest.raises(Failed):
                await feed
        assert (await ending(through)).code is UNAVAILABLE
