"""Idempotency keys: what was begun under each, and what it came to.

A key belongs to one principal and to one call, for ever; a call that never acted gives it back. Its truth is in the
store: what is in memory here are only the clients that wait for the same call to end.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import orjson

from gateway.boxes import Box
from gateway.errors import Refused
from gateway.kinds import Kind
from gateway.model import Code, JsonObject, Proposal, Reply, RunId
from gateway.storage.database import Reader
from gateway.storage.tables import keys
from gateway.storage.tables.keys import KeyRow
from gateway.wire import meta
from gateway.wire.jsonrpc import encode
from gateway.writes import KeyTaken, ReplyKept

META: Final = "bascule/idempotency-key"
LONGEST: Final = 128
"""Characters."""
KEPT_BYTES: Final = 1 << 20
"""Of one reply; of a longer one it is kept that there was one."""
NOT_KEPT: Final = b""
_PURPOSE: Final = b"bascule reply v1"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of one principal, and the call it is stated for; both as digests."""

    name: str
    call: str

    def taken(self, run: RunId) -> KeyTaken:
        """The write by which it belongs to this run."""
        return KeyTaken(self.name, self.call, run)


@dataclass(frozen=True, slots=True)
class Kept:
    """A reply that was given, and the labels that its session learned with it."""

    reply: Reply
    labels: tuple[str, ...]


def stated(proposal: Proposal) -> Key | None:
    """The key that a tool's call states; None without one. A later round goes on under the key of the first.

    Raises:
        Refused: SCHEMA, it is no key.
    """
    call, who = proposal.call, proposal.call.principal
    key = call.meta.get(META)
    if key is None or call.kind != Kind.TOOL or call.round is not None:
        return None
    if type(key) is not str or not key.isprintable() or not 0 < len(key) <= LONGEST:
        reason = f"_meta {META} is not a printable string of 1 to {LONGEST} characters"
        raise Refused(Code.SCHEMA, reason, would_pass="a key such as a UUID")
    called = (proposal.pin.upstream, proposal.pin.name)
    return Key(_digest([who.tenant, who.id, key]), _digest([*called, call.arguments, meta.stated(call.meta)]))


def _digest(value: object) -> str:
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(slots=True)
class _Running:
    """A run on its way. Several calls may try to begin one that waited for people; one of them will."""

    count: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Keyed:
    """`secret` is the gateway's sealing key."""

    def __init__(self, reader: Reader, secret: bytes) -> None:
        self._reader, self._box = reader, Box(secret, _PURPOSE)
        self._running: dict[str, _Running] = {}

    def named(self, key: Key) -> KeyRow | None:
        """The run that holds the key; None where none does."""
        row = keys.named(self._reader, key.name)
        return None if row is None or row.free else row

    @contextmanager
    def running(self, run: RunId, *, held: bool) -> Iterator[None]:
        """Others who state a key that the run has `held` wait while the block lasts."""
        if not held:
            yield
            return
        running = self._running.setdefault(run, _Running())
        running.count += 1
        try:
            yield
        finally:
            running.count -= 1
            if not running.count:
                del self._running[run]
                running.over.set()

    async def over(self, run: str, within_s: float) -> bool:
        """Wait until a run has ended; whether it has, as far as this process can know."""
        running = self._running.get(run)
        if running is None:
            return False
        try:
            async with asyncio.timeout(within_s):
                await running.over.wait()
        except TimeoutError:
            return False
        return True

    def runs(self, run: str) -> bool:
        """Whether it is being carried out by this process."""
        return run in self._running

    def keeps(self, run: RunId, reply: Reply, labels: tuple[str, ...], *, whole: bool) -> ReplyKept:
        """The write of what a run's client was given; not `whole`, only that there was something."""
        said: JsonObject = {"result": reply.result, "error": reply.error, "labels": labels}
        content = encode(said) if whole else NOT_KEPT
        return ReplyKept(run, self._box.seal(run, content) if 0 < len(content) <= KEPT_BYTES else NOT_KEPT)

    def opened(self, row: KeyRow) -> Kept | None:
        """What the run's client was given; None where it is not kept (any more).

        Raises:
            Unreadable: it was changed in the store.
        """
        if not row.reply:
            return None
        said = orjson.loads(self._box.opened(row.run, row.reply))
        return Kept(Reply(result=said["result"], error=said["error"]), tuple(said["labels"]))
