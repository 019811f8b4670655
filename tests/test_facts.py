"""What is known of a session and a task."""

import pytest

from gateway import facts
from gateway.facts import SOURCES, Sessions
from gateway.writes import SessionSeen
from tests import nouns

UNTRUSTED = ("untrusted",)


@pytest.fixture
def stored() -> dict[str, SessionSeen]:
    return {}


@pytest.fixture
def sessions(stored: dict[str, SessionSeen]) -> Sessions:
    return Sessions(stored.get)


def test_a_new_session_has_read_and_done_nothing(sessions: Sessions) -> None:
    facts = sessions.gather(nouns.call())
    assert (facts.labels, facts.writes, facts.sources, facts.task_runs) == ((), 0, (), 0)


def test_what_a_run_taught_is_in_force_for_the_next_decision(sessions: Sessions) -> None:
    sessions.learn(nouns.proposal(), labels=UNTRUSTED, wrote=True)
    facts = sessions.gather(nouns.call())
    assert (facts.labels, facts.writes, facts.sources) == (UNTRUSTED, 1, ("notes/write_note",))


def test_a_restart_does_not_wash_a_session_clean(sessions: Sessions, stored: dict[str, SessionSeen]) -> None:
    for seen in sessions.learn(nouns.proposal(), labels=UNTRUSTED, wrote=False):
        stored[seen.session] = seen
    assert Sessions(stored.get).gather(nouns.call()).labels == UNTRUSTED


def test_labels_are_only_ever_added(sessions: Sessions) -> None:
    sessions.learn(nouns.proposal(), labels=UNTRUSTED, wrote=False)
    sessions.learn(nouns.proposal(), labels=("private",), wrote=False)
    assert sessions.labels("principal:agent") == ("private", "untrusted")


def test_one_session_learns_nothing_from_another(sessions: Sessions) -> None:
    sessions.learn(nouns.proposal(), labels=UNTRUSTED, wrote=True)
    assert sessions.gather(nouns.call(session="other", task="other")).labels == ()


def test_a_task_of_its_own_counts_its_own_runs(sessions: Sessions) -> None:
    proposal = nouns.proposal(call=nouns.call(task="t-1"))
    seen = sessions.learn(proposal, labels=(), wrote=False)
    sessions.learn(nouns.proposal(), labels=(), wrote=False)
    assert [one.session for one in seen] == ["principal:agent", "task:t-1"]
    assert sessions.gather(nouns.call(task="t-1")).task_runs == 1
    assert sessions.gather(nouns.call()).task_runs == 2


def test_sources_are_bounded(sessions: Sessions) -> None:
    for number in range(SOURCES + 10):
        sessions.learn(nouns.proposal(pin=nouns.pin(f"tool{number}")), labels=UNTRUSTED, wrote=False)
    assert len(sessions.gather(nouns.call()).sources) == SOURCES


def test_the_time_is_whole_seconds_in_utc(sessions: Sessions) -> None:
    assert sessions.now().endswith("Z")
    assert len(sessions.now()) == len("2026-11-22T12:00:00Z")


def test_memory_is_bounded_and_whoever_was_put_out_of_it_is_read_from_the_store_again(
    sessions: Sessions, stored: dict[str, SessionSeen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "KEPT", 3)
    for name in ("a", "b", "c", "d", "e"):
        call = nouns.call(session=name, task=name)
        for seen in sessions.learn(nouns.proposal(call=call), labels=(f"of-{name}",), wrote=False):
            stored[seen.session] = seen
        sessions.labels("a")
    assert list(sessions._known) == ["d", "e", "a"]
    assert {name: sessions.labels(name) for name in "abcde"} == {name: (f"of-{name}",) for name in "abcde"}
