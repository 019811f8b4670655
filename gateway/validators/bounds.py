"""What a tool's schema may cost: a server writes it, and a check must end soon whatever it says.

Nothing is checked against arguments here; the figures decide whether a schema is compiled, and when it is too heavy.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

DEEP = 96
NODES = 50_000
COST = 2_000_000
PATTERNS = 64
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS = ("$anchor", "$dynamicAnchor")
_DEFINITIONS = ("$defs", "definitions")
_BY_NAME = ("properties", "patternProperties", "dependentSchemas")


class TooHeavy(ValueError):
    """The schema is not used; the message says why and holds nothing the server wrote."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one look at an instance's value may cost, and what else decides how a schema is used."""

    cost: int
    """Values of the schema, each reference counted as what it stands for."""
    recursive: bool
    patterns: tuple[str, ...]


def measure(schema: object) -> Bounds:
    """The bounds of a schema.

    Raises:
        TooHeavy: it is too large, too deep, or refers to something outside itself.
    """
    walk = _Walk(schema)
    try:
        cost = walk.cost(schema)
    except RecursionError:
        raise TooHeavy("the schema's references form too long a chain") from None
    return Bounds(cost, walk.recursive, tuple(walk.patterns))


class _Walk:
    def __init__(self, root: object) -> None:
        self._root = root
        self._anchors: dict[str, object] = {}
        self._costs: dict[int, int] = {}
        self._open: set[int] = set()
        self.patterns: list[str] = []
        self.recursive = False
        self._collect(root)

    def _collect(self, root: object) -> None:
        """One pass over the text of the schema: size, depth, anchors, patterns."""
        nodes, level = 0, [root]
        for depth in range(DEEP + 1):
            nodes += len(level)
            if nodes > NODES:
                raise TooHeavy(f"the schema has more than {NODES} values")
            for value in level:
                if isinstance(value, dict):
                    self._note(value, depth)
            level = [child for value in level for child in _children(value)]
            if not level:
                break
        else:
            raise TooHeavy(f"the schema is nested deeper than {DEEP}")
        if len(self.patterns) > PATTERNS:
            raise TooHeavy(f"the schema has more than {PATTERNS} patterns")

    def _note(self, value: dict[str, Any], depth: int) -> None:
        if depth and isinstance(value.get("$id"), str):
            raise TooHeavy("the schema embeds another one with an $id of its own")
        for key in _ANCHORS:
            if isinstance(anchor := value.get(key), str):
                self._anchors[anchor] = value
        if isinstance(pattern := value.get("pattern"), str):
            self.patterns.append(pattern)
        if isinstance(patterns := value.get("patternProperties"), dict):
            self.patterns += patterns

    def cost(self, value: object) -> int:
        """Memoised per value; a reference back to a value that is open costs nothing more."""
        if not isinstance(value, dict | list):
            return 1
        known = self._costs.get(id(value))
        if known is not None:
            return known
        self._open.add(id(value))
        total = 1
        for part in self._parts(value):
            if id(part) in self._open:
                self.recursive = True
                continue
            total += self.cost(part)
            if total > COST:
                raise TooHeavy(f"the schema's references expand to more than {COST} values")
        self._open.discard(id(value))
        self._costs[id(value)] = total
        return total

    def _parts(self, value: dict[str, Any] | list[Any]) -> Iterator[object]:
        if isinstance(value, list):
            yield from value
            return
        for key, part in value.items():
            if key in _REFERENCES and isinstance(part, str):
                yield self._target(part)
            elif key in _BY_NAME and isinstance(part, dict):
                yield from part.values()  # a property may be called `$defs` or `$ref`
            elif key not in _DEFINITIONS or not isinstance(part, dict):
                yield part

    def _target(self, reference: str) -> object:
        if not reference.startswith("#"):
            raise TooHeavy("the schema refers to something outside itself")
        if reference == "#":
            return self._root
        if not reference.startswith("#/"):
            try:
                return self._anchors[reference[1:]]
            except KeyError:
                raise TooHeavy("the schema refers to something it does not hold") from None
        at = self._root
        for token in reference[2:].split("/"):
            at = _step(at, unquote(token).replace("~1", "/").replace("~0", "~"))
        return at


def _step(at: object, token: str) -> object:
    if isinstance(at, dict) and token in at:
        return at[token]
    if isinstance(at, list) and token.isdecimal() and int(token) < len(at):
        return at[int(token)]
    raise TooHeavy("the schema refers to something it does not hold")


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
