"""What of the input a policy can read: the document cut down to it gives the same decision as the whole one."""

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from gateway.model import JsonObject, Point
from gateway.policy import reads, syntax
from gateway.policy.bundle import Bundle, compiled, load, shipped
from gateway.policy.regorus import Regorus
from tests.policy import questions
from tests.policy.folders import CALL, modules, written

CALL_ENTRY = ("bascule", "call", "decision")


def read(*texts: str) -> set[tuple[str, ...]]:
    """What the entry of `call` reads with these files beside it, but for its own canary."""
    found = reads.paths(modules(questions.ENTRIES["bascule/call.rego"], *texts), CALL_ENTRY)
    return set(found) - {("principal", "id")}


def allow(*lines: str, rules: str = "", imports: str = "") -> str:
    body = "".join(f"\t{line}\n" for line in lines)
    return f'{CALL}{imports}\n\nallow contains "x" if {{\n{body}}}\n\n{rules}\n'


@pytest.mark.parametrize(
    ("policy", "paths"),
    [
        (allow("input.args.path == 1"), {("args", "path")}),
        (allow('input["args"]["a b"] == 1'), {("args", "a b")}),
        (allow("input.args[input.call.kind] == 1"), {("args",), ("call", "kind")}),
        (allow("input.args[_] == 1"), {("args",)}),
        (allow("some key", "input.typed[key].value == 1"), {("typed",)}),
        (allow("some role in input.principal.roles", 'role == "x"'), {("principal", "roles")}),
        (allow("every role in input.principal.roles { role == input.args.r }"),
         {("principal", "roles"), ("args", "r")}),
        (allow("count([1 | input.args.a; x := input.args.b; x]) > 0"), {("args", "a"), ("args", "b")}),
        (allow("not input.args.path"), {("args", "path")}),
        (allow("input.args.list[0].name == 1"), {("args", "list")}),
        (allow('object.get(input, ["args", "x"], 1) == 1'), {()}),
        (allow("x := input", "x.args.y == 1"), {()}),
        (allow("input[_]"), {()}),
        (allow("args.path == 1", imports="import input.args"), {("args", "path")}),
        (allow("a.path == 1", imports="import input.args as a"), {("args", "path")}),
        (allow("everything.args == 1", imports="import input as everything"), {("args",)}),
        (allow("helper", rules="helper if input.args.h\n\nunused if input.args.u"), {("args", "h")}),
        (allow("f(input.args.a)", rules="f(x) if x == input.args.b"), {("args", "a"), ("args", "b")}),
        (allow("data.bascule.call.helper", rules="helper if input.args.h"), {("args", "h")}),
        (allow("data.bascule.call[input.args.n]", rules="h if input.args.h"), {("args", "n"), ("args", "h")}),
        (allow("helper", rules="default helper := 1\n\nhelper := 2 if input.args.h"), {("args", "h")}),
        (allow("h == 1", rules="h := 1 if input.args.a\n\nelse := input.args.b if input.args.c"),
         {("args", "a"), ("args", "b"), ("args", "c")}),
        (allow("table.x == 1", rules="table[key] := 1 if some key in input.args.keys"), {("args", "keys")}),
        (allow("helper with input as {}", rules="helper if input.args.h"), {(), ("args", "h")}),
        (allow("helper with input.args as input.call", rules="helper if input.args.h"),
         {("args",), ("call",), ("args", "h")}),
        (allow("data.groups[input.principal.tenant]"), {("principal", "tenant")}),
        (CALL + "deny contains input.args.why if true\n", {("args", "why")}),
        (CALL + 'obligations contains {"type": input.args.t} if true\n', {("args", "t")}),
        ("package bascule.result\n\ndeny contains input.args.why if true\n", set()),
        ("package other\n\nx := input.args.x\n", set()),
        (CALL, set()),
    ],
)  # fmt: skip
def test_what_the_entry_can_reach_is_what_it_reads(policy: str, paths: set[tuple[str, ...]]) -> None:
    assert read(policy) == paths


def test_what_another_package_or_a_team_reads_counts_once_the_entry_reaches_it() -> None:
    used = "package lib\n\nx if input.args.x\n\ny if input.args.y\n"
    assert read(used, allow("lib.x", imports="import data.lib")) == {("args", "x")}
    assert read(used, allow("data.lib.x")) == {("args", "x")}
    assert read(used, allow("data[input.args.n].x")) == {("args", "x"), ("args", "y"), ("args", "n")}


def test_a_point_reads_what_its_own_entry_reaches() -> None:
    trees = reads.of_points(
        modules(*questions.ENTRIES.values(), 'package bascule.result\n\ndeny contains "x" if input.result.size > 1\n')
    )
    assert trees.keys() == set(Point)
    assert trees[Point.RESULT] == {"result": {"size": None}}
    assert trees[Point.CALL] == {"principal": {"id": None}}


@pytest.mark.parametrize(
    ("paths", "tree"),
    [
        ([], {}),
        ([("a",)], {"a": None}),
        ([("a", "b"), ("a", "c")], {"a": {"b": None, "c": None}}),
        ([("a", "b"), ("a",)], {"a": None}),
        ([("a", "b", "c", "d"), ("a", "b")], {"a": {"b": None}}),
        ([("a",), ("a", "b", "c")], {"a": None}),
        ([("a", "b"), ()], reads.EVERYTHING),
    ],
)
def test_what_is_read_whole_hides_what_is_read_inside_it(paths: list[tuple[str, ...]], tree: reads.Tree) -> None:
    assert reads.tree(paths) == tree
    assert reads.tree(reversed(paths)) == tree


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({}, {}),
        ({"a": None}, {"a": {"b": 1, "c": [1, {"d": 2}]}}),
        ({"a": {"b": None}}, {"a": {"b": 1}}),
        ({"a": {"c": {"d": None}}}, {"a": {"c": [1, {"d": 2}]}}),
        ({"a": {"x": None}, "x": None}, {"a": {}}),
        ({"t": {"x": None}}, {"t": "text"}),
        ({"n": {"x": None}}, {"n": None}),
    ],
)
def test_a_document_is_cut_down_to_what_is_read(wanted: reads.Tree, kept: JsonObject) -> None:
    document = {"a": {"b": 1, "c": [1, {"d": 2}]}, "t": "text", "n": None}
    assert reads.project(document, wanted) == kept


def test_a_document_that_is_read_whole_is_not_copied() -> None:
    document: JsonObject = {"a": 1}
    assert reads.project(document, reads.tree([()])) is document


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ((), ("a",), True),
        (("a",), ("a", "b"), True),
        (("a", "b"), ("a",), True),
        (("a",), ("b",), False),
        (("a", "b"), ("a", "c"), False),
    ],
)
def test_paths_overlap_where_one_lies_inside_the_other(
    one: tuple[str, ...], other: tuple[str, ...], *, together: bool
) -> None:
    assert reads.overlap(one, other) is together


POLICIES: dict[str, str] = {
    "constant paths": """
allow contains "x" if input.args.path == "a"

deny contains {"reason": "labelled", "code": "CONTEXT"} if "pii" in input.session.labels
""",
    "a helper and a default": """
default limit := 3

limit := input.args.limit if is_number(input.args.limit)

allow contains "few" if input.session.writes < limit
""",
    "an unknown key": """
allow contains sprintf("%s", [key]) if {
	some key, value in input.args
	value == "a"
}

deny contains "typed" if {
	some pointer
	input.typed[pointer].type == "path"
	value := input.typed[pointer].value
	not startswith(value, "/srv")
}
""",
    "the whole input": """
allow contains "many" if count(input) > 5

require_approval contains "x" if object.get(input, ["args", "path"], "none") == "b"
""",
    "an imported part": """
import input.principal as who

allow contains who.id if "dev" in who.roles

deny contains "tenant" if data.blocked[who.tenant]
""",
    "a replaced input": """
inside if input.args.path == "a"

allow contains "part" if inside with input.args.path as input.args.limit

require_approval contains "whole" if inside with input as {"args": {"path": input.args.path}}

deny contains "never" if not inside with input.args as {"path": "a"}
""",
    "negation of what may be absent": """
allow contains "no path" if not input.args.path

allow contains "deep" if not input.args.path.deep.er

require_approval contains "x" if not input.typed["/path"].inside
""",
    "comprehensions and every": """
effects := {effect | some effect in input.tool.manifest.effects}

allow contains "read" if effects == {"read"}

allow contains "checked" if {
	count(input.checks) > 0
	every check in input.checks { check.verdict == "pass" }
}

obligations contains {"type": "label", "labels": labels} if count(labels) > 0

labels := [label | some label in input.session.labels]
""",
    "a rule by its name": """
granted[name] := 1 if {
	some name in ["read_note", "a"]
	input.args.limit > 1
}

allow contains "granted" if granted[input.tool.name]

allow contains "by name" if data.bascule.call.granted[input.args.path]
""",
    "a function of the document": """
named(document) := document.args.path

allow contains "named" if named(input) == "a"

deny contains "of tool" if size(input.tool) > 4

size(thing) := count(thing)
""",
    "an else": """
level := "high" if "pii" in input.session.labels

else := "middle" if input.session.writes > 2

else := input.args.path

allow contains level if level != "high"
""",
}  # fmt: skip
LETTERS = st.sampled_from(["a", "b", "/srv/a", "read_note", ""])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(LETTERS, st.integers(0, 5), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["deep", "er", "path"]), inner, max_size=2)
    ),
    max_leaves=4,
)
ARGUMENTS = st.one_of(LETTERS.map(str), st.integers(0, 5), VALUES)
CHECK = st.fixed_dictionaries({"name": LETTERS, "verdict": st.sampled_from(["pass", "fail"])})
TYPED = st.fixed_dictionaries(
    {"type": st.sampled_from(["path", "url"]), "value": LETTERS}, optional={"inside": LETTERS}
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "v": st.just(1),
        "point": st.just("call"),
        "principal": st.fixed_dictionaries(
            {
                "id": st.sampled_from(["ann", "ben", "eve", "bascule:canary"]),
                "tenant": st.sampled_from(["acme", "other"]),
                "roles": st.lists(st.sampled_from(["dev", "ops"]), max_size=2),
            }
        ),
        "tool": st.fixed_dictionaries(
            {
                "name": st.sampled_from(["read_note", "write_note"]),
                "upstream": st.just("notes"),
                "manifest": st.fixed_dictionaries(
                    {"effects": st.lists(st.sampled_from(["read", "write"]), max_size=2, unique=True)}
                ),
            },
            optional={"pin": st.just("p"), "more": st.just(1)},
        ),
        "session": st.fixed_dictionaries(
            {"labels": st.lists(st.sampled_from(["pii", "web"]), max_size=2), "writes": st.integers(0, 5)}
        ),
        "args": st.fixed_dictionaries({}, optional={"path": ARGUMENTS, "limit": ARGUMENTS, "other": ARGUMENTS}),
    },
    optional={
        "typed": st.dictionaries(st.sampled_from(["/path", "/to"]), TYPED, max_size=2),
        "checks": st.lists(CHECK, max_size=2),
        "state": st.just({}),
    },
)
SEED = random.randrange(2**32)


class Whole:
    """The engine itself, asked about whole documents."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._engine = compiled(bundle)

    def answer(self, document: JsonObject) -> JsonObject | str:
        self._engine.set_input_json(orjson.dumps(document).decode())
        try:
            answer: JsonObject = orjson.loads(self._engine.eval_rule_as_json("data.bascule.call.decision"))
        except RuntimeError:
            self._engine = compiled(self._bundle)
            return "no answer"
        return answer


@pytest.mark.promise("decided-again")
@pytest.mark.parametrize("what", POLICIES)
def test_the_decision_on_what_is_read_is_the_decision_on_the_whole(tmp_path: Path, what: str) -> None:
    bundle = load(written(tmp_path, {"a.rego": CALL + POLICIES[what], "data.json": '{"blocked": {"acme": true}}'}))
    pdp, whole = Regorus(bundle), Whole(bundle)
    print("seed", SEED)

    @seed(SEED)
    @settings(max_examples=100, deadline=None, database=None)
    @given(DOCUMENTS)
    def same(document: JsonObject) -> None:
        try:
            answer: JsonObject | str = answered(pdp, document)
        except RuntimeError:
            answer = "no answer"
        assert answer == whole.answer(document)

    same()


def answered(pdp: Regorus, document: JsonObject) -> JsonObject:
    """What `evaluate` gives, which never really waits."""
    asked = pdp.evaluate(Point.CALL, document)
    try:
        asked.send(None)
    except StopIteration as end:
        answer: JsonObject = end.value
        return answer
    raise AssertionError("it waited")


@pytest.mark.parametrize("what", POLICIES)
def test_the_documents_asked_about_are_not_all_answered_alike(tmp_path: Path, what: str) -> None:
    bundle = load(written(tmp_path, {"a.rego": CALL + POLICIES[what], "data.json": '{"blocked": {"acme": true}}'}))
    whole, effects = Whole(bundle), set[str]()

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(DOCUMENTS)
    def gather(document: JsonObject) -> None:
        answer = whole.answer(document)
        effects.add(answer if isinstance(answer, str) else answer["effect"])

    gather()
    assert len(effects) > 1


def test_the_starter_policy_reads_no_argument() -> None:
    bundle = load(shipped() / "packs" / "starter")
    trees = reads.of_points(syntax.modules(compiled(bundle).get_ast_as_json()))
    kinds = {"resource", "prompt", "completion", "subscription"}
    assert set(trees[Point.CALL]) == {"principal", "tool", "typed", "call", "upstream", *kinds}
