"""The syntax tree, as the checks see it."""

import pytest
import regorus

from gateway.policy import syntax
from gateway.policy.syntax import Module, Node, name_of

TEXT = """package acme.mail

import data.lists.known as friends
import data.lists.known
import input.tool

limit := 5

default open := false

open if input.args["to"] in friends

deny contains {"é": name} if {
	some i, name in input.args.names
	[first, _] = input.pair
	not known[name]
	every x in input.list { x > limit }
	count([y | some y in input.more; not y == tool.name]) > -1
	startswith(name, `raw`) with input.args as {"k": {i, first}}
}

cost(n, [m, _]) := n + m if n
else := 0 if {
	m != null
}

owner[who].deep := "x" if some who in friends
"""


def module(text: str = TEXT) -> Module:
    engine = regorus.Engine()
    engine.add_policy("mail.rego", text)
    (found,) = syntax.modules(engine.get_ast_as_json())
    return found


def test_a_file_tells_its_package_its_imports_and_where_they_stand() -> None:
    found = module()
    assert (found.file, found.package) == ("mail.rego", ("acme", "mail"))
    assert found.imports == {
        "friends": ("data", "lists", "known"),
        "known": ("data", "lists", "known"),
        "tool": ("input", "tool"),
    }
    assert found.lines == {"friends": 3, "known": 4, "tool": 5}
    assert found.repeated == ()


def test_two_imports_of_one_name_are_told() -> None:
    assert module("package a\n\nimport data.x.b\nimport data.y.b\n").repeated == ("b",)


def test_rules_tell_their_kind_name_and_place() -> None:
    assert [(rule.kind, rule.path[2:], rule.line, len(rule.steps), len(rule.bodies)) for rule in module().rules] == [
        ("value", ("limit",), 7, 0, 1),
        ("default", ("open",), 9, 0, 1),
        ("value", ("open",), 11, 0, 1),
        ("set", ("deny",), 13, 0, 1),
        ("function", ("cost",), 22, 0, 2),
        ("value", ("owner",), 27, 2, 1),
    ]


def test_lines_tell_their_kind_even_after_letters_of_two_bytes() -> None:
    query = module().rules[3].bodies[0].query
    assert [statement.kind for statement in query] == [
        "some_in",
        "expression",
        "not",
        "every",
        "expression",
        "expression",
    ]
    assert query[3].names == ("x",)
    assert [(name_of(target), value.kind) for target, value in query[5].mods] == [("input.args", "object")]
    assert [statement.kind for statement in syntax.statements(query)].count("not") == 2


def test_an_else_has_its_own_value_and_arguments_are_patterns() -> None:
    rule = module().rules[4]
    assert [argument.kind for argument in rule.args] == ["var", "array"]
    assert [(body.is_else, body.value.kind if body.value else "") for body in rule.bodies] == [
        (False, "arithmetic"),
        (True, "number"),
    ]


@pytest.mark.parametrize(
    ("written", "kind", "parts"),
    [
        ('"a"', "text", 0),
        ("`a`", "text", 0),
        ("-1.5", "number", 0),
        ("null", "constant", 0),
        ("true", "constant", 0),
        ("x", "var", 0),
        ('input.a["b"][x].c', "ref", 5),
        ("f(1, 2)", "call", 3),
        ("[1, 2]", "array", 2),
        ("{1, 2}", "set", 2),
        ("set()", "set", 0),
        ('{"a": 1, "b": 2}', "object", 4),
        ("{}", "object", 0),
        ("[y | y := 1]", "comprehension", 1),
        ("{y: 1 | y := 1}", "comprehension", 2),
        ("1 + 2", "arithmetic", 2),
        ("{1} | {2}", "arithmetic", 2),
        ("1 in [1]", "membership", 2),
    ],
)
def test_an_expression_tells_its_kind_and_parts(written: str, kind: str, parts: int) -> None:
    rule = module(f"package a\n\nv := {written} if x := 1\n").rules[0]
    value = rule.bodies[0].value
    assert value is not None
    assert (value.kind, len(value.parts), value.line) == (kind, parts, 3)


@pytest.mark.parametrize(
    ("written", "kind"),
    [("x := 1", "assign"), ("x = 1", "unify"), ("1 < 2", "compare"), ("1, 2 in [2]", "membership")],
)
def test_a_line_tells_what_it_asks(written: str, kind: str) -> None:
    statement = module(f"package a\n\nv if {{\n\t{written}\n}}\n").rules[0].bodies[0].query[0]
    assert (statement.kind, statement.parts[0].kind) == ("expression", kind)


def test_a_name_is_told_only_of_what_is_one() -> None:
    assert name_of(Node("var", 1, 1, "input")) == "input"
    assert name_of(Node("number", 1, 1, 1)) == ""
    head, step = Node("var", 1, 1, "input"), Node("text", 1, 1, "args")
    assert name_of(Node("ref", 1, 1, parts=(head, step))) == "input.args"
    assert name_of(Node("ref", 1, 1, parts=(head, Node("var", 1, 1, "x")))) == ""


def test_every_expression_of_a_rule_is_walked_bodies_of_comprehensions_included() -> None:
    names = {node.value for node in module().rules[3].nodes() if node.kind == "var"}
    assert {"name", "first", "known", "limit", "y", "tool", "i", "startswith"} <= names
