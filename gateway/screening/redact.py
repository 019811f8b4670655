"""Takes out of a result what policy says must not leave: parts by JSON pointer, secrets and hidden text by kind.

The result itself is never changed: what leaves is a copy as far down as something was taken out.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.kinds import Kind
from gateway.model import JsonObject, Redaction
from gateway.screening import credentials, shapes, strings
from gateway.screening.screen import MOST
from gateway.screening.shapes import REDACTED
from gateway.screening.strings import Finding


def redact(
    result: JsonObject, redaction: Redaction, findings: tuple[Finding, ...], *, kind: str = Kind.TOOL
) -> JsonObject:
    """The result without what `redaction` names; the same object where it names nothing that is there.

    Its kinds are those of findings, the names of the checks (`secrets`, `hidden_text`), or `*` for all. `kind` is
    that of the call: what is left is a result of its method.
    """
    left = result
    for pointer in redaction.pointers:
        if not pointer.strip("/") or not pointer.startswith("/"):  # the whole result, or no pointer at all
            return shapes.whole(kind)
        left = _without(left, [strings.unescaped(token) for token in pointer.split("/")[1:]])
    kinds = frozenset(redaction.kinds)
    if kinds and findings:
        left = _without_kinds(left, kinds, findings)
    return result if left is result else shapes.mended(left, kind)


def _without_kinds(result: JsonObject, kinds: frozenset[str], findings: tuple[Finding, ...]) -> JsonObject:
    def chosen(kind: str, secret: bool) -> bool:  # noqa: FBT001 - one question of two words
        return not kinds.isdisjoint((kind, "secrets" if secret else "hidden_text", "*"))

    if len(findings) < MOST:
        wanted = [one for one in findings if chosen(one.kind, one.secret)]
        return _without_spans(result, wanted) if wanted else result
    cleaned = _cleaned(result, chosen, under=False)  # the screen stopped counting there: look at every string again
    assert isinstance(cleaned, dict)
    return cleaned


def _without(value: Any, tokens: list[str]) -> Any:
    """A copy in which the value at the pointer is the word REDACTED; the value itself where nothing is there."""
    if not tokens:
        return REDACTED
    step, rest = tokens[0], tokens[1:]
    copy = value
    for key in _keys(value, step):
        part = _without(value[key], rest)
        if part is not value[key]:
            if copy is value:
                copy = value.copy()
            copy[key] = part
    return copy


def _keys(value: Any, step: str) -> Iterable[Any]:
    """Where one step of a pointer leads: a member, an element, or with `*` all of them."""
    if isinstance(value, dict):
        return [step] if step in value else list(value) if step == "*" else []
    if not isinstance(value, list):
        return []
    if step == "*":
        return range(len(value))
    return [int(step)] if step.isdecimal() and int(step) < len(value) else []


_Span = tuple[int, int]


@dataclass(slots=True)
class _Place:
    """What is to be cut at one place of a result and below it; made as findings name it."""

    name: list[_Span] = field(default_factory=list)
    text: list[_Span] = field(default_factory=list)
    below: dict[str, "_Place"] = field(default_factory=dict)


def _without_spans(result: JsonObject, findings: list[Finding]) -> JsonObject:
    top = _Place()
    for finding in findings:
        place = top
        for step in finding.steps():
            place = place.below.setdefault(step, _Place())
        (place.name if finding.key else place.text).append((finding.start, finding.end))
    copy = _cut(result, top)
    assert isinstance(copy, dict)
    return copy


def _cut(value: Any, place: _Place) -> Any:
    """A copy without what `place` names; what a pointer took away before is no longer there to be cut."""
    if isinstance(value, str):
        return value if value is REDACTED else _replaced(value, place.text)
    if isinstance(value, list):
        copy = value.copy()
        for step, part in place.below.items():
            for index in _keys(value, step):
                copy[index] = _cut(value[index], part)
        return copy
    if not isinstance(value, dict) or not place.below:
        return value
    names = _Names(value)
    for key, part in value.items():
        at = place.below.get(key)
        names.add(key, key if at is None else _replaced(key, at.name), part if at is None else _cut(part, at))
    return names.copy


def _cleaned(value: Any, chosen: Callable[[str, bool], bool], *, under: bool) -> Any:
    """A copy without anything chosen, found again; nothing is kept of what was found."""

    def cleaned(text: str, named: bool) -> str:  # noqa: FBT001 - HOT
        found = strings.spans(text, named)
        return _replaced(text, ((start, end) for kind, start, end, secret in found if chosen(kind, secret)))

    if isinstance(value, str):
        return value if value is REDACTED else cleaned(value, under)
    if isinstance(value, list):
        return [_cleaned(part, chosen, under=under) for part in value]
    if not isinstance(value, dict):
        return value
    names = _Names(value)
    for key, part in value.items():
        read = not strings.is_binary(value, key, part)
        names.add(
            key,
            cleaned(key, False),  # noqa: FBT003
            _cleaned(part, chosen, under=credentials.named(key)) if read else part,
        )
    return names.copy


class _Names:
    """A copy of an object whose names may be the same once their secrets are gone: then they get numbers."""

    def __init__(self, value: JsonObject) -> None:
        self.copy: JsonObject = {}
        self._value = value
        self._used: Counter[str] = Counter()

    def add(self, key: str, name: str, part: Any) -> None:
        free = name
        while name != key and (free in self.copy or free in self._value):
            self._used[name] += 1  # never tried again: many equal names cost no more than their number
            free = f"{name}_{self._used[name]}"
        self.copy[free] = part


_MARKED = re.compile(rb"\x01\x02*")


def _replaced(text: str, spans: Iterable[_Span]) -> str:
    """The text with the word REDACTED for every span; spans may overlap."""
    marks: bytearray | None = None
    for start, end in spans:
        marks = bytearray(len(text)) if marks is None else marks
        marks[start:end] = (b"\x02" if marks[start] == 2 else b"\x01") + b"\x02" * (end - start - 1)
    if marks is None:
        return text
    parts, done = [], 0
    for marked in _MARKED.finditer(marks):
        parts += [text[done : marked.start()], REDACTED]
        done = marked.end()
    return "".join(parts) + text[done:]
