"""What rules say of the input, held against its schema: fields that are not there, values that never come.

Follows `input`, imports of it, and variables that take their value from it; whatever else is not judged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.model import Point
from gateway.policy.findings import meant
from gateway.policy.layers import ROOT
from gateway.policy.scopes import pattern_names
from gateway.policy.syntax import Module, Node, Rule, Statement, statements

Place = Mapping[str, Any]
"""The part of the schema that describes a value; empty where anything may stand."""
FREE: Place = {}


@dataclass(frozen=True, slots=True)
class Remark:
    """A field or value at fault, where it is written."""

    at: Node
    problem: str
    fix: str


class Schema:
    """The input schema, walked one step at a time."""

    def __init__(self, document: Place) -> None:
        self._document = document

    def root(self, point: Point | None) -> Place:
        """The whole document as it is at `point`, where that is known."""
        if point is None:
            return self._document
        names = self._document["properties"].keys() - (_branches(self._document) - _required(self._document, point))
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: below for name, below in self._document["properties"].items() if name in names},
        }

    def below(self, place: Place, step: Node) -> Place | None:
        """What stands one step further; None where nothing ever does."""
        if not place:
            return FREE
        types = kinds(place)
        if "array" in types and step.kind != "text":
            return self._told(place.get("items", FREE))
        if "object" not in types:
            return None
        known = place.get("properties", {})
        others = place.get("additionalProperties", True)
        if step.kind == "text" and step.value in known:
            return self._told(known[step.value])
        if step.kind == "text" and others is False:
            return None
        # A key that is only known when it is asked may be any of them.
        return FREE if known or others in (True, False) else self._told(others)

    def _told(self, place: Place) -> Place:
        reference = place.get("$ref")
        if reference is None:
            return place
        found: Any = self._document
        for part in str(reference).removeprefix("#/").split("/"):
            found = found[part]
        told: Place = found
        return told


class Fields:
    """One rule's look at the input."""

    def __init__(self, schema: Schema, module: Module, rule: Rule) -> None:
        self._schema, self._module, self._rule = schema, module, rule
        known = len(rule.package) > 1 and rule.package[0] == ROOT and rule.package[1] in set(Point)
        self._root = schema.root(Point(rule.package[1]) if known else None)
        self._point = rule.package[1] if known else ""
        self._lines = _lines(rule)
        self._locals: dict[str, Place] = {}
        self._bind()

    def remarks(self) -> Iterator[Remark]:
        """Everything that is at fault."""
        for node in self._rule.nodes():
            if node.kind == "ref":
                yield from self._unknown(node)
            elif node.kind in {"unify", "compare"} and (node.kind == "unify" or node.value in {"Eq", "Ne"}):
                one, other = node.parts
                yield from self._never(one, other)
                yield from self._never(other, one)
            elif node.kind == "membership":
                yield from self._member(node.parts[-2], node.parts[-1])
        for line in self._lines:
            for target, value in line.mods:
                yield from self._never(target, value)

    def _bind(self) -> None:
        """Gives the variables that take their value from the input their place; one with two sources has none."""
        sources: dict[str, list[Node | None]] = {}
        for argument in self._rule.args:
            for name in pattern_names(argument):
                sources.setdefault(name, []).append(None)
        for line in self._lines:
            for name, source in _sources(line):
                sources.setdefault(name, []).append(source)
        self._locals = dict.fromkeys(sources, FREE)
        # Twice, because a line may stand before the one it takes its value from.
        for _ in range(2):
            for name, given in sources.items():
                if len(given) == 1 and given[0] is not None:
                    self._locals[name] = self._place(given[0]) or FREE

    def _place(self, node: Node) -> Place | None:
        return self._walk(node)[0]

    def _walk(self, node: Node) -> tuple[Place | None, int, Place]:
        """The place of a value, at which part of the ref the walk ended, and the place before it."""
        parts = node.parts if node.kind == "ref" else (node,)
        place = self._start(parts[0])
        before = place
        for index, step in enumerate(parts[1:], start=1):
            before, found = place, self._schema.below(place, step)
            if found is None:
                return None, index, before
            place = found
        return place, len(parts), before

    def _start(self, head: Node) -> Place:
        if head.kind != "var":
            return FREE
        name = str(head.value)
        if name in self._locals:
            return self._locals[name]
        root, *path = self._module.imports.get(name, (name,))
        place: Place | None = self._root if root == "input" else FREE
        for part in path if root == "input" else ():
            place = self._schema.below(place, Node("text", 0, 0, part)) if place else FREE
        return place or FREE

    def _unknown(self, node: Node) -> Iterator[Remark]:
        place, index, before = self._walk(node)
        if place is not None:
            return
        step, whole = node.parts[index], written(Node("ref", 0, 0, parts=node.parts[:index]))
        wrong = written(Node("ref", 0, 0, parts=node.parts[: index + 1]))
        if "object" in kinds(before) and step.kind == "text":
            at = f" at `{self._point}`" if self._point and before is self._root else ""
            yield Remark(node, f"{wrong} is never there{at}", meant(str(step.value), before.get("properties", {})))
        else:
            advice = "write `some x in " + whole + "`" if "array" in kinds(before) else f"use {whole} itself"
            yield Remark(node, f"{whole} is of type {' or '.join(kinds(before))}: {wrong} is never there", advice)

    def _never(self, node: Node, literal: Node) -> Iterator[Remark]:
        if node.kind in {"ref", "var"} and literal.kind in _LITERALS:
            yield from _contradiction(self._place(node) or FREE, literal, written(node))

    def _member(self, value: Node, collection: Node) -> Iterator[Remark]:
        if value.kind in _LITERALS:
            if collection.kind in {"ref", "var"}:
                place = self._place(collection) or FREE
                items = self._schema.below(place, Node("var", 0, 0, "_")) if "array" in kinds(place) else FREE
                yield from _contradiction(items or FREE, value, f"{written(collection)}[_]")
        elif collection.kind in {"set", "array"}:
            for literal in collection.parts:
                yield from self._never(value, literal)


_LITERALS = {"text", "number", "constant"}


def kinds(place: Place) -> tuple[str, ...]:
    """The JSON types that a value there may have; none are named where any may stand."""
    named = place.get("type", ())
    return (named,) if isinstance(named, str) else tuple(named)


def written(node: Node) -> str:
    """A ref about as its author wrote it."""
    if node.kind != "ref":
        return str(node.value) if node.kind == "var" else "…"
    steps = "".join(
        (f".{step.value}" if str(step.value).isidentifier() else f'["{step.value}"]')
        if step.kind == "text"
        else f"[{step.value if step.kind in {'var', 'number'} else '…'}]"
        for step in node.parts[1:]
    )
    return f"{written(node.parts[0])}{steps}"


def _lines(rule: Rule) -> list[Statement]:
    """Every line of the rule, each once; those of a comprehension in its head or value too."""
    queries = [*(body.query for body in rule.bodies), *(node.query for node in rule.nodes() if node.query)]
    return list({id(line): line for query in queries for line in statements(query)}.values())


def _sources(line: Statement) -> Iterator[tuple[str, Node | None]]:
    """The variables a line declares, and the expression each is an equal of, where it is one."""
    if line.kind == "some":
        yield from ((name, None) for name in line.names)
    elif line.kind in {"some_in", "every"}:
        collection = line.parts[0] if line.kind == "every" else line.parts[-1]
        element = _element(collection)
        names = (
            line.names if line.kind == "every" else [name for part in line.parts[:-1] for name in pattern_names(part)]
        )
        plain = line.kind == "every" or all(part.kind == "var" for part in line.parts[:-1])
        for place, name in enumerate(names, start=1):
            yield name, element if plain and place == len(names) else None
    elif line.kind == "expression" and line.parts[0].kind in {"assign", "unify"}:
        one, other = line.parts[0].parts
        for name in pattern_names(one):
            yield name, other if one.kind == "var" and other.kind in {"ref", "var"} else None


def _element(collection: Node) -> Node | None:
    if collection.kind not in {"ref", "var"}:
        return None
    parts = collection.parts if collection.kind == "ref" else (collection,)
    return Node("ref", collection.line, collection.column, parts=(*parts, Node("var", 0, 0, "_")))


def _contradiction(place: Place, literal: Node, name: str) -> Iterator[Remark]:
    said = (
        '"' + str(literal.value) + '"' if literal.kind == "text" else _JSON.get(str(literal.value), str(literal.value))
    )
    types = kinds(place)
    if types and _type(literal) not in types and not ("number" in types and _type(literal) == "integer"):
        yield Remark(
            literal, f"{name} is never {said}: it is of type {' or '.join(types)}", "compare it with such a value"
        )
    elif "enum" in place and literal.value not in place["enum"]:
        yield Remark(literal, f"{name} is never {said}", meant(str(literal.value), map(str, place["enum"])))


_JSON = {"True": "true", "False": "false", "None": "null"}


def _type(literal: Node) -> str:
    if literal.kind == "text":
        return "string"
    if literal.kind == "constant":
        return "null" if literal.value is None else "boolean"
    return "integer" if float(literal.value).is_integer() else "number"


def _required(schema: Place, point: Point) -> set[str]:
    """The fields that `if`, `then` and `else` of the schema promise at `point`."""
    own = _own(schema)
    if "if" not in schema:
        return own
    chosen = schema["if"]["properties"]["point"]["const"] == point
    return own | (
        _required(schema["then"] if chosen else schema["else"], point) if "else" in schema or chosen else set()
    )


def _branches(schema: Place) -> set[str]:
    """The fields that belong to some points only."""
    found: set[str] = set()
    for branch in (schema[name] for name in ("then", "else") if name in schema):
        found |= _own(branch) | _branches(branch)
    return found


def _own(branch: Place) -> set[str]:
    """What a branch requires itself, in any of its forms."""
    return {name for form in (branch, *branch.get("anyOf", ())) for name in form.get("required", ())}
