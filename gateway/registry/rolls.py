"""A roll: one list of one upstream as an endpoint shows it, each definition encoded once; and what callers see of it.

Pure. Who sees what is handed in as the names that are hidden.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import orjson

from gateway.model import Digest

MOST_ITEMS: Final = 1_000
MOST_BYTES: Final = 1_000_000
"""Of one page; a single item that is larger is a page of its own."""
NOTHING_HIDDEN: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Roll:
    """Names in order, and the definitions in the same order."""

    upstream: str
    names: tuple[str, ...] = ()
    """As the upstream calls them: what a hidden set and a cursor hold."""
    encoded: tuple[bytes, ...] = ()
    shown: tuple[orjson.Fragment, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, upstream: str, named: Iterable[tuple[str, bytes]]) -> "Roll":
        """From pairs of name and JSON, sorted here."""
        ordered = sorted(named)
        encoded = tuple(json for _, json in ordered)
        return cls(upstream, tuple(name for name, _ in ordered), encoded, tuple(map(orjson.Fragment, encoded)))

    def digest(self, hidden: frozenset[str]) -> bytes:
        """Of all that is shown of it: equal ones were made of equal lists."""
        found = hashlib.sha256()
        for name, json in zip(self.names, self.encoded, strict=True):
            if name not in hidden:
                found.update(len(json).to_bytes(8, "big"))
                found.update(json)
        return found.digest()


class Place(NamedTuple):
    """Where a page ended: behind this name of this upstream, whether or not it is still there."""

    upstream: str
    name: str


class Page(NamedTuple):
    """Items ready to be put into a result, and where the next page goes on, if there is one."""

    items: tuple[orjson.Fragment, ...]
    end: Place | None


def page(rolls: Sequence[tuple[Roll, frozenset[str]]], after: Place | None) -> Page | None:
    """The page behind a place; None where the place's upstream is not among the rolls."""
    upstreams = [roll.upstream for roll, _ in rolls]
    if after is not None and after.upstream not in upstreams:
        return None
    first = 0 if after is None else upstreams.index(after.upstream)
    items: list[orjson.Fragment] = []
    size, end = 0, None
    for roll, hidden in rolls[first:]:
        passed = after.name if after is not None and after.upstream == roll.upstream else None
        for name, json, shown in zip(roll.names, roll.encoded, roll.shown, strict=True):
            if name in hidden or (passed is not None and name <= passed):
                continue
            if items and (len(items) >= MOST_ITEMS or size + len(json) > MOST_BYTES):
                return Page(tuple(items), end)
            items.append(shown)
            size, end = size + len(json), Place(roll.upstream, name)
    return Page(tuple(items), None)


def digest(rolls: Iterable[tuple[Roll, bytes]]) -> Digest:
    """Of what a caller is shown, from the digests of each upstream's part."""
    found = hashlib.sha256()
    for roll, part in rolls:
        found.update(roll.upstream.encode() + b"\0" + part)
    return Digest(f"sha256:{found.hexdigest()}")


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose a URI is, where several upstreams may list the same: the first, in the order of the endpoint."""

    of: Mapping[str, str]
    taken: Mapping[str, frozenset[str]]
    """By upstream: what it lists and an earlier one owns."""

    @classmethod
    def among(cls, lists: Iterable[tuple[str, Iterable[str]]]) -> "Owners":
        """From the names that each upstream lists, in the endpoint's order."""
        of: dict[str, str] = {}
        taken: dict[str, frozenset[str]] = {}
        for upstream, names in lists:
            twice = frozenset(name for name in names if of.setdefault(name, upstream) != upstream)
            if twice:
                taken[upstream] = twice
        return cls(of, taken)
