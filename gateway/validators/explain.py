"""A schema error in words the caller may read: which argument, which rule, what would do. Never the value itself."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

import jsonschema_rs

LOOKED_AT = 50
_PLAIN = re.compile(r"[A-Za-z0-9_.$@ -]{1,64}")


def first(errors: Iterable[jsonschema_rs.ValidationError], noun: str) -> tuple[str, str]:
    """The reason and what would pass, of the error nearest to the top."""
    found = sorted(islice(errors, LOOKED_AT), key=lambda error: len(error.instance_path))
    if not found:
        return f"the {noun} does not match the schema", ""
    error = found[0]
    expected = _expected(error.kind)
    if error.kind.name == "falseSchema" and error.schema_path[-1:] == ["additionalProperties"]:
        expected = "must hold only names the tool's schema knows"  # the error stands at the object, not at the name
    return f"{_where(noun, error.instance_path)} {expected}", f"{_where(noun, error.instance_path)} {expected}"


def _where(noun: str, path: list[str | int]) -> str:
    if not path:
        return "the arguments" if noun == "argument" else noun
    return f"{noun} /" + "/".join(_safe(part) for part in path)


def _safe(part: str | int) -> str:
    text = str(part).replace("~", "~0").replace("/", "~1")
    return text if _PLAIN.fullmatch(text) else "…"


def _expected(kind: Any) -> str:
    """The rule that was broken, from the schema's side."""
    rule = _RULES.get(kind.name)
    if rule is not None:
        return rule
    words, attribute = _WITH_VALUE.get(kind.name, ("must match the tool's schema", ""))
    return f"{words} {_said(getattr(kind, attribute))}" if attribute else words


def _said(value: object) -> str:
    """A value of the schema, short: an operator accepted the schema and the model was shown it."""
    if isinstance(value, list):
        shown = ", ".join(_said(part) for part in value[:20])
        return f"{shown}, …" if len(value) > 20 else shown
    text = str(value)
    return text if _PLAIN.fullmatch(text) else "…"


_RULES = {
    "anyOf": "must have one of the forms the tool's schema allows",
    "oneOf": "must have exactly one of the forms the tool's schema allows",
    "contains": "must contain an element as the tool's schema describes it",
    "falseSchema": "must be left out",
    "not": "must not have the form the tool's schema excludes",
    "pattern": "must match the pattern in the tool's schema",
    "propertyNames": "must have only names the tool's schema allows",
    "unevaluatedItems": "must hold no further elements",
    "uniqueItems": "must hold no element twice",
}
_WITH_VALUE = {
    "additionalItems": ("must hold no elements beyond", "limit"),
    "additionalProperties": ("must not hold the unknown", "unexpected"),
    "unevaluatedProperties": ("must not hold the unknown", "unexpected"),
    "const": ("must be", "expected_value"),
    "enum": ("must be one of", "options"),
    "exclusiveMaximum": ("must be less than", "limit"),
    "exclusiveMinimum": ("must be greater than", "limit"),
    "maxItems": ("must hold at most this many elements:", "limit"),
    "maxLength": ("must have at most this many characters:", "limit"),
    "maxProperties": ("must hold at most this many names:", "limit"),
    "maximum": ("must be at most", "limit"),
    "minItems": ("must hold at least this many elements:", "limit"),
    "minLength": ("must have at least this many characters:", "limit"),
    "minProperties": ("must hold at least this many names:", "limit"),
    "minimum": ("must be at least", "limit"),
    "multipleOf": ("must be a multiple of", "multiple_of"),
    "required": ("must hold", "property"),
    "type": ("must be of type", "types"),
}
