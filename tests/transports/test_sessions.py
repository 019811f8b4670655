from typing import cast

import pytest

from gateway.subscriptions import Subscription, Wants
from gateway.transports.client import Client
from gateway.transports.protocol import StrictProtocol
from gateway.transports.sessions import Address, Session, Sessions
from gateway.transports.streams import Stream

HERE: Address = ("files", None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_session_is_found_by_its_principal_at_its_address() -> None:
    sessions = Sessions()
    opened = sessions.open("a", HERE, Client("2025-11-25"))
    assert sessions.find("a", HERE, opened.id) is opened
    assert opened.client.version == "2025-11-25"


@pytest.mark.parametrize(
    ("principal", "address"),
    [("b", HERE), ("", HERE), ("a", ("crm", None)), ("a", (None, "files")), ("a", (None, None))],
)
def test_nobody_else_and_nowhere_else_can_find_or_end_it(principal: str, address: Address) -> None:
    sessions = Sessions()
    opened = sessions.open("a", HERE, Client("2025-11-25"))
    sessions.open("b", HERE, Client("2025-11-25"))
    assert sessions.find(principal, address, opened.id) is None
    assert sessions.end(principal, address, opened.id) is False
    assert sessions.find("a", HERE, opened.id) is opened


def test_an_ended_session_is_gone_and_ends_once() -> None:
    sessions = Sessions()
    opened = sessions.open("a", HERE, Client("2025-11-25"))
    assert sessions.end("a", HERE, opened.id) is True
    assert sessions.find("a", HERE, opened.id) is None
    assert sessions.end("a", HERE, opened.id) is False
    assert len(sessions) == 0


def test_ids_are_visible_ascii_of_192_random_bits() -> None:
    sessions = Sessions(per_principal=10_000)
    ids = {sessions.open("a", HERE, Client("2025-11-25")).id for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(session_id) == 48 and set(session_id) <= set("0123456789abcdef") for session_id in ids)


def test_a_session_expires_when_it_idles_and_not_while_it_is_used() -> None:
    clock = Clock()
    sessions = Sessions(idle_s=100, clock=clock)
    used, idle = sessions.open("a", HERE, Client("2025-11-25")), sessions.open("a", HERE, Client("2025-11-25"))
    for clock.now in (90.0, 180.0, 270.0):
        assert sessions.find("a", HERE, used.id) is used
    assert sessions.find("a", HERE, idle.id) is None
    assert len(sessions) == 1


def test_over_the_cap_the_longest_idle_session_of_the_same_principal_ends() -> None:
    sessions = Sessions(per_principal=3)
    foreign = sessions.open("b", HERE, Client("2025-11-25"))
    first, second, third = (sessions.open("a", HERE, Client("2025-11-25")) for _ in range(3))
    sessions.find("a", HERE, first.id)
    sessions.open("a", HERE, Client("2025-11-25"))
    assert [sessions.find("a", HERE, opened.id) for opened in (first, second, third)] == [first, None, third]
    assert sessions.find("b", HERE, foreign.id) is foreign


def test_any_number_of_handshakes_takes_the_room_of_the_cap() -> None:
    sessions = Sessions(per_principal=50)
    for _ in range(5000):
        sessions.open("a", HERE, Client("2025-11-25"))
    assert len(sessions) == 50


class Subscribed:
    """Stands in for a subscription."""

    def __init__(self, *, settled: bool = True) -> None:
        self.resting = Wants(frozenset(), ("a:1",), {}) if settled else None
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Connection:
    """Stands in for a connection that takes whatever it is given."""

    gone = False
    on_lost: object = None

    def begin(self, _headers: object) -> None:
        """Nothing is written."""

    def put(self, _piece: bytes) -> int:
        return 0

    def finish(self) -> None:
        """Nothing is ended."""


def subscribed(sessions: Sessions, *, settled: bool = True) -> tuple[Session, Subscribed]:
    opened, subscription = sessions.open("a", HERE, Client("2025-11-25")), Subscribed(settled=settled)
    opened.client.subscription = cast(Subscription, subscription)
    return opened, subscription


def test_a_subscription_nobody_comes_for_rests_after_a_minute_and_its_session_stays() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    opened, subscription = subscribed(sessions)
    for clock.now in (30.0, 80.0):
        sessions.sweep()
        assert not subscription.closed
    clock.now = 90.0
    sessions.sweep()
    assert subscription.closed
    assert (opened.client.subscription, opened.resting) == (None, subscription.resting)
    assert sessions.find("a", HERE, opened.id) is opened
    clock.now = 900.0
    sessions.sweep()
    assert opened.resting is subscription.resting


def test_a_client_that_is_seen_now_and_then_keeps_its_subscription() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    opened, subscription = subscribed(sessions)
    for clock.now in range(50, 500, 50):
        assert sessions.find("a", HERE, opened.id) is opened
        sessions.sweep()
    assert not subscription.closed


async def test_a_client_that_reads_keeps_its_subscription_and_has_a_minute_to_come_back() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    opened, subscription = subscribed(sessions)
    stream = opened.standalone = Stream(None, sessions.pulse, opened.replay)
    stream.resume(cast(StrictProtocol, Connection()), [], lambda: None)
    for clock.now in (60.0, 600.0, 1200.0):
        sessions.sweep()
        assert not subscription.closed
    assert opened.send(b"kept")
    stream.release()
    for clock.now in (1201.0, 1260.0):
        sessions.sweep()
        assert not subscription.closed
    clock.now = 1261.0
    sessions.sweep()
    assert subscription.closed
    assert [event.split(b"data: ")[1] for event in opened.replay.of(stream)] == [b"kept\n\n"]


async def test_a_subscription_that_is_being_opened_or_changed_does_not_rest() -> None:
    clock = Clock()
    sessions = Sessions(clock=clock)
    (opening, first), (_, changing) = subscribed(sessions), subscribed(sessions, settled=False)
    async with opening.client.opening:
        for clock.now in (60.0, 120.0, 180.0):
            sessions.sweep()
        assert (first.closed, changing.closed) == (False, False)
    sessions.sweep()
    assert (first.closed, changing.closed) == (True, False)
