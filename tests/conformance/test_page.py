"""The page about conformance says of each run what came of it, a failure as plainly as a pass."""

from collections import Counter

import pytest

from tests.conformance.page import bridge, cell
from tests.conformance.runs import Run
from tests.conformance.suite import SERVER, Verdict

PASSED, WRONG = Counter({("a", "SUCCESS"): 2}), Counter({("a", "SUCCESS"): 1, ("b", "FAILURE"): 2})
TOLD = Verdict(1, {"good": PASSED, "bad": WRONG, "known": WRONG}, frozenset({"known"}), "")


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("good", "passed, 2"),
        ("bad", "**failed**, 1 of 3"),
        ("known", "expected to fail"),
        ("missing", "not run"),
    ],
)
def test_a_cell_says_what_came_of_a_scenario(scenario: str, said: str) -> None:
    assert cell(TOLD, scenario) == said


def test_a_bridge_says_what_passed_and_why_the_rest_cannot() -> None:
    said = bridge(Run(SERVER, "2025-11-25", "modern", exceptions={"known": '"It cannot."'}), TOLD)
    assert "1 scenarios pass: `good`." in said
    assert '- `known`: "It cannot."' in said


def test_a_warning_is_no_pass() -> None:
    told = Verdict(0, {"warned": Counter({("a", "WARNING"): 1})}, frozenset(), "")
    assert told.failing == {"warned"}


def test_a_check_that_ended_otherwise_or_was_not_made_makes_runs_unlike() -> None:
    other = Verdict(0, {"good": Counter({("a", "SUCCESS"): 1})}, frozenset(), "")
    assert TOLD.unlike(other) == ["bad", "good"]
    assert TOLD.unlike(TOLD) == []
