"""One program, run to its end."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from gateway.executors import process


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
