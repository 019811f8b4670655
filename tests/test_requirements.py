"""Promises and tests name each other, in both directions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import PROMISES

TESTS = Path(__file__).resolve().parent


def named_promises(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "promise":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


NAMED = {promise for path in TESTS.rglob("test_*.py") for promise in named_promises(path)}


@pytest.mark.promise("house.requirements")
@pytest.mark.parametrize("promise", sorted(PROMISES))
def test_every_promise_has_a_test(promise: str) -> None:
    assert promise in NAMED


@pytest.mark.promise("house.requirements")
def test_no_test_names_a_promise_that_is_not_listed() -> None:
    assert NAMED - set(PROMISES) == set()
