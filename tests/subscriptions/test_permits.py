import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import Refused
from gateway.model import Code, Digest
from gateway.subscriptions import updates
from tests.feeding import Feeding, Told
from tests.path import DataPath
from tests.subscriptions.scene import Scene

NO = Refused(Code.POLICY_DENIED, "not this one")
NOT_NOW = Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached")


def swapped(scene: Scene) -> None:
    class Other:
        class bundle:  # noqa: N801 - as an attribute is named
            digest = Digest("sha256:another")

    scene.gw.pdp = Other  # type: ignore[assignment] # of which only the digest is looked at


async def waited(scene: Scene) -> None:
    await scene.clock.forward(updates.PERMITTED_SECONDS)


def touched(scene: Scene) -> None:
    scene.gw.hub.epoch += 1


OLD: list[Callable[[Scene], Any]] = [swapped, waited, touched]


@pytest.mark.parametrize("grow_old", OLD)
async def test_an_old_permit_is_given_again_before_the_next_update_is_told(
    scene: Scene, grow_old: Callable[[Scene], Any]
) -> None:
    told = Told()
    await scene.open(frozenset(), "a:1", told=told)
    await scene.settle()
    if (waiting := grow_old(scene)) is not None:
        await waiting
    scene.judging = asyncio.Event()
    scene.notes.last.updated("a:1")
    await scene.clock.forward(1)
    scene.notes.last.updated("a:1")
    await scene.clock.forward(1)
    assert (len(scene.permits), told.said) == (2, [])
    scene.judging.set()
    await scene.settle()
    assert told.uris == ["a:1"]
    scene.notes.last.updated("a:1")
    assert (len(scene.permits), told.uris) == (2, ["a:1", "a:1"])


@pytest.mark.parametrize("grow_old", OLD)
async def test_a_uri_that_is_refused_then_ends_without_a_word(
    scene: Scene, grow_old: Callable[[Scene], Any], caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    subscription = await scene.open(frozenset(), "a:1", "a:2", told=told)
    await scene.settle()
    if (waiting := grow_old(scene)) is not None:
        await waiting
    scene.refuses["a:1"] = NO
    scene.notes.last.updated("a:1")
    scene.notes.last.updated("a:2")
    await scene.clock.forward(1)
    assert told.uris == ["a:2"]
    assert subscription.wants.uris == ("a:2",)
    assert scene.notes.last.uris == ("a:2",)
    assert "a:1" in caplog.text


async def test_a_policyswapped_while_a_permit_is_given_is_asked_too(scene: Scene) -> None:
    told = Told()
    subscription = await scene.open(frozenset(), "a:1", told=told)
    await scene.settle()
    touched(scene)
    scene.judging = asyncio.Event()
    scene.notes.last.updated("a:1")
    await scene.settle()
    swapped(scene)
    scene.judging.set()
    await scene.settle()
    assert (len(scene.permits), told.uris, subscription.wants.uris) == (3, ["a:1"], ("a:1",))


async def test_a_permit_that_cannot_be_given_for_now_delays_its_update(scene: Scene) -> None:
    told = Told()
    subscription = await scene.open(frozenset(), "a:1", told=told)
    await scene.settle()
    touched(scene)
    scene.refuses["a:1"] = NOT_NOW
    for _ in range(20):
        scene.notes.last.updated("a:1")
        await scene.clock.forward(1)
    assert (len(scene.permits), told.said) == (2, [])
    scene.refuses.clear()
    await scene.clock.forward(updates.NOT_NOW_SECONDS)
    assert (len(scene.permits), told.uris, subscription.wants.uris) == (3, ["a:1"], ("a:1",))


@pytest.mark.parametrize("refused", [None, NO, NOT_NOW])
async def test_a_uri_removed_while_its_permit_is_given_again_is_told_nothing(
    scene: Scene, refused: Refused | None
) -> None:
    told = Told()
    subscription = await scene.open(frozenset(), "a:1", told=told)
    await scene.settle()
    touched(scene)
    scene.judging = asyncio.Event()
    scene.notes.last.updated("a:1")
    await scene.settle()
    subscription.remove("a:1")
    if refused is not None:
        scene.refuses["a:1"] = refused
    scene.judging.set()
    await scene.clock.forward(updates.NOT_NOW_SECONDS)
    assert (told.said, scene.gw.hub.feeds) == ([], {})


SUBSCRIBES = """package bascule.call

allow contains "notes may be followed" if {
	input.call.kind == "subscription"
	startswith(input.subscription.uri, "note:")
}
"""


async def test_what_the_policy_says_of_a_uri_holds_and_is_in_the_log(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "UPDATE_SECONDS", 0)
    path.use(SUBSCRIBES)
    upstream = Feeding(acknowledges=True)
    path.gw.executors["notes"] = upstream
    scene = Scene(path.gw, None)  # type: ignore[arg-type] # nothing here goes by the clock
    told = Told()
    subscription = await scene.open(frozenset(), "note:1", told=told)
    with pytest.raises(Refused):
        await subscription.add("secret:1")
    await scene.settle()
    upstream.last.updated("note:1")
    assert told.uris == ["note:1"]
    path.use(SUBSCRIBES.replace("note:", "page:"))
    await subscription.add("page:1")
    await scene.settle()
    upstream.last.updated("note:1")
    upstream.last.updated("page:1")
    await asyncio.wait([task for task in path.gw.tasks._running if "_renewed" in repr(task)])
    assert (told.uris, subscription.wants.uris) == (["note:1", "page:1"], ("page:1",))
    assert len(path.leaves("call.refused")) == 2
    assert len(path.leaves("call.intent")) == len(path.leaves("call.settled")) == 2
    subscription.close()
