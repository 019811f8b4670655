"""The database as one SQLite file: WAL, an fsync per commit, one writing connection, any number of readers.

Not a place for rules: what a batch holds was decided before it came here.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError, Fatal, LogUnavailable, Unreadable
from gateway.storage.database import Batch, Conflict, Head, Payload, RunRow, Tile, TreeRow
from gateway.storage.tables import WRITES, approvals, budgets, keys
from gateway.storage.tables.sessions import unpack
from gateway.storage.tables.statement import Row
from gateway.storage.wanted import Wanted, condition
from gateway.writes import SessionSeen, Write

MIGRATIONS = sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql"))
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""What waiting does not mend."""
CHECKPOINT_PAGES = 1000
"""4 MB of WAL, then the commit that passes it also checkpoints: some milliseconds, off the loop."""

SETTINGS = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
PRAGMA cache_size = -16384;
PRAGMA cache_spill = OFF;
PRAGMA secure_delete = ON;
PRAGMA temp_store = MEMORY;
PRAGMA foreign_keys = OFF;
"""
# NORMAL would not sync at all per commit; a spill would write to the disk from the loop.

LEAF = "INSERT INTO leaves (idx, hash, record) VALUES (?, ?, ?)"
PAYLOAD = "INSERT INTO payloads (leaf, expires, salt, sealed) VALUES (?, ?, ?, ?)"
TILE = "INSERT INTO tiles (level, n, root, hashes) VALUES (?, ?, ?, ?)"
TREE = "UPDATE tree SET size = ?, root = ?, frontier = ?"
HEAD = "INSERT OR REPLACE INTO heads (size, at, note) VALUES (?, ?, ?)"
EXPIRE = """DELETE FROM payloads WHERE leaf IN (
  SELECT leaf FROM payloads WHERE expires <= ? AND leaf NOT IN (
    SELECT intent FROM runs WHERE state != 'ended' AND intent IS NOT NULL
    UNION ALL SELECT asked FROM runs WHERE state != 'ended' AND asked IS NOT NULL
    UNION ALL SELECT settled FROM runs WHERE state != 'ended' AND settled IS NOT NULL) LIMIT ?)
  RETURNING leaf"""
FORGET = """UPDATE runs SET principal = '', tenant = '', task = '',
  upstream = iif(intent IS NULL AND said.tool IS NULL, '', runs.upstream),
  tool = iif(intent IS NULL AND said.tool IS NULL, '', runs.tool)
  FROM (SELECT idx, json_extract(CAST(record AS TEXT), '$.run') AS run,
    json_extract(CAST(record AS TEXT), '$.tool') AS tool FROM leaves WHERE idx = ?) AS said
  WHERE runs.run = said.run AND coalesce(runs.asked, runs.intent, runs.settled) = said.idx"""
IDLE = """DELETE FROM sessions WHERE seen <= (
  SELECT 1000000 * strftime('%s', substr(ts, 1, 19)) + substr(ts, 21, 6)
  FROM (SELECT json_extract(CAST(record AS TEXT), '$.ts') AS ts FROM leaves WHERE idx = ?))"""
SHAPE = "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
RUN = "run, task, principal, tenant, upstream, tool, state, ending, code, intent, settled, opened, ended, asked"


class SqliteDatabase:
    """The writer of one file. The file and its folder belong to the owner of the state folder alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = _open(path)

    def reader(self) -> "SqliteReader":
        return SqliteReader(self.path)

    def stage(self, batch: Batch) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            if batch.writes:
                _apply(connection, batch.writes)
            if batch.leaves:
                connection.executemany(LEAF, batch.leaves)
            if batch.payloads:
                connection.executemany(PAYLOAD, batch.payloads)
            for tile in batch.tiles:
                connection.execute(TILE, (tile.level, tile.n, tile.root, tile.hashes))
            connection.execute(TREE, (batch.tree.size, batch.tree.root, batch.tree.frontier))
            if batch.head is not None:
                if batch.replaces is not None:
                    connection.execute("DELETE FROM heads WHERE size = ?", (batch.replaces,))
                connection.execute(HEAD, (batch.head.size, batch.head.at, batch.head.note))
        except Conflict:
            connection.execute("ROLLBACK")
            raise
        except sqlite3.Error as error:
            raise LogUnavailable(f"staging: {error}") from error

    def commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise LogUnavailable(f"commit: {error}") from error

    def conflicting(self, items: Sequence[Sequence[Write]]) -> dict[int, Conflict]:
        found: dict[int, Conflict] = {}
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for place, writes in enumerate(items):
                connection.execute("SAVEPOINT item")
                try:
                    _apply(connection, [(0, 0, write) for write in writes])
                except Conflict as conflict:
                    found[place] = conflict
                    connection.execute("ROLLBACK TO item")
                connection.execute("RELEASE item")
            connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise LogUnavailable(f"checking writes: {error}") from error
        return found

    def expire(self, now: int, limit: int) -> int:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            gone = connection.execute(EXPIRE, (now, limit)).fetchall()
            # What the row says and the leaf does not is a copy of sealed values: it goes with them.
            connection.executemany(FORGET, gone)
            connection.executemany(IDLE, gone)
            for statement in (*approvals.FORGET, *keys.FORGET, *budgets.FORGET):
                connection.executemany(statement, gone)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise LogUnavailable(f"expiring payloads: {error}") from error
        return len(gone)

    def reset(self) -> None:
        try:
            self._connection.close()
        finally:
            self._connection = _open(self.path)

    def close(self) -> None:
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise LogUnavailable(f"closing: {error}") from error


def _apply(connection: sqlite3.Connection, writes: Sequence[tuple[int, int, Write]]) -> None:
    rows: dict[type[Any], list[Row]] = {}
    for leaf, at, write in writes:
        kind = type(write)
        rows.setdefault(kind, []).append(WRITES[kind].row(leaf, at, write))
    for kind, statement in WRITES.items():
        if kind not in rows:
            continue
        try:
            changed = connection.executemany(statement.sql, rows[kind]).rowcount
        except sqlite3.IntegrityError as error:
            raise Conflict("it exists already", kind) from error
        if statement.unless and changed != len(rows[kind]):
            raise Conflict(statement.unless, kind)


def _open(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    except (OSError, sqlite3.Error) as error:
        raise LogUnavailable(f"opening {path}: {error}") from error
    try:
        connection.executescript(SETTINGS)
        _migrate(connection, path)
        # What a failed sync left only in the page cache must reach the disk before anything is built on it.
        # (A reader may keep the WAL from being cut; the frames are synced into the file all the same.)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
            raise Fatal(f"the stored log cannot be read: {path}: {error}") from error
        raise LogUnavailable(f"opening {path}: {error}") from error
    except ConfigError:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"the state database has version {version}, this bascule knows {len(MIGRATIONS)}", file=str(path)
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script.read_text()} PRAGMA user_version = {number}; COMMIT;")


def _shape(version: int) -> set[tuple[str, str]]:
    """The tables and indices of this version, by the text that makes them."""
    connection = sqlite3.connect(":memory:")
    try:
        for script in MIGRATIONS[:version]:
            connection.executescript(script.read_text())
        return set(connection.execute(SHAPE))
    finally:
        connection.close()


class SqliteReader:
    """A read-only connection; the file must exist. Reads while the owner writes, from any process."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=5
        )

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._row("BEGIN")
        try:
            yield
        finally:
            self._row("ROLLBACK")

    def shape(self) -> None:
        (version,) = self._row("PRAGMA user_version")
        if not 1 <= version <= len(MIGRATIONS):
            raise Unreadable(f"the database has version {version}, this bascule knows 1 to {len(MIGRATIONS)}")
        stored = set(self._rows(SHAPE))
        for name, made in _shape(version) - stored:
            raise Unreadable(f"{name} is not as this was made: {made}")

    def tree(self) -> TreeRow:
        rows = list(self._rows("SELECT one, size, root, frontier FROM tree LIMIT 2"))
        if [row[0] for row in rows] != [1]:
            raise Unreadable("the tree has not its one row")
        return TreeRow(*rows[0][1:])

    def damage(self) -> str:
        (found,) = self._row("PRAGMA integrity_check(1)")
        return "" if found == "ok" else found

    def rows(self) -> int:
        (number,) = self._row("SELECT count(*) FROM leaves")
        return int(number)

    def outside(self, count: int, limit: int) -> list[int]:
        both = "SELECT idx FROM leaves WHERE idx < 0 UNION ALL SELECT idx FROM leaves WHERE idx >= ?"
        return [index for (index,) in self._rows(f"SELECT idx FROM ({both}) LIMIT ?", count, limit)]  # noqa: S608

    def count(self, below: int | None = None) -> int:
        where, values = ("", ()) if below is None else (" WHERE idx < ?", (below,))
        row = self._row(f"SELECT max(idx) FROM leaves{where}", *values)  # noqa: S608 - constants
        return 0 if row is None or row[0] is None else int(row[0]) + 1

    def leaf(self, index: int) -> bytes | None:
        if index >= 1 << 63:  # an operator may ask for any number; the driver takes no larger one
            return None
        row = self._row("SELECT record FROM leaves WHERE idx = ?", index)
        return None if row is None else row[0]

    def leaves(self, first: int, end: int) -> Iterator[tuple[int, bytes, bytes]]:
        return self._rows("SELECT idx, hash, record FROM leaves WHERE idx >= ? AND idx < ? ORDER BY idx", first, end)

    def payload(self, leaf: int) -> Payload | None:
        return next(self.payloads(leaf, leaf + 1), None)

    def payloads(self, first: int, end: int) -> Iterator[Payload]:
        statement = "SELECT leaf, expires, salt, sealed FROM payloads WHERE leaf >= ? AND leaf < ? ORDER BY leaf"
        return (Payload(*row) for row in self._rows(statement, first, end))

    def kept(self) -> Iterator[tuple[int, int]]:
        return self._rows("SELECT leaf, expires FROM payloads INDEXED BY payloads_expires")

    def tile(self, level: int, n: int) -> Tile | None:
        row = self._row("SELECT level, n, root, hashes FROM tiles WHERE level = ? AND n = ?", level, n)
        return None if row is None else Tile(*row)

    def tiles(self) -> Iterator[tuple[int, int]]:
        return self._rows("SELECT level, n FROM tiles ORDER BY level, n")

    def tile_roots(self, level: int, first: int, end: int) -> list[bytes]:
        statement = "SELECT root FROM tiles WHERE level = ? AND n >= ? AND n < ? ORDER BY n"
        return [root for (root,) in self._rows(statement, level, first, end)]

    def head(self) -> Head | None:
        row = self._row("SELECT size, at, note FROM heads ORDER BY size DESC LIMIT 1")
        return None if row is None else Head(*row)

    def heads(self) -> list[Head]:
        return [Head(*row) for row in self._rows("SELECT size, at, note FROM heads ORDER BY size")]

    def run(self, run: str) -> RunRow | None:
        return next(iter(self.runs_named([run])), None)

    def runs(self, *, limit: int, before: str = "", unfinished: bool = False) -> list[RunRow]:
        where = "run < ? AND state != 'ended'" if unfinished else "run < ?"
        statement = f"SELECT {RUN} FROM runs WHERE {where} ORDER BY run DESC LIMIT ?"  # noqa: S608 - constants
        return [RunRow._make(row) for row in self._rows(statement, before or "~", limit)]

    def runs_wanted(self, wanted: Wanted, *, limit: int, before: str = "") -> list[RunRow]:
        where, values = condition(wanted, before)
        statement = f"SELECT {RUN} FROM runs WHERE {where} ORDER BY run DESC LIMIT ?"  # noqa: S608 - constants
        return [RunRow._make(row) for row in self._rows(statement, *values, limit)]

    def all_runs(self) -> Iterator[RunRow]:
        statement = f"SELECT {RUN} FROM runs ORDER BY run"  # noqa: S608 - constants
        return (RunRow._make(row) for row in self._rows(statement))

    def runs_named(self, names: Sequence[str]) -> list[RunRow]:
        marks = ",".join("?" * len(names))
        statement = f"SELECT {RUN} FROM runs WHERE run IN ({marks})"  # noqa: S608 - only question marks
        return [RunRow._make(row) for row in self._rows(statement, *names)]

    def run_counts(self) -> tuple[int, int]:
        row = self._row("SELECT count(*), count(settled) FROM runs")
        return (0, 0) if row is None else (row[0], row[1])

    def session(self, session: str, *, since: int = 0) -> SessionSeen | None:
        statement = "SELECT session, labels, writes, sources, runs FROM sessions WHERE session = ? AND seen >= ?"
        row = self._row(statement, session, since)
        if row is None:
            return None
        name, labels, writes, sources, runs = row
        return SessionSeen(name, unpack(labels), writes, unpack(sources), runs)

    def bundle(self, digest: str) -> bytes | None:
        row = self._row("SELECT content FROM bundles WHERE digest = ?", digest)
        return None if row is None else row[0]

    def bundles(self) -> Iterator[tuple[str, bytes]]:
        return self._rows("SELECT digest, content FROM bundles ORDER BY digest")

    def select(self, statement: str, *values: object) -> Iterator[Any]:
        return self._rows(statement, *values)

    def close(self) -> None:
        self._connection.close()

    def _row(self, statement: str, *values: object) -> Any:
        try:
            return self._connection.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise Unreadable(str(error)) from error

    def _rows(self, statement: str, *values: object) -> Iterator[Any]:
        try:
            yield from self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise Unreadable(str(error)) from error
