"""What a complete list of an upstream's tools does to its entries: pure, from the old entries to the new."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from gateway.model import Digest, JsonObject, PinState
from gateway.registry import names, pins
from gateway.registry.drift import Change, PinChange, Problem
from gateway.registry.lockfile import Entry, Tools, Version

Seen = Mapping[str, tuple[bytes | None, Digest]]
"""By tool: the fingerprint and the digest of the definition seen last in this process."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A complete list, read: what may be pinned, and why the rest may not."""

    upstream: str
    seen: Seen
    definitions: Mapping[str, JsonObject]
    problems: tuple[Problem, ...]


def read(upstream: str, definitions: Iterable[object], before: Seen) -> Offer:
    """Names checked, duplicates refused, digests made where the definition is not the one seen last."""
    named, problems = _named(upstream, list(definitions))
    seen: dict[str, tuple[bytes | None, Digest]] = {}
    for name, definition in named.items():
        known, fingerprint = before.get(name), pins.fingerprint(definition)
        if known is not None and fingerprint is not None and known[0] == fingerprint:
            seen[name] = known
            continue
        try:
            seen[name] = (fingerprint, pins.digest(definition))
        except ValueError as error:
            problems.append(Problem(upstream, name, f"the definition has no canonical form: {error}"))
    return Offer(upstream, seen, named, tuple(problems))


def _named(upstream: str, definitions: Sequence[object]) -> tuple[dict[str, JsonObject], list[Problem]]:
    named: dict[str, JsonObject] = {}
    problems: list[Problem] = []
    tools: list[JsonObject] = [definition if isinstance(definition, dict) else {} for definition in definitions]
    often = {name for name, times in Counter(repr(tool.get("name")) for tool in tools).items() if times > 1}
    for tool in tools:
        name = tool.get("name")
        problem = names.tool_problem(name)
        if problem is None and repr(name) in often:
            problem = "the name stands more than once in the list; none of its definitions is used"
        if problem is None:
            named[str(name)] = tool
        else:
            problems.append(Problem(upstream, names.visible(name) if isinstance(name, str) else "", problem))
    return named, list(dict.fromkeys(problems))


def apply(
    offer: Offer, entries: Tools | None, *, first_use: bool, doubtful: Mapping[str, str], since: str
) -> tuple[dict[str, Entry], tuple[PinChange, ...]]:
    """The entries after this offer, and what changed. `entries` is None for the first complete list.

    `doubtful` names are never accepted without a person, whatever the trust.
    """
    before = entries or {}
    after: dict[str, Entry] = dict(before)
    changes: list[PinChange] = []
    for name, (_, digest) in offer.seen.items():
        trusted = first_use and entries is None and name not in doubtful
        offered = Version(digest, offer.definitions[name], since)
        old = before.get(name)
        new, change = _new(offered, accept=trusted) if old is None else _next(old, offered)
        if new is not old:
            after[name] = new
        if change is not None:
            changes.append(PinChange(offer.upstream, name, change, _digest(old), digest))
    for name in before.keys() - offer.seen.keys():
        old = before[name]
        if old.listed:
            after[name] = old.marked(listed=False)
            changes.append(PinChange(offer.upstream, name, Change.VANISHED, _digest(old), None))
    return after, tuple(sorted(changes, key=lambda change: change.name))


def _new(offered: Version, *, accept: bool) -> tuple[Entry, Change]:
    if accept:
        return Entry(PinState.ACCEPTED, offered, None), Change.PINNED
    return Entry(PinState.WAITING, None, offered), Change.WAITING


def _next(old: Entry, offered: Version) -> tuple[Entry, Change | None]:
    returned = None if old.listed else Change.RETURNED
    entry = old.marked(listed=True)
    if old.accepted is not None and old.accepted.digest == offered.digest:
        if old.offered is None:
            return entry, returned
        if old.state is PinState.QUARANTINED:
            return replace(entry, offered=None), returned
        return Entry(PinState.ACCEPTED, old.accepted, None), Change.RESTORED
    if old.offered is not None and old.offered.digest == offered.digest:
        return entry, returned
    if old.state is PinState.QUARANTINED:
        return replace(entry, offered=offered), returned
    if old.accepted is None:
        return Entry(PinState.WAITING, None, offered), Change.WAITING
    return Entry(PinState.DRIFTED, old.accepted, offered), Change.DRIFTED


def _digest(entry: Entry | None) -> Digest | None:
    if entry is None:
        return None
    version = entry.offered or entry.accepted
    return version.digest if version else None


def hides_text(definition: JsonObject) -> bool:
    """Whether a definition holds code points a reader would not see: the carrier of poisoned descriptions."""
    plain = orjson.dumps(definition)
    return b"\\u00" in plain or (not plain.isascii() and names.hidden(plain.decode()))
