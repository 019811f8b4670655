"""The registry: which tool definitions are in force, and which call means which.

Pure state: upstream lists, the lock and the clock are handed in; writing `bascule.lock` and the record is the caller's.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from math import inf
from typing import Literal, NoReturn

from gateway.errors import ConfigError, Refused
from gateway.model import Call, Code, Digest, Endpoint, JsonObject, Manifest, Mode, Pin, PinState
from gateway.registry import names, offers
from gateway.registry.drift import Change, PinChange, Problem, difference
from gateway.registry.lockfile import Entry, Lock, Tools, Version
from gateway.registry.manifests import Manifests, unmatched

UNKNOWN = "Unknown tool"
"""The same words for a tool that is missing, waiting, quarantined or not shown here: they reveal nothing."""
_ACCEPTED = "an operator accepts the new definition"
_IN_FORCE = (PinState.ACCEPTED, PinState.DRIFTED)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator says of an upstream as a whole."""

    mode: Mode = Mode.ENFORCE
    until: date | None = None
    """The last day (UTC) of `shadow`; afterwards it enforces."""
    trust: Literal["first_use", "review"] = "first_use"
    sandbox: str = ""
    """As in a pin."""


_NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Shown:
    """One tool, for the operator: what is in force, what is offered, and the difference."""

    name: str
    state: PinState
    listed: bool
    mode: Mode
    accepted: Version | None
    offered: Version | None
    difference: tuple[str, ...]


class Registry:
    """Pins by upstream. `revision` changes with everything that a list of tools could show."""

    def __init__(
        self, terms: Mapping[str, Terms], lock: Lock, manifests: Manifests, *, clock: Callable[[], float]
    ) -> None:
        """`clock` gives seconds since 1970: the end of a shadow must not wait for anybody to remember it."""
        self._clock = clock
        self._entries: dict[str, Tools] = dict(lock)
        self._seen: dict[str, offers.Seen] = {}
        self._refused: dict[str, tuple[Problem, ...]] = {}
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self._pins: dict[str, dict[str, Pin]] = {}
        self._revisions: dict[str, int] = {}
        self.revision = 0
        self.restate(terms, manifests)

    def restate(self, terms: Mapping[str, Terms], manifests: Manifests | None = None) -> None:
        """Take new settings, and manifests where any are given; pins stay as they are.

        Raises:
            ConfigError: an upstream's name cannot be told apart in `server__tool`; nothing is changed.
        """
        for upstream in terms:
            if problem := names.upstream_problem(upstream):
                raise ConfigError(f"upstreams.{upstream}: {problem}")
        self._terms = dict(terms)
        if manifests is not None:
            self._manifests = manifests
        self._looks: dict[str, set[tuple[str, str]]] = {}
        self._full: dict[str, Pin] = {}
        self._listings: dict[Endpoint, tuple[Pin, ...]] = {}
        self._shadow_ends = inf
        for upstream in self._pins.keys() - terms.keys():
            del self._pins[upstream]
            self._revisions.pop(upstream, None)
        for upstream in terms:
            self._put_in_force(upstream)
        self.revision += 1

    def resolve(self, call: Call) -> Pin:
        """The definition a call means.

        Raises:
            Refused: TOOL_UNKNOWN in the same words for every cause, or TOOL_DRIFTED.
        """
        if self._clock() >= self._shadow_ends:
            self.restate(self._terms, self._manifests)
        pin = self.find(call.endpoint, call.name)
        if pin is None:
            raise Refused(Code.TOOL_UNKNOWN, UNKNOWN, detail=self._why_unknown(call.endpoint, call.name))
        if pin.state is PinState.DRIFTED:
            raise Refused(
                Code.TOOL_DRIFTED,
                "the definition of this tool has changed since it was accepted",
                would_pass=_ACCEPTED,
                detail=f"see `bascule upstream show {pin.upstream}`",
            )
        return pin

    def find(self, endpoint: Endpoint, name: str) -> Pin | None:
        """The pin in force, accepted or drifted, that a name means at an endpoint. HOT"""
        if endpoint.qualified:
            pin = self._full.get(name)
            return pin if pin is not None and pin.upstream in endpoint.upstreams else None
        return self._pins.get(endpoint.upstreams[0], {}).get(name)

    def pins(self, endpoint: Endpoint) -> tuple[Pin, ...]:
        """Accepted and drifted tools of the last lists, by upstream in the endpoint's order, then by name."""
        if self._clock() >= self._shadow_ends:
            self.restate(self._terms, self._manifests)
        listing = self._listings.get(endpoint)
        if listing is None:
            listing = self._listings[endpoint] = tuple(
                pin
                for upstream in endpoint.upstreams
                for pin in self._pins.get(upstream, {}).values()
                if not endpoint.qualified or names.qualified(upstream, pin.name)
            )
        return listing

    def revision_of(self, upstream: str) -> int:
        """Changes with every pin of this upstream, and with nothing else; no number comes twice. HOT"""
        if self._clock() >= self._shadow_ends:
            self.restate(self._terms, self._manifests)
        return self._revisions.get(upstream, 0)

    def mode(self, upstream: str) -> Mode:
        """Whether a refusal is acted on there today."""
        return self._mode(upstream)

    def stand_in(self, upstream: str, name: str, effects: tuple[str, ...] = ("read",)) -> Pin:
        """What stands for a pin where no definition is accepted: a resource, a prompt, any other method."""
        manifest = Manifest(effects=effects, reversal="none" if effects == ("read",) else "unknown")
        sandbox = self._terms.get(upstream, _NO_TERMS).sandbox
        return Pin(upstream, name, Digest(""), {}, PinState.ACCEPTED, manifest, self._mode(upstream), sandbox)

    def offer(self, upstream: str, definitions: list[JsonObject]) -> tuple[PinChange, ...]:
        """Take an upstream's complete list: pins, drift, what vanished. An unchanged list costs one look at each."""
        before = self._seen.get(upstream, {})
        offer = offers.read(upstream, definitions, before)
        known = self._entries.get(upstream)
        unchanged = upstream in self._seen and before == offer.seen and self._refused.get(upstream) == offer.problems
        if known is not None and unchanged:
            return ()
        doubtful = self._doubtful(upstream, offer, known or {})
        first_use = self._terms[upstream].trust == "first_use"
        entries, changes = offers.apply(offer, known, first_use=first_use, doubtful=doubtful, since=self._now())
        self._problems[upstream] = (*offer.problems, *_to_display(upstream, offer, entries, doubtful))
        self._seen[upstream], self._refused[upstream] = offer.seen, offer.problems
        self._replace(upstream, entries)
        return changes

    def accept(self, upstream: str, name: str | None, *, digest: Digest | None = None) -> tuple[PinChange, ...]:
        """Put into force what one tool offers, or what all that wait or drifted do; a quarantined one only by name.

        Raises:
            ConfigError: no such tool, or it does not offer `digest` any more.
        """
        chosen = self._chosen(upstream, name)
        changes = []
        after = dict(self._entries[upstream])
        for tool, entry in chosen.items():
            wanted = entry.offered or entry.accepted
            if wanted is None or entry.state is PinState.ACCEPTED:
                continue
            if name is None and entry.state is PinState.QUARANTINED:
                continue
            if digest is not None and wanted.digest != digest:
                raise ConfigError(f"{upstream}/{tool} does not offer {digest} any more; it offers {wanted.digest}")
            after[tool] = Entry(PinState.ACCEPTED, replace(wanted, since=self._now()), None, entry.listed)
            old = entry.accepted.digest if entry.accepted else None
            changes.append(PinChange(upstream, tool, Change.ACCEPTED, old, wanted.digest))
        self._replace(upstream, after)
        return tuple(changes)

    def quarantine(self, upstream: str, name: str | None) -> tuple[PinChange, ...]:
        """Take one tool, or all of an upstream, out of force until it is accepted by name.

        Raises:
            ConfigError: no such tool.
        """
        after = dict(self._entries.get(upstream, {}))
        changes = []
        for tool, entry in self._chosen(upstream, name).items():
            if entry.state is not PinState.QUARANTINED:
                after[tool] = replace(entry, state=PinState.QUARANTINED)
                old = entry.accepted.digest if entry.accepted else None
                changes.append(PinChange(upstream, tool, Change.QUARANTINED, old, None))
        self._replace(upstream, after)
        return tuple(changes)

    def show(self, upstream: str) -> tuple[Shown, ...]:
        """Every tool of an upstream, by name, with the difference between what is in force and what is offered."""
        return tuple(
            Shown(
                name=name,
                state=entry.state,
                listed=entry.listed,
                mode=self._mode(upstream),
                accepted=entry.accepted,
                offered=entry.offered,
                difference=difference(entry.accepted.definition, entry.offered.definition)
                if entry.accepted and entry.offered
                else (),
            )
            for name, entry in sorted(self._entries.get(upstream, {}).items())
        )

    def problems(self, upstream: str) -> tuple[Problem, ...]:
        """What was wrong with the upstream's last list, and what its manifest says of tools that are not in it."""
        if upstream not in self._seen:
            return ()
        stated = unmatched(self._manifests, upstream, self._seen[upstream])
        return (*self._problems[upstream], *(Problem(upstream, "", text) for text in stated))

    def unseen(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The upstreams of an endpoint whose list was not yet offered to this process: they have no pins yet."""
        return tuple(upstream for upstream in endpoint.upstreams if upstream not in self._seen)

    def lock(self) -> Lock:
        """What `bascule.lock` must hold."""
        return dict(self._entries)

    def _chosen(self, upstream: str, name: str | None) -> Tools:
        entries = self._entries.get(upstream)
        if entries is None:
            _no_such("upstream", upstream, self._entries)
        if name is None:
            return entries
        if name not in entries:
            _no_such(f"tool at {upstream}", name, entries)
        return {name: entries[name]}

    def _replace(self, upstream: str, entries: Tools) -> None:
        self._entries[upstream] = entries
        self._put_in_force(upstream)
        self._listings.clear()
        self.revision += 1

    def _put_in_force(self, upstream: str) -> None:
        entries = self._entries.get(upstream, {})
        for name in entries:
            self._looks.setdefault(names.glyphs(name), set()).add((upstream, name))
        before = self._pins.get(upstream, {})
        for name in before:
            self._full.pop(f"{upstream}{names.SEPARATOR}{name}", None)
        self._pins[upstream] = pins = self._in_force(upstream, entries)
        self._full |= {full: pin for name, pin in pins.items() if (full := names.qualified(upstream, name))}
        if pins != before or upstream not in self._revisions:
            self.revision += 1
            self._revisions[upstream] = self.revision

    def _in_force(self, upstream: str, entries: Tools) -> dict[str, Pin]:
        if upstream not in self._seen or upstream not in self._terms:
            return {}  # a definition may have drifted since the last process saw it
        pins: dict[str, Pin] = {}
        mode, sandbox = self._mode(upstream), self._terms[upstream].sandbox
        for name, entry in sorted(entries.items()):
            if entry.accepted is None or entry.state not in _IN_FORCE or not entry.listed:
                continue
            version = entry.accepted
            manifest = self._manifests.of(upstream, name)
            pin = Pin(upstream, name, version.digest, version.definition, entry.state, manifest, mode, sandbox)
            pins[name] = pin
        return pins

    def _mode(self, upstream: str) -> Mode:
        terms = self._terms.get(upstream, _NO_TERMS)
        if terms.mode is Mode.SHADOW and terms.until is not None:
            day_after = terms.until + timedelta(days=1)
            ends = datetime(day_after.year, day_after.month, day_after.day, tzinfo=UTC).timestamp()
            if self._clock() >= ends:
                return Mode.ENFORCE
            self._shadow_ends = min(self._shadow_ends, ends)
        return terms.mode

    def _doubtful(self, upstream: str, offer: offers.Offer, known: Tools) -> dict[str, str]:
        elsewhere = {
            look: sorted(other for other in self._looks.get(look, ()) if other[0] != upstream)
            for look in map(names.glyphs, offer.seen)
        }
        found = names.lookalikes(offer.seen, elsewhere)
        for name, (_, digest) in offer.seen.items():
            entry = known.get(name)
            if entry is not None and entry.accepted is not None and entry.accepted.digest == digest:
                continue
            if offers.hides_text(offer.definitions[name]):
                found.setdefault(name, "has hidden code points in its definition")
        return found

    def _why_unknown(self, endpoint: Endpoint, name: str) -> str:
        """For the operator only."""
        upstream, tool = endpoint.upstreams[0], name
        if endpoint.qualified:
            upstream, _, tool = name.partition(names.SEPARATOR)
        if upstream not in endpoint.upstreams:
            return "no such upstream at this endpoint"
        entry = self._entries.get(upstream, {}).get(tool)
        if entry is None:
            return "the upstream does not offer it"
        if upstream not in self._seen:
            return "the upstream was not listed yet"
        if entry.state in _IN_FORCE:
            return "its name is not shown here" if entry.listed else "no longer in the upstream's list"
        return f"it is {entry.state}"

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _to_display(upstream: str, offer: offers.Offer, entries: Tools, doubtful: Mapping[str, str]) -> list[Problem]:
    problems = []
    for name in sorted(offer.seen):
        if name in doubtful and entries[name].state is PinState.WAITING:
            problems.append(Problem(upstream, name, f"waits for an operator: it {doubtful[name]}"))
        if names.qualified(upstream, name) is None:
            problems.append(
                Problem(
                    upstream,
                    name,
                    "is not shown where several upstreams are: its full name is too "
                    "long or holds other than A-Z a-z 0-9 _ -",
                )
            )
    return problems


def _no_such(kind: str, name: str, known: Mapping[str, object]) -> NoReturn:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; the nearest is {near[0]}" if near else ""
    raise ConfigError(f"there is no {kind} named {names.visible(name)}{hint}")
