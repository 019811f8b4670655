"""The notes' policy loads as a bundle of its own, and its Rego tests pass."""

import re
import shutil
from pathlib import Path

import pytest

from gateway.policy import bundle

NOTES = Path(__file__).resolve().parents[3] / "examples" / "notes"
TESTS = re.findall(r"^(test_\w+) if", (NOTES / "policy_test.rego").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", TESTS)
def test_its_own_tests_pass(name: str, tmp_path: Path) -> None:
    for file in NOTES.glob("*.rego"):
        shutil.copy(file, tmp_path)
    loaded = bundle.load(tmp_path)
    engine = bundle.compiled(loaded)
    [(path, text)] = loaded.tests.items()
    package = engine.add_policy(path, text)
    assert engine.eval_rule(f"{package}.{name}") is True
