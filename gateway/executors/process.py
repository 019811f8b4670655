"""One program run to its end, with a time limit. Not a tool server: those are kept and spoken to."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Sequence

TIMED_OUT = 124
NOT_STARTED = 127
"""What `timeout` and a shell answer in the same case."""


async def run(argv: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """The exit code and everything it printed; after `timeout_s` it and what it started are killed."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True)
    )
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:  # it may run already, and nobody else knows of it
        await _killed(await starting)
        raise
    except OSError as error:
        return NOT_STARTED, f"{argv[0]} cannot be started: {error.strerror}"
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except TimeoutError:
        return TIMED_OUT, f"{argv[0]} took longer than {timeout_s:g} s"
    finally:
        await _killed(process)
    return process.returncode or 0, output.decode(errors="replace")


async def _killed(process: asyncio.subprocess.Process) -> None:
    """End the process and all it started, if it has not ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
