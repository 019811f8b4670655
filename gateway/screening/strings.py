"""Every string of a result, keys included, by JSON pointer, with what is hidden or secret in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from gateway.model import JsonObject
from gateway.screening import credentials, hidden

BINARY = 1024
"""From this length on, the data of an image, of audio or of a binary resource is not text to read."""
_PICTURED = ("image", "audio")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something hidden or secret: its kind, the string's JSON pointer, and where in the string it stands."""

    kind: str
    where: str
    start: int
    end: int
    secret: bool
    key: bool = False
    """The string is the name of the member the pointer leads to, not its value."""


def is_binary(item: JsonObject, key: str, value: object) -> bool:
    """Whether a member is base64 data by the protocol's own rule: `data` of an image or of audio, `blob` of a resource.

    Passed over only when it is long and ASCII, so that text under such a name is still read.
    """
    if not isinstance(value, str) or len(value) < BINARY or not value.isascii():
        return False
    return (key == "data" and item.get("type") in _PICTURED) or (key == "blob" and "uri" in item)


def findings(result: JsonObject, *, hides: bool = True, forms: frozenset[int] = credentials.EVERY) -> Iterator[Finding]:
    """Everything found in a result, in document order; `hides` and `forms` say what is worth looking for."""
    for where, text, name in _strings(result, "", ""):
        key = name is None
        if hides:
            for kind, start, end in hidden.find(text):
                yield Finding(kind, where, start, end, secret=False, key=key)
        for kind, start, end in credentials.find(text, name or "", forms):
            yield Finding(kind, where, start, end, secret=True, key=key)


def _strings(value: object, where: str, name: str) -> Iterator[tuple[str, str, str | None]]:
    """Pointer, text and the name it is the value of; None where it is a name itself."""
    if isinstance(value, str):
        yield where, value, name
    elif isinstance(value, dict):
        for key, part in value.items():
            at = f"{where}/{escaped(key)}"
            yield at, key, None
            if not is_binary(value, key, part):
                yield from _strings(part, at, key)
    elif isinstance(value, list):
        yield from chain.from_iterable(_strings(part, f"{where}/{index}", name) for index, part in enumerate(value))


def escaped(token: str) -> str:
    """A name as a token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1") if "~" in token or "/" in token else token
