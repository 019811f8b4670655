"""The safety check: what fails open in the engine in process is refused when it is loaded."""

from pathlib import Path

import pytest

from tests.policy.rego import refusal


@pytest.mark.promise("fail-closed")
def test_the_commonest_mistake_is_refused_with_its_fix(tmp_path: Path) -> None:
    said = refusal(tmp_path, 'deny contains "x" if not input.principal.roles[_] == "admin"')
    assert said.startswith("a.rego:3:22: a wildcard under `not`")
    assert said.endswith('write `not "admin" in input.principal.roles`')


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("not input.roles[i] == 1", "`i`, which no line above has bound"),
        ("not input.roles[i] == 1\n\ti = 1", "`i`, which no line above has bound"),
        ('not "admin" == input.roles[_]', 'write `not "admin" in input.roles`'),
        ("not startswith(input.roles[_], input.x)", "a wildcard under `not`"),
        ("not input.roles[_]", "give the condition a rule of its own"),
        ("not count([x | x := input.a[_]; x == y]) == 1\n\ty = 1", "under `not`"),
        ("not data.a[input.x][_].b", "a wildcard under `not`"),
        ("count([1 | not input.roles[_] == 2]) == 0", "a wildcard under `not`"),
        ("every x in input.a { not input.b[_] == x }", "a wildcard under `not`"),
        ("x > 1", "`x` has no value here"),
        ("startswith(x, input.y)", "`x` has no value here"),
        ("input.a[i] == count(i)", "`i` has no value here"),
        ("x = y", "`x` has no value here"),
        ('{"id": x} = {"a": i | some i in input.a}\n\tx == 1', "`x` has no value here"),
        ('{"id": x} := {"a": i | some i in input.a}\n\tx == 1', "never gets a value"),
        ("{x} = input.a\n\tx == 1", "`x` has no value here"),
        ("input.x == _", "`_` stands for a value here, but has none"),
        ("every _ in input.a { _ == 1 }", "`_` stands for a value"),
        ("every x in input.a { x == y }\n\tinput.b[y]", "`y` has no value here"),
        ("count({k: 1 | input.a}) == 1", "`k` has no value here"),
        ("some y in input.a\n\tinput.b[y] == {z | z := y}", "`y` has no value here"),
        ("x = [x | input.a]\n\tx == input.b", "`x` has no value here"),
        ("input.a with input.b as z", "`z` has no value here"),
        ("some x in [y]\n\tx == 1", "`y` has no value here"),
    ],
)
def test_a_variable_without_a_value_is_refused(tmp_path: Path, lines: str, problem: str) -> None:
    said = refusal(tmp_path, f'deny contains "x" if {{\n\t{lines}\n}}')
    assert problem in said
    assert said.startswith("a.rego:")


def test_a_comprehension_gives_what_its_body_binds(tmp_path: Path) -> None:
    assert "`x` has no value here" in refusal(tmp_path, "f(x) := [x | input.a]")
    assert refusal(tmp_path, "f(x) := [[x, y] | some y in input.a]") == ""


@pytest.mark.parametrize(
    "head", ["deny contains x if input.y", "v := x if input.y", "m[x] := 1 if input.y", "f(_) := x"]
)
def test_a_head_without_a_value_is_refused(tmp_path: Path, head: str) -> None:
    assert "`x` has no value here" in refusal(tmp_path, head)


@pytest.mark.parametrize(
    "lines",
    [
        'not "admin" in input.principal.roles',
        "some x in input.a\n\tnot x in input.principal.roles",
        "some i\n\tinput.a[i] == 1\n\tnot input.b[i]",
        "not count([x | some x in input.a; x > 1]) == 0",
        "x = input.a\n\tx > 1",
        "x > 1\n\tx = input.a",
        "[x, y] = [input.a, 1]\n\tx == y",
        "[x, y] = [1, x]\n\ty == 1",
        "input.a[i].b[j] == input.c[i][j]",
        "count(input.a[i]) == i",
        'some {"k": x} in input.a\n\tx == 1',
        "every k, v in input.a { k == v }",
        "some x in input.a\n\tevery y in input.b { not y == x }",
        "some k in input.keys\n\tcount([v | v := input.a[k]]) == 1",
        "{k: v | some k, v in input.a} == input.b",
        "input.a[_] == input.b[_]",
        "input.x == 1 with input.args as input.y",
    ],
)
def test_what_has_a_value_is_loaded(tmp_path: Path, lines: str) -> None:
    assert refusal(tmp_path, f'deny contains "x" if {{\n\t{lines}\n}}') == ""
