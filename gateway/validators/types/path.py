"""A path of a POSIX file system, judged by its text alone: links are seen only where the tool runs.

Normal form: empty and `.` segments are dropped, `..` takes the segment before it away, and a relative path starts at
`relative_to`. `inside` is the root that contains it, segment by segment, or None. Refused is what another reader could
take differently: backslashes and drives, `~`, a scheme, two leading slashes, control and hidden characters, encoded
or full-width dots and slashes, and text that is not in Unicode's composed form.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from gateway.model import TypedValue
from gateway.validators.types.unfit import Reader, Unfit

LONGEST = 4096
_ODD = re.compile(
    r"^~|^//|^[A-Za-z]:|://|\\|[\x00-\x1f\x7f-\x9f]|[\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
    r"|[\U000e0000-\U000e007f\ud800-\udfff]|%(?:25)*(?:2f|5c|00)|(?:^|/)(?:\.|%(?:25)*2e){2}(?:/|$)(?<!\.\.)(?<!\.\./)",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"(?!//)[A-Za-z0-9_./ @+=,()-]*")
"""What most paths are made of; nothing below can be found in them."""
_FOLDS = re.compile(r"[./\\~%]")


def reader(settings: Mapping[str, Any]) -> Reader:
    """Reads paths under these settings: `roots` it must lie in, `relative_to` where a relative one starts."""
    relative_to = settings.get("relative_to")
    start = None if relative_to is None else _segments(relative_to)
    roots = tuple((root, _segments(root)) for root in settings.get("roots") or ())
    wanted = "a path inside " + " or ".join(root for root, _ in roots) if roots else "a plain path"

    def read(value: str) -> TypedValue:
        if len(value) > LONGEST or not (_PLAIN.fullmatch(value) or _one_reading(value)):
            raise Unfit("is not a path that every program reads the same way", wanted)
        absolute = value.startswith("/")
        if not absolute and start is None:
            if roots:
                raise Unfit("must be an absolute path", wanted)
            return TypedValue("path", _relative(value), {"inside": None})
        segments = _applied([] if absolute else list(start or ()), value)
        inside = next((root for root, above in roots if segments[: len(above)] == above), None)
        if roots and inside is None:
            raise Unfit("lies outside the folders this tool may use", wanted)
        return TypedValue("path", "/" + "/".join(segments), {"inside": inside})

    return read


def _one_reading(value: str) -> bool:
    """Nothing odd, composed, and without a character that a normalising reader would turn into one that separates."""
    if _ODD.search(value):
        return False
    if value.isascii():
        return True
    if unicodedata.normalize("NFC", value) != value:
        return False
    return not any(_FOLDS.search(unicodedata.normalize("NFKC", char)) for char in value if not char.isascii())


def _segments(path: str) -> list[str]:
    return _applied([], path)


def _applied(segments: list[str], path: str) -> list[str]:
    """The segments after walking `path`; above the top there is nothing, as POSIX has it."""
    for segment in path.split("/"):
        if segment == "..":
            if segments:
                segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    return segments


def _relative(path: str) -> str:
    """The normal form of a path whose start is not known: leading `..` stay."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == ".." and segments and segments[-1] != "..":
            segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    return "/".join(segments) or "."
