"""What kind of value an expression can have, as far as it is plain from the text alone."""

from collections.abc import Iterable
from dataclasses import dataclass

_NAMES = {
    "s": "text",
    "n": "a number",
    "b": "true or false",
    "z": "null",
    "a": "an array",
    "o": "an object",
    "t": "a set",
}
_COLLECTIONS = frozenset("aot")


@dataclass(frozen=True, slots=True)
class Shape:
    """The kinds a value may be of (letters as in `builtins`), and what is known of its inside."""

    kinds: str = "*"
    inside: "Shape | None" = None
    """Of every element; None is not known."""
    items: "tuple[Shape, ...] | None" = None
    """Of each place, where an array is written out."""
    fields: "tuple[tuple[str, Shape], ...] | None" = None
    """Of each key, where an object is written out."""
    options: "tuple[Shape, ...]" = ()
    """Where it is one of several, each of them."""

    def words(self) -> str:
        """For an error message."""
        return "anything" if "*" in self.kinds else " or ".join(_NAMES[kind] for kind in self.kinds)

    def element(self) -> "Shape":
        """The shape of what an iteration or an unknown key gives."""
        if self.options:
            return either(option.element() for option in self.options if set(option.kinds) & _COLLECTIONS) or ANYTHING
        return self.inside or ANYTHING

    def at(self, key: object) -> "Shape":
        """The shape at a constant key."""
        if self.options:
            return either(option.at(key) for option in self.options if set(option.kinds) & _COLLECTIONS) or ANYTHING
        if self.fields is not None and isinstance(key, str):
            return dict(self.fields).get(key, NOTHING)
        if self.items is not None and isinstance(key, int):
            return self.items[key] if 0 <= key < len(self.items) else NOTHING
        return self.element()


ANYTHING = Shape()
NOTHING = Shape("")


def array(items: Iterable[Shape]) -> Shape:
    """An array written out."""
    known = tuple(items)
    return Shape("a", either(known), items=known)


def object_(fields: Iterable[tuple[str | None, Shape]]) -> Shape:
    """An object written out; a key that is not constant makes its fields unknown."""
    known = tuple(fields)
    named = tuple(sorted((key, value) for key, value in known if key is not None)) if known else ()
    return Shape("o", either(value for _, value in known), fields=named if len(named) == len(known) else None)


def either(shapes: Iterable[Shape]) -> Shape | None:
    """What has one of these shapes; None of no shapes."""
    known = tuple(dict.fromkeys(shapes))
    if len(known) < 2:
        return known[0] if known else None
    if any("*" in shape.kinds for shape in known):
        return ANYTHING
    options = tuple(option for shape in known for option in shape.options or (shape,))
    return Shape("".join(sorted({kind for shape in known for kind in shape.kinds})), options=options)


def meet(one: Shape, other: Shape) -> bool:
    """Whether a value could have both shapes."""
    if "*" in one.kinds or "*" in other.kinds:
        return True
    if one.options or other.options:
        return any(meet(left, right) for left in one.options or (one,) for right in other.options or (other,))
    common = set(one.kinds) & set(other.kinds)
    if not common:
        return False
    return bool(common - _COLLECTIONS) or any(_inside_meets(kind, one, other) for kind in common)


def _inside_meets(kind: str, one: Shape, other: Shape) -> bool:
    if kind == "a" and one.items is not None and other.items is not None:
        if len(one.items) != len(other.items):
            return False
        return all(meet(left, right) for left, right in zip(one.items, other.items, strict=True))
    if kind == "o" and one.fields is not None and other.fields is not None:
        left, right = dict(one.fields), dict(other.fields)
        return left.keys() == right.keys() and all(meet(left[key], right[key]) for key in left)
    for known, whole in ((one, other), (other, one)):
        parts = known.items if kind == "a" else tuple(value for _, value in known.fields or ()) if kind == "o" else None
        if parts and whole.inside and not all(meet(part, whole.inside) for part in parts):
            return False
    return not (one.inside and other.inside) or meet(one.inside, other.inside)
