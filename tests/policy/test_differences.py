"""What the engine in process lacks or answers otherwise is refused when it is loaded, with the way out."""

from pathlib import Path

import pytest

from gateway.policy.builtins import DIFFERENT, VOLATILE
from tests.policy.rego import refusal


@pytest.mark.parametrize("name", sorted(VOLATILE))
def test_a_volatile_builtin_is_refused(tmp_path: Path, name: str) -> None:
    said = refusal(tmp_path, f'deny contains "x" if {name}(input.x)')
    assert f"`{name}` answers differently each time" in said
    assert VOLATILE[name] in said


@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_a_builtin_that_differs_names_the_engine_that_has_it_right(tmp_path: Path, name: str) -> None:
    said = refusal(tmp_path, f'deny contains "x" if {name}(input.x)')
    assert f"`{name}`: {DIFFERENT[name]}" in said
    assert "policy.engine: opa" in said


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('graphql.is_valid("a", "b")', "has no `graphql.is_valid`: set `policy.engine: opa`"),
        ("io.jwt.decode(input.x)", "has no `io.jwt.decode`"),
        ("net.cidr_merge([]) == []", "has no `net.cidr_merge`"),
        ("any(input.x)", "`any` is gone from Rego v1"),
        ("print(input.x)", "`print` is for tests"),
        ("not x = 1\n\tx = 2", "`not` over `=`"),
        ("not {input.x}", "a body after `not` is newer"),
        ("not { input.x == 1 }", "a body after `not` is newer"),
        ("input.x with startswith as true", "`with` may replace parts of `input` and `data`"),
        ('glob.match("{a,}*", [], input.x)', "an empty alternative"),
        ('glob.match("{,a}*", [], input.x)', "an empty alternative"),
        ('glob.match(input.pattern, [], "a")', "should be a text here or come straight from `data`"),
        ('p := input.pattern\n\tglob.match(p, [], "a")', "should be a text here"),
        ('p = input.pattern\n\tglob.match(p, [], "a")', "should be a text here"),
        ('every p in input.a { glob.match(p, [], "a") }', "should be a text here"),
        ('glob.match(concat("", ["a"]), [], "a")', "should be a text here"),
        ('sprintf("%v", [1]) == "1"', "`%v` writes some values differently"),
        ('sprintf("%5.1f", [1]) == "1"', "`%5.1f` writes some values differently"),
        ('sprintf("100%", []) == "1"', "`%` writes some values differently"),
        ('sprintf(input.x, []) == "1"', "should be a text written here"),
    ],
)
def test_what_would_be_answered_otherwise_is_refused(tmp_path: Path, lines: str, problem: str) -> None:
    said = refusal(tmp_path, f'deny contains "x" if {{\n\t{lines}\n}}')
    assert problem in said
    assert said.startswith(("a.rego:4", "a.rego:5"))


@pytest.mark.parametrize("text", ["{a,}", "x{,b}", "{}", "a,,b"])
def test_a_glob_from_data_is_refused_where_data_holds_an_empty_alternative(tmp_path: Path, text: str) -> None:
    rule = 'deny contains "x" if {\n\tsome p in data.globs\n\tglob.match(p, ["/"], input.args.path)\n}'
    assert refusal(tmp_path, rule, data='{"globs": ["a/*"]}') == ""
    assert "an empty alternative" in refusal(tmp_path, rule, data=f'{{"globs": [{{"{text}": 1}}]}}')


@pytest.mark.parametrize(
    "lines",
    [
        'glob.match("a/{b,c}/*", ["/"], input.x)',
        "glob.match(data.pattern, [], input.x)",
        "p := data.pattern\n\tglob.match(p, [], input.x)",
        "every p in data.globs { glob.match(p, [], input.x) }",
        'sprintf("%s is %d of 100%%", [input.x, 5]) == input.y',
        "input.x == 1 with input.args as 2 with data.k as 3",
        'startswith(input.x, "a")',
    ],
)
def test_what_is_answered_alike_is_loaded(tmp_path: Path, lines: str) -> None:
    assert refusal(tmp_path, f'deny contains "x" if {{\n\t{lines}\n}}') == ""


def test_a_function_of_ones_own_may_be_called_like_a_builtin_that_is_gone(tmp_path: Path) -> None:
    assert refusal(tmp_path, 'any(x) if x == 1\n\ndeny contains "x" if any(input.x)') == ""
