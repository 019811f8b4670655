"""The syntax tree of loaded Rego, as `Engine.get_ast_as_json` gives it, in four small nouns.

Not a parser and not a compiler: the engine parses; `safety`, `differences`, `reads` and `checking` only look.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """An expression. `kind` is one of: text, number, constant, var, ref, call, array, set, object,
    comprehension, unify, assign, compare, arithmetic, membership.

    A ref's first part is its head and the others its steps; a call's first part is its function;
    an object's parts are key, value, key, value; a membership's last part is the collection.
    """

    kind: str
    line: int
    column: int
    value: Any = None
    """The literal, the variable's name, the operator, or which comprehension."""
    parts: tuple["Node", ...] = ()
    query: tuple["Statement", ...] = ()
    """The body of a comprehension."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A line of a body. `kind` is one of: some, some_in, expression, not, every.

    The parts of `some_in` and `every` are the key and value patterns, then the collection.
    """

    kind: str
    line: int
    column: int
    names: tuple[str, ...] = ()
    """What a bare `some` declares."""
    parts: tuple[Node, ...] = ()
    query: tuple["Statement", ...] = ()
    """The body of an `every`."""
    mods: tuple[tuple[Node, Node], ...] = ()
    """`with TARGET as VALUE`."""


@dataclass(frozen=True, slots=True)
class Body:
    """One body of a rule with the value it gives (an `else` has its own)."""

    query: tuple[Statement, ...]
    value: Node | None
    is_else: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `kind` is one of: set, value, function, default."""

    kind: str
    file: str
    line: int
    column: int
    package: tuple[str, ...]
    head: tuple[str, ...]
    """The constant part of its name."""
    steps: tuple[Node, ...] = ()
    """What follows in the head: `p[x].y` has x and y here."""
    key: Node | None = None
    args: tuple[Node, ...] = ()
    bodies: tuple[Body, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """Where its value stands below `data`."""
        return self.package + self.head

    def nodes(self) -> Iterator[Node]:
        """Every expression of the rule, outermost first."""
        for node in (*self.steps, *((self.key,) if self.key else ()), *self.args):
            yield from walk(node)
        for body in self.bodies:
            if body.value:
                yield from walk(body.value)
            yield from walk_query(body.query)


@dataclass(frozen=True, slots=True)
class Module:
    """One file."""

    file: str
    package: tuple[str, ...]
    imports: dict[str, tuple[str, ...]]
    """The name in this file to the path it stands for, `input` or `data` first."""
    lines: dict[str, int]
    """Where each import stands."""
    repeated: tuple[str, ...]
    """Names that two imports give."""
    rules: tuple[Rule, ...] = field(default=())


def modules(ast_json: str) -> tuple[Module, ...]:
    """The loaded files, in the order they were added."""
    return tuple(_module(raw) for raw in json.loads(ast_json))


def walk(node: Node) -> Iterator[Node]:
    """The expression and everything in it, bodies of comprehensions included."""
    yield node
    for part in node.parts:
        yield from walk(part)
    yield from walk_query(node.query)


def walk_query(query: tuple[Statement, ...]) -> Iterator[Node]:
    """Every expression of a body."""
    for statement in query:
        yield from statement_nodes(statement)


def statement_nodes(statement: Statement) -> Iterator[Node]:
    """Every expression of one line of a body."""
    for part in statement.parts:
        yield from walk(part)
    yield from walk_query(statement.query)
    for target, value in statement.mods:
        yield from walk(target)
        yield from walk(value)


def statements(query: tuple[Statement, ...]) -> Iterator[Statement]:
    """Every line of a body, and of the bodies inside it."""
    for statement in query:
        yield statement
        yield from statements(statement.query)
        for part in (*statement.parts, *(value for _, value in statement.mods)):
            for node in walk(part):
                yield from statements(node.query) if node.query else ()


def name_of(node: Node) -> str:
    """The dotted name a call or a `with` target names; empty when it is not a plain name."""
    if node.kind == "var":
        return str(node.value)
    if node.kind == "ref" and node.parts[0].kind == "var" and all(step.kind == "text" for step in node.parts[1:]):
        return ".".join(str(part.value) for part in node.parts)
    return ""


_LITERALS = {"String": "text", "RawString": "text", "Number": "number", "Bool": "constant", "Null": "constant"}
_COLLECTIONS = {"Array": "array", "Set": "set"}
_COMPREHENSIONS = {"ArrayCompr": "array", "SetCompr": "set", "ObjectCompr": "object"}
_OPERATIONS = {"BoolExpr": "compare", "ArithExpr": "arithmetic", "BinExpr": "arithmetic"}


class _Reader:
    """Turns one file's raw tree into nodes; keeps its text, because names of declarations are spans of it."""

    def __init__(self, file: str, source: str) -> None:
        self.file = file
        self.source = source.encode()

    def text(self, span: Raw) -> str:
        return self.source[span["start"] : span["end"]].decode()

    def node(self, raw: Raw) -> Node:
        ((tag, body),) = raw.items()
        place = (body["span"]["line"], body["span"]["col"])
        if tag in _LITERALS:
            return Node(_LITERALS[tag], *place, value=body["value"])
        if tag == "Var":
            return Node("var", *place, value=body["value"])
        if tag in {"RefDot", "RefBrack"}:
            return self._ref(raw)
        if tag in _COLLECTIONS:
            return Node(_COLLECTIONS[tag], *place, parts=self._all(body["items"]))
        if tag == "Object":
            return Node("object", *place, parts=self._all([part for _, *pair in body["fields"] for part in pair]))
        return self._compound(tag, body, place)

    def _compound(self, tag: str, body: Raw, place: tuple[int, int]) -> Node:
        if tag in _COMPREHENSIONS:
            terms = [body[part] for part in ("term", "key", "value") if part in body]
            query = self.query(body["query"])
            return Node("comprehension", *place, _COMPREHENSIONS[tag], self._all(terms), query)
        if tag == "Call":
            return Node("call", *place, parts=self._all([body["fcn"], *body["params"]]))
        if tag == "AssignExpr":
            kind = "assign" if body["op"] == "ColEq" else "unify"
            return Node(kind, *place, parts=self._all([body["lhs"], body["rhs"]]))
        if tag in _OPERATIONS:
            return Node(_OPERATIONS[tag], *place, body["op"], self._all([body["lhs"], body["rhs"]]))
        if tag == "Membership":
            parts = [body["key"], body["value"], body["collection"]]
            return Node("membership", *place, parts=self._all([part for part in parts if part]))
        if tag == "UnaryExpr":
            return Node("arithmetic", *place, "Negate", (self.node(body["expr"]),))
        raise AssertionError(f"unknown expression {tag}")

    def _ref(self, raw: Raw) -> Node:
        steps: list[Node] = []
        while True:
            ((tag, body),) = raw.items()
            if tag == "RefDot":
                span, name = body["field"]
                steps.append(Node("text", span["line"], span["col"], name))
            elif tag == "RefBrack":
                steps.append(self.node(body["index"]))
            else:
                head = self.node(raw)
                return Node("ref", head.line, head.column, parts=(head, *reversed(steps)))
            raw = body["refr"]

    def _all(self, raws: list[Raw]) -> tuple[Node, ...]:
        return tuple(self.node(raw) for raw in raws)

    def query(self, raw: Raw) -> tuple[Statement, ...]:
        return tuple(self._statement(each) for each in raw["stmts"])

    def _statement(self, raw: Raw) -> Statement:
        ((tag, body),) = raw["literal"].items()
        place = (body["span"]["line"], body["span"]["col"])
        mods = tuple((self.node(mod["refr"]), self.node(mod["as"])) for mod in raw.get("with_mods", ()))
        if tag == "SomeVars":
            return Statement("some", *place, names=tuple(self.text(span) for span in body["vars"]), mods=mods)
        if tag == "SomeIn":
            patterns = [part for part in (body["key"], body["value"], body["collection"]) if part]
            return Statement("some_in", *place, parts=self._all(patterns), mods=mods)
        if tag == "Every":
            spans = [span for span in (body["key"], body["value"]) if span]
            names = tuple(self.text(span) for span in spans)
            query = self.query(body["query"])
            return Statement("every", *place, names, (self.node(body["domain"]),), query, mods)
        kind = "not" if tag == "NotExpr" else "expression"
        return Statement(kind, *place, parts=(self.node(body["expr"]),), mods=mods)

    def rule(self, raw: Raw, package: tuple[str, ...]) -> Rule:
        ((tag, body),) = raw.items()
        place = (self.file, body["span"]["line"], body["span"]["col"])
        if tag == "Default":
            head, steps = split(self.node(body["refr"]))
            value = Body((), self.node(body["value"]), is_else=False)
            return Rule("default", *place, package, head, steps, args=self._all(body["args"]), bodies=(value,))
        ((shape, inner),) = body["head"].items()
        head, steps = split(self.node(inner["refr"]))
        assign = inner.get("assign")
        value_node = self.node(assign["value"]) if assign else None
        bodies = tuple(self._body(each, value_node) for each in body["bodies"]) or (
            Body((), value_node, is_else=False),
        )
        if shape == "Set":
            key = self.node(inner["key"]) if inner.get("key") else None
            return Rule("set", *place, package, head, steps, key, bodies=bodies)
        if shape == "Func":
            return Rule("function", *place, package, head, steps, args=self._all(inner["args"]), bodies=bodies)
        return Rule("value", *place, package, head, steps, bodies=bodies)

    def _body(self, raw: Raw, value: Node | None) -> Body:
        if raw["assign"]:
            value = self.node(raw["assign"]["value"])
        return Body(self.query(raw["query"]), value, is_else=raw["is_else"])


def split(node: Node) -> tuple[tuple[str, ...], tuple[Node, ...]]:
    """A name's constant beginning, and the steps after it."""
    parts = node.parts if node.kind == "ref" else (node,)
    head: list[str] = [str(parts[0].value)]
    for place, step in enumerate(parts[1:], start=1):
        if step.kind != "text":
            return tuple(head), parts[place:]
        head.append(str(step.value))
    return tuple(head), ()


def _module(raw: Raw) -> Module:
    file, source, tree = raw["source"]["file"], raw["source"]["contents"], raw["ast"]
    reader = _Reader(file, source)
    package = split(reader.node(tree["package"]["refr"]))[0]
    imports: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    repeated: list[str] = []
    for each in tree["imports"]:
        path = split(reader.node(each["refr"]))[0]
        if path[0] in {"rego", "future"}:
            continue
        alias = reader.text(each["as"]) if each.get("as") else path[-1]
        if alias in imports:
            repeated.append(alias)
        imports[alias] = path
        lines[alias] = each["span"]["line"]
    rules = tuple(reader.rule(each, package) for each in tree["rules"])
    return Module(file, package, imports, lines, tuple(repeated), rules)
