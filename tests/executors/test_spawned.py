"""Processes as the operating system has them: under the loop that serves, and under the one that tests."""

import asyncio
import os
import signal
import sys
import textwrap
from typing import Any

import pytest

from gateway.executors import process
from gateway.executors.spawned import DEVNULL, Spawned, spawned

ENV = {"PATH": os.environ.get("PATH", os.defpath)}
UNDER_UVLOOP = """
    import asyncio, os, uvloop
    from gateway.executors.spawned import spawned

    out, into = os.pipe()
    os.register_at_fork(after_in_child=lambda: os.write(into, b"x"))

    async def main():
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        child = await spawned(["/bin/sh", "-c", "read line; echo $line; exit 7"], env={})
        child.stdin.write(b"hello\\n")
        await child.stdin.drain()
        print(await child.stdout.readline(), await child.wait(), child.returncode, await child.stderr.read())
        child.close()

    uvloop.run(main())
    os.close(into)
    print(os.read(out, 99))
"""


@pytest.mark.promise("processes.no_fork")
async def test_no_python_runs_in_a_child_before_its_program() -> None:
    code, said = await process.run([sys.executable, "-W", "error", "-c", textwrap.dedent(UNDER_UVLOOP)], 60)
    assert (code, said.splitlines()) == (0, ["b'hello\\n' 7 7 b''", "b''"])


async def test_an_end_by_a_signal_is_its_negative_number() -> None:
    child = await spawned(["/bin/sh", "-c", "kill -9 $$"], env=ENV, stdin=DEVNULL)
    assert await child.wait() == -signal.SIGKILL == child.returncode
    child.close()


async def test_its_end_is_noticed_while_somebody_else_holds_its_streams() -> None:
    child = await spawned(["/bin/sh", "-c", "sleep 60 & echo $!"], env=ENV, stdin=DEVNULL)
    assert child.stdout
    other = int(await child.stdout.readline())
    assert await child.wait() == 0
    os.kill(other, signal.SIGKILL)
    child.close()


def _absent(_pid: int) -> int:
    raise OSError(38, "Function not implemented")


@pytest.mark.parametrize("how", ["the system has none", "it is not allowed"])
async def test_without_descriptors_of_processes_a_thread_waits(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "it is not allowed":
        monkeypatch.setattr(os, "pidfd_open", _absent)
    else:
        monkeypatch.delattr(os, "pidfd_open")
    child = await spawned(["/bin/sh", "-c", "exit 3"], env=ENV, stdin=DEVNULL)
    assert await child.wait() == 3
    child.close()


async def test_many_wait_for_one_end_and_one_that_gives_up_changes_nothing() -> None:
    child = await spawned(["/bin/sh", "-c", "read line"], env=ENV)
    waiting = [asyncio.ensure_future(child.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert child.stdin
    child.stdin.close()
    assert await asyncio.gather(*waiting[1:]) == [1, 1]
    assert await child.wait() == 1
    child.close()


async def test_one_that_cannot_be_attached_is_not_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Spawned] = []

    async def none_left(self: Spawned, _line_limit: int) -> None:
        started.append(self)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Spawned, "attach", none_left)
    with pytest.raises(OSError, match="Too many open files"):
        await spawned(["/bin/sh", "-c", "sleep 60"], env=ENV)
    (child,) = started
    assert child.returncode == -signal.SIGKILL
    assert await child.wait() == -signal.SIGKILL
    popen: Any = child._process
    for pipe in (popen.stdin, popen.stdout, popen.stderr):
        pipe.close()


async def test_what_cannot_be_started_says_so_and_leaves_nothing_open() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        await spawned(["/no/such/program"], env=ENV)
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1  # the listing's own
