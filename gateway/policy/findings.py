"""What `policy check` finds, one line each."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gateway.model import JsonObject

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a file that is wrong, or is likely to be. `info` is about the check itself."""

    file: str
    line: int
    column: int
    severity: Severity
    problem: str
    fix: str = ""

    def told(self) -> JsonObject:
        """As JSON."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "severity": self.severity,
            "problem": self.problem,
            "fix": self.fix,
        }


def meant(wrong: str, known: Iterable[str]) -> str:
    """What somebody who wrote `wrong` may have meant, as advice: the nearest known one, or all."""
    names = list(known)
    near = difflib.get_close_matches(wrong, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"there is {', '.join(names)}" if names else ""
