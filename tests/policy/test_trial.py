"""Recorded calls tried under a changed policy."""

from pathlib import Path

from gateway.policy import trial, wording
from gateway.policy.suggestion import suggest
from tests.policy.questions import loaded
from tests.policy.recorded import seen

POLICY = 'package bascule.call\n\ndeny contains "never" if input.tool.name == "drop"\n'


def test_what_a_suggestion_does_not_help_is_counted(tmp_path: Path) -> None:
    calls = [seen("read", {}), seen("drop", {}), seen("drop", {})]
    before = loaded(tmp_path, POLICY)
    assert trial.not_allowed(before, calls) == {("agent", "files", "read"): 1, ("agent", "files", "drop"): 2}
    after = trial.with_file(before, wording.FILE, wording.policy(suggest(calls)))
    assert trial.not_allowed(after, calls) == {("agent", "files", "drop"): 2}
    assert before.digest != after.digest
