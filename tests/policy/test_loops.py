"""Patterns inside iterations."""

import pytest

from gateway.policy.loops import slow
from tests.policy.folders import modules

HEAD = "package bascule.call\n\n"
GLOB = 'glob.match("a*", [], x)'


@pytest.mark.parametrize(
    "rule",
    [
        f'deny contains "x" if {{\n\tsome x in data.names\n\t{GLOB}\n}}',
        'deny contains "x" if glob.match("a*", [], data.names[_])',
        'deny contains "x" if {\n\tsome i\n\tglob.match("a*", [], data.names[i])\n}',
        f'deny contains "x" if {{\n\tevery x in data.names {{ {GLOB} }}\n}}',
        f'deny contains "x" if count([x | some x in data.names; {GLOB}]) > 0',
        f'deny contains "x" if {{\n\tsome y in data.names\n\tcount([x | x := y; {GLOB}]) > 0\n}}',
        "r := [regex.match(`a`, x) | some x in data.names]",
        "deny contains regex.match(`a`, x) if some x in data.names",
        'deny contains "x" if {\n\tsome x in data.names\n\tmatches(x)\n}\n\nmatches(x) if ' + GLOB,
        'deny contains "x" if {\n\tsome x in data.names\n\tone(x)\n}\n\none(x) if two(x)\n\ntwo(x) if ' + GLOB,
        'deny contains "x" if {\n\tsome x in data.names\n\tdata.bascule.call.matches(x)\n}\n\nmatches(x) if ' + GLOB,
    ],
)
def test_a_pattern_compiled_many_times_is_found(rule: str) -> None:
    (found,) = slow(modules(HEAD + rule + "\n"))
    assert found.name in {"glob.match", "regex.match", "matches", "one", "data.bascule.call.matches"}


@pytest.mark.parametrize(
    "rule",
    [
        'deny contains "x" if glob.match("a*", [], input.tool.name)',
        'deny contains "x" if {\n\tglob.match("a*", [], input.tool.name)\n\tsome y in data.names\n\ty == "a"\n}',
        'deny contains "x" if {\n\tsome y in [z | z := glob.match("a*", [], input.tool.name)]\n\ty\n}',
        'deny contains "x" if {\n\tsome x in data.names\n\tstartswith(x, "a")\n}',
        'deny contains "x" if {\n\tx := "a"\n\tglob.match("a*", [], data.names[x])\n}',
        f"matches(x) if {GLOB}",
    ],
)
def test_a_pattern_compiled_once_is_left_alone(rule: str) -> None:
    assert list(slow(modules(HEAD + rule + "\n"))) == []


def test_a_function_of_another_file_is_looked_through() -> None:
    one = HEAD + 'import data.lib\n\ndeny contains "x" if {\n\tsome x in data.names\n\tlib.matches(x)\n}\n'
    (found,) = slow(modules(one, f"package lib\n\nmatches(x) if {GLOB}\n"))
    assert (found.rule.file, found.at.line, found.name) == ("0.rego", 7, "lib.matches")
