"""What a complete list does to the entries of an upstream."""

from typing import Any

import pytest

from gateway.model import JsonObject, PinState
from gateway.registry import offers, pins
from gateway.registry.drift import Change
from gateway.registry.lockfile import Entry, Version

A: JsonObject = {"name": "t", "v": 1}
B: JsonObject = {"name": "t", "v": 2}


def version(definition: JsonObject) -> Version:
    return Version(pins.digest(definition), definition, "then")


def applied(before: Entry | None, *definitions: JsonObject, first_use: bool = True) -> tuple[Entry, list[Change]]:
    offer = offers.read("u", definitions, {})
    entries = {} if before is None else {"t": before}
    after, changes = offers.apply(offer, entries, first_use=first_use, doubtful={}, since="now")
    return after["t"], [change.change for change in changes]


ACCEPTED = Entry(PinState.ACCEPTED, version(A), None)
DRIFTED = Entry(PinState.DRIFTED, version(A), version(B))
WAITING = Entry(PinState.WAITING, None, version(A))
QUARANTINED = Entry(PinState.QUARANTINED, version(A), None)
QUARANTINED_B = Entry(PinState.QUARANTINED, version(A), version(B))


@pytest.mark.parametrize(
    ("before", "offered", "state", "changes"),
    [
        (None, [A], PinState.WAITING, [Change.WAITING]),
        (ACCEPTED, [A], PinState.ACCEPTED, []),
        (ACCEPTED, [B], PinState.DRIFTED, [Change.DRIFTED]),
        (ACCEPTED, [], PinState.ACCEPTED, [Change.VANISHED]),
        (ACCEPTED.marked(listed=False), [], PinState.ACCEPTED, []),
        (ACCEPTED.marked(listed=False), [A], PinState.ACCEPTED, [Change.RETURNED]),
        (ACCEPTED.marked(listed=False), [B], PinState.DRIFTED, [Change.DRIFTED]),
        (DRIFTED, [B], PinState.DRIFTED, []),
        (DRIFTED, [A], PinState.ACCEPTED, [Change.RESTORED]),
        (DRIFTED, [{"name": "t", "v": 3}], PinState.DRIFTED, [Change.DRIFTED]),
        (DRIFTED.marked(listed=False), [B], PinState.DRIFTED, [Change.RETURNED]),
        (WAITING, [A], PinState.WAITING, []),
        (WAITING, [B], PinState.WAITING, [Change.WAITING]),
        (QUARANTINED, [A], PinState.QUARANTINED, []),
        (QUARANTINED, [B], PinState.QUARANTINED, []),
        (QUARANTINED_B, [A], PinState.QUARANTINED, []),
    ],
)
def test_every_state_and_offer_has_one_next_state(
    before: Entry | None, offered: list[JsonObject], state: PinState, changes: list[Change]
) -> None:
    after, seen = applied(before, *offered)
    assert (after.state, seen) == (state, changes)
    assert after.listed is bool(offered)
    if before is not None and before.accepted is not None:
        assert after.accepted == before.accepted


def test_a_quarantined_tool_remembers_what_is_offered_now() -> None:
    assert applied(QUARANTINED, B)[0].offered is not None
    assert applied(QUARANTINED_B, A)[0].offered is None


@pytest.mark.parametrize(
    ("first_use", "doubtful", "state"),
    [(True, {}, PinState.ACCEPTED), (True, {"t": "odd"}, PinState.WAITING), (False, {}, PinState.WAITING)],
)
def test_the_first_list_is_accepted_only_on_first_use_and_without_doubt(
    first_use: bool, doubtful: dict[str, str], state: PinState
) -> None:
    offer = offers.read("u", [A], {})
    entries, changes = offers.apply(offer, None, first_use=first_use, doubtful=doubtful, since="now")
    assert entries["t"].state is state
    assert changes[0].old is None
    assert changes[0].new == pins.digest(A)


def test_a_name_that_stands_twice_is_used_not_at_all() -> None:
    offer = offers.read("u", [A, B, {"name": "ok"}], {})
    assert offer.seen.keys() == {"ok"}
    assert [problem.name for problem in offer.problems] == ["t"]


@pytest.mark.parametrize(
    ("definition", "word"),
    [
        ({"name": "a b"}, "SPACE"),
        ({}, "not a string"),
        ({"name": ["a"]}, "not a string"),
        ("tool", "not a string"),
        ({"name": "t", "v": 1e400}, "no canonical form"),
        ({"name": "t", "v": 2**60}, "no canonical form"),
        ({"name": "t", "v": "\ud800"}, "no canonical form"),
    ],
)
def test_what_cannot_be_pinned_is_reported_and_left_out(definition: Any, word: str) -> None:
    offer = offers.read("u", [definition], {})
    assert not offer.seen
    assert word in offer.problems[0].text


def test_a_definition_seen_before_is_not_digested_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = offers.read("u", [A], {}).seen

    def never(_: JsonObject) -> str:
        raise AssertionError

    monkeypatch.setattr(pins, "digest", never)
    assert offers.read("u", [dict(A)], before).seen == before


@pytest.mark.parametrize(
    ("text", "hides"),
    [
        ("plain \n text", False),
        ("caf\u00e9 \u2764\ufe0f", False),
        ("a\u200bb", True),
        ("\x1b[8m", True),
        ("\U000e0041", True),
    ],
)
def test_a_definition_that_hides_text_is_seen(text: str, hides: bool) -> None:
    assert offers.hides_text({"name": "t", "description": text}) is hides
