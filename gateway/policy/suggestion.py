"""What would have allowed the calls that were seen: one grant per subject and tool, as small as the calls show. Pure.

A grant is made only where every argument can be held to something honest; else the reason is told instead.
Not the text of a policy: that is `wording`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.model import Effect, JsonObject
from gateway.policy import constraints
from gateway.policy.constraints import Constraint, Secret, Values
from gateway.policy.seen import SeenCall

ANY = "*"
"""A step through every element of an array."""
By = Literal["principal", "role"]
Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a grant is for: one principal, or everybody with a role."""

    kind: By
    name: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Place:
    """An object, an array or a value among the arguments."""

    steps: Steps
    always: bool
    """Whether it is there whenever what holds it is."""
    constraint: Constraint | None = None
    """Of a value; `typed` says whether it is that of its typed value."""
    typed: bool = False
    required: tuple[str, ...] = ()
    known: tuple[str, ...] | None = None
    """Of an object: the names that were seen in it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one subject did with one tool, as conditions."""

    subject: Subject
    upstream: str
    tool: str
    calls: int
    places: tuple[Place, ...]
    example: SeenCall

    @property
    def name(self) -> str:
        """What the rule gives as its reason; no two grants have the same."""
        who = self.subject.name if self.subject.kind == "principal" else f"role {self.subject.name}"
        return f"suggested: {who} ({self.subject.tenant}) may call {self.upstream}/{self.tool}"


@dataclass(frozen=True, slots=True)
class Left:
    """Calls for which nothing is suggested, and why."""

    who: str
    upstream: str
    tool: str
    calls: int
    why: str

    def told(self) -> JsonObject:
        """As JSON."""
        tool = {"upstream": self.upstream, "tool": self.tool}
        return {"principal": self.who, **tool, "calls": self.calls, "why": self.why}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The grants, and what was left to a person."""

    grants: tuple[Grant, ...]
    left: tuple[Left, ...]


def suggest(
    calls: Iterable[SeenCall],
    *,
    by: By = "principal",
    all_calls: bool = False,
    secret: Secret = lambda _name, _text: False,
) -> Suggestion:
    """The least set of grants; with `all_calls` also for what the policy allowed already.

    `secret` says whether a text under a name looks like a credential: such a text is never written down.
    """
    beyond: Counter[tuple[str, str, str, str]] = Counter()
    groups: dict[tuple[Subject, str, str], list[SeenCall]] = {}
    for call in calls:
        if why := call.beyond():
            beyond[(call.principal["id"], *call.tool, why)] += 1
        elif all_calls or call.effect != Effect.ALLOW:
            groups.setdefault((_subject(call, by), *call.tool), []).append(call)
    grants: list[Grant] = []
    left = [Left(who, upstream, tool, count, why) for (who, upstream, tool, why), count in sorted(beyond.items())]
    for subject, upstream, tool in sorted(groups, key=lambda key: (key[0].name, key[0].tenant, *key[1:])):
        seen = groups[subject, upstream, tool]
        places = tuple(_places(seen, secret))
        problems = [
            f"argument {'/'.join(place.steps)} {place.constraint.why}"
            for place in places
            if place.constraint is not None and place.constraint.kind == "left"
        ]
        if problems:
            left.append(Left(subject.name, upstream, tool, len(seen), "; ".join(problems)))
        else:
            grants.append(Grant(subject, upstream, tool, len(seen), places, seen[0]))
    return Suggestion(tuple(grants), tuple(left))


def _subject(call: SeenCall, by: By) -> Subject:
    who = call.principal
    if by == "role" and who["roles"]:
        return Subject("role", min(who["roles"]), who["tenant"])
    return Subject("principal", who["id"], who["tenant"])


def _places(calls: Sequence[SeenCall], secret: Secret) -> Iterable[Place]:
    """Every place among the arguments, outer ones first."""
    typed: dict[Steps, list[Mapping[str, Any]]] = {}
    for call in calls:
        for pointer, value in call.typed.items():
            typed.setdefault(pattern(pointer, call.args), []).append(value)
    yield from _below((), [call.args for call in calls], len(calls), typed, secret)


def pattern(pointer: str, args: Any) -> Steps:
    """A JSON pointer with `*` where it goes through an array."""
    steps: list[str] = []
    at = args
    for token in pointer[1:].split("/"):
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(at, list):
            steps.append(ANY)
            at = at[int(name)]
        else:
            steps.append(name)
            at = at[name]
    return tuple(steps)


def _below(
    steps: Steps, seen: Sequence[Any], holders: int, typed: Mapping[Steps, Sequence[Mapping[str, Any]]], secret: Secret
) -> Iterable[Place]:
    """The place at `steps`, where `seen` are its values in `holders` objects that could hold it, and all below it."""
    always = len(seen) == holders
    if steps in typed:
        yield Place(steps, always, constraints.of_typed(_name(steps), typed[steps], secret), typed=True)
    elif seen and all(isinstance(value, dict) and not _large(value) for value in seen):
        names = sorted({name for value in seen for name in value})
        if ANY in names or not all(constraints.shown(name) and not secret("", name) for name in names):
            yield Place(steps, always, Constraint("left", why="holds a name that nobody could read in a policy"))
            return
        required = tuple(name for name in names if all(name in value for value in seen))
        yield Place(steps, always, required=required, known=tuple(names))
        for name in names:
            yield from _below((*steps, name), [v[name] for v in seen if name in v], len(seen), typed, secret)
    elif any(seen) and all(isinstance(value, list) for value in seen):
        elements = [element for value in seen for element in value]
        yield Place(steps, always)
        yield from _below((*steps, ANY), elements, len(elements), typed, secret)
    else:
        yield Place(steps, always, constraints.of_plain(Values(_name(steps), seen, holders, secret)))


def _large(value: Mapping[str, Any]) -> bool:
    return value.keys() == {"digest", "length"}


def _name(steps: Steps) -> str:
    return next((step for step in reversed(steps) if step != ANY), "")
