"""The SQLite driver: what it promises of the disk, of the file, and of a transaction."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import ConfigError, Fatal, LogUnavailable, Unreadable
from gateway.model import Digest, Ending, RunId, RunState
from gateway.storage.database import Batch, Conflict, Head, Payload, Tile, TreeRow
from gateway.storage.sqlite import MIGRATIONS, SqliteDatabase, SqliteReader
from gateway.writes import BundleStored, RunEnded, RunOpened, RunRefused, SessionSeen, Write

HASH = bytes(range(32))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "bascule.db")
    yield database
    database.close()


@pytest.fixture
def reader(database: SqliteDatabase) -> Iterator[SqliteReader]:
    reader = database.reader()
    yield reader
    reader.close()


def batch(
    *writes: Write, first: int = 0, leaves: int = 1, head: Head | None = None, replaces: int | None = None
) -> Batch:
    rows = [(index, HASH, b'{"run":"r1"}') for index in range(first, first + leaves)]
    tree = TreeRow(first + leaves, HASH, b"")
    payloads = [(index, 50 + index, HASH, b"sealed") for index, _, _ in rows]
    return Batch(rows, payloads, [(first, 7, write) for write in writes], [], tree, head, replaces)


def opened(run: str) -> RunOpened:
    return RunOpened(RunId(run), "t", "ann", "acme", "notes", "write")


def ended(run: str, state: RunState = RunState.ENDED) -> RunEnded:
    return RunEnded(RunId(run), state, Ending.DONE)


def put(database: SqliteDatabase, one: Batch) -> None:
    database.stage(one)
    database.commit()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("cache_spill", 0), ("secure_delete", 1)]
)
def test_every_commit_is_synced_and_nothing_is_written_before_it(
    database: SqliteDatabase, pragma: str, value: object
) -> None:
    assert database._connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_the_files_are_for_their_owner_alone(database: SqliteDatabase, tmp_path: Path) -> None:
    put(database, batch())
    assert {path.name for path in tmp_path.iterdir()} == {"bascule.db", "bascule.db-wal", "bascule.db-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_staging_writes_nothing_to_the_disk(database: SqliteDatabase, reader: SqliteReader, tmp_path: Path) -> None:
    before = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    many = batch(leaves=3000)
    database.stage(many)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == before
    assert reader.count() == 0
    database.commit()
    assert reader.count() == 3000


def test_what_was_stored_is_read_back(database: SqliteDatabase, reader: SqliteReader) -> None:
    seen = SessionSeen("s", ("a", "b,c"), 1, ("x\ny",), 2)
    bundle = BundleStored(Digest("sha256:00"), b"content")
    put(database, batch(opened("r1"), seen, bundle, head=Head(1, 9, "note")))
    tile = Tile(0, 0, HASH, bytes(8192))
    database.stage(Batch([], [], [], [tile], TreeRow(1, HASH, HASH)))
    database.commit()
    assert reader.tree() == TreeRow(1, HASH, HASH)
    assert reader.leaf(0) == b'{"run":"r1"}'
    assert reader.leaf(1) is None
    assert reader.leaf(10**30) is None
    assert list(reader.leaves(0, 9)) == [(0, HASH, b'{"run":"r1"}')]
    assert reader.payload(0) == Payload(0, 50, HASH, b"sealed")
    assert reader.payload(1) is None
    assert list(reader.kept()) == [(0, 50)]
    assert reader.tile(0, 0) == tile
    assert reader.tile(1, 0) is None
    assert list(reader.tiles()) == [(0, 0)]
    assert reader.tile_roots(0, 0, 5) == [HASH]
    assert reader.head() == Head(1, 9, "note")
    assert reader.heads() == [Head(1, 9, "note")]
    assert reader.session("s") == seen
    assert reader.session("s", since=7) == seen
    assert reader.session("s", since=8) is None
    assert reader.session("other") is None
    assert reader.bundle("sha256:00") == b"content"
    assert reader.bundle("sha256:01") is None
    assert list(reader.bundles()) == [("sha256:00", b"content")]
    assert reader.run_counts() == (1, 0)


def test_runs_are_read_newest_first_by_page_and_by_state(database: SqliteDatabase, reader: SqliteReader) -> None:
    refused = RunRefused(RunId("r4"), "t", "ann", "acme", "notes", "write", "NO_RULE")
    put(database, batch(opened("r1"), opened("r2"), opened("r3"), refused))
    put(database, batch(ended("r1"), ended("r2", RunState.FROZEN), first=1))
    assert [row.run for row in reader.runs(limit=9)] == ["r4", "r3", "r2", "r1"]
    assert [row.run for row in reader.runs(limit=2, before="r4")] == ["r3", "r2"]
    assert [(row.run, row.state) for row in reader.runs(limit=9, unfinished=True)] == [
        ("r3", "intended"),
        ("r2", "frozen"),
    ]
    row = reader.run("r4")
    assert row is not None
    assert (row.state, row.ending, row.code, row.intent, row.settled) == ("ended", "refused", "NO_RULE", None, 0)
    assert reader.run("r5") is None
    assert reader.run_counts() == (4, 3)


def test_a_newer_head_may_take_the_place_of_an_older_one(database: SqliteDatabase, reader: SqliteReader) -> None:
    put(database, batch(head=Head(1, 1, "one")))
    put(database, batch(first=1, head=Head(2, 2, "two"), replaces=1))
    put(database, batch(first=2, head=Head(3, 3, "three")))
    assert [head.size for head in reader.heads()] == [2, 3]


@pytest.mark.parametrize(
    "writes",
    [
        [ended("r9")],
        [opened("r1")],
        [opened("r2"), opened("r2")],
        [ended("r1"), ended("r1")],
        [ended("r1"), ended("r1", RunState.FROZEN)],
        [opened("r2"), RunEnded(RunId("r1"), RunState.ENDED, Ending.DONE, expected=())],
        [RunEnded(RunId("r1"), RunState.ENDED, Ending.DONE, expected=(RunState.FROZEN,))],
        [RunRefused(RunId("r1"), "t", "a", "b", "c", "d", "NO_RULE")],
    ],
)
def test_a_batch_with_a_write_that_does_not_hold_stages_nothing(
    database: SqliteDatabase, reader: SqliteReader, writes: list[Write]
) -> None:
    put(database, batch(opened("r1")))
    with pytest.raises(Conflict):
        database.stage(batch(*writes, first=1))
    put(database, batch(opened("r3"), first=1))
    assert [row.run for row in reader.runs(limit=9)] == ["r3", "r1"]
    assert reader.run_counts() == (2, 0)


def test_conflicting_items_are_found_in_order_and_nothing_is_stored(
    database: SqliteDatabase, reader: SqliteReader
) -> None:
    put(database, batch(opened("r1")))
    items: list[list[Write]] = [
        [ended("r1")], [ended("r1")], [opened("r2"), ended("r9")], [opened("r2")], [], [opened("r2")], [ended("r2")],
    ]  # fmt: skip
    found = database.conflicting(items)
    assert {place: conflict.kind for place, conflict in found.items()} == {1: RunEnded, 2: RunEnded, 5: RunOpened}
    assert [(row.run, row.state) for row in reader.runs(limit=9)] == [("r1", "intended")]


def test_a_kind_of_write_that_is_not_known_is_not_passed_over(database: SqliteDatabase) -> None:
    with pytest.raises(KeyError):
        database.stage(batch(object()))  # type: ignore[arg-type]


def test_a_reader_sees_one_moment_within_a_snapshot(database: SqliteDatabase, reader: SqliteReader) -> None:
    with reader.snapshot():
        assert reader.count() == 0
        put(database, batch())
        assert reader.count() == 0
    assert reader.count() == 1


def test_a_reader_cannot_write(database: SqliteDatabase, reader: SqliteReader) -> None:
    with pytest.raises(Unreadable, match="readonly"):
        reader._row("DELETE FROM heads")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM leaves",
        "UPDATE leaves SET record = x''",
        "DELETE FROM tiles",
        "UPDATE tiles SET root = zeroblob(32)",
    ],
)
def test_leaves_and_tiles_are_neither_changed_nor_deleted_by_mistake(database: SqliteDatabase, statement: str) -> None:
    put(database, batch())
    database._connection.execute("INSERT INTO tiles VALUES (0, 0, zeroblob(32), zeroblob(8192))")
    with pytest.raises(sqlite3.IntegrityError, match="are never"):
        database._connection.execute(statement)


def test_dropping_the_connection_drops_what_was_staged(database: SqliteDatabase, reader: SqliteReader) -> None:
    put(database, batch())
    database.stage(batch(first=1))
    database.reset()
    assert reader.count() == 1
    put(database, batch(first=1))
    assert reader.count() == 2


def test_expired_payloads_leave_the_file_and_the_row_forgets_who(
    database: SqliteDatabase, reader: SqliteReader
) -> None:
    put(database, batch(opened("r1"), leaves=4))
    assert database.expire(52, 10) == 2  # leaf 0 is the intent of a run that is open
    assert [payload.leaf for payload in reader.payloads(0, 9)] == [0, 3]
    put(database, batch(ended("r1"), first=4))
    assert database.expire(52, 10) == 1
    assert database.expire(1000, 1) == 1
    row = reader.run("r1")
    assert row is not None
    assert (row.principal, row.tenant, row.task, row.upstream, row.tool) == ("", "", "", "notes", "write")


def leaf(index: int, said: str, write: Write, at: int = 7) -> Batch:
    """One leaf with a payload that expires at 50."""
    tree = TreeRow(index + 1, HASH, b"")
    return Batch([(index, HASH, said.encode())], [(index, 50, HASH, b"s")], [(index, at, write)], [], tree)


@pytest.mark.parametrize(
    ("said", "upstream", "tool"),
    [
        ('{"run":"r1","code":"NO_RULE","upstream":"notes","tool":"write"}', "notes", "write"),
        ('{"run":"r1","code":"TOOL_UNKNOWN"}', "", ""),
        ('{"run":"r1","code":"UPSTREAM_UNAVAILABLE"}', "", ""),
    ],
)
def test_what_a_client_called_is_forgotten_where_the_leaf_does_not_say_it(
    database: SqliteDatabase, reader: SqliteReader, said: str, upstream: str, tool: str
) -> None:
    put(database, leaf(0, said, RunRefused(RunId("r1"), "t", "ann", "acme", "notes", "write", "ANY")))
    assert database.expire(50, 10) == 1
    row = reader.run("r1")
    assert row is not None
    assert (row.principal, row.tenant, row.task, row.upstream, row.tool) == ("", "", "", upstream, tool)


def test_a_row_remembers_who_while_the_payload_that_says_it_is_kept(
    database: SqliteDatabase, reader: SqliteReader
) -> None:
    put(database, batch(opened("r1")))
    put(database, Batch([(1, HASH, b'{"run":"r1"}')], [(1, 5, HASH, b"s")], [(1, 7, ended("r1"))], [],
                        TreeRow(2, HASH, b"")))  # fmt: skip
    assert database.expire(10, 10) == 1
    row = reader.run("r1")
    assert row is not None
    assert (row.principal, row.task) == ("ann", "t")


def test_a_session_idle_since_before_an_erased_payload_is_forgotten_with_it(
    database: SqliteDatabase, reader: SqliteReader
) -> None:
    second = 1_000_000
    sessions = [("before", 3 * second), ("same", 3 * second + 999_999), ("after", 4 * second)]
    for index, (session, at) in enumerate(sessions):
        said = f'{{"ts":"1970-01-01T00:00:0{at // second}.{at % second:06d}Z"}}'
        put(database, leaf(index, said, SessionSeen(session, (), 0, (), 1), at))
    database._connection.execute("UPDATE payloads SET expires = 60 WHERE leaf != 1")
    assert database.expire(50, 10) == 1
    assert [reader.session(name) is None for name in ("before", "same", "after")] == [True, True, False]
    put(database, leaf(3, "{}", SessionSeen("after", (), 0, (), 2), 9 * second))
    assert database.expire(60, 10) == 3
    assert reader.session("after") == SessionSeen("after", (), 0, (), 2)


def test_leaves_outside_the_log_are_asked_for_by_their_indices(database: SqliteDatabase, reader: SqliteReader) -> None:
    put(database, batch(leaves=3))
    for index in (-(2**63), -1, 9, 2**63 - 1):
        database._connection.execute("INSERT INTO leaves VALUES (?, zeroblob(32), x'')", (index,))
    assert (reader.rows(), reader.count(), reader.count(below=9), reader.count(below=10)) == (7, 2**63, 3, 10)
    assert reader.outside(3, 9) == [-(2**63), -1, 9, 2**63 - 1]
    assert reader.outside(10, 9) == [-(2**63), -1, 2**63 - 1]
    assert reader.outside(3, 1) == [-(2**63)]


def test_every_run_is_read_whatever_its_id(database: SqliteDatabase, reader: SqliteReader) -> None:
    put(database, batch(*(opened(run) for run in ("~~", "", "r1"))))
    assert [row.run for row in reader.all_runs()] == ["", "r1", "~~"]


def test_the_tree_has_one_row(database: SqliteDatabase, reader: SqliteReader) -> None:
    database._connection.execute("PRAGMA ignore_check_constraints = ON")
    database._connection.execute("INSERT INTO tree SELECT 2, size, root, frontier FROM tree")
    for statement in ("SELECT 1", "DELETE FROM tree WHERE one = 1", "DELETE FROM tree"):
        database._connection.execute(statement)
        with pytest.raises(Unreadable, match="one row"):
            reader.tree()


def test_a_file_is_whole_as_it_was_made(database: SqliteDatabase, reader: SqliteReader) -> None:
    reader.shape()
    assert reader.damage() == ""
    database._connection.execute("DROP INDEX sessions_seen")
    with pytest.raises(Unreadable, match="sessions_seen is not as this was made"):
        reader.shape()


def test_another_writer_makes_staging_fail_without_waiting(database: SqliteDatabase) -> None:
    other = SqliteDatabase(database.path)
    other.stage(batch())
    with pytest.raises(LogUnavailable, match="cannot commit") as caught:
        database.stage(batch())
    assert "locked" in caught.value.detail
    with pytest.raises(LogUnavailable):
        database.conflicting([[]])
    with pytest.raises(LogUnavailable):
        database.expire(0, 1)
    other.commit()
    other.close()


def test_a_commit_with_nothing_staged_is_refused(database: SqliteDatabase) -> None:
    with pytest.raises(LogUnavailable):
        database.commit()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    SqliteDatabase(tmp_path / "bascule.db").close()
    connection = sqlite3.connect(tmp_path / "bascule.db")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(ConfigError, match=f"has version {len(MIGRATIONS) + 1}"):
        SqliteDatabase(tmp_path / "bascule.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bascule.db").write_bytes(b"something else entirely" * 1000)
    with pytest.raises(Fatal, match="not a database"):
        SqliteDatabase(tmp_path / "bascule.db")
    with pytest.raises(LogUnavailable):
        SqliteDatabase(tmp_path)


def test_a_damaged_file_is_unreadable_not_misread(database: SqliteDatabase) -> None:
    put(database, batch(leaves=2000))
    database.close()
    content = bytearray(database.path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    database.path.write_bytes(content)
    reader = SqliteReader(database.path)
    with pytest.raises(Unreadable):
        list(reader.leaves(0, 5000))
    with pytest.raises(Unreadable):
        reader.head()
    reader.close()
