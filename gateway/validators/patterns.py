"""The patterns of a tool's schema: a server writes them, and none may take long.

Patterns go to an engine that is linear in the text. Those that look around (`(?!…)`, as common libraries write them)
need one that tracks back: they see at most LONGEST characters and BACKTRACKS steps, and longer text does not match.
"""

from typing import Any

import jsonschema_rs

LONGEST = 1024
BACKTRACKS = 10_000
_BYTES = 4 << 20
"""Compiled size of all patterns of one schema."""


class Unreadable(ValueError):
    """A pattern neither engine reads; the message holds nothing the server wrote."""


Engine = jsonschema_rs.RegexOptions | jsonschema_rs.FancyRegexOptions


def contained(schema: dict[str, Any], patterns: tuple[str, ...]) -> tuple[dict[str, Any], Engine]:
    """The schema with its patterns contained (itself where all are linear), and the engine to compile it with.

    Raises:
        Unreadable: see there.
    """
    size = _BYTES // max(len(patterns), 1)
    linear = jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=size)
    around = frozenset(pattern for pattern in patterns if not _reads(pattern, linear))
    if not around:
        return schema, linear
    fancy = jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS, size_limit=size, dfa_size_limit=size)
    if not all(_reads(pattern, fancy) for pattern in around):
        raise Unreadable("the schema holds a pattern that is too large or that this gateway does not read")
    return _bounded(schema, around), fancy


def _reads(pattern: str, engine: Engine) -> bool:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, offline=True, pattern_options=engine)
    except ValueError:
        return False
    return True


def _bounded(value: Any, around: frozenset[str]) -> Any:
    """A copy in which each such pattern stands behind a length; `bounds` has limited the depth."""
    if isinstance(value, list):
        return [_bounded(part, around) for part in value]
    if not isinstance(value, dict):
        return value
    names = value.get("patternProperties")
    if isinstance(names, dict) and around.intersection(names):
        raise Unreadable("the schema holds a pattern for names that looks around")
    copy = {key: _bounded(part, around) for key, part in value.items()}
    pattern = value.get("pattern")
    if not isinstance(pattern, str) or pattern not in around:
        return copy
    del copy["pattern"]
    guarded = {"allOf": [{"maxLength": LONGEST}, {"pattern": pattern}]}
    copy["allOf"] = [*copy["allOf"], guarded] if isinstance(copy.get("allOf"), list) else [guarded]
    return copy
