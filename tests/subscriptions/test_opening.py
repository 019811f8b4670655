import asyncio
import gc
import tracemalloc

import pytest

from gateway import listing, subscriptions
from gateway.errors import Failed, Refused
from gateway.kinds import ACKNOWLEDGED, UPDATED, Listed
from gateway.model import Code, Endpoint, Principal
from gateway.subscriptions import MOST_EACH, Wants, opening
from tests import nouns
from tests.feeding import Feeding, Told
from tests.path import DataPath
from tests.subscriptions.scene import BOTH, CRM, EVERY, TOOLS, TOOLS_CHANGED, Scene

NO = Refused(Code.POLICY_DENIED, "not this one")
DOWN = Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached")


def own_feeds(upstream: Feeding) -> int:
    return sum(one.owner is None for one in upstream.openings)


def nothing_is_left(scene: Scene) -> bool:
    hub = scene.gw.hub
    return not (hub.listeners or hub.each or hub.wanting or hub.feeds or hub.ending or hub.changes)


async def test_what_was_accepted_is_what_was_wanted(scene: Scene) -> None:
    subscription = await scene.open(TOOLS, "a:1")
    assert subscription.wants == Wants(TOOLS, ("a:1",))


async def test_the_gateways_own_feed_opens_with_the_first_who_wants_lists_and_ends_with_the_last(scene: Scene) -> None:
    first = await scene.open(TOOLS, endpoint=BOTH)
    second = await scene.open(EVERY)
    without = await scene.open(frozenset())
    await scene.settle()
    assert (own_feeds(scene.notes), own_feeds(scene.crm)) == (1, 1)
    assert (scene.notes.last.owner, scene.notes.last.session, scene.notes.last.uris) == (None, "", ())
    first.close()
    await scene.settle()
    assert (scene.notes.open_now, scene.crm.open_now) == (1, 0)
    second.close()
    without.close()
    without.close()
    await scene.clock.forward(5)
    assert (scene.notes.open_now, own_feeds(scene.notes)) == (0, 1)
    assert nothing_is_left(scene)
    assert scene.clock.running() == 0


async def test_one_refused_uri_refuses_the_whole_and_leaves_nothing(scene: Scene) -> None:
    scene.refuses["a:2"] = NO
    with pytest.raises(Refused) as refused:
        await scene.open(EVERY, "a:1", "a:2", "a:3")
    assert refused.value.code is Code.POLICY_DENIED
    await scene.settle()
    assert [call.name for call in scene.permits] == ["a:1", "a:2"]
    assert nothing_is_left(scene)
    assert scene.notes.openings == []


async def test_who_leaves_while_it_is_opened_leaves_nothing(scene: Scene) -> None:
    scene.judging = asyncio.Event()
    leaving = asyncio.ensure_future(scene.open(EVERY, "a:1"))
    await scene.settle()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert nothing_is_left(scene)


async def test_the_end_while_a_subscription_is_opened_leaves_nothing(scene: Scene) -> None:
    scene.judging = asyncio.Event()
    opened = asyncio.ensure_future(scene.open(EVERY, "a:1", "a:2"))
    await scene.settle()
    subscriptions.close(scene.gw)
    scene.judging.set()
    subscription = await opened
    await subscription.add("a:3")
    subscription.close()
    await scene.settle()
    assert subscription.wants.uris == ()
    assert nothing_is_left(scene)
    assert scene.notes.openings == []


async def test_a_principal_has_no_more_subscriptions_than_it_may(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_EACH == 10_000
    monkeypatch.setattr(opening, "MOST_EACH", 2)
    first = await scene.open(TOOLS)
    await scene.open(TOOLS)
    with pytest.raises(Refused) as refused:
        await scene.open(TOOLS)
    assert refused.value.code is Code.RATE
    await scene.open(TOOLS, principal=Principal("reader"))
    first.close()
    await scene.open(TOOLS)


async def test_an_upstream_that_is_down_is_no_refusal(scene: Scene) -> None:
    scene.notes.fails, told = DOWN, Told()
    await scene.open(TOOLS, told=told)
    await scene.clock.forward(60)
    assert len(scene.notes.openings) >= 5
    scene.notes.fails = None
    await scene.clock.forward(60)
    assert scene.notes.open_now == 1


async def test_a_feed_follows_the_executor_that_a_reload_put_in_place(scene: Scene) -> None:
    told = Told()
    await scene.open(TOOLS, "a:1", told=told)
    await scene.settle()
    replacement = scene.gw.executors["notes"] = Feeding()
    subscriptions.reconcile(scene.gw)
    await scene.clock.forward(5)
    assert (scene.notes.open_now, replacement.open_now) == (0, 2)
    assert {one.uris for one in replacement.openings} == {(), ("a:1",)}
    assert [key for key, _ in scene.fetched].count("notes") >= 1


async def test_a_reload_that_changes_nothing_leaves_every_feed_as_it_is(scene: Scene) -> None:
    await scene.open(TOOLS, "a:1")
    await scene.settle()
    subscriptions.reconcile(scene.gw)
    await scene.clock.forward(5)
    assert (scene.notes.open_now, len(scene.notes.openings)) == (2, 2)


async def test_an_upstream_that_a_reload_added_joins_those_whose_address_covers_it(scene: Scene) -> None:
    all_of_it, told = Endpoint("", ("notes",), qualified=True), Told()
    await scene.open(TOOLS, endpoint=all_of_it, told=told)
    await scene.open(TOOLS)
    await scene.settle()
    assert scene.crm.openings == []
    scene.shows["", Listed.TOOLS] = "with those of crm"
    subscriptions.reconcile(scene.gw, listing.endpoints(scene.gw.settings).values())
    await scene.clock.forward(5)
    assert (scene.crm.open_now, told.methods) == (1, [TOOLS_CHANGED])
    assert dict(scene.gw.hub.wanting) == {"notes": 2, "crm": 1}


async def test_an_upstream_that_a_reload_took_away_is_dropped(scene: Scene) -> None:
    scene.owner["b:1"] = "crm"
    both = await scene.open(TOOLS, "a:1", "b:1", endpoint=BOTH)
    alone = await scene.open(TOOLS, "b:1", endpoint=CRM, session="s2")
    await scene.settle()
    del scene.gw.executors["crm"]
    kept = {"notes": scene.gw.settings.upstreams["notes"]}
    scene.gw.settings = scene.gw.settings.model_copy(update={"upstreams": kept})
    subscriptions.reconcile(scene.gw, listing.endpoints(scene.gw.settings).values())
    await scene.clock.forward(5)
    assert (both.wants.uris, alone.wants.uris) == (("a:1",), ())
    assert (scene.crm.open_now, scene.notes.open_now) == (0, 2)
    assert dict(scene.gw.hub.wanting) == {"notes": 1}
    alone.close()
    both.close()
    await scene.clock.forward(5)
    assert nothing_is_left(scene)


async def test_an_address_that_is_back_is_followed_again(scene: Scene) -> None:
    await scene.open(TOOLS, endpoint=CRM)
    del scene.gw.executors["crm"]
    subscriptions.reconcile(scene.gw, [nouns.NOTES])
    await scene.settle()
    assert scene.gw.hub.feeds == {}
    scene.gw.executors["crm"] = scene.crm
    subscriptions.reconcile(scene.gw, [nouns.NOTES, CRM])
    await scene.settle()
    assert scene.crm.open_now == 1


async def test_an_upstream_that_was_lent_has_no_address_and_stays_while_it_is_there(scene: Scene) -> None:
    lent = Endpoint("lent", ("lent",), qualified=False)
    executor = scene.gw.executors["lent"] = Feeding()
    await scene.open(TOOLS, endpoint=lent)
    await scene.open(TOOLS, endpoint=BOTH)
    subscriptions.reconcile(scene.gw)
    subscriptions.reconcile(scene.gw, [nouns.NOTES, CRM, BOTH])
    await scene.settle()
    assert (executor.open_now, scene.gw.hub.wanting["lent"]) == (1, 1)
    del scene.gw.executors["lent"]
    subscriptions.reconcile(scene.gw, [nouns.NOTES, CRM, BOTH])
    await scene.settle()
    assert executor.open_now == 0


async def test_what_is_lent_joins_nobody_elses_subscription(scene: Scene) -> None:
    subscription = await scene.open(TOOLS, "a:1", endpoint=BOTH)
    lent = scene.gw.executors["lent"] = Feeding()
    with_it = {**scene.gw.settings.upstreams, "lent": scene.gw.settings.upstreams["notes"]}
    scene.gw.settings = scene.gw.settings.model_copy(update={"upstreams": with_it})
    subscriptions.reconcile(scene.gw)
    await subscription.add("a:2")
    await scene.clock.forward(5)
    assert (lent.openings, dict(scene.gw.hub.wanting)) == ([], {"notes": 1, "crm": 1})
    assert scene.permits[-1].endpoint == BOTH


async def test_an_upstream_that_went_is_followed_again_when_it_is_back_and_its_resources_are_not(scene: Scene) -> None:
    subscription = await scene.open(TOOLS, "a:1")
    await scene.settle()
    del scene.gw.executors["notes"]
    subscriptions.reconcile(scene.gw)
    await scene.settle()
    assert (scene.notes.open_now, subscription.wants.uris) == (0, ())
    scene.gw.executors["notes"] = scene.notes
    subscriptions.reconcile(scene.gw)
    await scene.settle()
    assert scene.notes.open_now == 1


async def test_the_end_ends_every_feed(scene: Scene) -> None:
    await scene.open(TOOLS, "a:1", endpoint=BOTH)
    await scene.open(EVERY, "a:1", session="s2")
    await scene.settle()
    subscriptions.close(scene.gw)
    await scene.clock.forward(5)
    assert (scene.notes.open_now, scene.crm.open_now, scene.clock.running()) == (0, 0, 0)
    assert nothing_is_left(scene)


async def test_a_thousand_idle_subscriptions_are_small_and_run_no_timer(scene: Scene) -> None:
    await scene.open(EVERY, endpoint=BOTH)
    await scene.clock.forward(5)
    told = Told()
    gc.collect()
    tracemalloc.start()
    try:
        opened = [await scene.open(EVERY, endpoint=BOTH, told=told, session=f"s{n}") for n in range(1_000)]
        await scene.settle()
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken / len(opened) <= 2_048
    assert (scene.clock.running(), len(scene.gw.tasks._running)) == (0, 2)


async def test_an_opening_returns_once_its_upstreams_listen_and_what_came_meanwhile_is_told_after_it(
    path: DataPath,
) -> None:
    upstream = Feeding(acknowledges=True)
    upstream.others = {Listed.RESOURCES: [{"uri": "note://a", "name": "a"}]}
    path.gw.executors["notes"] = upstream
    path.use('package bascule.call\n\nallow contains "all" if input.subscription\n')
    told = Told()
    opened = await subscriptions.open_subscription(
        nouns.AGENT, nouns.NOTES, "e", "http", "s", Wants(uris=("note://a",)), told, path.gw
    )
    assert [one.uris for one in upstream.openings] == [("note://a",)]
    upstream.last.updated("note://a")
    assert told.methods == [], "nothing before whoever asked has gone on"
    await asyncio.sleep(0)
    assert told.methods == [UPDATED]
    opened.close()
    subscriptions.close(path.gw)


@pytest.mark.parametrize(
    ("fails", "accepted"),
    [(None, ("a:1",)), (Failed(Code.UPSTREAM_INVALID, "no"), ()), (Failed(Code.UPSTREAM_UNAVAILABLE, "down"), None)],
    ids=["one is left out", "all are refused", "down"],
)
async def test_what_its_upstream_refuses_is_not_accepted_and_what_is_down_is(
    scene: Scene, fails: Failed | None, accepted: tuple[str, ...] | None
) -> None:
    scene.notes.fails = fails
    subscription = await scene.open(frozenset(), "a:1", "a:2")
    await scene.settle()
    if fails is None:
        scene.notes.last.tell(ACKNOWLEDGED, {"refused": ["a:2"]})
    assert subscription.wants.uris == (("a:1", "a:2") if accepted is None else accepted)
    resting = subscription.resting
    assert resting is not None
    assert resting.uris == ("a:1", "a:2")
