"""Takes out of a result what policy says must not leave: parts by JSON pointer, secrets and hidden text by kind.

The result itself is never changed: what leaves is a copy as far down as something was taken out.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from gateway.model import JsonObject, Redaction
from gateway.screening import strings
from gateway.screening.screen import MOST
from gateway.screening.strings import Finding

REDACTED = "[redacted]"
_BLOCK = {"type": "text", "text": REDACTED}


def redact(result: JsonObject, redaction: Redaction, findings: tuple[Finding, ...]) -> JsonObject:
    """The result without what `redaction` names; the same object where it names nothing that is there.

    Its kinds are those of findings, the names of the checks (`secrets`, `hidden_text`), or `*` for all.
    """
    for pointer in redaction.pointers:
        if not pointer.startswith("/"):  # the whole result, or no pointer at all
            return {"content": [dict(_BLOCK)]}
        result = _without(result, [_unescaped(token) for token in pointer.split("/")[1:]])
    if redaction.pointers:
        result = _mended(result)
    kinds = frozenset(redaction.kinds)
    if not kinds or not findings:
        return result
    found = findings if len(findings) < MOST else strings.findings(result)  # the screen stopped counting there
    chosen = [one for one in found if not kinds.isdisjoint((one.kind, "secrets" if one.secret else "hidden_text", "*"))]
    return _without_spans(result, chosen) if chosen else result


def _mended(result: JsonObject) -> JsonObject:
    """The result as the protocol allows it, where a pointer took away more than a value."""
    content = result.get("content")
    if content is REDACTED:
        result["content"] = [dict(_BLOCK)]
    elif isinstance(content, list) and any(block is REDACTED for block in content):
        result["content"] = [dict(_BLOCK) if block is REDACTED else block for block in content]
    for key in ("structuredContent", "_meta"):
        if result.get(key) is REDACTED:
            del result[key]
    return result


def _unescaped(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")


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


def _without_spans(result: JsonObject, findings: list[Finding]) -> JsonObject:
    spans: defaultdict[tuple[str, bool], list[tuple[int, int]]] = defaultdict(list)
    above: set[str] = set()
    for finding in findings:
        spans[finding.where, finding.key].append((finding.start, finding.end))
        where = finding.where
        while where:
            above.add(where)
            where = where.rpartition("/")[0]
    copy = _cut(result, "", spans, above | {""})
    assert isinstance(copy, dict)
    return copy


_Spans = defaultdict[tuple[str, bool], list[tuple[int, int]]]


def _cut(value: Any, where: str, spans: _Spans, above: set[str]) -> Any:
    if where not in above:
        return value
    if isinstance(value, str):
        return value if value is REDACTED else _replaced(value, spans.get((where, False), []))
    if isinstance(value, list):
        return [_cut(part, f"{where}/{index}", spans, above) for index, part in enumerate(value)]
    if not isinstance(value, dict):
        return value
    copy: dict[str, Any] = {}
    for key, part in value.items():
        at = f"{where}/{strings.escaped(key)}"
        name = _replaced(key, spans[at, True]) if (at, True) in spans else key
        while name in copy or (name != key and name in value):
            name += "_"  # two names may be the same once their secrets are gone
        copy[name] = _cut(part, at, spans, above)
    return copy


def _replaced(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with the word REDACTED for every span; spans may overlap."""
    parts, done = [], 0
    for start, end in sorted(spans):
        if end <= done:
            continue
        if start >= done:
            parts += [text[done:start], REDACTED]
        done = end
    return "".join(parts) + text[done:]
