"""The two processes of the demonstration: started together, waited for, always stopped and reaped."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
READY_S = 30.0
STOP_S = 10.0
Process = asyncio.subprocess.Process


class NotReady(Exception):
    """A process did not come up; the message shows the end of what it printed."""


@contextlib.asynccontextmanager
async def running(log: Path, *module_and_options: str) -> AsyncIterator[Process]:
    """`python -m …` while the block lasts, in a session of its own so that Ctrl-C reaches it through us."""
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *module_and_options, stdout=written, stderr=written, cwd=ROOT, start_new_session=True
        )
    try:
        yield process
    finally:
        await stop(process)


async def stop(process: Process) -> None:
    """Ask it to end, then make it."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()


async def output(*module_and_options: str) -> tuple[int, str]:
    """Run a command to its end: exit code, and everything it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *module_and_options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), READY_S)
    finally:
        await stop(process)
    return process.returncode or 0, printed.decode(errors="replace")


async def answering(process: Process, log: Path, port: int, path: str, wanted: bytes = b" 200 ") -> None:
    """Wait until `GET path` is answered with a status line that holds `wanted`."""
    try:
        async with asyncio.timeout(READY_S):
            while wanted not in await _status_line(port, path):
                await _still_there(process)
    except (TimeoutError, ChildProcessError) as problem:
        raise NotReady(_why(process, log)) from problem


def port_or_free(wanted: int) -> int:
    """`wanted`, or any port where something else listens there."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            chosen: int = listener.getsockname()[1]
            return chosen
    raise NotReady("no free port on 127.0.0.1")


async def _still_there(process: Process) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(process.wait()), 0.02)
        raise ChildProcessError


async def _status_line(port: int, path: str) -> bytes:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return b""
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        return await reader.readline()
    except OSError:
        return b""
    finally:
        writer.close()


def _why(process: Process, log: Path) -> str:
    what = "is not ready" if process.returncode is None else f"ended with status {process.returncode}"
    last = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
    return f"the {log.stem} {what}; the end of {log}:\n{last}"
