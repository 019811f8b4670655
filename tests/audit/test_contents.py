"""Rows, payloads and bundles against the leaves: what was changed beside the tree is named too."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import orjson
import pytest

from gateway.audit.verify import Report, verify
from gateway.model import Ending, Record
from gateway.runs import states
from gateway.storage.sqlite import SqliteReader
from gateway.writes import RunRefused
from tests.audit.samples import BUNDLE, Store, boot, call, digest_of, fill, run_id

# Of the log that `fill` makes: 0 boot, 1 refused, 2 and 3 a call that froze, 4 an open run, 5 on: calls.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("whole"))
    asyncio.run(fill(store, 11))
    return store


@pytest.fixture
def copy(whole: Store, tmp_path: Path) -> sqlite3.Connection:
    shutil.copy(whole.path, tmp_path / "bascule.db")
    connection = sqlite3.connect(tmp_path / "bascule.db", isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    return connection


def check(whole: Store, connection: sqlite3.Connection, *, sealed: bool = True, now: int = 0) -> Report:
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    connection.close()
    reader = SqliteReader(path)
    report = verify(
        reader, whole.keys.vkey, sealing=whole.keys.sealing if sealed else None, bundle_digest=digest_of, now=now
    )
    reader.close()
    return report


def runs(connection: sqlite3.Connection) -> dict[str, str]:
    """The runs of the sample by what became of them."""
    rows = connection.execute("SELECT run, state, ending FROM runs").fetchall()
    return {"open" if state == "intended" else how: run for run, state, how in rows}


EACH = ["open", "unknown", "refused", "done"]
CHANGES = {
    "upstream": "'other'", "tool": "'other'", "state": "'waiting'", "ending": "'well'", "code": "'OTHER'",
    "intent": "9999", "settled": "9999", "opened": "opened + 1", "ended": "coalesce(ended, 0) + 1",
}  # fmt: skip


@pytest.mark.parametrize("which", EACH)
@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_column_of_a_run_is_named_without_any_key(
    whole: Store, copy: sqlite3.Connection, which: str, column: str
) -> None:
    run = runs(copy)[which]
    copy.execute(f"UPDATE runs SET {column} = {CHANGES[column]} WHERE run = ?", (run,))
    findings = check(whole, copy, sealed=False).findings
    assert {finding.where for finding in findings} == {f"run {run}"}
    assert any(column in finding.what or "row differs" in finding.what for finding in findings)


@pytest.mark.parametrize("which", EACH)
@pytest.mark.parametrize("column", ["principal", "tenant", "task"])
def test_who_and_what_for_are_checked_against_the_sealed_values(
    whole: Store, copy: sqlite3.Connection, which: str, column: str
) -> None:
    run = runs(copy)[which]
    copy.execute(f"UPDATE runs SET {column} = 'other' WHERE run = ?", (run,))
    findings = check(whole, copy).findings
    assert [(finding.where, finding.what.split(" in ")[1]) for finding in findings] == [(f"run {run}", column)]


@pytest.mark.parametrize("which", EACH)
def test_a_deleted_row_is_named(whole: Store, copy: sqlite3.Connection, which: str) -> None:
    run = runs(copy)[which]
    copy.execute("DELETE FROM runs WHERE run = ?", (run,))
    findings = check(whole, copy).findings
    assert {finding.where for finding in findings} == {f"run {run}"}
    assert "its row is missing" in findings[0].what


@pytest.mark.parametrize(
    ("intent", "settled", "what"),
    [
        ("NULL", "NULL", "no leaf records it"),
        ("5", "NULL", "its intent"),
        ("NULL", "0", "its settled"),
        ("999", "6", "its"),
    ],
)
def test_an_inserted_row_is_named(whole: Store, copy: sqlite3.Connection, intent: str, settled: str, what: str) -> None:
    copy.execute(
        f"INSERT INTO runs VALUES ('r', 't', 'p', 'n', 'u', 'w', 'ended', 'done', '', {intent}, {settled}, 1, 2, NULL)"
    )
    findings = check(whole, copy).findings
    assert {finding.where for finding in findings} == {"run r"}
    assert what in findings[0].what


def test_exchanged_rows_are_named(whole: Store, copy: sqlite3.Connection) -> None:
    names = runs(copy)
    one, other = names["done"], names["refused"]
    copy.executescript(
        f"UPDATE runs SET run = 'x' WHERE run = '{one}'; UPDATE runs SET run = '{one}' WHERE run = '{other}';"
        f"UPDATE runs SET run = '{other}' WHERE run = 'x';"
    )
    assert {finding.where for finding in check(whole, copy).findings} == {f"run {one}", f"run {other}"}


AS = "INSERT INTO payloads SELECT {}, expires, salt, sealed FROM payloads WHERE leaf = 5"


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ("UPDATE payloads SET sealed = x'00' WHERE leaf = 5", "payload 5", "changed, of another leaf"),
        ("UPDATE payloads SET expires = expires + 1 WHERE leaf = 5", "payload 5", "time to expire"),
        ("DELETE FROM payloads WHERE leaf = 5", "payload 5", "is missing"),
        ("INSERT INTO payloads SELECT 0, expires, salt, sealed FROM payloads WHERE leaf = 5", "payload 0", "no leaf"),
        ("INSERT INTO payloads SELECT 99, expires, salt, sealed FROM payloads WHERE leaf = 5", "payload 99", "no leaf"),
        (AS.format(-1), "payload -1", "belongs to no leaf"),
        (AS.format(-5), "payload -5", "belongs to no leaf"),
        (AS.format(-(2**63)), f"payload {-(2**63)}", "belongs to no leaf"),
        (AS.format(4_000_000_000_000), "payload 4000000000000", "belongs to no leaf"),
        (AS.format(2**63 - 1), f"payload {2**63 - 1}", "belongs to no leaf"),
        ("INSERT INTO payloads SELECT 0, 0, salt, sealed FROM payloads WHERE leaf = 5", "payload 0", "to expire"),
        ("UPDATE payloads SET expires = 0 WHERE leaf = 5", "payload 5", "time to expire"),
        ("UPDATE payloads SET expires = -1 WHERE leaf = 5", "payload 5", "time to expire"),
        ("UPDATE payloads SET sealed = (SELECT sealed FROM payloads WHERE leaf = 6), "
         "salt = (SELECT salt FROM payloads WHERE leaf = 6) WHERE leaf = 5", "payload 5", "of another leaf"),
        ("UPDATE bundles SET content = x'00'", f"bundle {BUNDLE}", "another digest"),
        ("DELETE FROM bundles", f"bundle {BUNDLE}", "is not stored"),
        ("UPDATE bundles SET digest = 'sha256:00'", "bundle sha256:00", "another digest"),
    ],
)  # fmt: skip
def test_a_changed_payload_or_bundle_is_named(
    whole: Store, copy: sqlite3.Connection, change: str, where: str, what: str
) -> None:
    copy.execute(change)
    assert any(finding.where == where and what in finding.what for finding in check(whole, copy).findings)


@pytest.mark.promise("log-needs-no-trust")
@pytest.mark.parametrize("sealed", [True, False])
def test_stand_ins_under_indices_of_no_leaf_do_not_hide_that_payloads_are_gone(
    whole: Store, copy: sqlite3.Connection, sealed: bool
) -> None:
    copy.execute("UPDATE payloads SET leaf = leaf - 11 WHERE leaf >= 5")
    report = check(whole, copy, sealed=sealed)
    found = {(finding.where, finding.what.split(",")[0]) for finding in report.findings}
    assert found == {
        *((f"payload {index}", "is missing") for index in range(5, 11)),
        *((f"payload {index}", "belongs to no leaf") for index in range(-6, 0)),
    }


@pytest.mark.parametrize("run", ["", "~~", "\x7f", "\u00e9"])
def test_a_row_without_leaves_is_named_whatever_its_id(whole: Store, copy: sqlite3.Connection, run: str) -> None:
    copy.execute("INSERT INTO runs VALUES (?, '', '', '', '', '', 'ended', '', '', NULL, NULL, 1, 2, NULL)", (run,))
    assert [finding.where for finding in check(whole, copy).findings] == [f"run {run}"]


# Endpoint, name as the client sent it, upstream of the row.
UNKNOWN = [
    ("notes", "nothing", "notes"), ("notes", "a__b", "notes"), ("", "notes__nothing", "notes"),
    ("", "nothing", "nothing"), ("view/team", "other__a__b", "other"), ("view/team", "__a", ""),
]  # fmt: skip


async def refuse_unknown(store: Store, endpoint: str, name: str, upstream: str) -> str:
    """A call of a tool that nobody knows, as the gateway records it; the id of its run."""
    run = run_id()
    called = orjson.dumps({"name": name, "endpoint": endpoint, "task": "t1"})
    sealed = {"principal": b'{"id":"ann","tenant":"acme"}', "call": called}
    log = store.open()
    write = RunRefused(run, "t1", "ann", "acme", upstream, name, "TOOL_UNKNOWN")
    await log.append([Record("call.refused", run, {"code": "TOOL_UNKNOWN"}, sealed)], [write])
    await log.close()
    return run


@pytest.mark.parametrize(("endpoint", "name", "upstream"), UNKNOWN)
@pytest.mark.parametrize("column", ["", "upstream", "tool"])
async def test_what_a_client_called_is_checked_where_no_tool_was_found(
    store: Store, endpoint: str, name: str, upstream: str, column: str
) -> None:
    run = await refuse_unknown(store, endpoint, name, upstream)
    copy = sqlite3.connect(store.path, isolation_level=None)
    if column:
        copy.execute(f"UPDATE runs SET {column} = 'changed'")
    findings = [(finding.where, finding.what.split(" in ")[1]) for finding in check(store, copy).findings]
    assert findings == ([(f"run {run}", column)] if column else [])


async def erased(store: Store) -> sqlite3.Connection:
    """A log whose payloads were all erased in their time, but for those of runs that have not ended."""
    await fill(store, 11)
    await refuse_unknown(store, "", "ann-smith__secrets", "ann-smith")
    log = store.open()
    assert await log.expire(1 << 40) == 8
    await log.close()
    return sqlite3.connect(store.path, isolation_level=None)


@pytest.mark.parametrize("sealed", [True, False])
async def test_a_log_whose_payloads_were_erased_in_their_time_is_whole(store: Store, sealed: bool) -> None:
    report = check(store, await erased(store), sealed=sealed, now=1 << 40)
    assert report.findings == ()
    assert (report.counts["erased"], report.counts["payloads"]) == (8, 3)


async def test_erasing_a_payload_takes_who_asked_out_of_the_row(store: Store) -> None:
    copy = await erased(store)
    rows = copy.execute("SELECT DISTINCT principal, tenant, task, upstream, tool FROM runs WHERE state = 'ended'")
    assert sorted(rows) == [("", "", "", "", ""), ("", "", "", "notes", "write")]
    copy.close()
    assert b"ann-smith" not in store.path.read_bytes()


@pytest.mark.promise("log-needs-no-trust")
@pytest.mark.parametrize(
    ("code", "column"),
    [(code, column) for code in ("NO_RULE", "TOOL_UNKNOWN", "") for column in ("principal", "tenant", "task")]
    + [("TOOL_UNKNOWN", "upstream"), ("TOOL_UNKNOWN", "tool")],
)
async def test_a_row_that_says_what_was_erased_is_named(store: Store, code: str, column: str) -> None:
    copy = await erased(store)
    copy.execute(
        f"UPDATE runs SET {column} = 'other' WHERE run = (SELECT run FROM runs WHERE code = ? AND state = 'ended')",
        (code,),
    )
    (finding,) = check(store, copy, sealed=False, now=1 << 40).findings
    assert finding.where.startswith("run ")
    assert f"its row has {column}, erased" in finding.what


async def test_a_payload_taken_away_in_place_of_erasing_leaves_a_row_that_says_who(
    whole: Store, copy: sqlite3.Connection
) -> None:
    copy.execute("DELETE FROM payloads WHERE leaf = 5")
    report = check(whole, copy, now=1 << 40)
    assert ["principal, tenant, task" in finding.what for finding in report.findings] == [True]
    assert report.counts["erased"] == 1


def test_a_payload_sealed_with_another_key_is_named(whole: Store, copy: sqlite3.Connection) -> None:
    path = Path(copy.execute("PRAGMA database_list").fetchone()[2])
    copy.close()
    reader = SqliteReader(path)
    report = verify(reader, whole.keys.vkey, sealing=bytes(32))
    reader.close()
    assert {finding.where.split(" ")[0] for finding in report.findings} == {"payload"}


async def test_a_run_that_an_operator_resolved_is_whole(store: Store) -> None:
    log = store.open()
    await log.append(*boot())
    run = await call(log, Ending.UNKNOWN)
    await log.append([Record("run.resolved", run, {"ending": "failed"})], [states.resolved(run, Ending.FAILED)])
    await log.close()
    reader = store.reader()
    assert verify(reader, store.keys.vkey, sealing=store.keys.sealing).findings == ()
    reader.close()


@pytest.mark.parametrize(
    ("first", "says", "found"),
    [
        (Ending.DONE, {"ending": "done"}, "resolves it, and no record says that its end is unknown"),
        (Ending.UNKNOWN, {"ending": "unknown"}, "names no ending that a person can give"),
        (Ending.UNKNOWN, {"ending": "refused"}, "names no ending that a person can give"),
        (Ending.UNKNOWN, {}, "names no ending that a person can give"),
    ],
)
async def test_a_person_cannot_say_just_anything_of_a_run(
    store: Store, first: Ending, says: dict[str, str], found: str
) -> None:
    log = store.open()
    await log.append(*boot())
    run = await call(log, first)
    await log.append([Record("run.resolved", run, says)])
    await log.close()
    reader = store.reader()
    findings = verify(reader, store.keys.vkey, sealing=store.keys.sealing).findings
    reader.close()
    assert [one.what for one in findings if found in one.what]


async def test_a_kind_of_a_later_version_is_passed_over(store: Store) -> None:
    log = store.open()
    await log.append([Record("something.new", None, {"anything": [1]}, {"new": b"x"})])
    await log.close()
    reader = store.reader()
    assert verify(reader, store.keys.vkey, sealing=store.keys.sealing).intact
    reader.close()


@pytest.mark.parametrize(
    "record",
    [b"[]", b"\xff", b"{", b"1", b'{"kind":1}', b'{"kind":[],"run":{}}', b'{"kind":"call.intent","run":[1]}',
     b'{"commit":[]}', b'{"decision":"allow"}', b'{"id":7}', b'{"keep":"long"}', b'{"keep":{}}'],
)  # fmt: skip
def test_a_leaf_that_has_another_shape_is_named(whole: Store, copy: sqlite3.Connection, record: bytes) -> None:
    copy.execute("DROP TRIGGER leaves_same")
    copy.execute("UPDATE leaves SET record = ? WHERE idx = 0", (record,))
    assert [finding.where for finding in check(whole, copy).findings].count("leaf 0") == 2


@pytest.mark.parametrize("record", [b'{"kind":"call.intent"}', b'{"kind":"call.settled","run":"none"}'])
def test_a_record_of_a_run_that_is_not_there_is_named(whole: Store, copy: sqlite3.Connection, record: bytes) -> None:
    copy.execute("DROP TRIGGER leaves_same")
    copy.execute("UPDATE leaves SET record = ? WHERE idx = 0", (record,))
    assert any("its row is missing" in finding.what for finding in check(whole, copy).findings)


@pytest.mark.parametrize("column", ["opened", "ended", "intent", "settled"])
@pytest.mark.parametrize("value", [2**62, -(2**62)])
def test_a_number_beyond_all_bounds_is_a_finding(
    whole: Store, copy: sqlite3.Connection, column: str, value: int
) -> None:
    run = runs(copy)["done"]
    copy.execute(f"UPDATE runs SET {column} = ? WHERE run = ?", (value, run))
    assert {finding.where for finding in check(whole, copy).findings} == {f"run {run}"}


@pytest.mark.parametrize(
    ("table", "column"), [("leaves", "record"), ("leaves", "hash"), ("runs", "run"), ("heads", "note")]
)
def test_values_of_another_type_are_a_finding(whole: Store, copy: sqlite3.Connection, table: str, column: str) -> None:
    copy.executescript(
        f"CREATE TABLE other AS SELECT * FROM {table}; UPDATE other SET {column} = 7; DROP TABLE {table};"
    )
    copy.execute(f"ALTER TABLE other RENAME TO {table}")
    assert not check(whole, copy).intact


async def test_a_bundle_that_breaks_its_reader_is_named(whole: Store, copy: sqlite3.Connection) -> None:
    path = Path(copy.execute("PRAGMA database_list").fetchone()[2])
    copy.close()
    reader = SqliteReader(path)
    report = verify(reader, whole.keys.vkey, bundle_digest=lambda content: str(int(content)))
    reader.close()
    assert [finding.what for finding in report.findings] == ["its content has another digest"]
