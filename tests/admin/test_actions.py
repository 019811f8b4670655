"""Every operator action is asked for by the command line, and no other is."""

import ast
import inspect
from pathlib import Path

import pytest

from gateway import admin

CLI = Path(__file__).resolve().parent.parent.parent / "gateway" / "cli"


def asked() -> dict[str, set[str]]:
    """Every action that a command asks for, with what it gives."""
    found: dict[str, set[str]] = {}
    for file in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in {"run_admin", "without_state", "_asked"} and isinstance(node.args[0], ast.Constant):
                given = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
                found[str(node.args[0].value)] = given
    return found


@pytest.mark.promise("operators.one-door")
def test_the_command_line_asks_for_every_action_and_for_no_other() -> None:
    actions = {action.__name__: action for action in (*admin.ACTIONS, *admin.ON_ARCHIVE)}
    assert asked().keys() == actions.keys()
    for name, given in asked().items():
        taken = inspect.signature(actions[name]).parameters
        assert given <= taken.keys(), name
        assert taken["operator"].default is inspect.Parameter.empty, f"{name} does not want to know who asks"
