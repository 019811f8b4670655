"""What somebody with write access to the log's file could do: change one byte. Only ever done to a copy."""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tampered:
    """A copy of the log's database in which one byte of one record was changed."""

    file: Path
    record: int
    """The place of the changed record in the log."""
    offset: int
    """Where in the file the byte is."""
    before: str
    after: str


def tampered_copy(database: Path, copy: Path) -> Tampered:
    """Copy the live database, then change one byte of the newest refusal in it.

    The change is made in the file, under SQLite: its triggers are no obstacle to who can write the file.

    Raises:
        LookupError: the log holds no refusal.
    """
    copy.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as live,
        contextlib.closing(sqlite3.connect(copy)) as copied,
    ):
        live.backup(copied)
        refusal = copied.execute(
            "SELECT idx, record FROM leaves WHERE instr(record, ?) ORDER BY idx DESC LIMIT 1", (b"POLICY_DENIED",)
        ).fetchone()
    if refusal is None:
        raise LookupError("the log holds no refusal")
    index, record = refusal
    content = bytearray(copy.read_bytes())
    offset = content.index(record) + record.index(b"POLICY_DENIED")
    content[offset : offset + 1] = b"p"
    copy.write_bytes(content)
    return Tampered(copy, index, offset, "POLICY_DENIED", "pOLICY_DENIED")
