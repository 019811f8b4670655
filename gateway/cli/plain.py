"""Text from elsewhere as a person must be able to trust it: nothing hides, nothing steers, nothing looks like ours.

Values are written as JSON, so that text never passes for a number or a second value. Every character without a glyph,
or with a say about where others stand, is written as its escape; what does not fit a line goes on behind a bar.
"""

import json
import re
import shutil
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

NARROWEST: Final = 40
WIDEST: Final = 120
BAR: Final = "  | "
_NOT_ASCII: Final = re.compile("[^\x20-\x7e]+")
_UNITS: Final = re.compile(r"\\u[0-9a-f]{4}|\\.|.", re.DOTALL)
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols to Unicode, and nothing to the eye."""
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_MARKS_IN_A_ROW: Final = 2


def literal(value: Any) -> str:
    """Any JSON value as JSON on one line: what is read back is exactly the value."""
    return _NOT_ASCII.sub(_escaped, json.dumps(value, ensure_ascii=False))


def plain(text: str) -> str:
    """A sentence from elsewhere without its quotes, on one line."""
    return literal(text)[1:-1].replace('\\"', '"')


def fits(line: str) -> bool:
    """Whether a line stays one on this terminal."""
    return sum(map(_columns, line)) <= width()


def width() -> int:
    """Columns to write into."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns))


def lines(name: str, text: str, indent: str = "") -> Iterator[str]:
    """`name: text` on one line where it fits; else the text whole below its name, each piece of it behind a bar."""
    if fits(f"{indent}{name}: {text}"):
        yield f"{indent}{name}: {text}"
        return
    if fits(f"{indent}{name}:"):
        yield f"{indent}{name}:"
    else:  # a name of an attacker's choice may be long as well
        yield from _pieces(f"{name}:", indent + BAR)
    yield from _pieces(text, indent + BAR)


def _pieces(text: str, bar: str) -> Iterator[str]:
    piece, used, room = "", 0, width() - len(bar)
    for unit in _UNITS.findall(text):
        columns = sum(map(_columns, unit))
        if used + columns > room:
            yield bar + piece
            piece, used = "", 0
        piece, used = piece + unit, used + columns
    yield bar + piece


def _escaped(found: re.Match[str]) -> str:
    written: list[str] = []
    before, marks = found.string[found.start() - 1 : found.start()], 0
    for char in found[0]:
        if unicodedata.category(char) == "Mn":
            # A mark is drawn over the character before it: over a letter that is spelling, over a quote a forgery.
            marks = marks + 1 if marks or _carries(before) else 0
            kept = 0 < marks <= _MARKS_IN_A_ROW and _seen(char)
        else:
            kept, marks = _seen(char), 0
        written.append(char if kept else _escape(char))
        before = char
    return "".join(written)


def _carries(char: str) -> bool:
    return char.isalpha() or unicodedata.category(char or " ") == "Mc"


@lru_cache(maxsize=4096)
def _seen(char: str) -> bool:
    """Whether a character has a glyph of its own and leaves the others where they are."""
    return (
        char.isprintable()
        and char not in _BLANK
        and unicodedata.category(char) != "Me"
        and "VARIATION SELECTOR" not in unicodedata.name(char, "")
        and unicodedata.bidirectional(char) not in _RIGHT_TO_LEFT
    )


def _escape(char: str) -> str:
    raw = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[place]:02x}{raw[place + 1]:02x}" for place in range(0, len(raw), 2))


def _columns(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1
