"""Who is told that an elicitation by an address is complete."""

from typing import Any

import pytest

from gateway import feeds, subscriptions
from gateway.executors.messages import ELICITED
from gateway.feeds import Visits
from gateway.model import Principal
from gateway.subscriptions import Subscription, Wants
from tests import nouns
from tests.feeding import Told
from tests.subscriptions.scene import TOOLS, Scene

SENT: dict[str, Any] = {"elicitationId": "1"}
LEGACY = "2025-11-25"


async def listens(
    scene: Scene, session: str, told: Told, era: str = LEGACY, principal: Principal = nouns.AGENT
) -> Subscription:
    opened = await subscriptions.open_subscription(
        principal, nouns.NOTES, era, "http", session, Wants(TOOLS), told, scene.gw
    )
    await scene.settle()
    return opened


async def test_only_the_client_that_was_sent_there_is_told_and_once(scene: Scene) -> None:
    whose = [(nouns.AGENT, "s1"), (nouns.AGENT, "s2"), (Principal("bob"), "s1")]
    told = [Told() for _ in whose]
    for (principal, session), one in zip(whose, told, strict=True):
        await listens(scene, session, one, principal=principal)
    scene.gw.hub.visits.sent("notes", "1", nouns.AGENT.id, "s1")
    for _ in range(2):
        scene.notes.last.tell(ELICITED, SENT)
    assert [one.said for one in told] == [[(ELICITED, SENT)], [], []]


@pytest.mark.parametrize(
    ("upstream", "ident", "era"),
    [("crm", "1", LEGACY), ("notes", "2", LEGACY), ("notes", "1", "2025-06-18"), ("notes", "1", "2026-07-28")],
    ids=["another upstream's", "another id", "an older client", "a modern client"],
)
async def test_of_what_is_no_elicitation_of_its_own_it_is_told_nothing(
    scene: Scene, upstream: str, ident: str, era: str
) -> None:
    told = Told()
    await listens(scene, "s1", told, era)
    scene.gw.hub.visits.sent(upstream, ident, nouns.AGENT.id, "s1")
    scene.notes.last.tell(ELICITED, SENT)
    assert not told.said


def test_nothing_is_remembered_for_ever_nor_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("gateway.feeds.time.monotonic", lambda: now)
    monkeypatch.setattr(feeds, "MOST_VISITS", 3)
    visits = Visits()
    for number in range(5):
        visits.sent("notes", str(number), "agent", "s1")
    assert (len(visits), visits.done("notes", "1")) == (3, None)
    visits.sent("notes", "2", "bob", "s2")
    assert visits.done("notes", "2") == ("bob", "s2")
    assert visits.done("notes", "2") is None
    now = feeds.VISIT_SECONDS
    assert visits.done("notes", "3") is None
    visits.sent("notes", "5", "agent", "s1")
    assert len(visits) == 1
