"""Every string of a result, keys included, by JSON pointer, with what is hidden or secret in it.

The way to a string is carried along as steps; a pointer is written only for what was found, and never a long one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.model import JsonObject
from gateway.screening import credentials, hidden

BINARY = 1024
"""From this length on, the data of an image, of audio or of a binary resource is not text to read."""
LONGEST = 512
"""Characters of a finding's pointer; names in a result may be as long as the result."""
_PICTURED = ("image", "audio")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something hidden or secret: its kind, the string's JSON pointer, and where in the string it stands.

    A pointer of more than 512 characters is cut to 512, the last of which is then "…"; `path` has its tokens, whole.
    """

    kind: str
    where: str
    start: int
    end: int
    secret: bool
    key: bool = False
    """The string is the name of the member the pointer leads to, not its value."""
    path: tuple[str, ...] = ()
    """For redaction alone, and only where the pointer is cut."""

    def steps(self) -> Iterable[str]:
        """The tokens of the whole pointer, unescaped."""
        return self.path or [unescaped(token) for token in self.where.split("/")[1:]]


def is_binary(item: JsonObject, key: str, value: object) -> bool:
    """Whether a member is base64 data by the protocol's own rule: `data` of an image or of audio, `blob` of a resource.

    Passed over only when it is long and ASCII, so that text under such a name is still read.
    """
    if not isinstance(value, str) or len(value) < BINARY or not value.isascii():
        return False
    return (key == "data" and item.get("type") in _PICTURED) or (key == "blob" and "uri" in item)


def findings(result: JsonObject, *, hides: bool = True, forms: frozenset[int] = credentials.EVERY) -> Iterator[Finding]:
    """Everything found in a result, in document order; `hides` and `forms` say what is worth looking for."""
    path: list[str | int] = []
    for text, under in _strings(result, path):
        for kind, start, end, secret in spans(text, bool(under), hides=hides, forms=forms):
            where = _pointer(path)
            whole = tuple(map(str, path)) if where.endswith("…") else ()
            yield Finding(kind, where, start, end, secret, under is None, whole)


def spans(
    text: str,
    under_name: bool,  # noqa: FBT001 - HOT
    *,
    hides: bool = True,
    forms: frozenset[int] = credentials.EVERY,
) -> Iterator[tuple[str, int, int, bool]]:
    """Kind, start and end of what is found in one text, and whether it is secret rather than hidden."""
    if hides:
        for kind, start, end in hidden.find(text):
            yield kind, start, end, False
    for kind, start, end in credentials.find(text, under_name, forms):
        yield kind, start, end, True


def _strings(result: JsonObject, path: list[str | int]) -> Iterator[tuple[str, bool | None]]:
    """Each text, and whether it is under a name of secrets; None where it is a name itself. `path` leads to it."""
    levels: list[_Level] = [(result, iter(result.items()), False)]
    path.append("")
    while levels:
        item, members, under = levels[-1]
        for step, part in members:
            path[-1] = step
            if isinstance(step, str):
                yield step, None
                under = isinstance(part, str | list) and credentials.named(step)
            if isinstance(part, str):
                if item is None or not is_binary(item, str(step), part):
                    yield part, under
            elif isinstance(part, dict | list):
                levels.append(_level(part, under))
                path.append("")
                break
        else:
            levels.pop()
            path.pop()


_Level = tuple[JsonObject | None, Iterator[tuple[str | int, Any]], bool]
"""An object (None for an array), what of it is still to come, and whether an array is under a name of secrets."""


def _level(part: Any, under: bool) -> _Level:  # noqa: FBT001 - HOT
    return (part, iter(part.items()), False) if isinstance(part, dict) else (None, iter(enumerate(part)), under)


def _pointer(path: list[str | int]) -> str:
    where = ""
    for step in path:
        where += "/" + escaped(str(step)[:LONGEST])
        if len(where) > LONGEST:
            return where[: LONGEST - 1] + "…"
    return where


def escaped(token: str) -> str:
    """A name as a token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1") if "~" in token or "/" in token else token


def unescaped(token: str) -> str:
    """The name that a token of a JSON pointer stands for."""
    return token.replace("~1", "/").replace("~0", "~")
