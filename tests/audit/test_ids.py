"""Ids rise, whatever the clock does."""

import time
import uuid

import pytest

from gateway.audit.ids import TAIL, Rising, uuid7


def test_an_id_is_a_uuid_of_version_7_that_carries_the_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    found = uuid7()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(found)
    assert str(parsed) == found
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before <= parsed.int >> 80 <= after


def test_ids_rise_as_text_within_a_millisecond() -> None:
    found = [uuid7() for _ in range(20_000)]
    assert found == sorted(set(found))


def test_ids_rise_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    rising = Rising()
    first = rising.uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    assert rising.uuid7() > first


def test_ids_rise_when_a_millisecond_has_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    rising = Rising()
    rising.uuid7()
    rising._tail = (1 << TAIL) - 1
    last_of_this = rising._ms
    last = rising.uuid7()
    assert uuid.UUID(last).int >> 80 == last_of_this + 1
    assert uuid.UUID(last).version == 7
    assert rising.uuid7() > last
