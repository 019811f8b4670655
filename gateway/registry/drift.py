"""What changed between what was accepted and what an upstream offers now: the nouns, and the difference to read."""

import difflib
import json
from dataclasses import dataclass
from enum import StrEnum

from gateway.model import Digest, JsonObject


class Change(StrEnum):
    """What happened to one tool of an upstream."""

    PINNED = "pinned"
    """Accepted on first use."""
    WAITING = "waiting"
    """New, or changed while it waited: an operator must accept it."""
    DRIFTED = "drifted"
    RESTORED = "restored"
    """Offered again as it was accepted."""
    VANISHED = "vanished"
    RETURNED = "returned"
    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class PinChange:
    """One change, for the caller to record."""

    upstream: str
    name: str
    change: Change
    old: Digest | None
    """What was in force, or waited, before."""
    new: Digest | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a tool an upstream offers is not pinned, waits, or is not shown everywhere. For the operator's eyes."""

    upstream: str
    name: str
    """As printable ASCII."""
    text: str


def difference(old: JsonObject, new: JsonObject) -> tuple[str, ...]:
    """A unified diff of two definitions; whatever is not ASCII stands escaped, so hidden code points are seen."""
    return tuple(difflib.unified_diff(_lines(old), _lines(new), "accepted", "offered", lineterm=""))


def _lines(definition: JsonObject) -> list[str]:
    return json.dumps(definition, indent=2, sort_keys=True).splitlines()
