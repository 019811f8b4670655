"""Who called what, filtered: the index of runs first, then what only the records and their sealed values say.

Works on any Reader and changes nothing. What has to be opened is bounded: the answer tells how many runs were looked
through, and where to go on.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import orjson

from gateway.model import JsonObject
from gateway.storage.database import Reader, RunRow
from gateway.storage.wanted import Wanted

MOST = 1000
"""Runs one answer holds."""
MOST_LOOKED = 20_000
"""Runs whose records are opened for one answer: a few seconds."""
PAGE = 500
_TEXTS = ("args", "refusal", "detail")
"""The sealed values in which a text is looked for: what was asked for, and why it was refused or failed."""

Opened = Callable[[int, JsonObject], dict[str, bytes] | None]
"""The sealed values of a record, by its index and its leaf; None where they are not kept."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked. Empty is not asked for; `text` is looked for without regard to case."""

    wanted: Wanted = field(default_factory=Wanted)
    effect: str = ""
    session: str = ""
    text: str = ""

    @property
    def opens(self) -> bool:
        """Whether the index alone cannot answer."""
        return bool(self.effect or self.session or self.text)


@dataclass(frozen=True, slots=True)
class Hit:
    """A run that was found, with what the policy said of it."""

    run: RunRow
    effect: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, newest first."""

    hits: tuple[Hit, ...]
    looked: int
    """Runs that were looked through."""
    not_kept: int
    """Of them, those whose sealed values are not kept, so that they could not be looked into."""
    more: str
    """Where the next search goes on (`before`); empty at the end."""


def search(reader: Reader, asked: Search, opened: Opened, *, limit: int = 50, before: str = "") -> Answer:
    """The newest runs that agree with all that is asked."""
    limit = max(1, min(limit, MOST))
    hits: list[Hit] = []
    looked = not_kept = 0
    last = ""
    for row in _rows(reader, asked.wanted, before):
        if len(hits) == limit or (asked.opens and looked == MOST_LOOKED):
            return Answer(tuple(hits), looked, not_kept, last)
        looked, last = looked + 1, row.run
        found = _looked_into(reader, row, asked, opened)
        if found is None:
            not_kept += 1
        elif found.effect or not asked.opens:
            hits.append(found)
    return Answer(tuple(hits), looked, not_kept, "")


def _rows(reader: Reader, wanted: Wanted, before: str) -> Iterator[RunRow]:
    while page := reader.runs_wanted(wanted, limit=PAGE, before=before):
        yield from page
        before = page[-1].run


def _looked_into(reader: Reader, row: RunRow, asked: Search, opened: Opened) -> Hit | None:
    """The run as a hit, one without an effect where it is none; None where it cannot be told."""
    leaves = [
        (index, leaf) for index in (row.intent, row.settled) if index is not None and (leaf := reader.leaf(index))
    ]
    told = [(index, orjson.loads(leaf)) for index, leaf in leaves]
    effect = next((str(leaf["decision"]["effect"]) for _, leaf in told if leaf.get("decision")), "none")
    if asked.effect and asked.effect != effect:
        return Hit(row, "")
    if asked.session or asked.text:
        sealed = [values for index, leaf in told if (values := opened(index, leaf)) is not None]
        if len(sealed) < len(told) and not _holds(sealed, asked):
            return None
        if not _holds(sealed, asked):
            return Hit(row, "")
    return Hit(row, effect)


def _holds(sealed: list[dict[str, bytes]], asked: Search) -> bool:
    if asked.session and not any(_session(values) == asked.session for values in sealed):
        return False
    return not asked.text or any(
        _says(values[name], asked.text) for values in sealed for name in _TEXTS if name in values
    )


def _session(values: dict[str, bytes]) -> str:
    return str(orjson.loads(values["call"])["session"]) if "call" in values else ""


def _says(value: bytes, text: str) -> bool:
    """Whether a value holds the text. Our own JSON escapes only what it must, so most texts stand in it as they are."""
    return re.search(re.escape(_written(text)), value.decode("utf-8", "replace"), re.IGNORECASE) is not None


def _written(text: str) -> str:
    return orjson.dumps(text).decode()[1:-1]
