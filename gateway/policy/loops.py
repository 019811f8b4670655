"""Patterns inside iterations: `glob` and `regex` compile theirs each time round.

Looks through functions too. A matter of time, not of meaning.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from gateway.policy.syntax import Module, Node, Rule, Statement, name_of

Path = tuple[str, ...]
SLOW = frozenset(
    {
        "glob.match",
        "regex.match",
        "regex.split",
        "regex.replace",
        "regex.find_n",
        "regex.find_all_string_submatch_n",
        "regex.globs_match",
        "regex.template_match",
    }
)


@dataclass(frozen=True, slots=True)
class Slow:
    """A call inside an iteration that compiles a pattern each time."""

    rule: Rule
    at: Node
    name: str


def slow(modules: Iterable[Module]) -> Iterator[Slow]:
    """Every such call."""
    known = tuple(modules)
    functions = _slow_functions(known)
    for module in known:
        for rule in module.rules:
            yield from _Loops(module, rule, functions).found()


def _slow_functions(modules: tuple[Module, ...]) -> frozenset[Path]:
    """The functions that compile a pattern, themselves or through another."""
    calls: dict[Path, set[Path | str]] = {}
    for module in modules:
        for rule in module.rules:
            if rule.kind == "function":
                names = {name_of(node.parts[0]) for node in rule.nodes() if node.kind == "call"}
                calls.setdefault(rule.path, set()).update(names, (_path(module, name) for name in names))
    found: set[Path] = set()
    while more := {path for path, made in calls.items() if path not in found and made & (SLOW | found)}:
        found |= more
    return frozenset(found)


def _path(module: Module, name: str) -> Path:
    head, *rest = name.split(".")
    if head == "data":
        return tuple(rest)
    if head in module.imports:
        return (*module.imports[head][1:], *rest)
    return (*module.package, *name.split("."))


class _Loops:
    """One rule, line by line: from the first line that iterates on, everything is done many times."""

    def __init__(self, module: Module, rule: Rule, functions: frozenset[Path]) -> None:
        self._module, self._rule, self._functions = module, rule, functions

    def found(self) -> Iterator[Slow]:
        many = False
        for body in self._rule.bodies:
            inside = yield from self._query(body.query, many=False)
            many = many or inside
            if body.value:
                yield from self._node(body.value, many=inside)
        if self._rule.key:
            yield from self._node(self._rule.key, many=many)

    def _query(self, query: Iterable[Statement], *, many: bool) -> Generator[Slow, None, bool]:
        """Gives back whether what follows the body is done many times."""
        free: set[str] = set()
        for line in query:
            if line.kind == "some":
                free.update(line.names)
            if line.kind in {"some_in", "every"}:
                collection = line.parts[0] if line.kind == "every" else line.parts[-1]
                yield from self._node(collection, many=many)
                many = many or line.kind == "some_in"
                if line.kind == "every":
                    yield from self._query(line.query, many=True)
                continue
            many = many or any(_iterates(node, free) for part in line.parts for node in _outside(part))
            for part in (*line.parts, *(value for _, value in line.mods)):
                yield from self._node(part, many=many)
        return many

    def _node(self, node: Node, *, many: bool) -> Iterator[Slow]:
        if node.kind == "comprehension":
            many = yield from self._query(node.query, many=many)
        if node.kind == "call" and many:
            name = name_of(node.parts[0])
            if name in SLOW or _path(self._module, name) in self._functions:
                yield Slow(self._rule, node, name)
        for part in node.parts:
            yield from self._node(part, many=many)


def _outside(node: Node) -> Iterator[Node]:
    """The expression and its parts, but not what is inside a comprehension."""
    yield node
    for part in node.parts if node.kind != "comprehension" else ():
        yield from _outside(part)


def _iterates(node: Node, free: set[str]) -> bool:
    return node.kind == "ref" and any(step.kind == "var" and step.value in {"_", *free} for step in node.parts[1:])
