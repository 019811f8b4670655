from typing import Any

import pytest

from gateway.executors.stdio.notices import LEVELS, progress_of, severe_enough
from gateway.model import JsonObject


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"progress": 1}, {"progress": 1}),
        ({"progressToken": "t", "progress": 0.5, "total": 2}, {"progress": 0.5, "total": 2}),
        ({"progress": -1, "message": "m", "x": 1, "_meta": {}}, {"progress": -1, "message": "m"}),
        ({"progress": 1, "total": None, "message": None}, {"progress": 1}),
        ({}, None),
        ({"progress": "1"}, None),
        ({"progress": True}, None),
        ({"progress": 1, "total": "2"}, None),
        ({"progress": 1, "message": {"text": "m"}}, None),
    ],
)
def test_progress_is_reduced_to_what_the_specification_names(said: JsonObject, told: JsonObject | None) -> None:
    assert progress_of(said) == told


@pytest.mark.parametrize("wanted", LEVELS)
def test_a_message_is_worth_telling_from_the_wanted_level_on(wanted: str) -> None:
    told = [level for level in LEVELS if severe_enough({"level": level, "data": 1}, wanted)]
    assert told == list(LEVELS[LEVELS.index(wanted) :])


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"level": "error", "data": 1}, ""),
        ({"level": "error", "data": 1}, "loud"),
        ({"level": "loud", "data": 1}, "debug"),
        ({"level": ["error"], "data": 1}, "debug"),
        ({"level": 3, "data": 1}, "debug"),
        ({"level": "error"}, "debug"),
        ({}, "debug"),
    ],
)
def test_what_is_no_log_message_or_not_wanted_is_not_told(said: JsonObject, wanted: Any) -> None:
    assert not severe_enough(said, wanted)
