"""The catalogue: what upstreams last listed besides tools, by upstream and list.

Resources, templates and prompts are not pinned: what they are is judged when they are read. Pure, as the registry is.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.kinds import Listed
from gateway.model import JsonObject
from gateway.registry import names
from gateway.registry.drift import Problem
from gateway.registry.templates import LONGEST, Template, compiled
from gateway.wire import jsonrpc

NAMED_BY: Final[Mapping[Listed, str]] = {
    Listed.TOOLS: "name",
    Listed.RESOURCES: "uri",
    Listed.TEMPLATES: "uriTemplate",
    Listed.PROMPTS: "name",
}
"""The member of a definition that it is known by."""
LONGEST_NAME: Final = 128
"""Characters of a prompt's name."""
_NOTHING: Final[Mapping[str, "Item"]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Item:
    """One definition, as the upstream wrote it."""

    definition: JsonObject
    encoded: bytes


class Catalogue:
    """Lists by upstream. A list's revision changes with everything that it could show, and only then."""

    def __init__(self) -> None:
        self._lists: dict[tuple[str, Listed], Mapping[str, Item]] = {}
        self._revisions: dict[tuple[str, Listed], int] = {}
        self._templates: dict[str, tuple[int, tuple[Template, ...]]] = {}
        self._revision = 0

    def offer(self, upstream: str, what: Listed, definitions: Iterable[object]) -> tuple[Problem, ...]:
        """Take a complete list. What in it is not shown, and why."""
        items, problems = _read(upstream, what, definitions)
        before = self._lists.get((upstream, what))
        if before is None or not _same(before, items):
            self._revision += 1
            self._lists[upstream, what], self._revisions[upstream, what] = items, self._revision
        return problems

    def items(self, upstream: str, what: Listed) -> Mapping[str, Item]:
        """By name, URI or template, sorted; nothing where it was never listed. HOT"""
        return self._lists.get((upstream, what), _NOTHING)

    def known(self, upstream: str, what: Listed) -> bool:
        """Whether this list was ever had."""
        return (upstream, what) in self._lists

    def revision(self, upstream: str, what: Listed) -> int:
        """0 where it was never listed; no number comes twice. HOT"""
        return self._revisions.get((upstream, what), 0)

    def templates(self, upstream: str) -> tuple[Template, ...]:
        """Its URI templates, compiled once per revision."""
        revision = self.revision(upstream, Listed.TEMPLATES)
        kept = self._templates.get(upstream)
        if kept is None or kept[0] != revision:
            kept = self._templates[upstream] = (revision, compiled(self.items(upstream, Listed.TEMPLATES)))
        return kept[1]

    def only(self, upstreams: Collection[str]) -> None:
        """Forget the lists of upstreams that are gone."""
        for key in [key for key in self._lists if key[0] not in upstreams]:
            del self._lists[key], self._revisions[key]
            self._templates.pop(key[0], None)


def _read(upstream: str, what: Listed, definitions: Iterable[object]) -> tuple[Mapping[str, Item], tuple[Problem, ...]]:
    found: dict[str, Item] = {}
    problems: list[Problem] = []
    for definition in definitions:
        name = definition.get(NAMED_BY[what]) if isinstance(definition, dict) else None
        problem = _problem(what, name)
        if problem is None and name in found:
            problem = "stands more than once in the list: the first is shown"
        if problem is None and isinstance(definition, dict):
            try:
                found[str(name)] = Item(definition, jsonrpc.encode(definition))
            except (ValueError, RecursionError):
                problem = "cannot be written as JSON again"
        if problem is not None:
            problems.append(Problem(upstream, names.visible(name) if isinstance(name, str) else "", problem))
    return dict(sorted(found.items())), tuple(dict.fromkeys(problems))


def _problem(what: Listed, name: object) -> str | None:
    member = NAMED_BY[what]
    if not isinstance(name, str) or not name:
        return f"has no {member}"
    longest = LONGEST_NAME if what is Listed.PROMPTS else LONGEST
    if len(name) > longest:
        return f"its {member} has more than {longest} characters"
    if not name.isprintable() or names.hidden(name):
        return f"its {member} holds code points that a reader does not see"
    return None


def _same(one: Mapping[str, Item], other: Mapping[str, Item]) -> bool:
    return one.keys() == other.keys() and all(item.encoded == other[name].encoded for name, item in one.items())
