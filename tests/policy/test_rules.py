"""How rules stand to each other."""

from pathlib import Path

import pytest

from tests.policy.rego import refusal


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import data.groups\n\nx := 1", "import `groups` is never used"),
        ("import data.a.g\nimport data.b.g\n\nx := g", "two imports are called `g`"),
        ("import data.a as input\n\nx := input", "an import may not be called `input`"),
        ("import data.a.x\n\nx := 1\n\ny := x", "`x` is a rule and an import"),
        ("data := 1", "data cannot be shadowed"),
        ("a.b.c := 1", "the deep name of `a`"),
        ("a.b contains 1 if true", "the deep name of `a`"),
        ("a[x][y] := 1 if some x, y in input.z", "the deep name of `a`"),
        ("default x := input.y\n\nx := 1 if input.z", "the default of `x` should be a constant"),
        ("default x := 1\n\ndefault x := 2", "`x` has two defaults"),
        ("x := 1\n\nx contains 2 if true", "`x` is a value in"),
        ("x contains 1 if true\n\nx(y) := y", "`x` is a set in"),
        ("f(a) := a\n\nf(a, b) := a + b", "`f` takes 1 arguments elsewhere and 2 here"),
        ("x := {}\n\nx[y] := 1 if some y in input.z", "`x` is given whole and by key"),
        ("x := y\n\ny := x", "a rule may not need itself: x -> y -> x"),
        ("f(a) := f(a)", "a rule may not need itself: f -> f"),
        ("f(a) := g(a)\n\ng(a) := f(a)", "a rule may not need itself"),
        ('deny contains "x" if data.bascule.call.decision.effect == "allow"', "a rule may not need itself"),
        ('deny contains "x" if some x in data.bascule.call[input.y]', "a rule may not need itself"),
    ],
)
def test_rules_that_stand_in_each_others_way_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    said = refusal(tmp_path, text.replace("some x in data", "data"))
    assert problem in said
    assert said


def test_a_rule_called_like_a_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "team.rego").write_text("package bascule.call.pay\n\nx := 1\n")
    assert "is also the name of package bascule.call.pay" in refusal(tmp_path, "pay := 1")


def test_a_chain_of_a_thousand_rules_is_no_circle(tmp_path: Path) -> None:
    chain = "\n\n".join(f"r{place} := r{place + 1}" for place in range(1_000))
    assert refusal(tmp_path, f"{chain}\n\nr1000 := 1") == ""


@pytest.mark.parametrize(
    "text",
    [
        "default x := [1]\n\nx := 2 if input.y",
        "x := 1 if input.a\n\nx := 2 if input.b",
        "x[y] := 1 if some y in input.z\n\nx[y] := 2 if some y in input.w",
        "default f(_) := 1\n\nf(a) := a if a > 1",
    ],
)
def test_rules_that_add_up_are_loaded(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text) == ""
