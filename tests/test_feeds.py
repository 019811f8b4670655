import asyncio
import logging
from itertools import pairwise
from typing import Any

import pytest

from gateway import feeds
from gateway.channel import Tell
from gateway.errors import Failed
from gateway.executors.backoff import LONGEST_SECONDS
from gateway.feeds import Feed, FeedKey, Hub, Listener, Pace
from gateway.kinds import ACKNOWLEDGED, UPDATED
from gateway.model import Code, Principal
from gateway.parts import Tasks
from tests import nouns
from tests.feeding import Clock, Feeding, Told, in_hand, settle

KEY = FeedKey(nouns.AGENT, "s1", "notes")
DOWN = Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached", detail="refused")


def listener(told: Told | None = None) -> Listener:
    return Listener(nouns.AGENT, nouns.NOTES, "2026-07-28", "http", "s1", told or Told(), frozenset())


class Following:
    """A feed of a scripted upstream, and what it brought."""

    def __init__(self, hub: Hub | None = None) -> None:
        self.tasks, self.upstream, self.hub = Tasks(), Feeding(), hub or Hub()
        self.heard: list[tuple[str, Any]] = []
        self.again: list[bool] = []
        self.who = listener()
        self.feed = self.opened()

    def opened(self) -> Feed:
        return self.hub.opened(
            KEY,
            self.upstream,
            lambda _, method, params: self.heard.append((method, params)),
            lambda _, missed: self.again.append(missed),
            self.tasks.start,
        )


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return in_hand(monkeypatch)


@pytest.fixture
async def following(clock: Clock) -> Any:
    made = Following()
    made.feed.add("a:1", made.who)
    await settle()
    yield made
    await made.tasks.close()


async def test_a_pace_acts_at_once_then_once_a_period_with_the_last_wish_and_rests_without_a_timer(
    clock: Clock,
) -> None:
    acted: list[float] = []
    pace = Pace(0.1, lambda: acted.append(round(clock.now - 1_000, 3)))
    for _ in range(10_000):
        pace.wish()
    await clock.forward(0.35)
    pace.wish()
    await clock.forward(1)
    assert acted == [0.0, 0.1, 0.35]
    assert clock.running() == 0


async def test_a_pace_that_is_stopped_forgets_what_was_wished(clock: Clock) -> None:
    acted: list[int] = []
    pace = Pace(0.1, lambda: acted.append(1))
    pace.wish()
    pace.wish()
    pace.stop()
    pace.stop()
    await clock.forward(1)
    assert acted == [1]


async def test_a_feed_tells_what_its_upstream_says_for_its_owner(following: Following) -> None:
    opening = following.upstream.last
    assert (opening.owner, opening.session, opening.uris) == (nouns.AGENT, "s1", ("a:1",))
    opening.updated("a:1")
    assert following.heard == [(UPDATED, {"uri": "a:1"})]


async def test_an_open_feed_rests_without_a_timer(following: Following, clock: Clock) -> None:
    await clock.forward(feeds.SETTLED_SECONDS)
    assert clock.running() == 0
    assert following.again == [False]


@pytest.mark.parametrize(
    "fault", [DOWN, RuntimeError("a mistake of an executor"), None], ids=["failed", "a mistake", "returned"]
)
async def test_a_feed_that_ends_is_opened_again_later_each_time_and_told_of_once(
    following: Following, clock: Clock, caplog: pytest.LogCaptureFixture, fault: Exception | None
) -> None:
    caplog.set_level(logging.WARNING)
    following.upstream.fails = fault or DOWN
    end = following.upstream.last.end
    if fault is None:
        end.set_result(None)
    else:
        end.set_exception(fault)
    times = []
    for _ in range(200):
        seen = len(following.upstream.openings)
        await clock.forward(0.25)
        times += [clock.now - 1_000] * (len(following.upstream.openings) - seen)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert len(waits) >= 5
    assert waits[:5] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_what_may_have_been_missed_is_said_when_a_broken_feed_is_open_again(
    following: Following, clock: Clock
) -> None:
    following.upstream.last.end.set_exception(DOWN)
    await clock.forward(0.5)
    assert following.again == []
    await clock.forward(feeds.SETTLED_SECONDS)
    assert following.again == [True]


async def test_a_feed_that_was_open_for_long_is_opened_again_soon(following: Following, clock: Clock) -> None:
    for _ in range(10):
        before = len(following.upstream.openings)
        await clock.forward(LONGEST_SECONDS)
        following.upstream.last.end.set_exception(DOWN)
        await clock.forward(0.3)
        assert len(following.upstream.openings) == before + 1


async def test_uris_that_come_and_go_renew_a_feed_at_most_ten_times_a_second_and_the_last_set_counts(
    following: Following, clock: Clock
) -> None:
    for number in range(100):
        following.feed.add(f"b:{number}", following.who)
        following.feed.remove(f"b:{number - 1}", following.who)
        await settle()
    await clock.forward(2)
    assert [one.uris for one in following.upstream.openings] == [("a:1",), ("a:1", "b:0"), ("a:1", "b:99")]
    assert following.upstream.open_now == 1
    assert following.again == [False]


async def test_nothing_is_missed_while_a_feed_is_renewed(following: Following, clock: Clock) -> None:
    earlier = following.upstream.last
    following.feed.add("a:2", following.who)
    await clock.forward(0.5)
    assert following.upstream.open_now == 2
    earlier.updated("a:1")
    following.upstream.last.updated("a:2")
    assert following.heard == [(UPDATED, {"uri": "a:1"}), (UPDATED, {"uri": "a:2"})]
    await clock.forward(feeds.SETTLED_SECONDS)
    assert following.upstream.open_now == 1
    earlier.updated("a:1")
    assert len(following.heard) == 2


async def test_a_feed_that_is_closed_while_it_is_renewed_ends_whole(following: Following, clock: Clock) -> None:
    following.feed.add("a:2", following.who)
    await clock.forward(0.5)
    following.hub.close(KEY)
    await settle()
    assert (following.upstream.open_now, following.hub.ending) == (0, {})


async def test_the_end_of_an_earlier_opening_is_no_break(
    following: Following, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = following.upstream.last
    following.feed.add("a:2", following.who)
    await settle()
    earlier.end.set_exception(DOWN)
    await clock.forward(5)
    assert (following.upstream.open_now, len(following.upstream.openings)) == (1, 2)
    assert (following.again, caplog.records) == ([False], [])


async def test_a_uri_that_another_holds_too_renews_nothing(following: Following, clock: Clock) -> None:
    other = listener()
    following.feed.add("a:1", other)
    following.feed.remove("a:1", other)
    following.feed.remove("a:2", other)
    await clock.forward(1)
    assert len(following.upstream.openings) == 1


async def test_uris_that_change_while_a_feed_is_broken_shorten_no_wait(following: Following, clock: Clock) -> None:
    following.upstream.last.end.set_exception(DOWN)
    await settle()
    following.feed.add("a:2", following.who)
    await clock.forward(0.2)
    following.feed.remove("a:1", following.who)
    assert len(following.upstream.openings) == 1
    await clock.forward(0.1)
    assert [one.uris for one in following.upstream.openings] == [("a:1",), ("a:2",)]


async def test_an_upstream_that_offers_no_such_thing_is_asked_seldom_or_for_something_else(
    following: Following, clock: Clock
) -> None:
    following.upstream.fails = Failed(Code.UPSTREAM_INVALID, "the upstream does not offer to tell of changes")
    following.feed.add("a:2", following.who)
    await clock.forward(feeds.NOT_OFFERED_SECONDS - 1)
    assert len(following.upstream.openings) == 2
    await clock.forward(2)
    assert len(following.upstream.openings) == 3
    following.upstream.fails = None
    following.feed.remove("a:2", following.who)
    await clock.forward(1)
    assert [one.uris for one in following.upstream.openings[3:]] == [("a:1",)]


async def test_resources_may_be_refused_late_for_each_is_asked_for_itself(following: Following, clock: Clock) -> None:
    feed, first = following.feed, following.upstream.last
    await clock.forward(feeds.SETTLED_SECONDS + 1)
    assert (feed.listening.is_set(), feed.answered.is_set()) == (True, False)
    first.end.set_exception(Failed(Code.UPSTREAM_INVALID, "the upstream answered with error -32602"))
    await settle()
    assert (set(feed.refused), feed.answered.is_set()) == ({"a:1"}, True)


async def test_what_breaks_after_it_was_acknowledged_refuses_nothing(following: Following, clock: Clock) -> None:
    feed, first = following.feed, following.upstream.last
    first.tell(ACKNOWLEDGED, {"refused": []})
    assert feed.answered.is_set()
    await clock.forward(feeds.SETTLED_SECONDS + 1)
    first.end.set_exception(Failed(Code.UPSTREAM_INVALID, "it breaks the protocol"))
    await settle()
    assert feed.refused == frozenset()


async def test_uris_that_come_are_unanswered_until_their_upstream_has_said_something_of_them(
    following: Following, clock: Clock
) -> None:
    feed = following.feed
    following.upstream.last.tell(ACKNOWLEDGED, {"refused": []})
    feed.add("a:2", following.who)
    assert not feed.answered.is_set()
    await clock.forward(feeds.RENEW_SECONDS)
    assert not feed.answered.is_set()
    following.upstream.openings[0].tell(ACKNOWLEDGED, {"refused": []})
    assert not feed.answered.is_set(), "that was of the opening before"
    following.upstream.last.tell(ACKNOWLEDGED, {"refused": ["a:2"]})
    assert (set(feed.refused), feed.answered.is_set()) == ({"a:2"}, True)


async def test_a_feed_moves_to_another_executor_at_once_even_while_it_waits(following: Following, clock: Clock) -> None:
    following.upstream.last.end.set_exception(DOWN)
    await settle()
    following.feed.move(following.upstream)
    assert len(following.upstream.openings) == 1
    replacement = Feeding()
    following.feed.move(replacement)
    await clock.forward(feeds.SETTLED_SECONDS)
    assert len(following.upstream.openings) == 1
    assert (replacement.open_now, following.again) == (1, [True])


async def test_what_is_said_after_a_feed_was_closed_or_left_is_not_heard(following: Following) -> None:
    earlier = following.upstream.last
    following.feed.move(Feeding())
    earlier.updated("a:1")
    await settle()
    following.feed.close()
    earlier.updated("a:1")
    assert following.heard == []


async def test_the_next_feed_of_a_key_waits_until_the_one_before_has_withdrawn(clock: Clock) -> None:
    withdrawn = asyncio.Event()

    class Slow(Feeding):
        async def feed(self, owner: Principal | None, session: str, uris: tuple[str, ...], tell: Tell) -> None:
            try:
                await Feeding.feed(self, owner, session, uris, tell)
            finally:
                await withdrawn.wait()

    made = Following()
    made.upstream = Slow()
    made.hub.close(KEY)
    made.feed = made.opened()
    await settle()
    made.hub.close(KEY)
    made.feed = made.opened()
    made.feed.add("a:1", made.who)
    made.feed.move(made.upstream)
    await settle()
    assert len(made.upstream.openings) == 1
    withdrawn.set()
    await settle()
    assert [one.uris for one in made.upstream.openings] == [(), ("a:1",)]
    made.hub.close(KEY)
    await settle()
    assert (made.hub.ending, made.hub.feeds, made.upstream.open_now) == ({}, {}, 0)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_feed_that_is_closed_ends(clock: Clock, begun: bool) -> None:
    made = Following()
    if begun:
        await settle()
    made.hub.close(KEY)
    made.hub.close(KEY)
    made.feed.add("a:1", made.who)
    made.feed.move(Feeding())
    await clock.forward(60)
    assert made.upstream.open_now == 0
    assert len(made.upstream.openings) == int(begun)
    assert clock.running() == 0


@pytest.mark.parametrize("renewing", [False, True])
async def test_the_end_of_the_process_ends_a_feed_whatever_the_executor_makes_of_it(
    clock: Clock, renewing: bool
) -> None:
    class Keeping(Feeding):
        async def feed(self, owner: Principal | None, session: str, uris: tuple[str, ...], tell: Tell) -> None:
            try:
                await Feeding.feed(self, owner, session, uris, tell)
            except asyncio.CancelledError:
                raise DOWN from None

    made = Following()
    made.upstream = Keeping()
    made.hub.close(KEY)
    made.feed = made.opened()
    await settle()
    if renewing:
        made.feed.add("a:1", made.who)
    async with asyncio.timeout(5):
        await made.tasks.close()
    assert made.upstream.open_now == 0


async def test_who_cannot_be_told_is_told_of_in_the_log_and_a_closed_one_is_told_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told(fails=RuntimeError("broken"))
    who = listener(told)
    who.say(UPDATED, {})
    who.closed = True
    who.say(UPDATED, {})
    assert told.methods == [UPDATED]
    assert len(caplog.records) == 1
