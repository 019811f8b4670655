"""The table of run states."""

from collections.abc import Iterator

import pytest

from gateway.model import Ending, RunId, RunState
from gateway.runs import states
from gateway.runs.states import ACTS, BY_A_PERSON, TRANSITIONS, Event

RUN = RunId("018f0000-0000-7000-8000-000000000001")
Path = tuple[tuple[RunState | None, Event, RunState], ...]


def paths(state: RunState | None, walked: Path = ()) -> Iterator[Path]:
    """Every way through the table that takes no step twice."""
    steps = [(state, event, after) for event, after in TRANSITIONS[state].items()]
    fresh = [step for step in steps if step not in walked]
    if walked:
        yield walked
    for step in fresh:
        yield from paths(step[2], (*walked, step))


def test_every_state_has_its_row_and_every_event_is_used() -> None:
    assert set(TRANSITIONS) == {None, *RunState}
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


def test_every_state_can_be_reached_and_every_one_but_ended_can_be_left() -> None:
    assert {target for row in TRANSITIONS.values() for target in row.values()} == set(RunState)
    assert [state for state, row in TRANSITIONS.items() if not row] == [RunState.ENDED]


@pytest.mark.promise("runs.table")
def test_no_path_leads_to_an_effect_without_a_durable_intent_before_it() -> None:
    ways = [path for path in paths(None) if path[-1][2] in ACTS]
    assert ways
    assert all(any(event is Event.INTENT for _, event, _ in path) for path in ways)


@pytest.mark.promise("runs.table")
def test_no_path_leads_out_of_frozen_without_a_person() -> None:
    leaving = [step for path in paths(None) for step in path if step[0] is RunState.FROZEN]
    assert leaving
    assert all(event in BY_A_PERSON for _, event, _ in leaving)


def test_nothing_acts_again_once_its_end_is_in_doubt() -> None:
    for path in paths(None):
        visited = [after for _, _, after in path]
        if RunState.FROZEN in visited:
            assert not ACTS & set(visited[visited.index(RunState.FROZEN) :])


@pytest.mark.parametrize(
    ("ending", "expected", "state"),
    [
        (Ending.DONE, (RunState.INTENDED,), RunState.ENDED),
        (Ending.FAILED, (RunState.INTENDED,), RunState.ENDED),
        (Ending.WITHHELD, (RunState.INTENDED,), RunState.ENDED),
        (Ending.UNKNOWN, (RunState.INTENDED,), RunState.FROZEN),
        (Ending.REFUSED, (RunState.WAITING,), RunState.ENDED),
        (Ending.EXPIRED, (RunState.WAITING,), RunState.ENDED),
    ],
)
def test_each_ending_leads_from_where_it_can_happen(
    ending: Ending, expected: tuple[RunState, ...], state: RunState
) -> None:
    write = states.ended(RUN, ending, "CODE")
    assert (write.expected, write.state, write.ending, write.code) == (expected, state, ending, "CODE")


def test_what_a_person_resolves_was_frozen() -> None:
    write = states.resolved(RUN, Ending.DONE)
    assert (write.expected, write.state) == ((RunState.FROZEN,), RunState.ENDED)


def test_every_ending_has_its_event() -> None:
    assert all(states.ended(RUN, ending).ending is ending for ending in Ending)
