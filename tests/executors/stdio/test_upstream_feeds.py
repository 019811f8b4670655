"""What the processes of an upstream say by themselves, told to those it concerns."""

import asyncio
from typing import Any

import pytest

from gateway.channel import SILENT
from gateway.errors import Failed
from gateway.executors.stdio.processes import OURS, Key
from gateway.executors.stdio.upstream import Patience
from gateway.kinds import ACKNOWLEDGED, UPDATED
from gateway.model import Code, Principal
from tests.executors.stdio.talk import Client
from tests.executors.stdio.upstreams import fed, reports, talkative, told
from tests.executors.stdio_upstream import BRIEF, kill, stdio

ANN, BOB = Principal("ann"), Principal("bob")
TOOLS_CHANGED = "notifications/tools/list_changed"
A, B = "note://a", "note://b"
ERAS = pytest.mark.parametrize("start", ["modern", "legacy"])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.stdio.server.GRACE_SECONDS", 0.3)


async def subscribed(client: Any, start: str, *uris: str, who: str = "ann", channel: Any = SILENT) -> None:
    """Until a process was asked for the updates of exactly these."""
    if start == "modern":
        await reports(client, "listening", [{"resourceSubscriptions": [uri]} for uri in uris], who, channel)
    else:
        await reports(client, "uris", list(uris), who, channel)


@ERAS
async def test_updates_reach_those_who_subscribed_in_their_own_process_and_nobody_else(start: str) -> None:
    launcher = talkative(start)
    async with stdio(launcher) as client:
        async with fed(client, ANN, A) as (ann, _), fed(client, BOB, B) as (bob, _), fed(client, None) as (ours, _):
            for who in ("ann", "bob"):
                await told(client, "report", who=who)
            for who in ("ann", "bob"):
                for uri in (A, B, "note://c"):
                    await told(client, "touch", who=who, uri=uri)
            await ann.was_told(1)
            await bob.was_told(1)
            assert (ann.told, bob.told) == ([(UPDATED, {"uri": A})], [(UPDATED, {"uri": B})])
            assert ours.told == []
        assert set(launcher.keys) == {Key("default", "ann"), Key("default", "bob")}


@ERAS
async def test_a_resource_is_asked_for_once_per_process_and_left_with_the_last_feed(start: str) -> None:
    async with stdio(talkative(start)) as client:
        async with fed(client, ANN, A):
            await subscribed(client, start, A) if start == "legacy" else await told(client, "report")
            async with fed(client, ANN, A, B):
                pass
            async with fed(client, ANN, A) as (second, _):
                await told(client, "touch", uri=A)
                await second.was_told(1)
        seen = await reports(client, "listening" if start == "modern" else "uris", [])
        asked = "subscriptions/listen" if start == "modern" else "resources/subscribe"
        assert seen["methods"].count(asked) == (3 if start == "modern" else 2), "the lists are a topic of that era"


@ERAS
async def test_what_a_process_refuses_is_left_out_of_what_is_acknowledged(start: str) -> None:
    told: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    async with stdio(talkative(start)) as client:
        feeding = asyncio.ensure_future(
            client.feed(ANN, "s", (A, "note://refused", B), lambda method, params: told.put_nowait((method, params)))
        )
        async with asyncio.timeout(20):
            assert await told.get() == (ACKNOWLEDGED, {"refused": ["note://refused"]})
        feeding.cancel()
        await asyncio.wait({feeding})


@ERAS
async def test_changes_of_lists_reach_the_gateway_and_whom_the_process_belongs_to(start: str) -> None:
    async with stdio(talkative(start)) as client:
        async with fed(client, None) as (ours, _), fed(client, ANN) as (ann, _), fed(client, BOB) as (bob, _):
            client.changed = False
            await told(client, "report")
            await told(client, "report")
            await told(client, "change", what="tools")
            await ours.was_told(1)
            assert ours.told == ann.told == [(TOOLS_CHANGED, {})]
            assert bob.told == []
            assert client.changed
        await told(client, "change", what="prompts")
        assert len(ours.told) == 1


async def test_hearing_of_lists_starts_no_process_and_keeps_none() -> None:
    now, launcher = [0.0], talkative("modern")
    patience = Patience(BRIEF.probe_s, idle_s=60)
    async with (
        stdio(launcher, clock=lambda: now[0], patience=patience) as client,
        fed(client, None) as (ours, feeding),
        fed(client, ANN),
    ):
        assert launcher.children == []
        await told(client, "echo")
        now[0] = 60.0
        await client.sweep()
        assert launcher.running == []
        assert not feeding.done()
        await told(client, "report")
        await told(client, "change", what="tools")
        await ours.was_told(1)


@ERAS
async def test_a_process_with_a_subscription_is_not_ended_for_being_idle(start: str) -> None:
    now, launcher = [0.0], talkative(start)
    patience = Patience(BRIEF.probe_s, idle_s=60)
    async with stdio(launcher, clock=lambda: now[0], patience=patience) as client:
        async with fed(client, ANN, A):
            await told(client, "report")
            now[0] = 1_000.0
            await client.sweep()
            assert len(launcher.running) == 1
        now[0] = 2_000.0
        await reports(client, "listening" if start == "modern" else "uris", [])
        now[0] = 3_000.0
        await client.sweep()
        assert launcher.running == []


@ERAS
async def test_the_end_of_the_process_ends_the_feed_that_was_subscribed_there(start: str) -> None:
    launcher = talkative(start)
    async with stdio(launcher, jitter=lambda: 0.0) as client, fed(client, ANN, A) as (_, ann), fed(client, None):
        await told(client, "report")
        kill(launcher.children[0].pid)
        with pytest.raises(Failed) as caught:
            await ann
        assert (caught.value.code, caught.value.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)
        async with fed(client, ANN, A) as (again, _):
            await told(client, "report")
            await told(client, "touch", uri=A)
            await again.was_told(1)
        assert len(launcher.children) == 2


@pytest.mark.parametrize(
    ("start", "uri", "code", "fault"),
    [
        ("legacy", "note://refused", Code.UPSTREAM_INVALID, {"code": -32602}),
        ("legacy_bare", A, Code.UPSTREAM_INVALID, None),
        ("modern", "note://refused", Code.UPSTREAM_INVALID, None),
    ],
)
async def test_a_feed_of_what_is_not_offered_fails(start: str, uri: str, code: Code, fault: Any) -> None:
    async with stdio(talkative(start)) as client:
        with pytest.raises(Failed) as caught:
            await client.feed(ANN, "s", (uri,), Client().tell)
        assert (caught.value.code, caught.value.fault) == (code, fault)


async def test_updates_before_the_acknowledgement_are_passed_over() -> None:
    async with stdio(talkative("modern")) as client, fed(client, ANN, "note://early") as (ann, _):
        await told(client, "report")
        await told(client, "touch", uri="note://early")
        await ann.was_told(1)
        assert len(ann.told) == 1


async def test_a_subscription_that_the_server_ends_ends_the_feed() -> None:
    async with stdio(talkative("modern")) as client, fed(client, ANN, A) as (_, ann), fed(client, None) as (_, ours):
        await told(client, "report")
        await told(client, "stop_listening")
        with pytest.raises(Failed, match="ended the subscription"):
            await ann
        assert not ours.done()


async def test_what_is_subscribed_to_is_subscribed_to_in_every_process_of_its_owner() -> None:
    launcher = talkative("legacy")
    async with stdio(launcher) as client, fed(client, ANN, A) as (ann, _):
        await subscribed(client, "legacy", A)
        channel = Client(sampling={}).channel()
        await subscribed(client, "legacy", A, channel=channel)
        await told(client, "touch", channel, uri=A)
        await ann.was_told(1)
        assert len(launcher.children) == 2


async def test_a_feed_of_somebody_is_fed_by_whatever_process_they_have() -> None:
    launcher = talkative("legacy")
    async with stdio(launcher) as client:
        channel = Client(sampling={}).channel()
        await told(client, "echo", channel)
        async with fed(client, ANN, A) as (ann, _):
            await subscribed(client, "legacy", A, channel=channel)
            await told(client, "touch", channel, uri=A)
            await ann.was_told(1)
        assert len(launcher.children) == 1


async def test_everybodys_process_feeds_everybody_with_what_they_subscribed_to() -> None:
    launcher = talkative("legacy")
    async with (
        stdio(launcher, share="all") as client,
        fed(client, ANN, A) as (ann, _),
        fed(client, BOB, B) as (bob, _),
    ):
        await reports(client, "uris", [A, B])
        await told(client, "touch", who="bob", uri=A)
        await told(client, "change", what="tools")
        await ann.was_told(2)
        assert [method for method, _ in ann.told] == [UPDATED, TOOLS_CHANGED]
        assert [method for method, _ in bob.told] == [TOOLS_CHANGED]
        assert launcher.keys == [OURS]


async def test_closing_ends_every_feed_and_none_begins_after_it() -> None:
    async with stdio(talkative("legacy")) as client:
        feeding = [
            asyncio.ensure_future(client.feed(owner, "s", uris, Client().tell))
            for owner, uris in ((ANN, (A,)), (None, ()), (BOB, ()))
        ]
        await told(client, "report")
        await client.close()
        for feed in (*feeding, *(client.feed(ANN, "s", uris, Client().tell) for uris in ((), (A,)))):
            with pytest.raises(Failed) as caught:
                await feed
            assert caught.value.code is Code.UPSTREAM_UNAVAILABLE
        assert client._feeds._feeds == set()


async def test_a_feed_whose_process_cannot_start_says_so() -> None:
    launcher = talkative("legacy")
    launcher.argv = ("/no/such/program",)
    async with stdio(launcher) as client:
        with pytest.raises(Failed) as caught:
            await client.feed(ANN, "s", (A,), Client().tell)
        assert caught.value.code is Code.UPSTREAM_UNAVAILABLE
        assert "No such file" in caught.value.detail


async def test_a_feed_that_is_cancelled_leaves_nothing_behind() -> None:
    async with stdio(talkative("modern")) as client:
        async with fed(client, ANN, A):
            await told(client, "report")
        assert client._feeds._feeds == set()
        (server,) = client._processes.live()
        assert server.topics._topics == {}
        await reports(client, "listening", [])
