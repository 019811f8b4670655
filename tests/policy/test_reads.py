"""What a policy can read of its input, and that nothing else matters to its answer."""

import os
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
import regorus

from gateway.errors import ConfigError
from gateway.model import Point
from gateway.policy import bundle, reads, syntax
from gateway.policy.bundle import Bundle, compiled
from tests.policy.random_rego import policy
from tests.policy.rego import loaded

ENTRY = ("bascule", "call", "decision")
CANARY = ("principal", "id")
"""What the shipped entry reads by itself."""


def read(made: Bundle) -> frozenset[tuple[str, ...]]:
    return reads.paths(syntax.modules(compiled(made).get_ast_as_json()), ENTRY)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('deny contains "x" if input.tool.name == "a"', {("tool", "name")}),
        ('deny contains "x" if input.typed["/path"].value == "a"', {("typed", "/path", "value")}),
        ('deny contains "x" if input.args.list[0].name == "a"', {("args", "list")}),
        ('deny contains "x" if input.args[_] == "a"', {("args",)}),
        ('deny contains "x" if {\n\ta := input.args\n\ta.b == 1\n}', {("args",)}),
        ('deny contains "x" if object.get(input, "a", 1) == 1', {()}),
        ('deny contains "x" if {\n\tsome k\n\tinput[k].a == 1\n}', {()}),
        ('import input.tool\n\ndeny contains "x" if tool.name == "a"', {("tool", "name")}),
        ('deny contains "x" if other == 1\n\nother := input.args.n\n\nunused := input.task', {("args", "n")}),
        ('deny contains "x" if f(input.args.n)\n\nf(n) if n == input.args.m', {("args", "n"), ("args", "m")}),
        ('deny contains "x" if data[input.args.x] == 1', {("args", "x")}),
        ('deny contains "x" if data.acme.own', {("task", "id")}),
        ('deny contains "x" if data.acme', {("task", "id")}),
        (
            'deny contains "x" if other with input.args as input.task.id\n\nother if input.args.n',
            {("args",), ("task", "id")},
        ),
        ('deny contains "x" if count([1 | input.args.n == 1]) == 1', {("args", "n")}),
        ("deny contains input.args.n if every x in input.roles { x == 1 }", {("args", "n"), ("roles",)}),
        ("hint := input", set()),
    ],
)
def test_the_paths_a_rule_can_read_are_told(tmp_path: Path, text: str, paths: set[tuple[str, ...]]) -> None:
    (tmp_path / "acme.rego").write_text("package acme\n\nown := input.task.id\n")
    try:
        found = read(loaded(tmp_path, text))
    except ConfigError as error:  # data[x] may reach the entry itself
        assert "may not need itself" in str(error)
        return
    assert paths <= found
    assert found - {CANARY} <= paths | {("args", "n")}


@pytest.mark.parametrize(
    ("paths", "tree"),
    [
        ([], {}),
        ([("a",), ("a", "b")], {"a": None}),
        ([("a", "b", "c"), ("a", "d"), ("a", "b")], {"a": {"d": None, "b": None}}),
        ([("a",), ()], reads.EVERYTHING),
    ],
)
def test_what_is_read_whole_hides_what_is_read_inside_it(paths: list[tuple[str, ...]], tree: Any) -> None:
    assert reads.tree(paths) == tree


@pytest.mark.parametrize(
    ("document", "projected"),
    [
        ({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1}, "d": 3}),
        ({"a": {"c": 2}}, {"a": {}}),
        ({"a": [1, 2], "e": 1}, {"a": [1, 2]}),
        ({"a": None}, {"a": None}),
        ({}, {}),
    ],
)
def test_a_document_is_cut_down_to_what_is_read(document: dict[str, Any], projected: dict[str, Any]) -> None:
    assert reads.project(document, reads.tree([("a", "b"), ("d",)])) == projected


def test_where_everything_is_read_the_document_is_handed_on() -> None:
    document = {"a": 1}
    assert reads.project(document, reads.EVERYTHING) is document


def test_every_point_has_its_own_paths(tmp_path: Path) -> None:
    made = loaded(tmp_path, 'deny contains "x" if input.args.n == 1')
    trees = reads.of_points(syntax.modules(compiled(made).get_ast_as_json()))
    assert trees[Point.CALL] == {"args": {"n": None}, "principal": {"id": None}}
    assert trees[Point.RESULT] == {}
    assert trees[Point.LIST] == {"principal": {"id": None}, "tools": None, "upstream": None}


def value(random: Random, depth: int = 0) -> Any:
    """A JSON value of the kinds that the random policies ask about."""
    form = random.randint(0, 7 if depth < 3 else 5)
    if form == 6:
        return [value(random, depth + 1) for _ in range(random.randint(0, 3))]
    if form == 7:
        return {name: value(random, depth + 1) for name in random.sample(["admin", "name", "id", "x"], 2)}
    return ["admin", "read", "", random.randint(0, 3), True, None][form]


def document(random: Random) -> dict[str, Any]:
    whole = {
        "principal": {"id": "ann", "roles": value(random)},
        "args": value(random),
        "tool": {"name": value(random), "upstream": "x"},
        "session": {"labels": value(random)},
        "typed": value(random),
        "x": value(random),
    }
    return {name: each for name, each in whole.items() if random.random() < 0.9}


def answer(engine: regorus.Engine, judged: dict[str, Any]) -> Any:
    """The decision, or how there is none."""
    engine.set_input_json(orjson.dumps(judged).decode())
    try:
        return orjson.loads(engine.eval_rule_as_json("data.bascule.call.decision"))
    except RuntimeError as error:
        return str(error).split("Stack backtrace")[0]


def test_the_decision_on_what_is_read_is_the_decision_on_everything(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", Random().randrange(2**32)))
    print(f"SEED={seed}")
    random = Random(seed)
    compared = 0
    while compared < 600:
        (tmp_path / "a.rego").write_text(policy(random, "bascule.call"))
        (tmp_path / "data.json").write_bytes(orjson.dumps({"groups": value(random)}))
        try:
            made = bundle.load(tmp_path)
        except ConfigError:
            continue
        engine = compiled(made)
        wanted = reads.of_points(syntax.modules(engine.get_ast_as_json()))[Point.CALL]
        for _ in range(10):
            judged = document(random)
            assert answer(engine, judged) == answer(engine, reads.project(judged, wanted)), made.files[
                "policies/a.rego"
            ]
            compared += 1
