"""One owner per state folder, and what can be asked of it. Sockets are the subject here."""

import asyncio
import fcntl
import json
import multiprocessing
import os
import pwd
import socket
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import BasculeError, ConfigError, Failed, Fatal, LogUnavailable, Malformed, Refused
from gateway.model import Code, JsonObject
from gateway.transports import control
from gateway.transports.control import Control, Owner, ask
from gateway.transports.uses import Uses

ME = f"os:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


async def echo(*, operator: str, text: str = "") -> JsonObject:
    return {"operator": operator, "text": text}


@asynccontextmanager
async def listening(state: Path, **actions: control.Action) -> AsyncIterator[Control]:
    server = Control(state, actions or {"echo": echo})
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def asked(state: Path, do: str, **given: Any) -> JsonObject | None:
    return await asyncio.to_thread(ask, state, do, wait_s=10, **given)


async def raw(state: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(state / "control.sock"))
    writer.write(line)
    if not line.endswith(b"\n"):
        writer.write_eof()
    try:
        return await reader.readline()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_an_action_gets_what_was_asked_and_who_asks(state: Path) -> None:
    async with listening(state):
        assert await asked(state, "echo", text="hé\n") == {"operator": ME, "text": "hé\n"}


async def test_several_questions_fit_one_connection(state: Path) -> None:
    async with listening(state):
        reader, writer = await asyncio.open_unix_connection(str(state / "control.sock"))
        for text in ("one", "two"):
            writer.write(json.dumps({"do": "echo", "with": {"text": text}}).encode() + b"\n")
            assert json.loads(await reader.readline())["ok"]["text"] == text
        writer.close()


async def test_the_socket_is_for_its_owner_only(state: Path) -> None:
    async with listening(state):
        assert stat.S_IMODE((state / "control.sock").stat().st_mode) == 0o600


@pytest.mark.parametrize("uid", [os.getuid() + 1, 65534])
async def test_another_users_question_is_not_answered(state: Path, monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(control, "_peer", lambda _: uid)
    async with listening(state):
        assert await raw(state, b'{"do": "echo"}\n') == b""


async def test_the_peers_uid_comes_from_the_kernel(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[tuple[int, ...]] = []

    def getsockopt(*option: int) -> bytes:
        asked_for.append(option)
        return struct.pack("3i", 1, os.getuid() + 7, 2)

    class Writer:
        def get_extra_info(self, _: str) -> Any:
            return type("Socket", (), {"getsockopt": staticmethod(getsockopt)})

    assert control._peer(Writer()) == os.getuid() + 7  # type: ignore[arg-type] # only what _peer asks of it
    assert asked_for == [(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense\n", "not JSON"),
        (b"[]\n", "a question is"),
        (b'{"do": 7}\n', "a question is"),
        (b'{"do": "echo", "with": []}\n', "a question is"),
        (b'{"do": "none"}\n', "no action 'none'"),
        (b'{"do": "echo", "with": {"x": 1}}\n', "unexpected keyword argument 'x'"),
        (b'{"do": "echo", "with": {"operator": "os:root"}}\n', "operator"),
        (b"x" * (control.QUESTION_BYTES + 10) + b"\n", "at most"),
    ],
)
async def test_a_question_that_is_none_is_answered_with_why(state: Path, line: bytes, reason: str) -> None:
    async with listening(state):
        assert reason in json.loads(await raw(state, line))["error"]["reason"]
        assert await asked(state, "echo") is not None


async def test_half_a_question_is_not_answered(state: Path) -> None:
    async with listening(state):
        assert await raw(state, b'{"do": "echo"}') == b""


@pytest.mark.parametrize(
    "problem",
    [
        ConfigError("bad key", file="b.yaml", line=3, column=4),
        ConfigError("bad"),
        Refused(Code.NO_RULE, "no rule", would_pass="a rule", detail="d"),
        Failed(Code.UPSTREAM_TIMEOUT, "late", detail="d", unknown=True),
        Malformed(Code.PARSE, "not JSON", jsonrpc=-32600),
        LogUnavailable("disk full"),
        Fatal("head and records disagree"),
        BasculeError("plain"),
    ],
)
async def test_an_error_arrives_as_the_error_it_was(state: Path, problem: BasculeError) -> None:
    async def fail(*, operator: str) -> JsonObject:
        raise problem

    async with listening(state, fail=fail):
        with pytest.raises(type(problem)) as caught:
            await asked(state, "fail")
    assert str(caught.value) == str(problem)
    assert vars(caught.value) == vars(problem)


async def test_a_bug_in_an_action_is_told_without_its_text_and_ends_nothing(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*, operator: str) -> JsonObject:
        raise RuntimeError("secret")

    async with listening(state, fail=fail, echo=echo):
        with pytest.raises(BasculeError, match="RuntimeError") as caught:
            await asked(state, "fail")
        assert await asked(state, "echo") is not None
    assert "secret" not in str(caught.value)
    assert "control action failed" in caplog.text


async def shout(*, operator: str, with_what: str = "") -> tuple[JsonObject, control.Talk]:
    """A stream: told who it is, then every line back in capitals."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())

    return {"operator": operator, "with": with_what}, talk


@asynccontextmanager
async def streaming(
    state: Path, stream: control.Stream, uses: Uses | None = None
) -> AsyncIterator[tuple[Control, asyncio.StreamReader, asyncio.StreamWriter]]:
    server = Control(state, {"echo": echo}, {"shout": stream}, uses=uses)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(str(state / "control.sock"))
    try:
        yield server, reader, writer
    finally:
        writer.close()
        await server.close()


async def test_a_stream_has_the_connection_after_its_answer(state: Path) -> None:
    async with streaming(state, shout) as (_, reader, writer):
        writer.write(b'{"do": "shout", "with": {"with_what": "x"}}\nat once\n')
        assert json.loads(await reader.readline())["ok"] == {"operator": ME, "with": "x"}
        assert await reader.readline() == b"AT ONCE\n"
        writer.write(b'{"do": "echo"}\n')
        assert await reader.readline() == b'{"DO": "ECHO"}\n'
        writer.write_eof()
        assert await reader.read() == b""


async def test_a_stream_that_is_refused_leaves_the_connection_as_it_was(state: Path) -> None:
    async def refuse(*, operator: str) -> tuple[JsonObject, control.Talk]:
        raise ConfigError("no such upstream")

    async with streaming(state, refuse) as (_, reader, writer):
        for line, reason in (
            (b'{"do": "shout"}\n', "no such upstream"),
            (b'{"do": "shout", "with": {"y": 1}}\n', "'y'"),
        ):
            writer.write(line)
            assert reason in json.loads(await reader.readline())["error"]["reason"]
        writer.write(b'{"do": "echo"}\n')
        assert "ok" in json.loads(await reader.readline())


async def test_a_bug_in_a_stream_ends_only_its_connection(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*, operator: str) -> tuple[JsonObject, control.Talk]:
        async def talk(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            raise RuntimeError("bug")

        return {}, talk

    async with streaming(state, broken) as (_, reader, writer):
        writer.write(b'{"do": "shout"}\n')
        assert await reader.readline() == b'{"ok":{}}\n'
        assert await reader.read() == b""
        assert await asked(state, "echo") is not None
    assert "control stream failed" in caplog.text


async def test_closing_lets_a_stream_end_what_it_began(state: Path) -> None:
    ending = asyncio.Event()

    async def slow(*, operator: str) -> tuple[JsonObject, control.Talk]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            finally:
                ending.set()
                await asyncio.sleep(0)
                writer.write(b"the last\n")

        return {}, talk

    async with streaming(state, slow) as (server, reader, writer):
        writer.write(b'{"do": "shout"}\n')
        await reader.readline()
        await server.close()
        assert ending.is_set()
        assert await reader.read() == b"the last\n"


async def test_a_stream_is_a_use_as_long_as_it_lasts_and_a_question_until_it_is_answered(state: Path) -> None:
    clock = [0.0]
    uses = Uses(lambda: clock[0])
    async with streaming(state, shout, uses) as (_, reader, writer):
        clock[0] = 5
        assert await asked(state, "echo") is not None
        assert uses.idle_for(10) == 10
        clock[0] = 20
        assert uses.idle_for(10) == 0
        writer.write(b'{"do": "shout"}\n')
        await reader.readline()
        assert uses.idle_for(10) == 10
        writer.write_eof()
        await reader.read()
        clock[0] = 40
        assert uses.idle_for(10) == 0


def test_without_an_owner_there_is_no_answer(state: Path, tmp_path: Path) -> None:
    assert ask(state, "echo") is None
    assert ask(tmp_path / "none", "echo") is None


async def test_a_stale_socket_is_no_answer_and_is_replaced(state: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(state / "control.sock"))
    assert ask(state, "echo") is None
    async with listening(state):
        assert await asked(state, "echo") is not None
    assert not (state / "control.sock").exists()


async def test_an_owner_that_hangs_up_is_an_error(state: Path) -> None:
    async with listening(state) as server:

        async def hang_up(*, operator: str) -> JsonObject:
            for writer in server._open:
                writer.close()
            return {}

        server._actions = {"hang_up": hang_up}
        with pytest.raises(ConfigError, match="does not answer"):
            await asked(state, "hang_up")


async def test_closing_hangs_up_on_idle_askers(state: Path) -> None:
    async with listening(state):
        reader, writer = await asyncio.open_unix_connection(str(state / "control.sock"))
        writer.write(b'{"do": "echo"}\n')
        await reader.readline()
    assert await reader.read() == b""
    writer.close()


async def test_closing_what_never_started_does_nothing(state: Path) -> None:
    await Control(state, {}).close()


async def test_a_folder_deeper_than_a_socket_address_works(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["x" * 50] * 3)
    deep.mkdir(parents=True)
    async with listening(deep):
        assert await asked(deep, "echo", text="deep") == {"operator": ME, "text": "deep"}


def test_a_socket_that_may_not_be_reached_is_an_error(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", type("Socket", (socket.socket,), {"connect": connect}))
    with pytest.raises(ConfigError, match="Permission denied"):
        ask(state, "echo")


def test_a_user_the_system_does_not_know_is_a_number() -> None:
    assert control.user_name(4_000_000_000) == "4000000000"


def own(state: Path, pipe: Connection) -> None:
    with Owner.take(state):
        pipe.send(os.getpid())
        pipe.recv()


def test_a_second_owner_is_refused_and_told_who_the_first_is(state: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=own, args=(state, theirs), daemon=True)
    process.start()
    pid = ours.recv()
    with pytest.raises(ConfigError, match=f"belongs to the running process {pid}"):
        Owner.take(state)
    ours.send("done")
    process.join()
    with Owner.take(state):
        assert (state / "lock").read_text() == str(os.getpid())


def test_two_owners_in_one_process_are_refused_too(state: Path) -> None:
    first = Owner.take(state)
    with pytest.raises(ConfigError, match="belongs to"):
        Owner.take(state)
    first.release()
    first.release()
    Owner.take(state).release()


def test_a_state_folder_must_be_there_private_and_ours(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="bascule init"):
        Owner.take(tmp_path / "none")
    (tmp_path / "file").touch(mode=0o600)
    with pytest.raises(ConfigError, match="no folder"):
        Owner.take(tmp_path / "file")
    state.chmod(0o750)
    with pytest.raises(ConfigError, match="chmod 700"):
        Owner.take(state)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigError, match="belongs to user"):
        Owner.take(state)


def test_a_lock_that_is_a_link_is_not_followed(state: Path, tmp_path: Path) -> None:
    (state / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="cannot be written"):
        Owner.take(state)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_locked_is_an_error(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ConfigError, match="No locks available"):
        Owner.take(state)
