"""What of the input a loaded policy can read, told from its syntax tree.

The document is cut down to that before an engine sees it, which is faster, and makes what is left a sound
key for keeping answers. Where the tree leaves doubt, the answer is "everything".
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.model import JsonObject, Point
from gateway.policy.syntax import Module, Node, Rule

Path = tuple[str, ...]
Tree = Mapping[str, "Tree | None"]
"""Key to what is read below it; None is all of it."""
EVERYTHING: Tree = {"": None}


def of_points(modules: Iterable[Module]) -> dict[Point, Tree]:
    """Per decision point, what its entry can read with all that it reaches."""
    known = tuple(modules)
    return {point: tree(paths(known, ("bascule", str(point), "decision"))) for point in Point}


def paths(modules: tuple[Module, ...], entry: Path) -> frozenset[Path]:
    """The input paths that the rules reachable from `entry` can read; `()` is the whole input."""
    rules = [(module, rule) for module in modules for rule in module.rules]
    waiting, reached, read = [entry], set[int](), set[Path]()
    while waiting:
        wanted = waiting.pop()
        for module, rule in rules:
            if id(rule) not in reached and overlap(rule.path, wanted):
                reached.add(id(rule))
                for root, path in references(module, rule):
                    if root == "input":
                        read.add(path)
                    else:
                        waiting.append(path)
    return frozenset(read)


def overlap(one: Path, other: Path) -> bool:
    """Whether one path lies at or below the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def references(module: Module, rule: Rule) -> Iterator[tuple[str, Path]]:
    """Every place of `input` and `data` a rule names, as root and constant path below it.

    A local variable that hides a rule's or an import's name adds a path that is not read: harmless.
    """
    inside: set[int] = set()
    for node in rule.nodes():
        if id(node) in inside:
            continue
        steps = node.parts if node.kind == "ref" else (node,)
        if steps[0].kind != "var":
            continue
        inside.add(id(steps[0]))
        constant = _constant(steps[1:])
        name = str(steps[0].value)
        if name in {"input", "data"}:
            yield name, constant
        elif name in module.imports:
            root, *path = module.imports[name]
            yield root, (*path, *constant)
        else:
            yield "data", (*module.package, name, *constant)


def tree(read: Iterable[Path]) -> Tree:
    """The paths as a tree; what is read whole hides what is read inside it."""
    root: dict[str, Any] = {}
    for path in sorted(read, key=len):
        if not path:
            return EVERYTHING
        here: dict[str, Any] | None = root
        for key in path[:-1]:
            here = here.setdefault(key, {}) if here is not None else None
        if here is not None:
            here[path[-1]] = None
    return root


def project(document: JsonObject, wanted: Tree) -> JsonObject:
    """The document with nothing in it but what is read. HOT."""
    if wanted is EVERYTHING:
        return document
    kept: JsonObject = {}
    for key, below in wanted.items():
        if key in document:
            value = document[key]
            kept[key] = value if below is None or type(value) is not dict else project(value, below)
    return kept


def _constant(steps: Iterable[Node]) -> Path:
    path: list[str] = []
    for step in steps:
        if step.kind != "text":
            break
        path.append(str(step.value))
    return tuple(path)
