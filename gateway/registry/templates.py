"""URI templates (RFC 6570) as patterns: whether a URI could have been made from one. Linear in the URI.

Not an expansion, and no judgement: it finds the upstream that a URI belongs to.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import re2

LONGEST: Final = 8_192
"""Characters of a URI or a template; a longer one matches nothing."""
MOST_EXPRESSIONS: Final = 32
MOST: Final = 500
"""Templates of one upstream that are compiled; those behind them belong to no URI."""
_MEMORY: Final = 1 << 18
"""Bytes of one compiled template."""

_EXPRESSION = re.compile(r"\{([+#./;?&]?)([A-Za-z0-9_.%,:*]+)\}")
_VALUE = "[^/]+"
_PATTERNS: Final = {
    "": _VALUE,
    "+": ".+",
    "#": "(?:#.+)?",
    ".": r"(?:\.[^/]+)?",
    "/": "(?:/.+)?",
    ";": "(?:;[^/]+)?",
    "?": r"(?:\?[^/]*)?",
    "&": "(?:&[^/]*)?",
}
"""By operator: what an expression can become. Reserved expansions and exploded lists may hold a `/`."""


@dataclass(frozen=True, slots=True)
class Template:
    """One template, compiled."""

    text: str
    pattern: Any

    def matches(self, uri: str) -> bool:
        """Whether the whole URI could be one of it."""
        return self.pattern.fullmatch(uri) is not None


def compiled(texts: Iterable[str]) -> tuple[Template, ...]:
    """Those that are templates, in their order; a text that is none belongs to no URI."""
    return tuple(template for text in islice(texts, MOST) if (template := _compiled(text)) is not None)


def matching(uri: str, templates: Iterable[Template]) -> tuple[str, ...]:
    """The templates that a URI could have been made from."""
    if not 0 < len(uri) <= LONGEST or not uri.isprintable():
        return ()
    return tuple(template.text for template in templates if template.matches(uri))


def _compiled(text: str) -> Template | None:
    pattern = _pattern(text)
    if pattern is None:
        return None
    options = re2.Options()
    options.max_mem, options.log_errors, options.dot_nl = _MEMORY, False, True
    try:
        return Template(text, re2.compile(pattern, options))
    except re2.error:  # too large once compiled
        return None


def _pattern(text: str) -> str | None:
    if len(text) > LONGEST or text.count("{") > MOST_EXPRESSIONS or not text.isprintable():
        return None
    parts, end = [], 0
    for match in _EXPRESSION.finditer(text):
        parts.append(_literal(text[end : match.start()]))
        operator, variables = match[1], match[2]
        exploded = operator == "" and any(name.endswith("*") for name in variables.split(","))
        parts.append(".+" if exploded else _PATTERNS[operator])
        end = match.end()
    parts.append(_literal(text[end:]))
    return None if None in parts else "".join(part for part in parts if part is not None)


def _literal(text: str) -> str | None:
    """The text as itself; None where it holds a brace, which no template has outside its expressions."""
    return None if "{" in text or "}" in text else re2.escape(text)
