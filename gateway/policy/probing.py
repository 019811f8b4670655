"""The tests of a suggestion, as Rego: what was seen is allowed, and what differs in one thing is not.

The inputs are made from what the rules say, so they hold no more of the recorded calls than the rules do.
"""

import copy
from collections.abc import Iterator
from typing import Any

from gateway.model import JsonObject
from gateway.policy.constraints import Constraint
from gateway.policy.suggestion import ANY, Grant, Place, Subject, Suggestion
from gateway.policy.wording import FIRST, escaped, literal

ELSEWHERE = "changed"
"""In the place of a value: it was never seen."""
_HEAD = f"""{FIRST}: tests of the rules beside it.
package suggested_test

import data.bascule.call
"""


def tests(suggestion: Suggestion) -> str:
    """The file of tests."""
    return "\n".join([_HEAD, *(_tests(number, grant) for number, grant in enumerate(suggestion.grants, start=1))])


def seen(grant: Grant) -> JsonObject:
    """An input that the grant's rule allows."""
    args: Any = {}
    typed: JsonObject = {}
    for place in grant.places:
        if not place.steps:
            continue
        value = _value(place)
        _put(args, place.steps, value)
        if place.typed and place.constraint is not None:
            typed[_pointer(place)] = _typed(place.constraint, value)
    return {
        "point": "call",
        "principal": _who(grant.subject),
        "tool": {"upstream": grant.upstream, "name": grant.tool},
        "args": args,
        "typed": typed,
    }


def changed(grant: Grant) -> Iterator[JsonObject]:
    """Inputs that differ from `seen` in one thing, which the rule does not allow."""
    plain = seen(grant)
    yield {**plain, "principal": {"id": ELSEWHERE, "tenant": grant.subject.tenant, "roles": []}}
    yield {**plain, "args": {**plain["args"], "never seen": ELSEWHERE}}
    for place in grant.places:
        constraint = place.constraint
        if constraint is None or constraint.kind == "free" or (other := _other(constraint)) is None:
            continue
        differs = copy.deepcopy(plain)
        _put(differs["args"], place.steps, other)
        if place.typed:
            differs["typed"][_pointer(place)] = _typed(constraint, other)
        yield differs


def _tests(number: int, grant: Grant) -> str:
    others = "\n".join(f"\t{literal(one)}," for one in changed(grant))
    return f"""allowed_{number} if {literal(grant.name)} in call.allow

test_{number}_what_was_seen_is_allowed if {{
	allowed_{number} with input as {literal(seen(grant))}
}}

changed_{number} := [
{others}
]

test_{number}_what_was_not_seen_is_not_allowed if {{
	every one in changed_{number} {{
		not allowed_{number} with input as one
	}}
}}
"""


def _who(subject: Subject) -> JsonObject:
    if subject.kind == "role":
        return {"id": "somebody", "tenant": subject.tenant, "roles": [subject.name]}
    return {"id": subject.name, "tenant": subject.tenant, "roles": []}


def _value(place: Place) -> Any:
    """A value for the place that its rule allows; the empty one of an object or array, whose places follow."""
    if place.known is not None:
        return {}
    constraint = place.constraint
    if constraint is None:
        return []
    if constraint.kind == "free":
        return "text"
    if constraint.kind == "origins":
        scheme, host, port = constraint.values[0]
        return f"{scheme}://{host}:{port}/"
    return constraint.values[0]


def _other(constraint: Constraint) -> Any:
    """A value that was not seen; None where there is none."""
    last = constraint.values[-1]
    if constraint.kind == "origins":
        return f"{last[0]}://{ELSEWHERE}.invalid:{last[2]}/"
    if constraint.kind in {"folders", "text_folders"}:
        return f"{last}-{ELSEWHERE}"
    if constraint.kind == "text_origins":
        return f"{last}.{ELSEWHERE}.invalid/"
    if isinstance(last, bool):
        return None if len(constraint.values) > 1 else not last
    if isinstance(last, int | float):
        return max(value for value in constraint.values if isinstance(value, int | float)) + 1
    return f"{last}-{ELSEWHERE}" if isinstance(last, str) else None


def _typed(constraint: Constraint, value: str) -> JsonObject:
    kind = {"folders": "path", "origins": "url"}.get(constraint.kind, "email")
    parts: JsonObject = {}
    if kind == "url":
        scheme, _, rest = value.partition("://")
        host, _, port = rest.rstrip("/").rpartition(":")
        parts = {"scheme": scheme, "host": host, "port": int(port)}
    return {"type": kind, "value": value, "prov": "argument", **parts}


def _put(at: Any, steps: tuple[str, ...], value: Any) -> None:
    """Set the value at these steps, in the first element of each array."""
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        key: Any = 0 if step == ANY else step
        if following is None:
            _set(at, key, value)
        else:
            at = at[key]


def _set(at: Any, key: Any, value: Any) -> None:
    if isinstance(at, list) and not at:
        at.append(value)
    else:
        at[key] = value


def _pointer(place: Place) -> str:
    return "".join("/0" if step == ANY else f"/{escaped(step)}" for step in place.steps)
