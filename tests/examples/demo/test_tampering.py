"""One byte of a copy, and nothing of the original."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from examples.demo.tampering import tampered_copy

RECORDS = [b'{"kind":"call.intent"}', b'{"code":"POLICY_DENIED","kind":"call.refused"}', b'{"kind":"call.settled"}']


def a_log(file: Path) -> Path:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE leaves (idx INTEGER PRIMARY KEY, hash BLOB, record BLOB)")
        database.executemany("INSERT INTO leaves VALUES (?, x'00', ?)", enumerate(RECORDS))
    return file


def records(file: Path) -> list[bytes]:
    with closing(sqlite3.connect(file)) as database:
        return [record for (record,) in database.execute("SELECT record FROM leaves ORDER BY idx")]


def test_exactly_one_byte_of_one_record_of_the_copy_differs(tmp_path: Path) -> None:
    changed = tampered_copy(a_log(tmp_path / "log.db"), tmp_path / "copy.db")
    assert changed.record == 1
    assert records(tmp_path / "log.db") == RECORDS
    differing = [(one, other) for one, other in zip(RECORDS, records(changed.file), strict=True) if one != other]
    [(before, after)] = differing
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
    assert changed.before.encode() in before
    assert changed.after.encode() in after


def test_an_earlier_copy_is_written_over(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log.db")
    first = tampered_copy(log, tmp_path / "copy.db")
    assert tampered_copy(log, tmp_path / "copy.db") == first


def test_a_log_without_a_refusal_has_nothing_to_change(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log.db")
    with closing(sqlite3.connect(log)) as database, database:
        database.execute("DELETE FROM leaves WHERE idx = 1")
    with pytest.raises(LookupError, match="no refusal"):
        tampered_copy(log, tmp_path / "copy.db")
