"""A subscription that goes on after a rest."""

import asyncio

import pytest

from gateway import subscriptions
from gateway.errors import Refused
from gateway.kinds import Listed
from gateway.model import Code
from gateway.subscriptions import Subscription, Wants, updates
from tests import nouns
from tests.feeding import Told
from tests.subscriptions.scene import TOOLS, TOOLS_CHANGED, Scene

NO = Refused(Code.POLICY_DENIED, "not this one")
NOT_NOW = Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached")


async def rested(scene: Scene, lists: frozenset[Listed], *uris: str) -> Wants:
    """What a subscription was for that has rested."""
    subscription = await scene.open(lists, *uris)
    await scene.clock.forward(2)
    wants = subscription.resting
    assert wants is not None
    subscription.close()
    await scene.settle()
    assert (scene.notes.open_now, scene.gw.hub.listeners) == (0, {})
    scene.permits.clear()
    return wants


async def again(scene: Scene, wants: Wants, told: Told) -> Subscription:
    opened = await subscriptions.open_subscription(
        nouns.AGENT, nouns.NOTES, "2025-11-25", "http", "s1", wants, told, scene.gw
    )
    await scene.settle()
    return opened


async def test_each_uri_is_judged_again_and_told_as_updated_once(scene: Scene) -> None:
    told = Told()
    opened = await again(scene, await rested(scene, frozenset(), "a:1", "a:2"), told)
    assert [call.name for call in scene.permits] == ["a:1", "a:2"]
    await scene.clock.forward(2)
    assert sorted(told.uris) == ["a:1", "a:2"]
    assert set(scene.notes.last.uris) == {"a:1", "a:2"}
    scene.notes.last.updated("a:1")
    assert told.uris.count("a:1") == 2
    assert opened.wants.uris == ("a:1", "a:2")


async def test_a_uri_that_is_no_longer_allowed_is_left_out_and_no_other(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    told, wants = Told(), await rested(scene, frozenset(), "a:1", "a:2")
    scene.refuses["a:1"] = NO
    opened = await again(scene, wants, told)
    await scene.clock.forward(2)
    assert (opened.wants.uris, told.uris, scene.notes.last.uris) == (("a:2",), ["a:2"], ("a:2",))
    assert opened.resting == Wants(frozenset(), ("a:2",), {})
    assert "a:1" in caplog.text


async def test_a_permit_that_cannot_be_given_now_is_asked_for_later(scene: Scene) -> None:
    told, wants = Told(), await rested(scene, frozenset(), "a:1")
    scene.refuses["a:1"] = NOT_NOW
    opened = await again(scene, wants, told)
    assert not opened.wants.uris
    assert opened.resting is not None
    assert opened.resting.uris == ("a:1",)
    del scene.refuses["a:1"]
    await scene.clock.forward(updates.NOT_NOW_SECONDS)
    assert (opened.wants.uris, told.uris) == (("a:1",), ["a:1"])


@pytest.mark.parametrize("leave", [lambda one: one.remove("a:1"), lambda one: one.close()], ids=["remove", "close"])
@pytest.mark.parametrize("judging", [True, False])
async def test_what_is_given_up_meanwhile_is_not_held_again(scene: Scene, leave: object, judging: bool) -> None:
    told, wants = Told(), await rested(scene, frozenset(), "a:1")
    if judging:
        scene.judging = asyncio.Event()
    else:
        scene.refuses["a:1"] = NOT_NOW
    opened = await again(scene, wants, told)
    assert callable(leave)
    leave(opened)
    scene.refuses.clear()
    if scene.judging is not None:
        scene.judging.set()
    await scene.clock.forward(2 * updates.NOT_NOW_SECONDS)
    assert (len(scene.permits), told.said, opened.wants.uris, scene.notes.open_now) == (1, [], (), 0)


async def test_one_that_was_subscribed_anew_meanwhile_is_held_once(scene: Scene) -> None:
    told, wants = Told(), await rested(scene, frozenset(), "a:1")
    scene.refuses["a:1"] = NOT_NOW
    opened = await again(scene, wants, told)
    del scene.refuses["a:1"]
    await opened.add("a:1")
    resting = opened.resting
    assert resting is not None
    assert resting.uris == ("a:1",)
    await scene.clock.forward(2 * updates.NOT_NOW_SECONDS)
    assert (opened.wants.uris, scene.notes.open_now) == (("a:1",), 1)


@pytest.mark.parametrize("changes", [True, False])
async def test_a_list_that_changed_meanwhile_is_told_and_no_other(scene: Scene, changes: bool) -> None:
    wants = await rested(scene, TOOLS)
    assert wants.shown is not None
    assert wants.shown.keys() == TOOLS
    if changes:
        scene.shows["notes", Listed.TOOLS] = "something else"
    told = Told()
    await again(scene, wants, told)
    await scene.clock.forward(3)
    assert told.methods == ([TOOLS_CHANGED] if changes else [])


async def test_while_a_uri_is_judged_it_does_not_rest(scene: Scene) -> None:
    opened = await scene.open(frozenset(), "a:1")
    scene.judging = asyncio.Event()
    adding = asyncio.ensure_future(opened.add("a:2"))
    await scene.settle()
    assert opened.resting is None
    scene.judging.set()
    await adding
    assert opened.resting == Wants(frozenset(), ("a:1", "a:2"), {})
