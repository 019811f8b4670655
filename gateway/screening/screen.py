"""The screen: a result's hidden text and secrets, counted for policy.

A clean result, which most are, costs one pass of one automaton over its JSON text; only a hit reads string by string.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from gateway.model import Check, JsonObject, Pin
from gateway.screening import credentials, hidden
from gateway.screening.strings import Finding, findings, is_binary

MOST = 100
"""Findings kept; a result with more is counted up to here."""


@dataclass(frozen=True, slots=True)
class Screened:
    """What was found. Each check's score is its number of findings, at most MOST in all."""

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]


_ALL = list(range(1 + len(credentials.QUICK)))
CLEAN = Screened((Check("hidden_text", "pass"), Check("secrets", "pass")), ())


def screen(_pin: Pin, result: JsonObject) -> Screened:
    """What a result hides and gives away. It judges nothing: the `result` point does."""
    try:
        suspected = _suspect.Match(orjson.dumps(_read(result)))
    except TypeError:  # an integer beyond 64 bits or a lone surrogate: look for everything, string by string
        suspected = _ALL
    if not suspected:
        return CLEAN
    forms = frozenset(place - 1 for place in suspected if place)
    found = tuple(islice(findings(result, hides=0 in suspected, forms=forms), MOST))
    return Screened(
        (_check("hidden_text", found, secret=False), _check("secrets", found, secret=True)),
        found,
    )


def _check(name: str, found: tuple[Finding, ...], *, secret: bool) -> Check:
    kinds = [finding.kind for finding in found if finding.secret is secret]
    return Check(name, "fail" if kinds else "pass", len(kinds), detail=", ".join(sorted(set(kinds))))


def _read(result: JsonObject) -> JsonObject:
    """The result without binary data, whose base64 is not text; itself where there is none."""
    content = result.get("content")
    if not isinstance(content, list):
        return result
    for item in content:
        if type(item) is dict and item.get("type") != "text" and _without_binary(item) is not item:
            return {**result, "content": [_without_binary(part) for part in content]}
    return result


def _without_binary(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    resource = item.get("resource")
    if isinstance(resource, dict) and (slim := _without_binary(resource)) is not resource:
        return {**item, "resource": slim}
    names = [key for key, value in item.items() if is_binary(item, key, value)]
    return {key: value for key, value in item.items() if key not in names} if names else item


_suspect = credentials.automaton((hidden.QUICK, *credentials.QUICK))  # hidden text is place 0
