"""The watch over a process tree, on ordinary processes that report themselves as a sandbox's first."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from gateway.executors import process
from gateway.executors.process import Child, Start
from gateway.executors.sandbox import watchdog
from gateway.executors.sandbox.profiles import Limits, Profile
from gateway.executors.sandbox.watchdog import Watchdog, tree

REPORTS = """
import os, sys, threading, time
os.write(int(sys.argv[1]), b'{"child-pid": %d}\\n' % os.getpid())
def said():
    print('ready', flush=True)
    sys.stdin.readline()
exec(sys.argv[2])
"""
WAITING = "said()"
GREEDY = "said(); held = b'x' * (96 << 20); print('taken', flush=True); time.sleep(60)"
GREEDY_CHILD = "said()\nif os.fork() == 0: held = b'x' * (96 << 20)\ntime.sleep(60)"
MANY = (
    "said(); [threading.Thread(target=time.sleep, args=(60,), daemon=True).start() for _ in range(40)]; time.sleep(60)"
)
SMALL = Profile(limits=Limits(memory_mb=64, pids=16), work_mb=1)


async def started(then: str) -> Child:
    child = await process.start(Start((sys.executable, "-I", "-c", REPORTS, "{fd:status}", then), sandboxed=True))
    assert await child.stdout.readline() == b"ready\n"
    return child


@pytest.mark.parametrize(
    ("then", "violation"),
    [
        (GREEDY, "it used more than its 64 MB of memory"),
        (GREEDY_CHILD, "it used more than its 64 MB of memory"),
        (MANY, "it started more than its 16 processes"),
    ],
    ids=["memory", "memory of a child", "threads"],
)
async def test_who_takes_too_much_while_working_is_killed_and_the_reason_kept(then: str, violation: str) -> None:
    child = await started(then)
    watch = child.watch = Watchdog(child, SMALL)
    with child.working():
        child.stdin.write(b"\n")
        await child.wait()
    assert child.violation == violation
    assert not child.sandbox_failed
    await watch.close()
    await child.stop(1)


async def test_a_home_that_grows_too_large_ends_its_server(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x" * (2 << 20))
    (tmp_path / "away").symlink_to("/")
    child = await started(WAITING)
    child.watch = Watchdog(child, SMALL, tmp_path)
    with child.working():
        await child.wait()
    assert child.violation == "its home grew beyond 1 MB"
    await child.stop(1)


async def test_a_home_of_too_many_files_ends_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "MOST_FILES", 10)
    for place in range(11):
        (tmp_path / str(place)).touch()
    child = await started(WAITING)
    child.watch = Watchdog(child, SMALL, tmp_path)
    with child.working():
        await child.wait()
    assert child.violation == "its home holds more than 10 files"
    await child.stop(1)


async def test_who_stays_within_its_limits_is_left_alone(tmp_path: Path) -> None:
    child = await started(WAITING)
    looked = asyncio.Event()
    watch = child.watch = Watchdog(child, SMALL, tmp_path)
    with child.working():
        asyncio.get_running_loop().call_later(watchdog.POLL_SECONDS * 3, looked.set)
        await looked.wait()
        child.stdin.write(b"\n")
        assert await child.wait() == 0
    assert child.violation == ""
    await watch.close()
    await child.stop(1)


async def test_nothing_wakes_up_while_it_is_idle() -> None:
    child = await started(WAITING)
    child.watch = Watchdog(child, SMALL)
    loop = asyncio.get_running_loop()

    def waiting() -> list[asyncio.TimerHandle]:
        return [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]

    with child.working():
        assert waiting()
    [last] = waiting()  # one more look, for what many short calls took
    last._run()
    last.cancel()
    assert not waiting()
    await child.stop(20)


async def test_the_watch_ends_with_the_process() -> None:
    child = await started(WAITING)
    watch = Watchdog(child, SMALL)
    child.stdin.write(b"\n")
    await child.wait()
    watch.begin()
    watch.end()
    await watch.close()
    await child.stop(1)


async def test_a_process_without_a_sandbox_is_not_watched() -> None:
    child = await process.start(Start((sys.executable, "-I", "-c", "import sys; sys.stdin.read()")))
    watch = Watchdog(child, SMALL)
    watch.begin()
    await child.stop(20)
    assert child.violation == ""


async def test_a_tree_holds_all_descendants_and_survives_their_ends() -> None:
    child = await started("pid = os.fork()\nif pid == 0: os.fork()\nsaid() if pid else time.sleep(60)")
    pids = list(tree(child.pid))
    assert pids[0] == child.pid
    assert len(set(pids)) == len(pids) >= 2
    assert os.getpid() not in pids
    await child.stop(0)
    assert list(tree(child.pid)) == [child.pid]
