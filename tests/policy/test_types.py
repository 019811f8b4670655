"""Calls and comparisons that can never be right are refused when a bundle is loaded."""

from pathlib import Path

import pytest

from tests.policy.rego import refusal

REFUSED = [
    ("nowhere(1)", "there is no function `nowhere`"),
    ("input.x == data.acme.f(1)", "there is no function `data.acme.f`"),
    ("count([1], 2) == 3", "`count` takes 1 argument, not 2"),
    ("half(1)", "`half` takes 2 arguments, not 1"),
    ("startswith(1, input.x)", "argument 1 of `startswith` should be text, not a number"),
    ("startswith(input.x, {input.y})", "argument 2 of `startswith` should be text, not a set"),
    ("upper(limit) == input.x", "argument 1 of `upper` should be text, not a number"),
    ("count(count(input.x)) == 1", "argument 1 of `count`"),
    ('1 == "a"', "a number is never equal to text"),
    ('limit == "a"', "a number is never equal to text"),
    ('input.n + "a" == 2', "this takes a number, not text"),
    ("[1] - {1} == input.x", "this takes a number or a set, not an array"),
    ("{1} | [1] == input.x", "this takes a set, not an array"),
    ('"a" in [1, 2]', "text is never in there"),
    ('"a" in 5', "a number has nothing inside it"),
    ('{"a": x} = limit\n\tx == 1', "an object is never equal to a number"),
    ("limit.a == 1", "a number has nothing inside it"),
    ("owner.a.b == 1", "text has nothing inside it"),
    ('names["a"].b == 1', "text has nothing inside it"),
    ("some x in limit\n\tx == 1", "a number has nothing inside it"),
    ("every x in limit { x == 1 }", "a number has nothing inside it"),
    ('every x in [1] { startswith(x, "a") }', "argument 1 of `startswith`"),
    ('every i, x in ["a"] { x == i }', "text is never equal to a number"),
    ('some x in [1]\n\tstartswith(x, "a")', "argument 1 of `startswith`"),
    ('some i, _ in ["a"]\n\tstartswith(i, "a")', "argument 1 of `startswith`"),
    ('[x, _] := [1, 2]\n\tstartswith(x, "a")', "argument 1 of `startswith`"),
    ('x := {"a": 1}\n\tx.b == 1', "there is no 'b' inside"),
    ('x := [1]\n\tx["a"] == 1', "an array has no key that is text"),
    ('x := [y | y := 1]\n\t"a" in x', "text is never in there"),
    ('count({y: 1 | y := input.x; startswith(1, "a")}) == 1', "argument 1 of `startswith`"),
    ("x = [x, 1]\n\tx == 2", "`x` is never equal to what holds it"),
    ('some x in [{"a": 1}, 1]\n\t{"b": y} = x\n\ty == 1', "an object is never equal to a number or an object"),
    ("half(1, 2) == {}", "true or false is never equal to an object"),
]


@pytest.mark.parametrize(("lines", "problem"), REFUSED)
def test_what_can_never_be_right_is_refused(tmp_path: Path, lines: str, problem: str) -> None:
    said = refusal(tmp_path, f'{RULES}\n\ndeny contains "x" if {{\n\t{lines}\n}}')
    assert problem in said
    assert said.startswith("a.rego:")


RULES = """limit := 5

half(a, b) if a == b

owner[name] := "ann" if some name in input.x

names contains "ann" if true"""


@pytest.mark.parametrize(
    "lines",
    [
        "input.x == 1",
        "half(1, 2)",
        "count(input.x) == limit",
        'input.x in {1, "a"}',
        'x := {"a": [1, "b"]}\n\tx.a[1] == "b"',
        'some key, value in {"a": 1}\n\tstartswith(key, "a")\n\tvalue > 1',
        "{1} - {2} == set()",
        "5 - 2 == 3",
        '[1, "a"][input.i] == "a"',
        "owner[input.x] == input.y",
        "names[input.x]",
        "data.groups.a.b.c == 1",
        "not input.x == null",
        "[x, 1] = input.pair\n\tx == 2",
        'object.get(input.args, "x", 1) == "a"',
        "limit == 5 with input.args as {}",
    ],
)
def test_what_may_be_right_is_loaded(tmp_path: Path, lines: str) -> None:
    assert refusal(tmp_path, f'{RULES}\n\ndeny contains "x" if {{\n\t{lines}\n}}') == ""


def test_functions_of_other_packages_are_found(tmp_path: Path) -> None:
    (tmp_path / "lib.rego").write_text("package acme.lib\n\nown(x) if x == 1\n")
    assert refusal(tmp_path, 'import data.acme.lib\n\ndeny contains "x" if lib.own(input.x)') == ""
    assert refusal(tmp_path, 'deny contains "x" if data.acme.lib.own(input.x)') == ""
    assert "takes 1 argument" in refusal(tmp_path, 'deny contains "x" if data.acme.lib.own(1, 2)')
