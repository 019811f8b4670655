"""Obligations: the closed vocabulary of what must be done for an allow to hold, and how several fold into one.

    timeout   {seconds}            call            the shortest holds
    redact    {pointers, kinds}    call, result    the union
    label     {labels}             call, result    the union
    withhold  {reason}             result          any one withholds; the reasons in order

Anything else refuses: an obligation nobody carries out must not look like one that was.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from gateway.errors import Refused
from gateway.model import Code, JsonObject, Limits, Obligation, Point, Redaction

LONGEST_SECONDS = 86_400
REASON_LENGTH = 1_000

Settings = Mapping[str, Any]


def fold(point: Point, stated: Iterable[JsonObject]) -> tuple[Obligation, ...]:
    """The obligations of one decision, one per type, each the strictest of its kind."""
    by_type: dict[str, list[Settings]] = {}
    for each in stated:
        kind, settings = _checked(point, each)
        by_type.setdefault(kind, []).append(settings)
    return tuple(Obligation(kind, _VOCABULARY[kind][2](each)) for kind, each in sorted(by_type.items()))


def apply(obligations: Iterable[Obligation], base: Limits) -> tuple[Limits, Redaction, tuple[str, ...]]:
    """What the grant of a call or the reply of a result must keep to: limits, redaction, labels."""
    limits, redaction, labels = base, Redaction(), ()
    for each in obligations:
        if each.type == "timeout":
            limits = replace(limits, timeout_s=min(limits.timeout_s, each.settings["seconds"]))
        elif each.type == "redact":
            redaction = Redaction(each.settings["pointers"], each.settings["kinds"])
        elif each.type == "label":
            labels = each.settings["labels"]
    return limits, redaction, labels


def withheld(obligations: Iterable[Obligation]) -> str | None:
    """Why the result must not be given, where an obligation says so."""
    for each in obligations:
        if each.type == "withhold":
            return str(each.settings["reason"])
    return None


def _checked(point: Point, each: object) -> tuple[str, Settings]:
    if not isinstance(each, dict):
        raise _refusal(f"an obligation should be an object with a type, not {each!r:.80}")
    kind = each.get("type")
    known = _VOCABULARY.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise _refusal(f"there is no obligation {kind!r:.80}; there are {', '.join(_VOCABULARY)}")
    points, check, _ = known
    if point not in points:
        raise _refusal(f"obligation {kind} has no meaning at `{point}`")
    settings = {name: value for name, value in each.items() if name != "type"}
    if not check(settings):
        raise _refusal(f"obligation {kind} has wrong settings: {settings!r:.200}")
    return str(kind), settings


def _refusal(detail: str) -> Refused:
    return Refused(Code.OBLIGATION, "the policy attached an obligation that cannot be kept", detail=detail)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text for text in value)


def _is_timeout(settings: Settings) -> bool:
    seconds = settings.get("seconds")
    if settings.keys() != {"seconds"} or isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return False
    return 0 < seconds <= LONGEST_SECONDS


def _is_redact(settings: Settings) -> bool:
    pointers, kinds = settings.get("pointers", []), settings.get("kinds", [])
    if not settings or settings.keys() - {"pointers", "kinds"} or not _texts(pointers) or not _texts(kinds):
        return False
    return bool(pointers or kinds) and all(pointer.startswith("/") for pointer in pointers)


def _is_label(settings: Settings) -> bool:
    return settings.keys() == {"labels"} and bool(settings["labels"]) and _texts(settings["labels"])


def _is_withhold(settings: Settings) -> bool:
    reason = settings.get("reason")
    return settings.keys() == {"reason"} and isinstance(reason, str) and 0 < len(reason) <= REASON_LENGTH


def _union(all_settings: list[Settings], name: str) -> tuple[str, ...]:
    return tuple(sorted({text for settings in all_settings for text in settings.get(name, ())}))


def _shortest(all_settings: list[Settings]) -> Settings:
    return {"seconds": min(settings["seconds"] for settings in all_settings)}


def _all_redactions(all_settings: list[Settings]) -> Settings:
    return {name: _union(all_settings, name) for name in ("pointers", "kinds")}


def _all_labels(all_settings: list[Settings]) -> Settings:
    return {"labels": _union(all_settings, "labels")}


def _all_reasons(all_settings: list[Settings]) -> Settings:
    return {"reason": "; ".join(sorted({settings["reason"] for settings in all_settings}))}


_VOCABULARY: dict[str, tuple[frozenset[Point], Callable[[Settings], bool], Callable[[list[Settings]], Settings]]] = {
    "timeout": (frozenset({Point.CALL}), _is_timeout, _shortest),
    "redact": (frozenset({Point.CALL, Point.RESULT}), _is_redact, _all_redactions),
    "label": (frozenset({Point.CALL, Point.RESULT}), _is_label, _all_labels),
    "withhold": (frozenset({Point.RESULT}), _is_withhold, _all_reasons),
}
