"""What a finding tells, and what its author is advised."""

import pytest

from gateway.policy.findings import Finding, meant


def test_a_finding_tells_all_its_parts() -> None:
    assert Finding("a.rego", 3, 2, "error", "wrong", "right").told() == {
        "file": "a.rego",
        "line": 3,
        "column": 2,
        "severity": "error",
        "problem": "wrong",
        "fix": "right",
    }


@pytest.mark.parametrize(
    ("wrong", "known", "advice"),
    [
        ("nmae", ["name", "pin"], "did you mean name?"),
        ("zzz", ["name", "pin"], "there is name, pin"),
        ("zzz", [], ""),
    ],
)
def test_the_nearest_name_is_advised_else_all_of_them(wrong: str, known: list[str], advice: str) -> None:
    assert meant(wrong, known) == advice
