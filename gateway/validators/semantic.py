"""Typed values: what an argument means, where the manifest says it means something.

What runs is the original argument and policy sees the typed one, so a value is refused wherever its normal form could
be read differently from the value itself. Names are not resolved here: a lookup would leak an argument.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.errors import Refused
from gateway.model import Code, Digest, Manifest, Proposal, TypedValue
from gateway.validators.types import TYPES, Reader, Unfit

KEPT = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """A pointer of the manifest, split, with the type that stands there."""

    pointer: str
    tokens: tuple[str, ...]
    type: str
    reads: Reader


MOST_VALUES = 1_000
"""Typed values of one call: an address costs some 20 us, and every call waits for it."""

# Not state: the same digest always gives the same places.
_compiled: OrderedDict[Digest, tuple[Place, ...]] = OrderedDict()


def typed(proposal: Proposal) -> Proposal:
    """The proposal with a typed value for every argument the manifest gives a type; absent ones have none.

    Raises:
        Refused: SEMANTIC, for the first value that is not of its type.
    """
    manifest = proposal.pin.manifest
    if not manifest.types:
        return proposal
    arguments = proposal.call.arguments
    values: dict[str, TypedValue] = {}
    for place in _places(manifest):
        tokens = place.tokens
        if len(tokens) == 1 and tokens[0] != "*":  # the usual case, without a walk
            if tokens[0] in arguments:
                values[place.pointer] = _value(place, place.pointer, arguments[tokens[0]])
        else:
            for pointer, value in _found(arguments, tokens, ""):
                if len(values) >= MOST_VALUES:
                    raise _refused(pointer, f"is one too many: {MOST_VALUES} typed values a call", "fewer at a time")
                values[pointer] = _value(place, pointer, value)
    return Proposal(proposal.call, proposal.pin, values, proposal.checks) if values else proposal


def _value(place: Place, pointer: str, value: object) -> TypedValue:
    if not isinstance(value, str):
        raise _refused(pointer, f"must be a string: it is a {place.type}", f"a {place.type}")
    try:
        return place.reads(value)
    except Unfit as unfit:
        raise _refused(pointer, unfit.reason, unfit.would_pass) from None


def _refused(pointer: str, reason: str, would_pass: str) -> Refused:
    return Refused(Code.SEMANTIC, f"argument {pointer} {reason}", would_pass=would_pass)


def _found(at: Any, tokens: tuple[str, ...], pointer: str) -> Iterator[tuple[str, object]]:
    """The values a pointer means. A container of another kind than the pointer goes through is refused: in it the
    value would pass unseen."""
    if not tokens:
        yield pointer, at
        return
    token, rest = tokens[0], tokens[1:]
    if token == "*" and isinstance(at, list):
        for index, element in enumerate(at):
            yield from _found(element, rest, f"{pointer}/{index}")
    elif token != "*" and isinstance(at, dict):
        if token in at:
            yield from _found(at[token], rest, f"{pointer}/{escaped(token)}")
    elif token.isdecimal() and isinstance(at, list):
        if int(token) < len(at):
            yield from _found(at[int(token)], rest, f"{pointer}/{token}")
    else:
        kind = "an array" if token == "*" else "an object"
        raise _refused(pointer or "/", f"must be {kind}", f"{kind}, as the manifest describes it")


def escaped(token: str) -> str:
    """A name as a token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def _places(manifest: Manifest) -> tuple[Place, ...]:
    known = _compiled.get(manifest.digest)
    if known is not None:
        _compiled.move_to_end(manifest.digest)
        return known
    places = tuple(
        Place(
            pointer,
            tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")),
            spec.type,
            TYPES[spec.type](spec.settings),
        )
        for pointer, spec in manifest.types.items()
    )
    if manifest.digest:  # one made by hand has none, and is not kept
        while len(_compiled) >= KEPT:
            _compiled.popitem(last=False)
        _compiled[manifest.digest] = places
    return places
