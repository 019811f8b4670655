"""The table of run states."""

import pytest

from gateway.model import Ending, RunState
from gateway.runs.states import TRANSITIONS, Event, after_ending


def test_every_state_has_its_row_and_every_event_is_used() -> None:
    assert set(TRANSITIONS) == {None, *RunState}
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


def test_every_state_can_be_reached() -> None:
    assert {target for row in TRANSITIONS.values() for target in row.values()} == set(RunState)


@pytest.mark.parametrize("state", [RunState.ENDED, RunState.FROZEN])
def test_nothing_leaves_an_ended_or_a_frozen_run(state: RunState) -> None:
    assert TRANSITIONS[state] == {}


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (Ending.DONE, RunState.ENDED),
        (Ending.FAILED, RunState.ENDED),
        (Ending.WITHHELD, RunState.ENDED),
        (Ending.UNKNOWN, RunState.FROZEN),
    ],
)
def test_an_unknown_ending_freezes_the_run_and_every_other_ends_it(ending: Ending, state: RunState) -> None:
    assert after_ending(ending) is state
