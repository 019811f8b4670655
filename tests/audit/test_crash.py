"""The log against a kernel that kills, a disk that is full and a folder that cannot be written."""

import asyncio
import random
import subprocess  # noqa: TID251 - what is killed must be a real process
import sys
from pathlib import Path

import orjson
import pytest

from gateway.audit import log as logs
from gateway.audit.verify import verify
from gateway.errors import LogUnavailable
from gateway.model import Record
from gateway.storage.sqlite import SqliteDatabase
from tests.audit.samples import Store, boot, call, digest_of

ROOT = Path(__file__).parents[2]


def appender(store: Store, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.audit.appender", str(store.folder), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def stored(store: Store) -> set[tuple[str, str]]:
    """Kind and run of every leaf, once the whole log is found intact."""
    reader = store.reader()
    report = verify(reader, store.keys.vkey, sealing=store.keys.sealing, bundle_digest=digest_of, now=0)
    said = [orjson.loads(record) for _, _, record in reader.leaves(0, report.size)]
    reader.close()
    assert report.findings == ()
    assert report.signed == report.size
    return {(leaf["kind"].removeprefix("call."), leaf["run"]) for leaf in said if "run" in leaf}


async def kill_rounds(store: Store, rounds: int) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance, acknowledged = random.Random(seed), set[tuple[str, str]]()
    for _ in range(rounds):
        process = appender(store, "8")
        assert process.stdout is not None
        for _ in range(chance.randrange(1, 300)):
            process.stdout.readline()
        process.kill()
        lines = process.stdout.read().splitlines()
        process.wait()
        process.stdout.close()
        acknowledged |= {(kind, run) for kind, _, run in (line.partition(" ") for line in lines) if len(run) == 36}
        await store.open().close()  # recovery is an ordinary start
        assert acknowledged <= stored(store)


@pytest.mark.promise("every-ending-is-recorded")
async def test_kill_9_loses_no_acknowledged_record(store: Store) -> None:
    await kill_rounds(store, 4)


@pytest.mark.slow
@pytest.mark.promise("every-ending-is-recorded")
async def test_sixty_times_kill_9_lose_no_acknowledged_record(store: Store) -> None:
    await kill_rounds(store, 60)


@pytest.mark.promise("fail-closed")
async def test_a_file_that_may_not_grow_stops_the_log_and_loses_nothing(store: Store) -> None:
    process = appender(store, "8", str(400_000))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = out.splitlines()
    assert lines[-1].startswith("unavailable")
    acknowledged = {(kind, run) for kind, _, run in (line.partition(" ") for line in lines[:-1])}
    assert len(acknowledged) > 10
    await store.open().close()
    assert acknowledged <= stored(store)


@pytest.mark.promise("fail-closed")
async def test_a_full_disk_stops_the_log_until_there_is_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BACK_OFF", (0.0,))
    database = SqliteDatabase(store.path)
    log = logs.Log.open(database, store.keys)
    await log.append(*boot())
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages + 30}")
    acknowledged, full = 1, None
    while full is None:
        try:
            await log.append([Record("log.canary", None, {"text": "x" * 5000})])
            acknowledged += 1
        except LogUnavailable as error:
            full = error
    assert "full" in full.detail
    assert acknowledged > 3
    assert not log.available
    await log.recovered()  # the limit was the connection's: a new one has room
    await asyncio.gather(*(call(log) for _ in range(3)))
    await log.close()
    stored(store)
    reader = store.reader()
    assert reader.count() == acknowledged + 6
    reader.close()


READ_ONLY = """
import os
import sys
from pathlib import Path
from gateway.errors import LogUnavailable
from gateway.storage.sqlite import SqliteDatabase
os.chdir(sys.argv[1])
if os.geteuid() == 0:  # root may write everywhere
    os.setuid(65534)
try:
    SqliteDatabase(Path("bascule.db"))
except LogUnavailable as error:
    sys.exit(str(error.detail))
"""


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("exists", [True, False])
async def test_a_folder_that_cannot_be_written_is_refused_at_the_start(store: Store, exists: bool) -> None:
    if exists:
        await store.open().close()
        store.path.chmod(0o444)
    store.folder.chmod(0o555)
    command = [sys.executable, "-c", READ_ONLY, str(store.folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: ASYNC221
    store.folder.chmod(0o755)
    assert done.returncode == 1
    assert "opening" in done.stderr
    assert "ermission denied" in done.stderr
