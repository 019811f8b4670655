"""The table of idempotency keys: which run holds each, and what its client was given."""

from dataclasses import dataclass
from typing import Any, Final

from gateway.model import Ending, RunState
from gateway.storage.database import Reader
from gateway.storage.tables.statement import Row, Statement
from gateway.writes import KeyFollowed, KeyTaken, ReplyKept

FORGET: Final = ("UPDATE keys SET reply = x'' WHERE leaf = ?",)
"""What goes with the payload of an ending's leaf. The key itself stays: what was done is never done again."""
_NAMED: Final = """SELECT keys.call, keys.run, keys.reply, runs.state, runs.ending, runs.code
  FROM keys LEFT JOIN runs ON runs.run = keys.run WHERE keys.name = ?"""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key as stored, with the state of the run that holds it. `reply` is sealed; empty where it is not kept."""

    call: str
    run: str
    reply: bytes | None
    state: str
    ending: str
    code: str

    @property
    def free(self) -> bool:
        """Whether the run ended without having acted (`_TAKEN` has the same rule)."""
        if self.state != RunState.ENDED:
            return False
        return self.ending in (Ending.REFUSED, Ending.EXPIRED) or (self.ending == Ending.FAILED and self.reply is None)


def named(reader: Reader, name: str) -> KeyRow | None:
    """One key."""
    return next((KeyRow(*row) for row in reader.select(_NAMED, name)), None)


def _taken(_leaf: int, _at: int, write: KeyTaken) -> Row:
    return (write.name, write.call, write.run)


def _followed(_leaf: int, _at: int, write: KeyFollowed) -> Row:
    return (write.run, write.previous)


def _kept(leaf: int, _at: int, write: ReplyKept) -> Row:
    return (write.reply, leaf, write.run)


WRITES: dict[type[Any], Statement] = {
    KeyFollowed: Statement("UPDATE keys SET run = ? WHERE run = ?", _followed),
    # DANGER: within a batch keys come before runs, so the state read here is the one before the batch. Only an end
    # frees a key, and nothing follows an end: a run that is about to act can never lose its key to another.
    KeyTaken: Statement(
        "INSERT INTO keys (name, call, run) VALUES (?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET call = excluded.call, run = excluded.run, reply = NULL, leaf = NULL "
        "WHERE (keys.run = excluded.run AND keys.call = excluded.call) OR EXISTS ("
        "SELECT 1 FROM runs WHERE runs.run = keys.run AND state = 'ended' AND ("
        "ending IN ('refused', 'expired') OR (ending = 'failed' AND keys.reply IS NULL)))",
        _taken,
        unless="the key belongs to another call, or to the same one that runs",
    ),
    ReplyKept: Statement("UPDATE keys SET reply = ?, leaf = ? WHERE run = ?", _kept),
}
