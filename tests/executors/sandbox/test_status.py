"""bubblewrap's report, as it comes over a pipe."""

import asyncio
import os

import pytest

from gateway.executors.sandbox.status import Status


def pipe() -> tuple[Status, int]:
    reading, writing = os.pipe()
    return Status(reading), writing


async def test_it_names_the_first_process_and_how_the_program_ended() -> None:
    status, writing = pipe()
    os.write(writing, b'{ "child-pid": 12, "net-namespace": 5 }\n{ "exit-')
    assert await status.began() == 12
    assert status.exit_code is None
    os.write(writing, b'code": 3 }\n')
    os.close(writing)
    await status.over()
    assert status.exit_code == 3


async def test_a_sandbox_that_never_began_is_no_process() -> None:
    status, writing = pipe()
    os.close(writing)
    assert await status.began() is None
    await status.over()
    assert status.exit_code is None


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b'{"child-pid": "x", "exit-code": null}\n', b"\n\n"])
async def test_what_is_no_report_is_passed_over(line: bytes) -> None:
    status, writing = pipe()
    os.write(writing, line + b'{"child-pid": 7}\n')
    assert await status.began() == 7
    os.close(writing)
    await status.over()


async def test_an_endless_line_is_not_kept() -> None:
    status, writing = pipe()
    filling = asyncio.ensure_future(asyncio.to_thread(_fill, writing))
    await status.over()
    await filling
    assert status.pid is None


def _fill(writing: int) -> None:
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BrokenPipeError:
        os.close(writing)


async def test_closing_twice_is_closing_once() -> None:
    status, writing = pipe()
    status.close()
    status.close()
    assert await status.began() is None
    os.close(writing)
