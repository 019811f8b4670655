"""The arguments a tool takes that mean something beyond their text: paths, urls, addresses, by their names and formats.

Reads a server's schema and believes little of it: what is not plainly a string of that kind has no meaning here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

DEEPEST = 6
LONGEST = 512
"""Of a pointer in a manifest."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PATHS = re.compile(r"cwd|dir|directory|directories|file|filename|filepath|files|folder|folders|path|paths")
_URLS = re.compile(r"href|uri|uris|url|urls|webhook")
_EMAILS = re.compile(r"email|emails")
_ADDRESSEES = re.compile(r"addressee|bcc|cc|channel|recipient|recipients|to")
_EITHER = re.compile(r"destination|dest|dst|from|root|source|src|target|to")
"""Names of which the description must say that they are paths."""
_SAYS_PATH = re.compile(r"\b(path|file|folder|directory)\b", re.IGNORECASE)
_FORMATS = {"uri": "url", "url": "url", "iri": "url", "email": "email", "idn-email": "email"}


@dataclass(frozen=True, slots=True)
class Argument:
    """A string among the arguments that has a meaning."""

    pointer: str
    type: str
    """`path`, `url`, `email`; empty where it only names somebody."""
    addressee: bool = False
    """Whether it says who gets something."""


def arguments(schema: Any) -> Iterator[Argument]:
    """Every argument that means something, by its place."""
    if isinstance(schema, dict):
        yield from _below(schema, schema, "", "", 0)


def words(name: str) -> list[str]:
    """The words in a name, small, wherever it breaks: `repo_path`, `repoPath`, `repo-path`."""
    return [word.lower() for word in _WORD.findall(name)]


def _below(schema: Any, whole: dict[str, Any], pointer: str, name: str, depth: int) -> Iterator[Argument]:
    schema = _resolved(schema, whole)
    if not isinstance(schema, dict) or depth > DEEPEST or len(pointer) > LONGEST:
        return
    kind, properties = schema.get("type"), schema.get("properties")
    if isinstance(properties, dict):
        for key, inner in properties.items():
            if key not in {"", "*"} and "\x00" not in key:
                token = key.replace("~", "~0").replace("/", "~1")
                yield from _below(inner, whole, f"{pointer}/{token}", key, depth + 1)
    elif kind == "array" and pointer:
        yield from _below(schema.get("items"), whole, f"{pointer}/*", name, depth + 1)
    elif kind == "string" and "enum" not in schema and pointer:
        meaning, addressee = _meaning(schema, name, top=pointer.count("/") - pointer.endswith("/*") == 1)
        if meaning or addressee:
            yield Argument(pointer, meaning, addressee)


def _resolved(schema: Any, whole: dict[str, Any]) -> Any:
    """The schema, or what a reference within the same document means; one step, as generators write them."""
    reference = schema.get("$ref") if isinstance(schema, dict) else None
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return schema
    defined = whole.get("$defs")
    return defined.get(reference.removeprefix("#/$defs/")) if isinstance(defined, dict) else None


def _meaning(schema: dict[str, Any], name: str, *, top: bool) -> tuple[str, bool]:
    parts = words(name)
    addressee = top and any(_ADDRESSEES.fullmatch(word) for word in parts[-1:])
    known = _FORMATS.get(str(schema.get("format")))
    if known:
        return known, addressee
    for meaning, pattern in (("url", _URLS), ("email", _EMAILS), ("path", _PATHS)):
        if any(pattern.fullmatch(word) for word in parts):
            return meaning, addressee
    described = _SAYS_PATH.search(str(schema.get("description", "")))
    if described and any(_EITHER.fullmatch(word) for word in parts):
        return "path", False
    return "", addressee
