"""Operator actions on the log and the runs: shown, verified, proved. They only read."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import orjson

from gateway.audit import keys, note, proof, seal
from gateway.audit.verify import verify
from gateway.errors import ConfigError
from gateway.model import JsonObject, RunId
from gateway.parts import Archive
from gateway.storage.database import Reader, RunRow
from gateway.storage.sqlite import SqliteReader

T = TypeVar("T")
MOST = 1000
DATABASE = "bascule.db"


async def audit_tail(archive: Archive, *, operator: str, count: int = 20) -> JsonObject:
    """The newest records, oldest first."""
    end = archive.reader.count()
    first = max(0, end - min(count, MOST))
    return {"records": [_told(index, record) for index, _, record in archive.reader.leaves(first, end)], "size": end}


async def audit_show(archive: Archive, *, operator: str, record: str) -> JsonObject:
    """One record (by index, record id or run id) with what is sealed, where it is still kept."""
    row = archive.reader.run(RunId(record))
    indices = [index for index in (row.intent, row.settled) if index is not None] if row else []
    found = [_told(index, archive.reader.leaf(index) or b"{}") for index in indices] or [leaf(record, archive.reader)]
    for one in found:
        sealed = opened(one["index"], one["leaf"], archive)
        one["sealed"] = {name: orjson.loads(value) for name, value in sealed.items()} if sealed else None
    return {"records": found, "run": run_told(row) if row else None}


async def audit_verify(
    archive: Archive, *, operator: str, head: str | None = None, database: str | None = None
) -> JsonObject:
    """Recompute everything: leaves, tree, tiles, heads, rows and payloads; name what does not agree.

    `database` is a copy of the log to check instead of the log itself.
    """
    reader = opened_log(Path(database or archive.settings.state / DATABASE))
    checked = partial(
        verify,
        reader,
        archive.vkey,
        outside_head=head,
        sealing=keys.sealing_key(archive.settings.state),
        bundle_digest=lambda content: f"sha256:{sha256(content).hexdigest()}",
        now=int(time.time()),
    )
    try:
        report = await asyncio.to_thread(checked)
    except note.BadNote as error:
        raise ConfigError(f"the public key or the head given is none: {error}") from None
    finally:
        reader.close()
    return {**report.told(), "public_key": archive.vkey}


async def audit_prove(archive: Archive, *, operator: str, index: int) -> JsonObject:
    """A proof of one record that needs only the public key (c2sp.org/tlog-proof@v1)."""
    leaf = archive.reader.leaf(index)
    if leaf is None:
        raise ConfigError(f"there is no record {index}")
    return {
        "index": index,
        "leaf": leaf.decode(),
        "proof": proof.prove(archive.reader, index),
        "public_key": archive.vkey,
    }


async def runs_list(archive: Archive, *, operator: str, limit: int = 50, unfinished: bool = False) -> JsonObject:
    """Runs, newest first; `unfinished` are those whose effect nobody can vouch for."""
    return {"runs": [run_told(row) for row in archive.reader.runs(limit=min(limit, MOST), unfinished=unfinished)]}


def opened_log(file: Path) -> SqliteReader:
    """A reader of a log's file.

    Raises:
        ConfigError: there is none.
    """
    if not file.is_file():
        raise ConfigError(f"there is no log at {file}; `bascule serve` begins one")
    return SqliteReader(file)


async def beside(archive: Archive, work: Callable[[Reader], T]) -> T:
    """What `work` finds, with a reader and in a thread of its own: nobody's call waits for it."""

    def done() -> T:
        reader = opened_log(archive.settings.state / DATABASE)
        try:
            return work(reader)
        finally:
            reader.close()

    return await asyncio.to_thread(done)


def leaf(wanted: str, reader: Reader) -> JsonObject:
    """A record by its index or its id; ids are looked for from the newest back."""
    if wanted.isascii() and wanted.isdigit():
        leaf = reader.leaf(int(wanted))
        if leaf is not None:
            return _told(int(wanted), leaf)
    quoted = wanted.encode()
    for index in range(reader.count() - 1, -1, -1) if len(wanted) == 36 else ():
        leaf = reader.leaf(index)
        if leaf is not None and quoted in leaf:
            return _told(index, leaf)
    raise ConfigError(f"there is no record {wanted}: give an index, a record id, a decision id or a run id")


def _told(index: int, leaf: bytes) -> dict[str, Any]:
    return {"index": index, "leaf": orjson.loads(leaf)}


def opened(index: int, leaf: JsonObject, archive: Archive) -> dict[str, bytes] | None:
    """The sealed values of a record; None where they were never kept or are erased."""
    payload, sealing = archive.reader.payload(index), keys.sealing_key(archive.settings.state)
    if payload is None or sealing is None:
        return None
    try:
        opened = seal.unseal(sealing, leaf["id"], payload.salt, payload.sealed)
    except seal.Unsealable as error:
        raise ConfigError(f"the payload of record {index} does not open: {error}; see `bascule audit verify`") from None
    return {name: value for name, (_, value) in opened.items()}


def run_told(row: RunRow) -> JsonObject:
    """A run as the index has it."""
    return {
        "run": row.run,
        "state": row.state,
        "ending": row.ending,
        "code": row.code,
        "upstream": row.upstream,
        "tool": row.tool,
        "principal": row.principal,
        "tenant": row.tenant,
        "task": row.task,
        "intent": row.intent,
        "settled": row.settled,
        "opened": row.opened,
        "ended": row.ended,
    }
