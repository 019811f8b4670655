"""Text a person does not see but a model reads: code points without a glyph, and sequences a terminal obeys.

Left alone is what ordinary writing needs: one variation selector after a character, joiners inside scripts and emoji,
the three flags spelt with tags, marks of direction in text that runs from right to left, a byte order mark in front.
"""

import re
from collections.abc import Iterator

QUICK = (
    r"[\x{ad}\x{34f}\x{61c}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{180b}-\x{180f}\x{200b}-\x{200f}\x{202a}-\x{202e}"
    r"\x{2060}-\x{206f}\x{3164}\x{feff}\x{ffa0}\x{fff9}-\x{fffb}\x{1bca0}-\x{1bca3}\x{1d173}-\x{1d17a}"
    r"\x{e0000}-\x{e007f}]|[\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}]{2}|[\x{80}-\x{9f}]|\x{7f}|\\u00[01]|\\[bf]"
)
"""For re2, over a JSON text, which escapes control characters: nothing hidden is without it. It may find too much."""

_SUSPECT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e01ef]"
)
"""Where to look closer."""
_EXACT = re.compile(
    "(?P<ansi>(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]?)"
    "|(?P<control>[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+)"
    "|(?P<tag>[\U000e0000-\U000e007f]+)"
    "|(?P<bidi>[\u202a-\u202e\u2066-\u2069]+)"
    "|(?P<direction>[\u200e\u200f\u061c]+)"
    "|(?P<zero_width>[\u200b\u2060-\u2065\ufeff]+|[\u200c\u200d]{2,}|(?<![^\x00-\x7f])[\u200c\u200d]"
    "|[\u200c\u200d](?![^\x00-\x7f]))"
    "|(?P<variation>[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,})"
    "|(?P<format>[\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u206a-\u206f\u3164\uffa0\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a]+)"
)
_RIGHT_TO_LEFT = re.compile("[\u0590-\u05ff\u0600-\u07ff\u0860-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_FLAGS = frozenset(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in f"gb{land}\x7f") for land in ("eng", "sct", "wls")
)


def find(text: str) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end of everything hidden in a text."""
    right_to_left: bool | None = None  # looked for once, and only where a mark of direction stands
    suspect = _SUSPECT.search(text)
    while suspect is not None:
        match = _EXACT.match(text, suspect.start())
        if match is None:
            suspect = _SUSPECT.search(text, suspect.end())
            continue
        kind, (start, end) = match.lastgroup or "", match.span()
        if kind == "direction":
            if right_to_left is None:
                right_to_left = _RIGHT_TO_LEFT.search(text) is not None
            if not right_to_left:
                yield "bidi", start, end
        elif not _ordinary(kind, text, start, end):
            yield kind, start, end
        suspect = _SUSPECT.search(text, end)


def _ordinary(kind: str, text: str, start: int, end: int) -> bool:
    """Whether ordinary writing needs what was found."""
    match kind:
        case "tag":
            return start > 0 and text[start - 1 : end] in _FLAGS
        case "zero_width":
            return start == 0 and text[:end] == "\ufeff"
        case _:
            return False
