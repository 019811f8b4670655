"""An approval as a person reads it before they answer: first what a signature covers, then what the gateway adds.

Not the asking: that is cli/approvals.py. Every value here may be of an attacker's making.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gateway.cli.plain import fits, lines, literal, plain
from gateway.model import JsonObject

_DEEPER: Final = "    "
_SAID: Final = {"grant": "granted", "deny": "denied"}


def shown(found: JsonObject) -> Iterator[str]:
    """All of it, line by line."""
    asked = found["asked"]
    proposal = asked["proposal"]
    yield from lines("approval", f"{_word(found, 'approval')}, {_word(found, 'state')}")
    yield from _named("asked by", _who(proposal))
    yield from _named(
        "would run", f"{_value(proposal, 'name')} ({_word(proposal, 'kind')}) on {_value(proposal, 'upstream')}"
    )
    yield from _arguments(proposal.get("arguments"))
    if proposal.get("questions") is not None:
        yield from _named("the tool's questions", _value(proposal, "questions"))
    if proposal.get("answers") is not None:
        yield from _named("answers to the tool's questions", _value(proposal, "answers"))
    if proposal.get("meta") is not None:
        yield from _named("beside the arguments (_meta)", _value(proposal, "meta"))
    for name in ("pin", "manifest", "bundle"):
        yield from _named(name, _word(proposal, name))
    yield from _named("digest", _word(found, "digest"))
    yield from _named("at gateway", _word(found, "origin"))
    yield from _named("expires", day(found["expires"]))
    yield "not covered by a signature, as the gateway states it:"
    yield from _stated(asked)
    yield from _progress(found)


def day(seconds: Any) -> str:
    """Unix seconds as a person reads them."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError, TypeError):
        return literal(seconds)


def _arguments(arguments: Any) -> Iterator[str]:
    if not isinstance(arguments, Mapping):
        yield from _named("arguments", literal(arguments))
        return
    yield f"  arguments: {len(arguments) or 'none'}"
    written = [(literal(str(name)), literal(value)) for name, value in arguments.items()]
    # What is long stands first, so that nothing short is pushed off the screen, away from the question.
    for name, value in sorted(written, key=lambda one: fits(f"{_DEEPER}{one[0]}: {one[1]}")):
        yield from lines(name, value, _DEEPER)


def _stated(asked: JsonObject) -> Iterator[str]:
    for reason in asked.get("reasons") or []:
        yield from _named("asked because", literal(reason))
    yield from _named("does", ", ".join(map(literal, asked.get("effects") or [])) or "not stated")
    yield from _named("reversal", literal(asked.get("reversal")))
    undo = asked.get("undo")
    yield from _named("undo", "none is declared" if undo is None else literal(undo))
    for name in ("principal", "typed", "show"):
        if asked.get(name):
            yield from _named(name, literal(asked[name]))


def _progress(found: JsonObject) -> Iterator[str]:
    yield from _named("run", _word(found, "run"))
    yield from _named("opened", day(found["opened"] / 1e6))
    for demand in found.get("demands") or []:
        roles = ", ".join(map(literal, demand["from"])) or "anybody who may approve"
        yield from _named("needs", f"{literal(demand['quorum'])} of {roles}")
    for one in found.get("answers") or []:
        said = _SAID.get(one["verdict"], literal(one["verdict"]))
        signed = "signed" if one["signed"] is True else "unsigned"
        because = f": {literal(one['reason'])}" if one.get("reason") else ""
        yield from _named(
            "answered", f"{literal(one['approver'])} {said} ({signed}) at {day(one['at'] / 1e6)}{because}"
        )


def _who(proposal: JsonObject) -> str:
    person = proposal.get("person")
    acting = "" if person is None else f", for the person {literal(person)}"
    return f"{_value(proposal, 'principal')} of tenant {_value(proposal, 'tenant')}{acting}"


def _named(name: str, text: str) -> Iterator[str]:
    yield from lines(name, text, "  ")


def _value(holder: JsonObject, name: str) -> str:
    return literal(holder.get(name))


def _word(holder: JsonObject, name: str) -> str:
    return plain(str(holder.get(name)))
