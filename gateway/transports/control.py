"""The owner of a state folder: its lock, and the socket on which the command line asks it for operator actions.

One line of JSON each way: `{"do": NAME, "with": {…}}` -> `{"ok": {…}}` or `{"error": {…}}`; after the `ok` of a stream
the connection is that stream's (wrapped.py). Not the actions themselves (admin.py) and not who may do what: whoever
reaches the socket is the user who owns the folder, or root.
"""

import asyncio
import contextlib
import fcntl
import inspect
import logging
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import orjson

from gateway.errors import BasculeError, ConfigError, Failed, Fatal, LogUnavailable, Malformed, Refused
from gateway.model import Code, JsonObject
from gateway.transports.uses import Uses

Action = Callable[..., Awaitable[JsonObject]]
"""Called with `operator=` and what the asker gave under `with`."""
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What has the connection from then on. It is called once, and cancelled when the owner stops."""
Stream = Callable[..., Awaitable[tuple[JsonObject, Talk]]]
"""An action that takes over the connection once its answer is told."""

QUESTION_BYTES = 1 << 20
ANSWER_BYTES = 1 << 28
STOPPING_SECONDS = 60.0
"""How long streams may take to end what they began."""
_LONGEST_ADDRESS = 100
"""sun_path holds 108 bytes on Linux, 104 on macOS."""
_log = logging.getLogger(__name__)


class Owner:
    """The one process that may write in a state folder, for as long as it holds this."""

    def __init__(self, state: Path, lock: int) -> None:
        self.state, self._lock = state, lock

    @classmethod
    def take(cls, state: Path) -> Self:
        """Lock the folder. Raises ConfigError when it is not private or has another owner."""
        check_private(state)
        try:
            lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as problem:
            raise ConfigError(f"state folder {state} cannot be written: {problem.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        except BlockingIOError:
            pid = os.pread(lock, 20, 0).decode("ascii", "replace") or "unknown"
            os.close(lock)
            raise ConfigError(
                f"state folder {state} belongs to the running process {pid}: stop it, or give this one another `state`"
                " (where a client's `wrap` started it, it ends by itself ten minutes after its last use)"
            ) from None
        except OSError as problem:
            os.close(lock)
            raise ConfigError(f"state folder {state} cannot be locked: {problem.strerror}") from None
        return cls(state, lock)

    def release(self) -> None:
        """Give the folder up. The file stays: removing it would let two owners lock two files."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def check_private(state: Path) -> None:
    """Raise ConfigError unless the folder is there, ours and closed to others."""
    try:
        status = state.stat()
    except OSError:
        raise ConfigError(f"no state folder at {state}: `bascule init` makes one") from None
    if not state.is_dir():
        raise ConfigError(f"{state} is no folder")
    if status.st_uid != os.geteuid():
        raise ConfigError(f"state folder {state} belongs to user {user_name(status.st_uid)}, not to this one")
    if status.st_mode & 0o077:
        raise ConfigError(f"state folder {state} is open to other users: chmod 700 {state}")


class Control:
    """The owner's side of the socket."""

    def __init__(
        self,
        state: Path,
        actions: Mapping[str, Action],
        streams: Mapping[str, Stream] | None = None,
        *,
        uses: Uses | None = None,
    ) -> None:
        self._state, self._actions = state, actions
        self._streams = streams if streams is not None else {}
        self._uses = uses if uses is not None else Uses()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._talking: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Listen. Only the owner of the folder may: what stands at the address is stale and removed."""
        with _address(self._state) as address:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)
            self._server = await asyncio.start_unix_server(self._converse, address, limit=QUESTION_BYTES)
            os.chmod(address, 0o600)

    async def close(self) -> None:
        """Stop listening, let streams end what they began, hang up."""
        if self._server is None:
            return
        self._server.close()
        if talking := tuple(self._talking):
            for task in talking:
                task.cancel()
            await asyncio.wait(talking, timeout=STOPPING_SECONDS)
        for writer in tuple(self._open):
            writer.close()
        await self._server.wait_closed()
        (self._state / "control.sock").unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            uid = _peer(writer)
            while uid in {os.getuid(), 0}:
                try:
                    line = await reader.readline()
                except ValueError:
                    writer.write(_error("Malformed", f"a question is at most {QUESTION_BYTES} bytes") + b"\n")
                    break
                if not line.endswith(b"\n"):
                    break
                with self._uses.one():
                    answer, talk = await self._answer(line, f"os:{user_name(uid)}")
                    writer.write(answer + b"\n")
                    if talk is not None:
                        # Nothing may be awaited before it: what the stream was given is given back only by its end.
                        await self._talk(talk, reader, writer)
                        break
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _talk(self, talk: Talk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        try:
            await talk(reader, writer)
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - transport boundary: one stream's bug must not end the gateway
            _log.exception("control stream failed")
        finally:
            self._talking.discard(task)

    async def _answer(self, line: bytes, operator: str) -> tuple[bytes, Talk | None]:
        try:
            name, given = _question(line)
            action = self._actions.get(name) or self._streams.get(name)
            if action is None:
                return _error("Malformed", f"no action '{name}'"), None
            try:
                bound = inspect.signature(action).bind(operator=operator, **given)
            except TypeError as problem:
                return _error("Malformed", f"{name}: {problem}"), None
            done = await action(*bound.args, **bound.kwargs)
            answer, talk = (done, None) if isinstance(done, dict) else done
            return orjson.dumps({"ok": answer}), talk
        except BasculeError as problem:
            return orjson.dumps({"error": carried(problem)}), None
        except Exception as problem:  # noqa: BLE001 - transport boundary: one action's bug must not end the gateway
            _log.exception("control action failed")
            return _error("Failed", f"the gateway failed at this: {type(problem).__name__} (see its log)"), None


def ask(state: Path, do: str, *, wait_s: float = 300, **given: object) -> JsonObject | None:
    """The owner's answer, None when the folder has no owner that listens. Raises what the action raised."""
    if not state.is_dir():
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, _address(state) as address:
        line.settimeout(wait_s)
        try:
            line.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as problem:
            raise ConfigError(f"the control socket in {state} cannot be reached: {problem.strerror}") from None
        try:
            line.sendall(orjson.dumps({"do": do, "with": given}) + b"\n")
            answer = _read_line(line)
        except OSError:
            raise ConfigError(f"the gateway that owns {state} does not answer; is it stopping?") from None
    if "ok" in answer:
        result: JsonObject = answer["ok"]
        return result
    raise raised(answer.get("error", {}))


def carried(problem: BasculeError) -> JsonObject:
    """An error as JSON, whole: the operator may see its detail."""
    fields = {"type": type(problem).__name__, "reason": str(problem)}
    names = ("code", "reason", "would_pass", "detail", "unknown", "problem", "file", "line", "column")
    return fields | {name: value for name in names if (value := getattr(problem, name, None))}


def raised(error: Mapping[str, Any]) -> BasculeError:
    """The error that `carried` wrote down."""
    reason, detail = error.get("reason", "the gateway gave no reason"), error.get("detail", "")
    code = Code(error["code"]) if error.get("code") in set(Code) else None
    match error.get("type"):
        case "ConfigError":
            place = {"file": error.get("file", ""), "line": error.get("line", 0), "column": error.get("column", 0)}
            return ConfigError(error.get("problem", reason), **place)
        case "Refused" if code:
            return Refused(code, reason, would_pass=error.get("would_pass", ""), detail=detail)
        case "Failed" if code:
            return Failed(code, reason, detail=detail, unknown=error.get("unknown", False))
        case "Malformed" if code:
            return Malformed(code, reason, jsonrpc=-32600)
        case "LogUnavailable":
            return LogUnavailable(detail)
        case "Fatal":
            return Fatal(reason)
        case _:
            return BasculeError(reason)


def user_name(uid: int) -> str:
    """The user's name, the number where the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _question(line: bytes) -> tuple[str, JsonObject]:
    try:
        question = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise BasculeError("not JSON") from None
    name = question.get("do") if isinstance(question, dict) else None
    given = question.get("with", {}) if isinstance(question, dict) else None
    if not isinstance(name, str) or not isinstance(given, dict):
        raise BasculeError("a question is {do: NAME, with: {…}}")
    return name, given


def _error(kind: str, reason: str) -> bytes:
    return orjson.dumps({"error": {"type": kind, "reason": reason}})


def _peer(writer: asyncio.StreamWriter) -> int:
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


def _read_line(line: socket.socket) -> JsonObject:
    answer = bytearray()
    while not answer.endswith(b"\n"):
        piece = line.recv(1 << 16)
        if not piece or len(answer) > ANSWER_BYTES:
            raise ConnectionResetError
        answer += piece
    parsed: JsonObject = orjson.loads(answer)
    return parsed


@contextlib.contextmanager
def _address(state: Path) -> Iterator[str]:
    """The socket's path, through a descriptor where the folder's own path is too long for the kernel."""
    address = str(state / "control.sock")
    if len(os.fsencode(address)) <= _LONGEST_ADDRESS:
        yield address
        return
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/control.sock"
    finally:
        os.close(folder)
