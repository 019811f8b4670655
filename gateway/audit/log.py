"""The log: the one place that opens a transaction, so that records and what follows from them commit together.

Group commit without a timer: while one batch is on its way to the disk the next one gathers. The loop builds
and stages a batch in memory; one thread does nothing but COMMIT. After any fault nothing in memory is trusted:
the connection is dropped and the tree read back before a record is taken again.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.audit import leaf, merkle, note, seal, tiles
from gateway.audit.ids import uuid7
from gateway.audit.keys import Keys
from gateway.audit.thread import Thread
from gateway.errors import Fatal, LogUnavailable, Unreadable
from gateway.model import Record
from gateway.storage.database import Batch, Conflict, Database, Head
from gateway.writes import Write, placed

SIGN_AFTER = 0.1
"""Seconds a durable leaf may wait for its signature; docs/decisions/0002-head-signing.md says why it may."""
BACK_OFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
MOST_TURNS, MOST_AT_ONCE = 16, 256
"""How many turns of the loop a batch gathers, and how many items end the gathering."""
LARGEST = 64 << 20
"""Bytes of sealed values of one append; the database itself ends at 1 GB and would fail the whole batch."""
HOUR = 3600
ERASED_AT_ONCE = 200

Leaf = tuple[int, bytes, bytes, int, bytes | None, bytes | None]
"""Microseconds, hash, record, keep, salt, sealed."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the records stand: from leaf `first`, in a durable tree of `size`."""

    first: int
    size: int


@dataclass(slots=True)
class _Item:
    leaves: list[Leaf]
    writes: Sequence[tuple[int, Write]]
    """Each with the place of its record in `leaves`."""
    future: "asyncio.Future[Appended]"
    first: int = 0


class Log:
    """Appends records durably. One per state folder; used from one event loop."""

    @classmethod
    def open(
        cls,
        database: Database,
        keys: Keys,
        *,
        sealed: bool = True,
        keep_days: int = 30,
        sign_after: float = SIGN_AFTER,
        on_fatal: Callable[[Fatal], None] | None = None,
    ) -> "Log":
        """Check what is stored against its head, then take records. Waits for the disk: call it before serving.

        Raises:
            Fatal: leaves, tree and head contradict each other, or were signed by another key.
            LogUnavailable: the file cannot be written.
        """
        log = cls(database, keys, sealed=sealed, keep_days=keep_days, sign_after=sign_after, on_fatal=on_fatal)
        try:
            log._tree, log._head = log._stored()
        except Unreadable as error:
            raise Fatal(f"the stored log cannot be read: {error}") from error
        if log._unsigned:  # what a crash left between commit and signature
            batch, _ = log._batch([], sign=True)
            database.stage(batch)
            database.commit()
            log._head = batch.head
        return log

    def __init__(
        self,
        database: Database,
        keys: Keys,
        *,
        sealed: bool,
        keep_days: int,
        sign_after: float,
        on_fatal: Callable[[Fatal], None] | None,
    ) -> None:
        self._database, self._keys = database, keys
        self._known = note.verifier(keys.vkey)
        self._sealed, self._keep = sealed, keep_days * 86400
        self._sign_after, self._on_fatal = sign_after, on_fatal
        self.on_recorded: Callable[[Sequence[Record]], None] | None = None
        """Told of the records of each durable append; it may neither wait nor raise."""
        self._tree = tiles.Tree()
        self._head: Head | None = None
        self._queue: list[_Item] = []
        self._chores: list[tuple[Callable[[], int], asyncio.Future[int]]] = []
        self._heads: list[asyncio.Future[str]] = []
        self._idle: list[asyncio.Future[None]] = []
        self._recovered: list[asyncio.Future[None]] = []
        self._busy = self._due = self._closing = False
        self._down: str | None = None
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._thread = Thread()

    @property
    def available(self) -> bool:
        """Whether an append may succeed now."""
        return self._down is None

    async def append(self, records: Sequence[Record], writes: Sequence[Write] = ()) -> Appended:
        """Store the records, and the writes with them; returns when both are durable. HOT

        Raises:
            LogUnavailable: they are not, as far as we know; a crash may show them stored all the same.
            Conflict: a write's condition does not hold; nothing of this item is stored.
            ValueError: a record is not a leaf (`leaf.encode`), or the records are larger than LARGEST.
        """
        if self._down is not None:
            raise LogUnavailable(self._down)
        leaves = [self._leaf(record) for record in records]
        if not leaves:
            raise ValueError("an append needs a record")
        if sum(len(sealed or b"") for *_, sealed in leaves) > LARGEST:
            raise ValueError("more than one append may hold")  # alone, before it could take a batch down with it
        beside = [(0, write) for write in writes] if len(leaves) == 1 else placed(records, writes)
        item = _Item(leaves, beside, asyncio.get_running_loop().create_future())
        self._queue.append(item)
        self._wake()
        appended = await item.future  # a waiter that is cancelled leaves the item in the queue
        if self.on_recorded is not None:
            self.on_recorded(records)
        return appended

    async def head(self) -> str:
        """The signed head of the newest durable tree."""
        if self._down is not None:
            raise LogUnavailable(self._down)
        if self._head is not None and not self._unsigned:
            return self._head.note
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._heads.append(future)
        self._due = True
        self._wake()
        return await future

    async def expire(self, now: int) -> int:
        """Erase the payloads that are past their time and whose run has ended; how many."""
        total, count = 0, ERASED_AT_ONCE
        while count == ERASED_AT_ONCE:
            if self._down is not None:
                raise LogUnavailable(self._down)
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._chores.append((partial(self._database.expire, now, ERASED_AT_ONCE), future))
            self._wake()
            count = await future
            total += count
        return total

    async def recovered(self) -> None:
        """Returns once the log is available (again)."""
        if self._down is not None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._recovered.append(future)
            await future

    async def close(self) -> None:
        """Commit what is queued, sign, and let go of the database. A second call does nothing."""
        if self._closing:
            return
        self._closing = True
        lost, self._down = self._down, self._down or "the log is closed"
        if self._timer is not None:
            self._timer.cancel()
        if self._retry is not None:
            self._retry.cancel()
            self._busy = False
        loop = asyncio.get_running_loop()
        if self._busy or (lost is None and self._unsigned):
            idle: asyncio.Future[None] = loop.create_future()
            self._idle.append(idle)
            self._due = self._due or (lost is None and self._unsigned)
            self._wake()
            await idle
        closed: asyncio.Future[None] = loop.create_future()
        self._thread.run(self._database.close, lambda _, error: _settle(closed, None, error))
        self._thread.stop()
        await closed

    @property
    def _unsigned(self) -> bool:
        return self._head is None or self._tree.size != self._head.size

    def _leaf(self, record: Record) -> Leaf:
        at, own = time.time_ns() // 1000, uuid7()
        if not record.sealed:
            encoded = leaf.encode(record, own, at, 0, {})
            return (at, merkle.leaf_hash(encoded), encoded, 0, None, None)
        commitments, container = seal.commit(record.sealed)
        if not self._sealed:
            encoded = leaf.encode(record, own, at, 0, commitments)
            return (at, merkle.leaf_hash(encoded), encoded, 0, None, None)
        keep = at // 1_000_000 + self._keep
        encoded = leaf.encode(record, own, at, keep, commitments)
        return (at, merkle.leaf_hash(encoded), encoded, keep, *seal.seal(self._keys.sealing, own, container))

    def _wake(self) -> None:
        if not self._busy:
            self._busy = True
            self._gather(-1, 0)

    def _gather(self, seen: int, turns: int) -> None:
        """Begin the next batch once a turn of the loop brought nobody new.

        Most of what a commit costs does not depend on what is in it, and on a busy loop records come one by one,
        as fast as the disk takes them: without this each would have a commit of its own.
        """
        waiting = len(self._queue)
        if seen < waiting < MOST_AT_ONCE and turns < MOST_TURNS:
            asyncio.get_running_loop().call_soon(self._gather, waiting, turns + 1)
        else:
            self._next()

    def _next(self) -> None:
        if self._chores:
            chore, future = self._chores.pop(0)
            self._thread.run(chore, partial(self._chore_done, future))
        elif self._queue or self._due:
            items, self._queue = self._queue, []
            self._stage(items)
        else:
            self._busy = False
            for idle in self._idle:
                _settle(idle, None, None)
            self._idle.clear()

    def _stage(self, items: list[_Item]) -> None:
        try:
            try:
                batch, tree = self._batch(items, sign=self._due)
                self._database.stage(batch)
            except Conflict:
                items = self._refuse(items)
                if not items and not self._due:
                    self._next()
                    return
                batch, tree = self._batch(items, sign=self._due)
                self._database.stage(batch)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, what is staged now is unknown
            self._fail(items, error)
            return
        self._due = self._due and batch.head is None
        self._thread.run(self._database.commit, partial(self._committed, items, tree, batch.head))

    def _refuse(self, items: list[_Item]) -> list[_Item]:
        """What remains when the items whose writes do not apply have been told so."""
        wrong = self._database.conflicting([[write for _, write in item.writes] for item in items])
        for place, conflict in wrong.items():
            _settle(items[place].future, None, conflict)
        return [item for place, item in enumerate(items) if place not in wrong]

    def _batch(self, items: list[_Item], *, sign: bool) -> tuple[Batch, tiles.Tree]:
        """One transaction's worth, and the tree it makes. HOT"""
        leaves, payloads, writes = list[Any](), list[Any](), list[Any]()
        index = self._tree.size
        for item in items:
            item.first = index
            for _, hashed, record, keep, salt, sealed in item.leaves:
                leaves.append((index, hashed, record))
                if sealed is not None:
                    payloads.append((index, keep, salt, sealed))
                index += 1
            for place, write in item.writes:
                writes.append((item.first + place, item.leaves[place][0], write))
        tree, full = self._tree.extended([entry[1] for entry in leaves])
        row = tree.row
        if not (sign or (self._sign_after == 0 and leaves)):
            return Batch(leaves, payloads, writes, full, row), tree
        now, last = int(time.time()), self._head
        text = note.checkpoint(self._keys.origin, row.size, row.root)
        signed = note.sign(text, self._keys.origin, self._keys.key_id, self._keys.signing.sign)
        # Kept are the newest head and the last of each hour.
        replaces = last.size if last is not None and last.at // HOUR == now // HOUR else None
        return Batch(leaves, payloads, writes, full, row, Head(row.size, now, signed), replaces), tree

    def _committed(
        self, items: list[_Item], tree: tiles.Tree, head: Head | None, _: object, error: Exception | None
    ) -> None:
        if error is not None:
            self._fail(items, error)
            return
        # Point of no return: the batch is durable, so its callers may act.
        self._tree = tree
        size = tree.size
        for item in items:
            if not item.future.done():
                item.future.set_result(Appended(item.first, size))
        if head is not None:
            self._head = head
            for waiting in self._heads:
                _settle(waiting, head.note, None)
            self._heads.clear()
        elif self._timer is None and not self._closing:
            self._timer = asyncio.get_running_loop().call_later(self._sign_after, self._sign_now)
        self._due = self._due or bool(self._heads) or (self._closing and self._unsigned)
        self._gather(0, 0)

    def _sign_now(self) -> None:
        self._timer = None
        if self._down is None and self._unsigned:
            self._due = True
            self._wake()

    def _chore_done(self, future: "asyncio.Future[int]", count: Any, error: Exception | None) -> None:
        if error is not None:
            _settle(future, None, LogUnavailable(str(error)))
            self._fail([], error)
            return
        _settle(future, count, None)
        self._next()

    def _fail(self, items: list[_Item], error: Exception) -> None:
        """Nobody waiting can be told yes, and what memory says of the tree is void."""
        detail = error.detail if isinstance(error, LogUnavailable) else repr(error)
        self._down = self._down or detail
        waiting: list[asyncio.Future[Any]] = [item.future for item in (*items, *self._queue)]
        waiting += [*self._heads, *(future for _, future in self._chores)]
        for lost in (self._queue, self._heads, self._chores):
            lost.clear()
        for future in waiting:
            _settle(future, None, LogUnavailable(detail))
        self._due = False
        if self._closing:
            self._next()
            return
        delay = BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._retry = asyncio.get_running_loop().call_later(delay, self._reopen)

    def _reopen(self) -> None:
        self._retry = None
        self._thread.run(self._reload, self._reloaded)

    def _reload(self) -> tuple[tiles.Tree, Head | None]:
        self._database.reset()
        return self._stored()

    def _stored(self) -> tuple[tiles.Tree, Head | None]:
        reader = self._database.reader()
        try:
            with reader.snapshot():
                return tiles.trusted(reader, self._known)
        finally:
            reader.close()

    def _reloaded(self, stored: Any, error: Exception | None) -> None:
        if isinstance(error, Fatal):
            self._down = f"the stored log contradicts itself: {error}"
            if self._on_fatal is not None:
                self._on_fatal(error)
            self._next()
        elif error is not None:
            self._fail([], error)
        else:
            self._tree, self._head = stored
            self._failures = 0
            if not self._closing:
                self._down = None
            self._due = self._unsigned
            for waiting in self._recovered:
                _settle(waiting, None, None)
            self._recovered.clear()
            self._next()


def _settle(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():  # its waiter was cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
