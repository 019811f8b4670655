"""What a command prints and the status it ends with: tables for people, plain lines for pipes, JSON for programs."""

import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from gateway.errors import BasculeError, ConfigError, Failed, Fatal, Malformed, Refused, Unreadable
from gateway.model import Code, JsonObject

QUIET_S = 1.0
"""What takes longer says so."""


class Status(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    WAITING = 4
    TOOL_ERROR = 5
    NOT_INTACT = 6


FAILURES = frozenset(
    {
        Code.SANDBOX_UNAVAILABLE,
        Code.UPSTREAM_UNAVAILABLE,
        Code.UPSTREAM_TIMEOUT,
        Code.UPSTREAM_INVALID,
        Code.ROLLED_BACK,
        Code.OUTCOME_UNKNOWN,
        Code.LOG_UNAVAILABLE,
    }
)
"""Codes of calls that were let through, or could not even be judged; every other code is a refusal."""


def status_of(problem: BasculeError) -> Status:
    """The status an error ends a command with."""
    match problem:
        case ConfigError():
            return Status.USAGE
        case Fatal() | Unreadable():
            return Status.NOT_INTACT
        case Refused() | Failed() | Malformed():
            return status_of_code(problem.code)
        case _:
            return Status.FAILED


def status_of_code(code: str) -> Status:
    """The status a refused or failed call ends with."""
    if code == Code.APPROVAL_REQUIRED:
        return Status.WAITING
    if code == Code.UNAUTHENTICATED:
        return Status.USAGE
    return Status.FAILED if code in FAILURES else Status.REFUSED


def say(text: str) -> None:
    """One line for the person or the pipe."""
    print(text)


def tell(answer: Mapping[str, Any]) -> None:
    """The whole answer as JSON."""
    print(json.dumps(answer, indent=2, ensure_ascii=False, default=str))


def table(rows: Sequence[JsonObject], columns: Sequence[str], *, none: str) -> None:
    """Rows as a table on a terminal, as lines with tabs elsewhere, `none` where there is no row."""
    if not rows:
        say(none)
        return
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *cells):
            say("\t".join(line))
        return
    from rich import box  # noqa: PLC0415 - only for people
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for line in cells:
        # Text, not str: what an upstream calls its tools must not be read as markup.
        drawn.add_row(*map(Text, line))
    Console().print(drawn)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on stderr what is being waited for, once it takes longer than a second."""
    timer = threading.Timer(QUIET_S, lambda: print(f"{what} …", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def printable(text: str) -> str:
    """Text from elsewhere, with what could steer a terminal made visible."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in text)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case Mapping():
            return ", ".join(f"{count} {state}" for state, count in value.items()) or "-"
        case list() | tuple():
            return ", ".join(map(str, value)) or "-"
        case _:
            return printable(str(value)).replace("\n", " ").replace("\t", " ")
