import pytest

from gateway.transports.client import Client
from gateway.transports.sessions import Address, Sessions

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
