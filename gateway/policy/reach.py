"""Which rule needs which, and what of the input each asks for with all that it needs."""

from collections.abc import Iterable

from gateway.policy import reads
from gateway.policy.reads import Path
from gateway.policy.syntax import Module, Rule


class Reach:
    """The rules by path, and the arrows between them."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self._below: dict[Path, set[Path]] = {}
        self._names: dict[Path, set[Path]] = {}
        self._asks: dict[Path, set[Path]] = {}
        """The places of `data`, and of `input`, that the rules of a path name."""
        for module in modules:
            for rule in module.rules:
                for length in range(len(rule.path) + 1):
                    self._below.setdefault(rule.path[:length], set()).add(rule.path)
                asks, names = self.named(module, rule)
                self._asks.setdefault(rule.path, set()).update(asks)
                self._names.setdefault(rule.path, set()).update(names)

    @staticmethod
    def named(module: Module, rule: Rule) -> tuple[set[Path], set[Path]]:
        """What a rule itself names in `input` and in `data`."""
        found = set(reads.references(module, rule))
        asks = {path for root, path in found if root == "input"}
        return asks, {path for root, path in found if root == "data"}

    def from_(self, starts: Iterable[Path]) -> set[Path]:
        """The paths of the rules at, below or above `starts`, and of all that they need."""
        reached: set[Path] = set()
        waiting = self._rules(starts)
        while waiting:
            reached |= waiting
            waiting = self._rules({name for path in waiting for name in self._names[path]}) - reached
        return reached

    def asking(self, parts: Iterable[str]) -> set[Path]:
        """The paths of the rules that ask for one of these parts of the input, themselves or through another."""
        wanted = [(part,) for part in parts]
        needed_by: dict[Path, set[Path]] = {}
        for path, names in self._names.items():
            for needed in self._rules(names):
                needed_by.setdefault(needed, set()).add(path)
        waiting = {path for path, asks in self._asks.items() if overlaps(asks, wanted)}
        found: set[Path] = set()
        while waiting:
            found |= waiting
            waiting = {path for each in waiting for path in needed_by.get(each, ())} - found
        return found

    def reach_any(self, names: Iterable[Path], rules: set[Path]) -> bool:
        """Whether one of these places of `data` takes its value from one of `rules`."""
        return not rules.isdisjoint(self._rules(names))

    def _rules(self, names: Iterable[Path]) -> set[Path]:
        """The rules that give a value at, below or above these places."""
        found: set[Path] = set()
        for name in names:
            found |= self._below.get(name, set())
            found.update(name[:length] for length in range(len(name)) if name[:length] in self._names)
        return found


def overlaps(some: Iterable[Path], others: Iterable[Path]) -> bool:
    """Whether one of the paths lies at, below or above one of the others."""
    compared = list(others)
    return any(reads.overlap(one, other) for one in some for other in compared)
