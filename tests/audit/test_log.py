"""The log: durable before it answers, whole after any fault, and closed when it cannot commit."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from gateway.audit import log as logs
from gateway.audit import note
from gateway.audit.log import Log
from gateway.audit.merkle import leaf_hash
from gateway.audit.tiles import Tree
from gateway.audit.verify import verify
from gateway.errors import Fatal, LogUnavailable
from gateway.model import Ending, Record, RunId
from gateway.runs import states
from gateway.storage.database import Conflict
from gateway.storage.sqlite import SqliteDatabase
from gateway.writes import SessionSeen
from tests.audit.faults import Faulty, Held
from tests.audit.samples import (
    CONTENT,
    Store,
    boot,
    call,
    digest_of,
    ending,
    intent,
    opening,
    refused,
    refusing,
    run_id,
    settled,
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BACK_OFF", (0.0,))


def assert_intact(store: Store, size: int, now: int = 0) -> None:
    reader = store.reader()
    report = verify(reader, store.keys.vkey, sealing=store.keys.sealing, bundle_digest=digest_of, now=now)
    reader.close()
    assert report.findings == ()
    assert (report.size, report.signed) == (size, size)


async def test_an_append_says_where_its_records_stand_and_they_are_stored(store: Store) -> None:
    log = store.open()
    assert await log.append(*boot()) == logs.Appended(0, 1)
    run = run_id()
    assert await log.append([intent(run)], [opening(run)]) == logs.Appended(1, 2)
    reader = store.reader()
    said = orjson.loads(reader.leaf(1) or b"")
    assert (said["run"], said["kind"], sorted(said["commit"])) == (run, "call.intent", ["args", "call", "principal"])
    row = reader.run(run)
    assert row is not None
    assert (row.principal, row.tenant, row.task, row.state, row.intent) == ("ann", "acme", "t1", "intended", 1)
    await log.append([settled(run)], [ending(run), SessionSeen("s", ("untrusted",), 2, ("notes", "a\nb"), 3)])
    row = reader.run(run)
    assert row is not None
    assert (row.state, row.ending, row.settled) == ("ended", "done", 2)
    assert reader.session("s") == SessionSeen("s", ("untrusted",), 2, ("notes", "a\nb"), 3)
    assert reader.bundle(digest_of(CONTENT)) == CONTENT
    reader.close()
    await log.close()
    assert_intact(store, 3)


async def test_several_records_of_one_append_stand_together_and_take_their_own_writes(store: Store) -> None:
    log = store.open()
    one, other = run_id(), run_id()
    found = await log.append([Record("log.canary"), intent(one), intent(other)], [opening(other), opening(one)])
    assert found == logs.Appended(0, 3)
    reader = store.reader()
    assert [row.intent for row in reader.runs_named([one])] == [1]
    assert [row.intent for row in reader.runs_named([other])] == [2]
    reader.close()
    await log.close()


@pytest.mark.promise("recorded-before-it-runs")
async def test_a_run_that_is_opened_and_ended_in_one_append_has_each_beside_its_record(store: Store) -> None:
    log, one, other = store.open(), run_id(), run_id()
    kept = [intent(one), settled(one), intent(other), settled(other)]
    await log.append(kept, [opening(one), ending(one), opening(other), ending(other)])
    reader = store.reader()
    rows = {row.run: (row.intent, row.settled) for row in reader.runs_named([one, other])}
    assert rows == {one: (0, 1), other: (2, 3)}
    reader.close()
    await log.close()


async def test_an_append_does_not_return_before_its_commit(store: Store) -> None:
    database = Held(store.path)
    log = Log.open(database, store.keys)
    database.gate.clear()
    database.entered.clear()
    waiting = asyncio.ensure_future(log.append(*boot()))
    await asyncio.to_thread(database.entered.wait)
    assert not waiting.done()
    database.gate.set()
    assert (await waiting).first == 0
    await log.close()


async def test_what_arrives_while_a_commit_is_under_way_goes_together_into_the_next(store: Store) -> None:
    database = Held(store.path)
    log = Log.open(database, store.keys, sign_after=3600)
    database.batches.clear()
    database.gate.clear()
    database.entered.clear()
    first = asyncio.ensure_future(log.append(*boot()))
    await asyncio.to_thread(database.entered.wait)
    runs = [run_id() for _ in range(5)]
    others = [asyncio.ensure_future(log.append([intent(run)], [opening(run)])) for run in runs]
    await asyncio.sleep(0)
    database.gate.set()
    assert [found.first for found in await asyncio.gather(first, *others)] == [0, 1, 2, 3, 4, 5]
    assert [len(batch.leaves) for batch in database.batches] == [1, 5]
    await log.close()


async def test_who_is_ready_in_the_same_turn_shares_a_commit(store: Store) -> None:
    database = Held(store.path)
    log = Log.open(database, store.keys, sign_after=3600)
    database.batches.clear()
    await asyncio.gather(*(log.append([Record("log.canary")]) for _ in range(7)))
    assert [len(batch.leaves) for batch in database.batches] == [7]
    await log.close()


@pytest.mark.promise("every-ending-is-recorded")
async def test_a_waiter_that_is_cancelled_does_not_cancel_the_write(store: Store) -> None:
    database = Held(store.path)
    log = Log.open(database, store.keys)
    database.gate.clear()
    database.entered.clear()
    run = run_id()
    staged = asyncio.ensure_future(log.append([intent(run)], [opening(run)]))
    await asyncio.to_thread(database.entered.wait)
    queued = asyncio.ensure_future(log.append([Record("log.canary")]))
    await asyncio.sleep(0)
    for each in (staged, queued):
        each.cancel()
    database.gate.set()
    await asyncio.gather(staged, queued, return_exceptions=True)
    assert (await log.append([settled(run)], [ending(run)])).first == 2
    await log.close()
    reader = store.reader()
    kinds = [orjson.loads(record)["kind"] for _, _, record in reader.leaves(0, 9)]
    reader.close()
    assert kinds == ["call.intent", "log.canary", "call.settled"]


async def test_an_item_whose_write_does_not_hold_fails_alone(store: Store) -> None:
    log = store.open()
    await log.append(*boot())
    run, never, again = run_id(), run_id(), await call(log)
    outcomes = await asyncio.gather(
        log.append([intent(run)], [opening(run)]),
        log.append([settled(never)], [ending(never)]),
        log.append([settled(again)], [ending(again)]),
        log.append([intent(again)], [opening(again)]),
        log.append([refused(again)], [refusing(again)]),
        log.append([Record("log.canary")]),
        return_exceptions=True,
    )
    assert [type(each) for each in outcomes] == [logs.Appended, *[Conflict] * 4, logs.Appended]
    twice = await asyncio.gather(*(log.append([settled(run)], [ending(run)]) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in twice] == [logs.Appended, Conflict]
    with pytest.raises(Conflict):
        await log.append([settled(never)], [ending(never), SessionSeen("s", (), 0, (), 0)])
    reader = store.reader()
    assert reader.session("s") is None
    assert reader.run(never) is None
    reader.close()
    await log.close()
    assert_intact(store, 6)


@pytest.mark.parametrize(
    ("before", "then", "holds"),
    [
        (Ending.UNKNOWN, Ending.DONE, True),
        (Ending.UNKNOWN, Ending.FAILED, True),
        (Ending.DONE, Ending.UNKNOWN, False),
        (Ending.DONE, Ending.DONE, False),
    ],
)
async def test_only_a_frozen_run_is_resolved(store: Store, before: Ending, then: Ending, holds: bool) -> None:
    log = store.open()
    run = await call(log, before)
    appending = log.append([Record("run.resolved", run, {"ending": then.value})], [states.resolved(run, then)])
    if holds:
        await appending
    else:
        with pytest.raises(Conflict):
            await appending
    await log.close()


@pytest.mark.parametrize("public", [{"x": 0.5}, {"x": 2**60}, {"v": 2}], ids=repr)
async def test_a_record_that_is_no_leaf_fails_alone(store: Store, public: dict[str, Any]) -> None:
    log = store.open()
    outcomes = await asyncio.gather(
        log.append([Record("log.canary")]), log.append([Record("x", None, public)]), log.append([Record("log.canary")]),
        return_exceptions=True,
    )  # fmt: skip
    assert [type(each) for each in outcomes] == [logs.Appended, ValueError, logs.Appended]
    with pytest.raises(ValueError, match="needs a record"):
        await log.append([])
    await log.close()


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("place", ["stage", "before", "after"])
async def test_after_a_fault_nobody_waiting_is_told_yes_and_the_log_goes_on_whole(
    store: Store, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "BACK_OFF", (1.5,))  # long enough to look at it while it is down
    database = Faulty(store.path)
    log = Log.open(database, store.keys)
    await log.append(*boot())
    run = await call(log)
    database.faults = {place: 1}
    outcomes = await asyncio.gather(*(call(log) for _ in range(5)), return_exceptions=True)
    assert {type(each) for each in outcomes} == {LogUnavailable}
    down: bool = log.available
    assert not down
    with pytest.raises(LogUnavailable):
        await log.append([Record("log.canary")])
    with pytest.raises(LogUnavailable):
        await log.head()
    with pytest.raises(LogUnavailable):
        await log.expire(0)
    await log.recovered()
    assert log.available
    stored = 8 if place == "after" else 3  # a fault after the commit: stored, though nobody was told so
    assert (await log.append([Record("log.canary")])).first == stored
    reader = store.reader()
    assert reader.run(run) is not None
    assert len(reader.runs(limit=10, unfinished=True)) == stored - 3
    reader.close()
    await log.close()
    assert_intact(store, stored + 1)


async def test_a_fault_fails_the_queue_too(store: Store) -> None:
    database = Held(store.path)
    log = Log.open(database, store.keys, sign_after=3600)
    await log.append([Record("log.canary")])
    database.gate.clear()
    database.entered.clear()
    staged = asyncio.ensure_future(log.append([Record("log.canary")]))
    await asyncio.to_thread(database.entered.wait)
    waiting = [staged, asyncio.ensure_future(log.append([Record("log.canary")])), asyncio.ensure_future(log.head())]
    await asyncio.sleep(0)
    database._connection.interrupt()
    database._connection.close()
    database.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in outcomes] == [LogUnavailable] * 3
    await log.recovered()
    assert (await log.append([Record("log.canary")])).first == 1
    await log.close()


async def test_the_log_tries_again_until_it_can(store: Store) -> None:
    database = Faulty(store.path)
    log = Log.open(database, store.keys)
    database.faults = {"before": 1, "reset": 3}
    with pytest.raises(LogUnavailable, match="cannot commit"):
        await log.append([Record("log.canary")])
    await log.recovered()
    assert database.resets == 4
    await log.append(*boot())
    await call(log)
    await log.close()
    assert_intact(store, 3)


async def test_a_fault_while_erasing_is_a_fault_of_the_log(store: Store) -> None:
    database = Faulty(store.path)
    log = Log.open(database, store.keys)
    database.faults = {"expire": 1}
    with pytest.raises(LogUnavailable):
        await log.expire(0)
    await log.recovered()
    assert await log.expire(0) == 0
    await log.close()


async def test_a_store_found_changed_after_a_fault_is_fatal(store: Store) -> None:
    database = Faulty(store.path)
    told: asyncio.Future[Fatal] = asyncio.get_running_loop().create_future()
    log = Log.open(database, store.keys, on_fatal=told.set_result)
    await call(log)
    database.faults = {"before": 1}
    database._connection.execute("UPDATE tree SET root = zeroblob(32)")
    with pytest.raises(LogUnavailable):
        await log.append([Record("log.canary")])
    assert "do not make the stored root" in str(await told)
    with pytest.raises(LogUnavailable, match="cannot commit") as caught:
        await log.append([Record("log.canary")])
    assert "contradicts itself" in caught.value.detail
    await log.close()


async def test_a_log_that_is_down_closes_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BACK_OFF", (3600.0,))
    database = Faulty(store.path)
    log = Log.open(database, store.keys)
    database.faults = {"before": 1}
    with pytest.raises(LogUnavailable):
        await log.append([Record("log.canary")])
    await log.close()


async def test_closing_commits_what_is_queued_and_signs_it(store: Store) -> None:
    log = store.open(sign_after=3600)
    waiting = [asyncio.ensure_future(log.append([Record("log.canary")])) for _ in range(3)]
    await asyncio.sleep(0)
    await log.close()
    await log.close()
    assert [found.first for found in await asyncio.gather(*waiting)] == [0, 1, 2]
    with pytest.raises(LogUnavailable):
        await log.append([Record("log.canary")])
    assert not log.available
    assert_intact(store, 3)


async def test_a_head_is_of_the_newest_durable_tree(store: Store) -> None:
    log = store.open(sign_after=3600)
    known = note.verifier(store.keys.vkey)
    assert note.open_checkpoint(await log.head(), known).size == 0
    await call(log)
    assert note.open_checkpoint(await log.head(), known).size == 2
    assert await log.head() == await log.head()
    await log.close()


async def test_a_durable_leaf_is_signed_without_being_asked(store: Store) -> None:
    database = Held(store.path)
    log = Log.open(database, store.keys, sign_after=0.001)
    await call(log)
    while (head := database.batches[-1].head) is None or head.size < 2:
        database.entered.clear()
        await asyncio.to_thread(database.entered.wait)
    await log.close()


async def test_every_batch_is_signed_where_no_leaf_may_wait(store: Store) -> None:
    database = Held(store.path)
    log = Log.open(database, store.keys, sign_after=0)
    await call(log)
    assert [batch.head and batch.head.size for batch in database.batches] == [0, 1, 2]
    await log.close()


async def test_what_a_crash_left_unsigned_is_signed_at_the_start(store: Store) -> None:
    log = store.open(sign_after=3600)
    await call(log)
    reader = store.reader()
    head = reader.head()
    assert head is not None
    assert head.size == 0
    again = Log.open(SqliteDatabase(store.path), store.keys)  # as after a crash: the first was never closed
    head = reader.head()
    assert head is not None
    assert head.size == 2
    reader.close()
    await again.close()


async def test_kept_are_the_newest_head_and_the_last_of_each_hour(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_700_000_000 // 3600 * 3600]
    monkeypatch.setattr(time, "time", lambda: now[0])
    log = store.open(sign_after=3600)
    sizes = {}
    for minute in (0, 10, 59, 60, 61, 200, 201, 202):
        now[0] = 1_700_000_000 // 3600 * 3600 + minute * 60
        await log.append([Record("log.canary")])
        sizes[minute] = note.parse_checkpoint((await log.head()).rpartition("\n\n")[0] + "\n").size
    await log.close()
    reader = store.reader()
    assert [head.size for head in reader.heads()] == [sizes[59], sizes[61], sizes[202]]
    reader.close()


async def test_payloads_past_their_time_are_erased_but_not_those_of_open_runs(store: Store) -> None:
    log = store.open(keep_days=1)
    await log.append(*boot())
    done = [await call(log) for _ in range(250)]
    frozen, unsettled = await call(log, Ending.UNKNOWN), run_id()
    await log.append([intent(unsettled)], [opening(unsettled)])
    now = int(time.time())
    assert await log.expire(now) == 0
    assert await log.expire(now + 86401) == 500
    assert await log.expire(now + 86401) == 0
    reader = store.reader()
    assert [payload.leaf for payload in reader.payloads(0, 10_000)] == [501, 502, 503]
    rows = {run: reader.run(run) for run in (done[0], frozen, unsettled)}
    assert {run: row and row.principal for run, row in rows.items()} == {done[0]: "", frozen: "ann", unsettled: "ann"}
    reader.close()
    await log.close()
    assert_intact(store, 504, now + 86401)
    assert b'{"id":"ann"' not in store.path.read_bytes()


async def test_in_digest_mode_nothing_sealed_is_stored(store: Store) -> None:
    log = store.open(sealed=False)
    await call(log)
    await log.close()
    reader = store.reader()
    said = orjson.loads(reader.leaf(0) or b"")
    assert list(reader.payloads(0, 10)) == []
    assert "keep" not in said
    assert sorted(said["commit"]) == ["args", "call", "principal"]
    reader.close()


def tampered(store: Store, statement: str) -> None:
    database = SqliteDatabase(store.path)
    for trigger in ("leaves_stay", "leaves_same", "tiles_stay", "tiles_same"):
        database._connection.execute(f"DROP TRIGGER {trigger}")
    database._connection.execute("PRAGMA ignore_check_constraints = ON")
    database._connection.execute(statement)
    database.close()


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DELETE FROM leaves WHERE idx = 599", "599 leaves are stored"),
        ("INSERT INTO leaves SELECT idx + 1, hash, record FROM leaves WHERE idx = 599", "601 leaves"),
        ("UPDATE leaves SET record = CAST(record || ' ' AS BLOB) WHERE idx = 590", "do not make the stored root"),
        ("UPDATE tree SET root = zeroblob(32)", "do not make the stored root"),
        ("UPDATE tree SET frontier = zeroblob(32)", "do not make the stored root"),
        ("UPDATE tree SET size = 599", "600 leaves are stored"),
        ("UPDATE tiles SET root = zeroblob(32) WHERE n = 1", "do not make the stored root"),
        ("DELETE FROM tiles WHERE n = 0", "lacks entries"),
        ("UPDATE heads SET note = replace(note, '600', '601')", "does not verify"),
        ("UPDATE heads SET note = ''", "a note is"),
        ("UPDATE heads SET size = 599", "600 leaves are stored, the newest head says 600"),
        ("DELETE FROM tree", "cannot be read"),
    ],
)
async def test_a_store_that_was_changed_does_not_open(store: Store, statement: str, why: str) -> None:
    log = store.open()
    await log.append([Record("log.canary")] * 600)
    await log.close()
    tampered(store, statement)
    with pytest.raises(Fatal, match=why):
        store.open()


async def test_a_cut_log_whose_tree_row_was_cut_too_does_not_open(store: Store) -> None:
    log = store.open()
    await log.append([Record("log.canary")] * 3)
    await log.close()
    tampered(store, "DELETE FROM leaves WHERE idx = 2")
    database = SqliteDatabase(store.path)
    records = database._connection.execute("SELECT hash FROM leaves ORDER BY idx").fetchall()
    row = Tree().extended([hashed for (hashed,) in records])[0].row
    database._connection.execute("UPDATE tree SET size = 2, root = ?, frontier = ?", (row.root, row.frontier))
    database.close()
    with pytest.raises(Fatal, match="the log was cut or restored"):
        store.open()


async def test_a_log_rewritten_with_its_tree_but_not_its_head_does_not_open(store: Store) -> None:
    log = store.open()
    await log.append([Record("log.canary")] * 3)
    await log.close()
    tampered(store, "UPDATE leaves SET record = CAST('{}' AS BLOB) WHERE idx = 1")
    reader, database = store.reader(), SqliteDatabase(store.path)
    row = Tree().extended([leaf_hash(record) for _, _, record in reader.leaves(0, 3)])[0].row
    reader.close()
    database._connection.execute("UPDATE tree SET root = ?, frontier = ?", (row.root, row.frontier))
    database.close()
    with pytest.raises(Fatal, match="do not make the signed root"):
        store.open()


async def test_a_fault_while_closing_ends_in_a_closed_log(store: Store) -> None:
    database = Faulty(store.path)
    log = Log.open(database, store.keys, sign_after=3600)
    await call(log)
    database.faults = {"before": 1}
    await log.close()
    assert_intact_but_unsigned(store)


def assert_intact_but_unsigned(store: Store) -> None:
    reader = store.reader()
    report = verify(reader, store.keys.vkey, rows=False)
    reader.close()
    assert (report.intact, report.size, report.signed) == (True, 2, 0)


async def test_a_log_signed_by_another_key_does_not_open(store: Store) -> None:
    log = store.open()
    await call(log)
    await log.close()
    for name in ("log.key", "log.pub", "seal.key"):
        (store.folder / name).unlink()
    with pytest.raises(Fatal, match="no signature by"):
        Store(store.folder).open()


async def test_run_ids_given_as_text_are_kept_as_they_are(store: Store) -> None:
    log = store.open()
    run = RunId("01890a5d-ac96-774b-bcce-b302099a8057")
    await log.append([intent(run)], [opening(run)])
    await log.close()
    reader = store.reader()
    assert [row.run for row in reader.runs(limit=5)] == [run]
    reader.close()
