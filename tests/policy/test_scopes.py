"""Variables: declared once, used, and not called like a document."""

from pathlib import Path

import pytest
import regorus

from gateway.policy import syntax
from gateway.policy.scopes import Names
from tests.policy.rego import refusal


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("x := 1\n\tinput.y", "variable `x` is never used"),
        ("some x in input.y", "variable `x` is never used"),
        ("some x, _ in input.y", "variable `x` is never used"),
        ("some x", "variable `x` is never used"),
        ("every x in input.y { input.z }", "variable `x` is never used"),
        ("count([1 | some x in input.y]) == 1", "variable `x` is never used"),
        ("x := 1\n\tcount([x | x := 2]) == 1", "variable `x` is never used"),
        ("x := 1\n\tx := 2", "`x` is declared twice"),
        ("some x in input.y\n\tsome x in input.z\n\tx", "`x` is declared twice"),
        ("x == 1\n\tx := 1", "`x` is used before it is declared"),
        ("input.a[x]\n\tsome x in input.b", "`x` is used before it is declared"),
        ("input := 1\n\tinput == 1", "input cannot be shadowed"),
        ("some data in input.y\n\tdata == 1", "`data` is the document of that name"),
    ],
)
def test_a_variable_misnamed_is_refused(tmp_path: Path, lines: str, problem: str) -> None:
    said = refusal(tmp_path, f'deny contains "x" if {{\n\t{lines}\n}}')
    assert problem in said
    assert said.startswith(("a.rego:4:", "a.rego:5:"))


def test_an_argument_is_used_and_not_declared_again(tmp_path: Path) -> None:
    assert "argument `b` is never used" in refusal(tmp_path, "f(a, b) := a")
    assert "`a` is declared twice" in refusal(tmp_path, "f(a) := 1 if a := 2")
    assert refusal(tmp_path, "f(a, _) := a") == ""


@pytest.mark.parametrize(
    "lines",
    [
        "x := 1\n\tcount([y | some y in input.y]) == x",
        "some x in input.y\n\tevery z in input.b { z == x }",
        '[x, {"a": y}] := input.pair\n\tx == y',
        "some i\n\tinput.a[i] == input.b[i]",
        "x := input.a with input.a as 1\n\tx == 1",
    ],
)
def test_a_variable_well_named_is_loaded(tmp_path: Path, lines: str) -> None:
    assert refusal(tmp_path, f'deny contains "x" if {{\n\t{lines}\n}}') == ""


def test_what_a_rule_refers_to_outside_itself_is_told() -> None:
    engine = regorus.Engine()
    engine.add_policy(
        "a.rego",
        """package a

import data.lists as all
import input.tool

deny contains name if {
	some name in all[input.args.kind].names
	tool.name == other
	own := data.x["y"]
	own[name]
}
""",
    )
    (module,) = syntax.modules(engine.get_ast_as_json())
    names = Names(module, module.rules[0])
    assert names.references == {
        ("data", ("lists",)),
        ("input", ("args", "kind")),
        ("input", ("tool", "name")),
        ("data", ("a", "other")),
        ("data", ("x", "y")),
    }
    assert names.imports == {"all", "tool"}
