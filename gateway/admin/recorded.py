"""Decisions as the log has them, of a run, of a task or of a span of time. It only reads, and judges nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.admin.opening import Opener
from gateway.audit import records
from gateway.audit.leaf import timestamp
from gateway.errors import ConfigError
from gateway.model import Decision, Effect, JsonObject
from gateway.storage.database import Reader, RunRow
from gateway.storage.tables import histories
from gateway.storage.wanted import Wanted

MOST_RUNS: Final = 50_000
"""Of one task, the newest of them."""
PAGE: Final = 500

Leaf = tuple[int, JsonObject]
"""A record and its index."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision, with what is needed to make it again."""

    index: int
    leaf: JsonObject
    input: bytes | None
    """None where it was never kept, or is erased."""
    said: JsonObject
    """`effect`, `code`, `reasons`, `obligations`, `demands`; the last three are None where they are not kept."""


def decision(index: int, leaf: JsonObject, opener: Opener) -> Recorded | None:
    """The decision that a record holds; None where it holds none."""
    if "decision" not in leaf:
        return None
    public, sealed = leaf["decision"], opener.opened(index, leaf) or {}
    return Recorded(index, leaf, sealed.get("input"), _parts(public["effect"], public["code"], sealed.get("decision")))


def told(decided: Decision) -> JsonObject:
    """A decision as `Recorded.said` has one."""
    return _parts(str(decided.effect), decided.code and str(decided.code), records.said_of(decided))


def run_named(run: str, reader: Reader) -> RunRow:
    """Raises ConfigError: there is none."""
    if (row := reader.run(run)) is None:
        raise ConfigError(f"there is no run {run}: see `bascule runs list`")
    return row


def of_run(row: RunRow, reader: Reader, *, after: int = 0) -> Iterator[Leaf]:
    """Every record of a run, in order; with those up to `after` behind its end."""
    for index, record in histories.of_run(reader, row, after=after):
        leaf = orjson.loads(record)
        if leaf.get("run") == row.run:
            yield index, leaf


def runs_of(task: str, reader: Reader) -> list[RunRow]:
    """The runs of a task, oldest first; of a very long one the newest.

    Raises:
        ConfigError: there are none, or all that told of them is erased.
    """
    rows: list[RunRow] = []
    before = ""
    while task and len(rows) < MOST_RUNS and (page := reader.runs_wanted(Wanted(task=task), limit=PAGE, before=before)):
        rows += page
        before = page[-1].run
    if not rows:
        raise ConfigError(f"there is no task {task}: see `bascule tasks list`")
    return rows[::-1]


def past(reader: Reader, since: int) -> Iterator[Leaf]:
    """The records that hold a decision, newest first, back to `since` (Unix microseconds)."""
    oldest, end = timestamp(since), reader.count()
    while end > 0:
        first = max(0, end - PAGE)
        block = [(index, orjson.loads(record)) for index, _, record in reader.leaves(first, end)]
        fresh = [(index, leaf) for index, leaf in reversed(block) if leaf["ts"] >= oldest]
        yield from ((index, leaf) for index, leaf in fresh if "decision" in leaf)
        if not fresh:
            return
        end = first


def _parts(effect: str, code: str | None, sealed: bytes | None) -> JsonObject:
    said: JsonObject = {"effect": effect, "code": code, "reasons": None, "obligations": None, "demands": None}
    if sealed is None:
        return said
    kept = orjson.loads(sealed)
    said |= {"reasons": kept["reasons"], "obligations": kept.get("obligations", [])}
    if effect == Effect.REQUIRE_APPROVAL:
        said["demands"] = kept.get("demands")
    return said
