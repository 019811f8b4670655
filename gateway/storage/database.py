"""What the log needs of a database: one writer that stages without waiting and commits off the loop, and readers.

No driver and no tree here: a batch arrives with its hashes computed.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from gateway.errors import BasculeError
from gateway.storage.wanted import Wanted
from gateway.writes import SessionSeen, Write


class Conflict(BasculeError):
    """A write whose own condition does not hold, such as ending a run that is not open. Nothing of it is stored."""

    def __init__(self, why: str, kind: type[Any]) -> None:
        super().__init__(why)
        self.kind = kind
        """Of the write."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A complete tile: 256 hashes, and the one they make in the level above."""

    level: int
    n: int
    root: bytes
    hashes: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """A signed head as stored: the note's text, and the Unix second it was signed at."""

    size: int
    at: int
    note: str


@dataclass(frozen=True, slots=True)
class TreeRow:
    """The tree that the stored leaves make; signed or not yet."""

    size: int
    root: bytes
    frontier: bytes


@dataclass(frozen=True, slots=True)
class Payload:
    """The sealed values of one leaf, kept until `expires` (Unix seconds) or until its run has ended."""

    leaf: int
    expires: int
    salt: bytes
    sealed: bytes


class RunRow(NamedTuple):
    """A run as the index knows it. `intent` and `settled` are leaf indices; times are Unix microseconds.

    A tuple, since verification builds one per record.
    """

    run: str
    task: str
    principal: str
    tenant: str
    upstream: str
    tool: str
    state: str
    """A RunState, unless somebody changed the row."""
    ending: str
    code: str
    intent: int | None
    settled: int | None
    opened: int
    ended: int | None
    asked: int | None = None
    """The leaf of the request, of a run that waited for people."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything one transaction stores."""

    leaves: Sequence[tuple[int, bytes, bytes]]
    """Index, hash, record."""
    payloads: Sequence[tuple[int, int, bytes, bytes]]
    """Leaf, expires, salt, sealed."""
    writes: Sequence[tuple[int, int, Write]]
    """The leaf a write belongs to, that leaf's microseconds, the write."""
    tiles: Sequence[Tile]
    tree: TreeRow
    head: Head | None = None
    replaces: int | None = None
    """The size of the stored head that `head` takes the place of."""


class Reader(Protocol):
    """Reads what is committed; works in any process while the owner writes. One thread at a time.

    Its methods raise Unreadable.
    """

    def snapshot(self) -> AbstractContextManager[None]:
        """Within it every read sees the same moment."""

    def tree(self) -> TreeRow:
        """Raises Unreadable where there is not exactly its one row."""

    def shape(self) -> None:
        """Raises Unreadable where a table is not as the migrations make it: a view, say, that never ends."""

    def damage(self) -> str:
        """What the database itself finds wrong with the file, its indices included; empty for nothing. Slow."""

    def rows(self) -> int:
        """How many leaves there are, whatever their indices. Counts them: slow."""

    def outside(self, count: int, limit: int) -> list[int]:
        """Indices of leaves that are below 0, or `count` or more; at most `limit` of them."""

    def count(self, below: int | None = None) -> int:
        """One more than the highest leaf index stored (that is lower than `below`)."""

    def leaf(self, index: int) -> bytes | None: ...
    def leaves(self, first: int, end: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Index, hash and record of the stored leaves in `first <= index < end`, in order."""

    def payload(self, leaf: int) -> Payload | None: ...
    def payloads(self, first: int, end: int) -> Iterator[Payload]: ...
    def kept(self) -> Iterator[tuple[int, int]]:
        """Leaf and expiry of every payload, without reading the payloads."""

    def tile(self, level: int, n: int) -> Tile | None: ...
    def tiles(self) -> Iterator[tuple[int, int]]:
        """Level and number of every stored tile."""

    def tile_roots(self, level: int, first: int, end: int) -> list[bytes]: ...
    def head(self) -> Head | None:
        """The newest."""

    def heads(self) -> list[Head]: ...
    def run(self, run: str) -> RunRow | None: ...
    def runs(self, *, limit: int, before: str = "", unfinished: bool = False) -> list[RunRow]:
        """Newest first; `before` is the last id of the page before."""

    def runs_wanted(self, wanted: Wanted, *, limit: int, before: str = "") -> list[RunRow]:
        """The runs that are wanted, newest first; `before` is the last id of the page before."""

    def all_runs(self) -> Iterator[RunRow]:
        """Whatever their ids are."""

    def runs_named(self, names: Sequence[str]) -> list[RunRow]: ...
    def run_counts(self) -> tuple[int, int]:
        """All runs, and those with a settled leaf."""

    def session(self, session: str, *, since: int = 0) -> SessionSeen | None:
        """What is known of a session, if it was seen at or after `since` (Unix microseconds)."""

    def bundle(self, digest: str) -> bytes | None: ...
    def bundles(self) -> Iterator[tuple[str, bytes]]: ...
    def select(self, statement: str, *values: object) -> Iterator[Any]:
        """What a statement of `storage/tables` finds: no other module has SQL."""

    def close(self) -> None: ...


class Database(Protocol):
    """The one writer. Its methods raise LogUnavailable when the disk does not do what was asked."""

    def reader(self) -> Reader: ...
    def stage(self, batch: Batch) -> None:
        """Opens a transaction and puts the batch into it, in memory: never waits for the disk.

        Raises Conflict where a write's condition does not hold; then nothing is staged.
        """

    def commit(self) -> None:
        """Makes what was staged durable before it returns. Waits for the disk: never on the loop."""

    def conflicting(self, items: Sequence[Sequence[Write]]) -> dict[int, Conflict]:
        """Which of the items would not apply and why, tried in order, each whole or not at all. Stores nothing."""

    def expire(self, now: int, limit: int) -> int:
        """Erases at most `limit` payloads that are past their time and whose run has ended. Waits for the disk.

        With a payload goes what the run's row copied from it, and every session not seen since its record.
        """

    def reset(self) -> None:
        """Drops the connection and whatever was staged, and opens anew. Waits for the disk."""

    def close(self) -> None: ...
