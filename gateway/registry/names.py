"""Which names of upstreams and tools may be used, and which look too much like another one.

The specification's SHOULD (ASCII letters, digits, `_`, `-`, `.`, at most 128) is a must here, with `/` added, which
an earlier draft had: a name outside it can hide code points or imitate another, and no aggregated endpoint shows it.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

_TOOL = re.compile(r"[A-Za-z0-9_.\-/]{1,128}")
_SHOWN = re.compile(r"[A-Za-z0-9_-]{1,60}")
_UPSTREAM = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9-])?")
_HIDDEN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
SEPARATOR = "__"
RESERVED = "bascule"

_GLYPHS = str.maketrans({"I": "l", "1": "l", "0": "O"})


def visible(text: str, limit: int = 128) -> str:
    """The text as printable ASCII: what an upstream names itself must not move a terminal's cursor."""
    return ascii(text[:limit])[1:-1]


def upstream_problem(name: str) -> str | None:
    """Why an upstream may not have this name.

    It must not end in `_`: `a_` + `__` + `b` would be split into `a` and `_b`.
    """
    if name.casefold() == RESERVED:
        return f"the name {RESERVED} is reserved"
    if SEPARATOR in name:
        return f"the name of an upstream holds no {SEPARATOR}"
    if not _UPSTREAM.fullmatch(name):
        return "the name of an upstream is made of A-Z a-z 0-9 _ - and neither begins nor ends with _"
    return None


def tool_problem(name: object) -> str | None:
    """Why a tool of this name is not pinned."""
    if not isinstance(name, str):
        return "the name is not a string"
    if _TOOL.fullmatch(name):
        return None
    if not 1 <= len(name) <= 128:
        return "the name must have 1 to 128 characters"
    odd = next(char for char in name if not _TOOL.fullmatch(char))
    kind = "hidden code point" if hidden(odd) else "character"
    title = unicodedata.name(odd, "unnamed")
    return f"the name holds the {kind} U+{ord(odd):04X} ({title}); allowed are A-Z a-z 0-9 _ . - /{_meant(name)}"


def _meant(name: str) -> str:
    normal = unicodedata.normalize("NFKC", name)
    return f"; it is another spelling of {normal}" if _TOOL.fullmatch(normal) else ""


def hidden(text: str) -> bool:
    """Whether a text holds code points a reader does not see: controls, bidi controls, zero-width, tags."""
    return not text.isprintable() and _HIDDEN.search(text) is not None


def without_hidden(text: str) -> str:
    """The text without the code points that `hidden` finds."""
    return _HIDDEN.sub("", text)


def qualified(upstream: str, name: str) -> str | None:
    """The tool's name on an endpoint that shows several upstreams; None where it cannot be shown there."""
    full = f"{upstream}{SEPARATOR}{name}"
    return full if _SHOWN.fullmatch(full) else None


def glyphs(name: str) -> str:
    """What a person sees: names with equal glyphs cannot be told apart in many fonts."""
    return name.translate(_GLYPHS).replace("rn", "m").replace("vv", "w")


def lookalikes(names: Iterable[str], elsewhere: Mapping[str, Iterable[tuple[str, str]]]) -> dict[str, str]:
    """Tool names of one upstream that could be taken for another, and why.

    Within one upstream a difference in case or glyphs is not enough. Across upstreams the same name is normal (it is
    qualified there), the same glyphs under another spelling are not. `elsewhere` holds (upstream, name) by glyphs.
    """
    names = list(names)
    cases, looks = Counter(name.casefold() for name in names), defaultdict(list)
    for name in names:
        looks[glyphs(name)].append(name)
    found = {name: "differs only in case from another tool" for name in names if cases[name.casefold()] > 1}
    for look, alike in looks.items():
        if len(alike) > 1:
            found |= {name: f"looks like {', '.join(a for a in alike if a != name)}" for name in alike}
            continue
        other = next((f"{up}/{tool}" for up, tool in elsewhere.get(look, ()) if tool != alike[0]), None)
        if other:
            found[alike[0]] = f"looks like {other}"
    return found
