"""What rules say of the input, held against its schema."""

import json

import pytest

from gateway.model import Point
from gateway.policy import bundle, folder
from gateway.policy.fields import Fields, Schema
from tests.policy.folders import modules

SCHEMA = Schema(json.loads((bundle.shipped() / folder.INPUT_SCHEMA).read_text()))


def remarks(body: str, package: str = "bascule.call", imports: str = "") -> list[tuple[str, str]]:
    module = modules(f'package {package}\n\n{imports}\n\nx contains "y" if {{\n{body}\n}}\n')[0]
    return [(one.problem, one.fix) for rule in module.rules for one in Fields(SCHEMA, module, rule).remarks()]


@pytest.mark.parametrize(
    ("body", "problem", "fix"),
    [
        ("input.tool.nmae", "input.tool.nmae is never there", "did you mean name?"),
        ("input.toool.name", "input.toool is never there at `call`", "did you mean tool?"),
        ('input.tool["zzz"]', "input.tool.zzz is never there", "there is upstream, name, pin, sandbox, manifest"),
        ("input.checks[_].nme", "input.checks[_].nme is never there", "did you mean name?"),
        ("input.checks[0].nme", "input.checks[0].nme is never there", "did you mean name?"),
        (
            "input.tool.name.first",
            "input.tool.name is of type string: input.tool.name.first is never there",
            "use input",
        ),
        (
            "input.principal.roles.admin",
            "input.principal.roles is of type array: ",
            "write `some x in input.principal.roles`",
        ),
        ("input.tools", "input.tools is never there at `call`", "did you mean tool?"),
        ("input.result.size > 1", "input.result is never there at `call`", ""),
        ("t := input.tool\n\tt.nmae", "t.nmae is never there", "did you mean name?"),
        ("t := input\n\tm := t.tool.manifest\n\tm.trsut", "m.trsut is never there", "did you mean trust?"),
        ("some check in input.checks\n\tcheck.verdit", "check.verdit is never there", "did you mean verdict?"),
        ("some i, check in input.checks\n\ti > 0\n\tcheck.verdit", "check.verdit is never there", ""),
        ("every check in input.checks { check.verdit }", "check.verdit is never there", ""),
        ("count([c | some c in input.checks; c.verdit]) > 0", "c.verdit is never there", ""),
        ('"x" in input.tool.manifest.efects', "input.tool.manifest.efects is never there", "did you mean effects?"),
        ("data.x with input.tool.nmae as 1", "input.tool.nmae is never there", ""),
    ],
)
def test_a_field_that_is_never_there_is_found(body: str, problem: str, fix: str) -> None:
    ((said, advice),) = remarks(f"\t{body}")
    assert said.startswith(problem)
    assert advice.startswith(fix)


@pytest.mark.parametrize(
    ("body", "problem", "fix"),
    [
        ('input.call.kind == "tol"', 'input.call.kind is never "tol"', "did you mean tool?"),
        ('input.call.kind != "tol"', 'input.call.kind is never "tol"', "did you mean tool?"),
        ('input.call.kind = "tol"', 'input.call.kind is never "tol"', "did you mean tool?"),
        ('"tol" == input.call.kind', 'input.call.kind is never "tol"', "did you mean tool?"),
        ('input.call.kind in {"tool", "tol"}', 'input.call.kind is never "tol"', "did you mean tool?"),
        ('input.call.kind in ["tol"]', 'input.call.kind is never "tol"', "did you mean tool?"),
        (
            '"wirte" in input.tool.manifest.effects',
            'input.tool.manifest.effects[_] is never "wirte"',
            "did you mean write?",
        ),
        ('input.tool.manifest.effects[_] == "wirte"', 'input.tool.manifest.effects[_] is never "wirte"', ""),
        ('some e in input.tool.manifest.effects\n\te == "wirte"', 'e is never "wirte"', "did you mean write?"),
        ('input.session.writes == "3"', 'input.session.writes is never "3": it is of type integer', "compare it"),
        ("input.session.writes == 1.5", "input.session.writes is never 1.5: it is of type integer", ""),
        ("input.tool.name == 3", "input.tool.name is never 3: it is of type string", ""),
        ("input.tool.name == null", "input.tool.name is never null: it is of type string", ""),
        ("input.principal.person == true", "input.principal.person is never true: it is of type string or null", ""),
        ('input.typed["/path"].value == 3', 'input.typed["/path"].value is never 3', ""),
        ("input.v == 2", "input.v is never 2", "there is 1"),
        ('data.x with input.call.kind as "tol"', 'input.call.kind is never "tol"', ""),
    ],
)
def test_a_value_that_never_comes_is_found(body: str, problem: str, fix: str) -> None:
    ((said, advice),) = remarks(f"\t{body}")
    assert said.startswith(problem)
    assert advice.startswith(fix)


@pytest.mark.parametrize(
    "body",
    [
        "input.args.anything.goes[_].here == 1",
        'input.typed["/path"].inside',
        "some pointer\n\tinput.typed[pointer].anything",
        "input.state.x.y",
        "input.budget.calls.left > 3",
        "input.principal.person == null",
        'input.call.kind == "tool"',
        "input.session.writes == 3",
        'input.tool.manifest.effects == ["zzz"]',
        "some key\n\tinput.tool[key].whatever",
        "input[_].whatever",
        "input.tool[input.tool.name].whatever",
        't := data.tool\n\tt.nmae == "x"',
        "t := [t.nmae | some t in data.x]\n\tt[0]",
        't := {"nmae": 1}\n\tt.nmae',
        "[t, _] := [input.tool, 1]\n\tt.nmae",
        "data.input.nmae",
        "input.call.kind in data.kinds",
        '"tol" in data.kinds',
        'input.tool.name < "x"',
        'concat("", ["x"]).y',
    ],
)
def test_what_may_be_there_is_left_alone(body: str) -> None:
    assert remarks(f"\t{body}") == []


def test_an_import_is_followed() -> None:
    assert remarks("\tt.nmae", imports="import input.tool as t") == [("t.nmae is never there", "did you mean name?")]
    assert remarks("\ttool.name", imports="import input.tool") == []
    assert remarks("\ttool.nmae", imports="import data.tool") == []


def test_an_argument_may_be_anything() -> None:
    module = modules("package bascule.call\n\nimport input.tool\n\nf(tool) := tool.nmae\n")[0]
    assert list(Fields(SCHEMA, module, module.rules[0]).remarks()) == []


def test_a_comprehension_that_is_the_value_is_followed() -> None:
    module = modules('package bascule.call\n\nx := {e | some e in input.tool.manifest.effects; e == "wirte"}\n')[0]
    assert [one.problem for one in Fields(SCHEMA, module, module.rules[0]).remarks()] == ['e is never "wirte"']


@pytest.mark.parametrize(
    ("package", "there"),
    [
        ("bascule.list", {"upstream", "tools", "prompts"}),
        ("bascule.list.team", {"upstream", "tools", "prompts"}),
        ("bascule.call", {"tool", "args", "upstream", "prompt", "answers"}),
        ("bascule.result", {"tool", "args", "result", "upstream", "prompt", "answers"}),
        ("lib", {"tool", "args", "result", "upstream", "tools", "prompt", "prompts", "answers"}),
        ("bascule.call_test", {"tool", "args", "result", "upstream", "tools", "prompt", "prompts", "answers"}),
    ],
)
def test_each_point_has_its_own_fields(package: str, there: set[str]) -> None:
    fields = {"tool", "args", "result", "upstream", "tools", "prompt", "prompts", "answers"}
    assert {field for field in fields if not remarks(f"\tinput.{field}", package)} == there


def test_the_point_of_a_document_may_be_unknown() -> None:
    assert set(SCHEMA.root(Point.LIST)["properties"]) < set(SCHEMA.root(None)["properties"])
