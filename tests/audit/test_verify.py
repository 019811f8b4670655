"""Verification: silent about a whole log, and exact about where a changed one was changed."""

import asyncio
import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import keys, note
from gateway.audit.verify import Report, verify
from gateway.errors import Unreadable
from gateway.model import Record
from gateway.storage.sqlite import SqliteReader
from tests.audit.samples import ORIGIN, Store, call, digest_of, fill

SIZE = 601
"""Two tiles and a tail of 89 = 64 + 16 + 8 + 1."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("whole"))
    asyncio.run(fill(store, SIZE))
    return store


@pytest.fixture
def copy(whole: Store, tmp_path: Path) -> sqlite3.Connection:
    """A copy of the whole log without its guards, to be changed."""
    shutil.copy(whole.path, tmp_path / "bascule.db")
    connection = sqlite3.connect(tmp_path / "bascule.db", isolation_level=None)
    for trigger in ("leaves_stay", "leaves_same", "tiles_stay", "tiles_same"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    return connection


def check(whole: Store, connection: sqlite3.Connection | None = None, **settings: Any) -> Report:
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2]) if connection else whole.path
    reader = SqliteReader(path)
    asked = {"sealing": whole.keys.sealing, "bundle_digest": digest_of, "now": 0, **settings}
    try:
        return verify(reader, asked.pop("vkey", whole.keys.vkey), **asked)
    finally:
        reader.close()
        if connection:
            connection.close()


def where(report: Report) -> list[str]:
    return sorted({finding.where for finding in report.findings})


@pytest.mark.promise("log-needs-no-trust")
def test_a_whole_log_has_no_findings(whole: Store) -> None:
    report = check(whole)
    assert report.intact
    assert (report.size, report.signed) == (SIZE, SIZE)
    assert report.counts == {
        "leaves": 601, "tiles": 2, "heads": 1, "runs": 301, "payloads": 600, "erased": 0, "opened": 600, "bundles": 1,
    }  # fmt: skip
    assert report.told()["intact"] is True


def test_verification_needs_only_the_public_key(whole: Store) -> None:
    report = check(whole, sealing=None, bundle_digest=None)
    assert report.intact
    assert report.counts["opened"] == 0
    assert check(whole, rows=False).counts == {"leaves": 601, "tiles": 2, "heads": 1}


def swap(one: int, other: int) -> str:
    return (
        f"CREATE TABLE two AS SELECT {other} AS idx, hash, record FROM leaves WHERE idx = {one} "
        f"UNION ALL SELECT {one}, hash, record FROM leaves WHERE idx = {other};"
        f"DELETE FROM leaves WHERE idx IN ({one}, {other}); INSERT INTO leaves SELECT * FROM two;"
    )


def shift(first: int) -> str:
    return (
        f"CREATE TABLE later AS SELECT idx + 1 AS idx, hash, record FROM leaves WHERE idx >= {first};"
        f"DELETE FROM leaves WHERE idx > {first}; INSERT INTO leaves SELECT * FROM later;"
    )


CHANGED = "SET record = CAST(replace(CAST(record AS TEXT), '\"v\":1', '\"v\":3') AS BLOB)"
BOTH = "SET record = (SELECT record FROM leaves WHERE idx = 7), hash = (SELECT hash FROM leaves WHERE idx = 7)"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (f"UPDATE leaves {CHANGED} WHERE idx = 100", ["leaf 100"]),
        (f"UPDATE leaves {CHANGED} WHERE idx = 590", ["leaf 590"]),
        (f"UPDATE leaves {CHANGED} WHERE idx IN (100, 101, 102, 400)", ["leaf 400", "leaves 100 to 102"]),
        (f"UPDATE leaves {BOTH} WHERE idx = 101", ["leaf 101"]),
        (f"UPDATE leaves {BOTH} WHERE idx = 581", ["head 601", "leaves 576 to 591"]),
        ("UPDATE leaves SET hash = zeroblob(32) WHERE idx = 100", ["leaf 100"]),
        ("UPDATE leaves SET hash = zeroblob(32) WHERE idx = 590", ["leaf 590"]),
        ("DELETE FROM leaves WHERE idx = 100", ["leaf 100"]),
        ("DELETE FROM leaves WHERE idx = 590", ["head 601", "leaf 590", "leaves 576 to 591"]),
        ("DELETE FROM leaves WHERE idx = 600", ["head 601", "tree"]),
        ("DELETE FROM leaves WHERE idx >= 256", ["head 601", "tile 0/1", "tree"]),
        (swap(100, 102), ["leaf 100", "leaf 102"]),
        (swap(577, 580), ["head 601", "leaves 576 to 591"]),
        (shift(100), ["head 601", "leaves 101 to 511", "tree"]),
        ("INSERT INTO leaves SELECT 601, hash, record FROM leaves WHERE idx = 600", ["tree"]),
        ("UPDATE tiles SET hashes = zeroblob(8192) WHERE n = 1", ["tile 0/1"]),
        ("UPDATE tiles SET root = zeroblob(32) WHERE n = 1", ["tile 0/1"]),
        ("DELETE FROM tiles WHERE n = 1", ["tile 0/1"]),
        ("INSERT INTO tiles SELECT 0, 2, root, hashes FROM tiles WHERE n = 1", ["tile 0/2"]),
        ("INSERT INTO tiles SELECT 1, 0, root, hashes FROM tiles WHERE n = 1", ["tile 1/0"]),
        ("UPDATE tiles SET n = 1 - n + 10", ["tile 0/0", "tile 0/1", "tile 0/10", "tile 0/11"]),
        ("UPDATE tree SET root = zeroblob(32)", ["tree"]),
        ("UPDATE tree SET frontier = zeroblob(32)", ["tree"]),
        ("UPDATE tree SET size = 600", ["tree"]),
        ("DELETE FROM heads", ["head"]),
        ("UPDATE heads SET size = 600", ["head 600"]),
        ("UPDATE heads SET note = replace(note, '601', '600')", ["head 601"]),
        ("UPDATE heads SET note = ''", ["head 601"]),
        ("INSERT INTO heads SELECT 600, at, note FROM heads", ["head 600"]),
        ("INSERT INTO heads SELECT -1, at, note FROM heads", ["head -1"]),
        ("INSERT INTO leaves SELECT -5, hash, record FROM leaves WHERE idx = 5", ["leaf -5"]),
        (f"INSERT INTO leaves SELECT {-(2**63)}, hash, record FROM leaves WHERE idx = 5", [f"leaf {-(2**63)}"]),
        (f"INSERT INTO leaves SELECT {2**40}, hash, record FROM leaves WHERE idx = 5", [f"leaf {2**40}"]),
        (f"INSERT INTO leaves SELECT {2**63 - 1}, hash, record FROM leaves WHERE idx = 5", [f"leaf {2**63 - 1}"]),
        ("DELETE FROM leaves WHERE idx BETWEEN 100 AND 200", ["leaves 100 to 200"]),
        ("DELETE FROM tree", ["tree"]),
        ("UPDATE heads SET at = at - 1000000", []),  # not signed: docs/audit-format.md says so
    ],
)
@pytest.mark.promise("log-needs-no-trust")
def test_a_change_of_leaves_tiles_or_heads_is_named(
    whole: Store, copy: sqlite3.Connection, change: str, expected: list[str]
) -> None:
    copy.executescript(change)
    report = check(whole, copy, rows=False)
    assert where(report) == expected


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (f"UPDATE leaves {CHANGED} WHERE idx = 100", "leaf 100", "the record was changed"),
        ("UPDATE leaves SET hash = zeroblob(32) WHERE idx = 100", "leaf 100", "the hash beside it was changed"),
        ("UPDATE leaves SET hash = zeroblob(32) WHERE idx = 590", "leaf 590", "the hash beside it was changed"),
        ("DELETE FROM leaves WHERE idx = 100", "leaf 100", "is missing"),
        ("UPDATE tiles SET hashes = zeroblob(8192) WHERE n = 1", "tile 0/1", "entry 0 was changed, and 255 more"),
        ("UPDATE tiles SET root = zeroblob(32) WHERE n = 1", "tile 0/1", "its root is not that of its hashes"),
        ("DELETE FROM leaves WHERE idx = 600", "head 601", "601 leaves, 600 are stored"),
        ("INSERT INTO tree SELECT 2, size, root, frontier FROM tree", "tree", "not its one row"),
        ("UPDATE tree SET one = 2", "tree", "not its one row"),
    ],
)
def test_the_signed_head_tells_which_side_was_changed(
    whole: Store, copy: sqlite3.Connection, change: str, where: str, what: str
) -> None:
    copy.executescript(change)
    assert any(what in finding.what for finding in check(whole, copy).findings if finding.where == where)


def flips(name: str, table: str, condition: str, expected: Callable[[list[str]], bool]) -> Any:
    return pytest.param(name, table, condition, expected, id=f"{table}.{name}")


@pytest.mark.promise("log-needs-no-trust")
@pytest.mark.parametrize(
    ("name", "table", "condition", "expected"),
    [
        flips("record", "leaves", "idx = 100", lambda found: found[0] == "leaf 100"),
        flips("hash", "leaves", "idx = 100", lambda found: found == ["leaf 100"]),
        flips("record", "leaves", "idx = 599", lambda found: found[0] == "leaf 599"),
        flips("hashes", "tiles", "n = 1", lambda found: "tile 0/1" in found),
        flips("root", "tiles", "n = 1", lambda found: found == ["tile 0/1"]),
        flips("note", "heads", "size = 601", lambda found: found == ["head 601"]),
        flips("root", "tree", "one = 1", lambda found: found == ["tree"]),
        flips("frontier", "tree", "one = 1", lambda found: found == ["tree"]),
        flips("sealed", "payloads", "leaf = 100", lambda found: found == ["payload 100"]),
        flips("salt", "payloads", "leaf = 100", lambda found: found == ["payload 100"]),
    ],
)
def test_one_changed_byte_anywhere_is_named(
    whole: Store, copy: sqlite3.Connection, name: str, table: str, condition: str, expected: Callable[[list[str]], bool]
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    (value,) = copy.execute(f"SELECT {name} FROM {table} WHERE {condition}").fetchone()
    path = Path(copy.execute("PRAGMA database_list").fetchone()[2])
    content = value.encode() if isinstance(value, str) else value
    for place in sorted(chance.sample(range(len(content)), min(12, len(content)))):
        flipped = content[:place] + bytes([content[place] ^ chance.randrange(1, 128)]) + content[place + 1 :]
        stored = flipped.decode("latin-1") if isinstance(value, str) else flipped
        copy.execute(f"UPDATE {table} SET {name} = ? WHERE {condition}", (stored,))
        reader = SqliteReader(path)
        report = verify(reader, whole.keys.vkey, sealing=whole.keys.sealing, bundle_digest=digest_of, now=0)
        reader.close()
        assert expected([finding.where for finding in report.findings]), (place, report.findings)
    copy.close()


def test_a_log_verified_with_another_key_is_not_signed(whole: Store, tmp_path: Path) -> None:
    other = keys.create(tmp_path, ORIGIN)
    report = check(whole, vkey=other.vkey)
    assert where(report) == ["head 601"]
    assert report.signed == 0
    with pytest.raises(note.BadNote):
        check(whole, vkey="nothing")


async def test_only_a_head_kept_outside_shows_that_a_log_was_cut(store: Store, tmp_path: Path) -> None:
    log = store.open()
    await call(log)
    await log.close()
    shutil.copy(store.path, tmp_path / "earlier")
    early = store.reader()
    log = store.open()
    await call(log)
    outside = await log.head()
    await log.close()
    settings: dict[str, Any] = {"rows": False}
    assert verify(early, store.keys.vkey, outside_head=outside, **settings).intact
    early.close()
    restored = SqliteReader(tmp_path / "earlier")
    assert verify(restored, store.keys.vkey, **settings).intact
    report = verify(restored, store.keys.vkey, outside_head=outside, **settings)
    assert [(finding.where, "cut or restored" in finding.what) for finding in report.findings] == [
        ("outside head", True)
    ]
    restored.close()


async def test_an_outside_head_must_be_a_head_of_this_tree(store: Store, tmp_path: Path) -> None:
    log = store.open()
    await log.append([Record("log.canary")])
    before = store.reader()
    shutil.copy(store.path, tmp_path / "fork")
    shutil.copy(store.folder / "bascule.db-wal", tmp_path / "fork-wal")
    await log.append([Record("log.canary")])
    here = await log.head()
    await log.close()
    before.close()
    fork = Store.__new__(Store)
    fork.folder, fork.keys = store.folder, store.keys
    (tmp_path / "fork").rename(store.path)
    (tmp_path / "fork-wal").rename(store.folder / "bascule.db-wal")
    log = fork.open()
    await log.append([Record("log.canary")])
    there = await log.head()
    await log.close()
    reader = store.reader()
    assert here != there
    assert verify(reader, store.keys.vkey, outside_head=there, rows=False).intact
    for wrong in (here, there.replace("\n2\n", "\n3\n"), "", there[:-9]):
        report = verify(reader, store.keys.vkey, outside_head=wrong, rows=False)
        assert where(report) == ["outside head"]
    reader.close()


async def test_leaves_not_signed_yet_are_counted_and_no_fault(store: Store) -> None:
    log = store.open(sign_after=3600)
    await log.append([Record("log.canary")])
    await log.head()
    await log.append([Record("log.canary")] * 300)
    reader = store.reader()
    report = verify(reader, store.keys.vkey, rows=False)
    reader.close()
    await log.close()
    assert report.intact
    assert (report.size, report.signed) == (301, 1)


async def test_an_empty_log_is_whole(store: Store) -> None:
    await store.open().close()
    reader = store.reader()
    report = verify(reader, store.keys.vkey, sealing=store.keys.sealing)
    reader.close()
    assert (report.intact, report.size, report.signed) == (True, 0, 0)


def test_a_damaged_file_is_a_finding_not_a_crash(whole: Store, copy: sqlite3.Connection) -> None:
    path = Path(copy.execute("PRAGMA database_list").fetchone()[2])
    copy.close()
    content = bytearray(path.read_bytes())
    content[8192:] = random.Random(1).randbytes(len(content) - 8192)
    path.write_bytes(content)
    reader = SqliteReader(path)
    report = verify(reader, whole.keys.vkey)
    reader.close()
    assert [finding.where for finding in report.findings][-1] == "database"


@pytest.mark.promise("log-needs-no-trust")
@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM leaves WHERE idx % 2 = 1",
        "UPDATE leaves SET record = x'00' WHERE idx % 2 = 1",
        "UPDATE leaves SET hash = zeroblob(32) WHERE idx % 2 = 1",
        "INSERT INTO leaves SELECT -2 * idx, hash, record FROM leaves WHERE idx > 0",
        "INSERT INTO leaves SELECT 60000, hash, record FROM leaves WHERE idx = 5",
        f"INSERT INTO leaves SELECT {2**40} + 2 * idx, hash, record FROM leaves",
    ],
)
def test_however_many_leaves_are_wrong_the_findings_stay_few(
    whole: Store, copy: sqlite3.Connection, change: str
) -> None:
    copy.executescript(change)
    report = check(whole, copy, rows=False)
    assert 0 < len(report.findings) < 350
    assert report.size <= 60_001


ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) "
    "SELECT i AS idx, zeroblob(32) AS hash, x'7b7d' AS record FROM n"
)


@pytest.mark.parametrize(
    "change",
    [
        f"DROP TABLE leaves; CREATE VIEW leaves AS {ENDLESS}",
        "ALTER TABLE payloads RENAME TO p; CREATE VIEW payloads AS SELECT * FROM p",
        "CREATE TABLE t AS SELECT * FROM tree; DROP TABLE tree; ALTER TABLE t RENAME TO tree",
        "DROP INDEX payloads_expires; CREATE INDEX payloads_expires ON payloads (expires) WHERE leaf != 5",
        "DROP TABLE sessions",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 99",
    ],
)
def test_a_table_that_was_exchanged_is_a_finding_and_is_not_read(
    whole: Store, copy: sqlite3.Connection, change: str
) -> None:
    copy.executescript(change)
    report = check(whole, copy)
    assert [finding.where for finding in report.findings] == ["database"]
    assert "the file is damaged" in report.findings[0].what


def test_a_payload_that_only_the_index_still_has_is_a_finding(whole: Store, copy: sqlite3.Connection) -> None:
    path = Path(copy.execute("PRAGMA database_list").fetchone()[2])
    kept = copy.execute("SELECT * FROM sqlite_master WHERE name = 'payloads_expires'").fetchone()
    copy.executescript("PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name = 'payloads_expires'")
    copy.close()
    copy = sqlite3.connect(path, isolation_level=None)
    copy.executescript("PRAGMA writable_schema = ON; DELETE FROM payloads WHERE leaf = 5")
    copy.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", kept)
    copy.close()
    report = check(whole, sqlite3.connect(path))
    assert [(finding.where, "damaged" in finding.what) for finding in report.findings] == [("database", True)]


@pytest.mark.parametrize("method", ["shape", "damage", "rows", "heads", "leaves", "tile", "tiles", "tree"])
@pytest.mark.parametrize("fault", [IndexError, MemoryError, struct.error, OverflowError, RecursionError, Unreadable])
def test_whatever_reading_runs_into_is_a_finding(
    whole: Store, monkeypatch: pytest.MonkeyPatch, method: str, fault: type[Exception]
) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise fault("here")

    monkeypatch.setattr(SqliteReader, method, fails)
    report = check(whole, rows=False)
    assert report.findings[-1].where in ("database", "tree")
    assert "here" in report.findings[-1].what


@pytest.mark.slow
async def test_a_change_in_a_tile_of_the_second_level_is_named(store: Store) -> None:
    log = store.open()
    for _ in range(14):
        await log.append([Record("log.canary")] * 5000)
    await log.close()
    connection = sqlite3.connect(store.path, isolation_level=None)
    connection.execute("DROP TRIGGER tiles_same")
    (hashes,) = connection.execute("SELECT hashes FROM tiles WHERE level = 1").fetchone()
    changed = hashes[:320] + bytes(32) + hashes[352:]
    connection.execute("UPDATE tiles SET hashes = ? WHERE level = 1", (changed,))
    connection.close()
    reader = store.reader()
    report = verify(reader, store.keys.vkey)
    reader.close()
    assert [(finding.where, finding.what) for finding in report.findings] == [("tile 1/0", "entry 10 was changed")]
