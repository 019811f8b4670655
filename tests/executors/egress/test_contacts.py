"""What a sandbox tried to reach."""

from itertools import count

from gateway.executors.egress.contacts import Contact, Contacts, Verdict


def ticking() -> Contacts:
    ticks = count(1)
    return Contacts(clock=lambda: float(next(ticks)), most=3)


def test_attempts_are_taken_once_the_oldest_first() -> None:
    contacts = ticking()
    contacts.note("b.example", 443, Verdict.REFUSED, "not on the allow-list")
    contacts.note("a.example", 443, Verdict.FAILED, "no connection", "93.184.216.34")
    assert contacts.taken() == [
        Contact("b.example", 443, Verdict.REFUSED, "not on the allow-list", at=1),
        Contact("a.example", 443, Verdict.FAILED, "no connection", "93.184.216.34", at=2),
    ]
    assert contacts.taken() == []


def test_the_same_attempt_again_is_counted_and_fills_no_second_line() -> None:
    contacts = ticking()
    for _ in range(1000):
        contacts.note("b.example", 443, Verdict.REFUSED, "not on the allow-list")
    [contact] = contacts.taken()
    assert (contact.times, contact.at) == (1000, 1)


def test_bytes_of_a_connection_that_ended_are_in_its_line() -> None:
    contacts = ticking()
    tally = contacts.opened("a.example", 443, "93.184.216.34")
    tally.up, tally.down = 10, 2000
    contacts.closed(tally)
    assert contacts.taken() == [Contact("a.example", 443, Verdict.ALLOWED, "", "93.184.216.34", 10, 2000, at=1)]


def test_a_connection_that_stays_open_shows_each_time_what_it_carried_since() -> None:
    contacts = ticking()
    tally = contacts.opened("a.example", 443, "93.184.216.34")
    assert [(contact.up, contact.times) for contact in contacts.taken()] == [(0, 1)]
    tally.up = 5
    assert [(contact.up, contact.times) for contact in contacts.taken()] == [(5, 0)]
    assert contacts.taken() == []
    tally.up += 7
    contacts.closed(tally)
    assert [(contact.up, contact.times) for contact in contacts.taken()] == [(7, 0)]
    assert contacts.taken() == []


def test_two_connections_to_one_place_are_one_line() -> None:
    contacts = ticking()
    for up in (1, 2):
        tally = contacts.opened("a.example", 443, "93.184.216.34")
        tally.up = up
        contacts.closed(tally)
    [contact] = contacts.taken()
    assert (contact.up, contact.times) == (3, 2)


def test_beyond_the_bound_attempts_are_only_counted() -> None:
    contacts = ticking()
    for name in ("a", "b", "c", "d", "e"):
        contacts.note(f"{name}.example", 443, Verdict.REFUSED, "not on the allow-list")
    assert [contact.host for contact in contacts.taken()] == ["a.example", "b.example", "c.example"]
    assert contacts.lost == 2
    assert contacts.taken() == []
    assert contacts.lost == 0
