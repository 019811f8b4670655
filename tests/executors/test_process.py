"""One program, run to its end."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from gateway.executors import process
from gateway.executors.process import Start


async def test_a_program_answers_with_its_code_and_all_that_it_printed() -> None:
    code, said = await process.run(
        [sys.executable, "-c", "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"], 20
    )
    assert (code, said) == (3, "out\nerr\n")


async def test_a_program_is_given_nothing_to_read_and_no_shell() -> None:
    assert await process.run(
        [sys.executable, "-c", "import sys; print(repr(sys.stdin.read()), sys.argv[1])", "$HOME;"], 20
    ) == (
        0,
        "'' $HOME;\n",
    )


async def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert await process.run([sys.executable, "-c", r"import os; os.write(1, b'\xff')"], 20) == (0, "\ufffd")


@pytest.mark.parametrize("name", ["no-such-program-anywhere", "/"])
async def test_what_cannot_be_started_says_so(name: str) -> None:
    code, said = await process.run([name], 20)
    assert code == process.NOT_STARTED
    assert said.startswith(f"{name} cannot be started: ")


WAITING = 'exec 3>"$0"; echo ready >&3; (sleep 60; echo alive >&3) & sleep 60; echo alive >&3'
"""Holds a pipe open, and a child that holds it too."""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


async def test_after_its_time_it_and_what_it_started_are_killed(pipe: Path) -> None:
    opening = asyncio.ensure_future(asyncio.to_thread(pipe.open))
    code, said = await process.run(["sh", "-c", WAITING, str(pipe)], 2)
    assert (code, said) == (process.TIMED_OUT, "sh took longer than 2 s")
    with await opening as reading:
        assert await asyncio.to_thread(reading.read) == "ready\n"


async def test_whoever_stops_waiting_stops_it(pipe: Path) -> None:
    running = asyncio.ensure_future(process.run(["sh", "-c", WAITING, str(pipe)], 600))
    with await asyncio.to_thread(pipe.open) as reading:
        assert await asyncio.to_thread(reading.readline) == "ready\n"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(reading.read) == ""


async def test_a_kept_process_is_spoken_to_and_inherits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "of ours")
    code = (
        "import os,sys; print(sorted(os.environ), flush=True); print(sys.stdin.readline().upper(), end=''); sys.exit(4)"
    )
    child = await process.start(Start((sys.executable, "-I", "-c", code), env={"OWN": "1"}))
    environment = await child.stdout.readline()
    child.stdin.write(b"hello\n")
    assert await child.stdout.readline() == b"HELLO\n"
    assert b"CANARY" not in environment
    assert b"OWN" in environment
    assert await child.wait() == 4 == child.returncode
    assert (child.sandbox_pid, child.sandbox_failed, child.violation) == (None, False, "")
    await child.stop(1)


async def test_contents_are_read_from_descriptors_named_in_the_arguments() -> None:
    code = "import sys; print([open(int(name)).read() for name in sys.argv[1:3]], sys.argv[3:])"
    words = ("{fd:one}", "{fd:two}", "{fd:one}", "x{fd:two}", "{fd:three}")
    start = Start((sys.executable, "-I", "-c", code, *words), contents={"one": b"first", "two": b"{fd:one}"})
    child = await process.start(start)
    said = (await child.stdout.read()).decode()
    assert said == "['first', '{fd:one}'] ['{fd:one}', 'x{fd:two}', '{fd:three}']\n"
    await child.stop(1)


async def test_only_the_first_such_word_of_a_content_is_a_descriptor() -> None:
    code = "import sys; print(open(int(sys.argv[1])).read().split(chr(0)))"
    contents = {"one": b"x{fd:two}\0{fd:two}\0{fd:two}\0{fd:one}\0", "two": b""}
    child = await process.start(Start((sys.executable, "-I", "-c", code, "{fd:one}"), contents=contents))
    words = (await child.stdout.read()).decode().strip("[]\n").replace("'", "").split(", ")
    assert words[1].isdigit()
    assert (words[0], *words[2:]) == ("x{fd:two}", "{fd:two}", "{fd:one}", "")
    await child.stop(1)


async def test_what_cannot_be_kept_raises_and_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No such file"):
        await process.start(Start(("/no/such/program",), contents={"one": b"x"}, sandboxed=True, held=True))
    assert len(os.listdir("/proc/self/fd")) == before


REPORTS = """
import os, sys, time
os.write(int(sys.argv[1]), b'{"child-pid": %d}\\n' % os.getpid())
exec(sys.argv[2])
"""


async def reporting(then: str, *, held: bool = False) -> process.Child:
    gate = ("{fd:gate}",) if held else ()
    return await process.start(
        Start((sys.executable, "-I", "-c", REPORTS, "{fd:status}", then, *gate), sandboxed=True, held=held)
    )


@pytest.mark.parametrize(
    ("then", "failed"),
    [
        ("sys.exit(1)", True),
        ("os.write(int(sys.argv[1]), b'{\"exit-code\": 1}\\n'); sys.exit(1)", False),
        ("os.write(int(sys.argv[1]), b'{\"exit-code\": 0}\\n')", False),
        ("os.kill(os.getpid(), 9)", False),
    ],
)
async def test_a_sandbox_that_ends_before_its_program_has_failed(then: str, *, failed: bool) -> None:
    child = await reporting(then)
    assert child.sandbox_pid == child.pid
    await child.wait()
    assert child.sandbox_failed is failed
    await child.stop(1)


@pytest.fixture
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """These are in no sandbox: there is nothing to wait for until it is made."""

    async def made(pid: int) -> None:
        return None

    monkeypatch.setattr(process, "made", made)


@pytest.mark.usefixtures("as_it_is")
async def test_a_held_process_waits_until_it_is_released() -> None:
    child = await reporting("os.read(int(sys.argv[3]), 1); print('on')", held=True)
    assert child.returncode is None
    child.release()
    child.release()
    assert await child.stdout.readline() == b"on\n"
    await child.stop(1)
    child.release()


@pytest.mark.usefixtures("as_it_is")
async def test_a_held_process_that_is_stopped_never_runs_on() -> None:
    child = await reporting("os.read(int(sys.argv[3]), 1); print('on')", held=True)
    await child.stop(20)
    assert child.returncode == -9
    assert await child.stdout.read() == b""


async def test_a_kill_says_why_and_a_second_reason_does_not_count() -> None:
    child = await reporting("time.sleep(60)")
    child.kill("it used too much")
    child.kill("it was slow")
    await child.wait()
    assert child.violation == "it used too much"
    assert not child.sandbox_failed
    await child.stop(1)


async def test_a_process_that_has_ended_is_not_killed_for_anything() -> None:
    child = await process.start(Start((sys.executable, "-I", "-c", "")))
    await child.wait()
    child.kill("late")
    assert child.violation == ""
    await child.stop(1)


class Counted:
    """A watch that only counts."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def begin(self) -> None:
        self.seen.append("begin")

    def end(self) -> None:
        self.seen.append("end")


async def test_it_is_watched_from_the_first_call_to_the_last() -> None:
    child = await process.start(Start((sys.executable, "-I", "-c", "import sys; sys.stdin.read()")))
    watch = child.watch = Counted()
    with child.working():
        with child.working():
            assert watch.seen == ["begin"]
        assert watch.seen == ["begin"]
    assert watch.seen == ["begin", "end"]
    with pytest.raises(RuntimeError, match="broken"), child.working():
        raise RuntimeError("broken")
    assert watch.seen == ["begin", "end"] * 2
    await child.stop(20)


async def test_what_ends_with_it_is_ended_once() -> None:
    child = await process.start(Start((sys.executable, "-I", "-c", "")))
    ended: list[str] = []

    async def end() -> None:
        ended.append("way out")

    child.on_end.append(end)
    await child.stop(20)
    await child.stop(20)
    assert ended == ["way out"]
    assert child.returncode == 0


async def test_who_stops_waiting_for_a_start_leaves_nothing_running(pipe: Path) -> None:
    silent = 'exec 3>"$0"; echo ready >&3; sleep 60'
    starting = asyncio.ensure_future(process.start(Start(("/bin/sh", "-c", silent, str(pipe)), sandboxed=True)))
    with await asyncio.to_thread(pipe.open) as reading:
        assert await asyncio.to_thread(reading.readline) == "ready\n"
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert await asyncio.to_thread(reading.read) == ""
