"""The way to the owner of a state folder: its socket, and the starting of one where nobody listens.

Not the conversation (shim.py). Two that find nobody start one owner: the first holds a lock while it does, the other
waits for it and then finds the owner. Standard library only.
"""

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator

IDLE_SECONDS = 600
"""After so long without anybody an owner that was started here ends."""
START_SECONDS = 30.0
ANSWER_SECONDS = 60.0
LOG = "owner.log"
LOG_BYTES = 1 << 20
LINES_SHOWN = 20
_LONGEST_ADDRESS = 100
_PIECE = 1 << 16
_USAGE = 2
_TAKEN = b"belongs to the running process"
"""What an owner says (control.py) where another has the folder."""


class Unserved(Exception):
    """There is nobody who would serve this wrap, and why."""

    def __init__(self, reason: str, status: int = 1) -> None:
        super().__init__(reason)
        self.status = status


def greeted(state: str, config: str, question: dict[str, object]) -> tuple[socket.socket, dict[str, object]]:
    """A connection on which the owner serves this wrap, and what it told. Raises Unserved."""
    until = time.monotonic() + START_SECONDS
    while True:
        line = dialled(state) or started(state, config)
        line.settimeout(ANSWER_SECONDS)
        try:
            line.sendall(json.dumps({"do": "wrap", "with": question}).encode() + b"\n")
            answer = read_line(line)
        except OSError:
            answer = b""
        if answer:
            break
        line.close()  # it was ending: there is none now, or soon
        if time.monotonic() > until:
            raise Unserved("the gateway does not answer: see its log")
    told = json.loads(answer)
    if "ok" not in told:
        line.close()
        error = told.get("error", {})
        raise Unserved(error.get("reason", "the gateway gave no reason"), _USAGE)
    line.settimeout(None)
    return line, told["ok"]


def dialled(state: str) -> socket.socket | None:
    """A connection to the owner, None where nobody listens. Raises Unserved where the socket may not be reached."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(state) as address:
            line.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        line.close()
        return None
    except OSError as problem:
        line.close()
        raise Unserved(f"the control socket in {state} cannot be reached: {problem.strerror}") from None
    return line


def started(state: str, config: str) -> socket.socket:
    """A connection to an owner that was started for it, here or by another wrap meanwhile. Raises Unserved."""
    try:
        lock = os.open(os.path.join(state, "start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        raise Unserved(f"no state folder at {state}: `bascule init` makes one", _USAGE) from None
    except OSError as problem:
        raise Unserved(f"state folder {state} cannot be written: {problem.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return dialled(state) or _listening(state, config)
    finally:
        os.close(lock)


def _listening(state: str, config: str) -> socket.socket:
    with contextlib.suppress(ChildProcessError):  # an earlier owner of ours that has ended
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    until = time.monotonic() + START_SECONDS
    child, said_from = _spawned(state, config)
    while time.monotonic() < until:
        time.sleep(0.01)
        if (line := dialled(state)) is not None:
            return line
        if os.waitpid(child, os.WNOHANG)[0] == 0:
            continue
        said = _said(state, said_from)
        if _TAKEN not in said:
            raise Unserved("the gateway did not start:\n" + _shown(said), _USAGE)
        time.sleep(0.2)  # another owner: it starts, or has nearly ended
        child, said_from = _spawned(state, config)
    raise Unserved(f"the gateway did not listen within {START_SECONDS:g} s:\n" + _shown(_said(state, said_from)))


def _spawned(state: str, config: str) -> tuple[int, int]:
    """The owner's process, and where in its log begins what it says. It outlives this one and has nothing of it."""
    path = os.path.join(state, LOG)
    with contextlib.suppress(FileNotFoundError):
        if os.stat(path).st_size > LOG_BYTES:
            os.replace(path, f"{path}.1")
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    said_from = os.fstat(log).st_size
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)  # noqa: FBT003
    try:
        # -P: the client's working directory is no place to take modules from.
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "gateway", "serve", "--config", config, "--idle", str(IDLE_SECONDS)],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
        )
        return child, said_from
    finally:
        os.close(log)


def _said(state: str, said_from: int) -> bytes:
    with contextlib.suppress(OSError), open(os.path.join(state, LOG), "rb") as log:
        log.seek(said_from)
        return log.read(LOG_BYTES)
    return b""


def _shown(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").splitlines()[-LINES_SHOWN:]
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines) or "it said nothing"


def read_line(line: socket.socket) -> bytes:
    """The owner's answer; it says nothing more until it is spoken to."""
    answer = bytearray()
    while not answer.endswith(b"\n"):
        piece = line.recv(_PIECE)
        if not piece:
            return b""
        answer += piece
    return bytes(answer)


@contextlib.contextmanager
def _address(state: str) -> Iterator[str]:
    """The socket's path, through a descriptor where the folder's own path is too long for the kernel."""
    address = os.path.join(state, "control.sock")
    if len(os.fsencode(address)) <= _LONGEST_ADDRESS:
        yield address
        return
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/control.sock"
    finally:
        os.close(folder)
