"""The way to the owner: who starts one, who waits, and what is said where none can be."""

import os
import socket
import threading
from pathlib import Path

import pytest

from gateway.cli import owning
from gateway.cli.owning import Unserved
from gateway.errors import ConfigError
from gateway.transports.control import Owner


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


def listening(state: Path) -> socket.socket:
    owner = socket.socket(socket.AF_UNIX)
    owner.bind(str(state / "control.sock"))
    owner.listen()
    return owner


def answering(owner: socket.socket, *answers: bytes) -> None:
    """Each connection gets one answer to its question and is then closed."""

    def answer() -> None:
        for told in answers:
            line, _ = owner.accept()
            line.recv(1 << 16)
            line.sendall(told)
            line.close()

    threading.Thread(target=answer, daemon=True).start()


def test_where_nobody_listens_there_is_no_line(state: Path) -> None:
    assert owning.dialled(str(state)) is None
    listening(state).close()
    assert owning.dialled(str(state)) is None


def test_a_folder_deeper_than_a_socket_address_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path.joinpath(*["x" * 50] * 3)
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind("control.sock")
        owner.listen()
        line = owning.dialled(str(deep))
        assert line is not None
        line.close()


def test_a_socket_that_may_not_be_reached_is_said(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", type("Socket", (socket.socket,), {"connect": connect}))
    with pytest.raises(Unserved, match="Permission denied"):
        owning.dialled(str(state))


def test_what_the_owner_refuses_is_said_with_status_2(state: Path) -> None:
    with listening(state) as owner:
        answering(owner, b'{"error":{"type":"ConfigError","reason":"no upstream"}}\n')
        with pytest.raises(Unserved, match="no upstream") as caught:
            owning.greeted(str(state), "none.yaml", {})
    assert caught.value.status == 2


def test_an_owner_that_ends_while_it_is_asked_is_asked_again(state: Path) -> None:
    with listening(state) as owner:
        answering(owner, b"", b'{"ok":', b'{"ok":{"name":"x"}}\n')
        line, told = owning.greeted(str(state), "none.yaml", {})
        assert told == {"name": "x"}
        line.close()


def test_no_state_folder_is_said_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(Unserved, match="`bascule init` makes one"):
        owning.started(str(tmp_path / "none"), "none.yaml")


def test_a_folder_that_is_taken_is_known_by_the_owners_words(state: Path) -> None:
    with Owner.take(state), pytest.raises(ConfigError) as caught:
        Owner.take(state)
    assert owning._TAKEN.decode() in str(caught.value)


def test_who_waited_finds_the_owner_that_the_other_started(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owning, "_spawned", lambda *_: pytest.fail("a second owner is started"))
    with listening(state):
        owning.started(str(state), "none.yaml").close()


def test_an_owner_that_does_not_start_is_quoted_without_what_steers_a_terminal(state: Path) -> None:
    (state / owning.LOG).write_text("of an earlier one\n")
    with pytest.raises(Unserved, match=r"did not start:\n.*none\.yaml") as caught:
        owning.started(str(state), str(state / "none.yaml"))
    assert "of an earlier one" not in str(caught.value)
    assert owning._shown(b"a\x1b[2Jb\n") == "a [2Jb"
    assert owning._shown(b"") == "it said nothing"


def test_while_another_owner_ends_starting_is_tried_again(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that is started finds the folder taken; the second listens."""
    started: list[int] = []
    owners = []

    def spawned(*_: str) -> tuple[int, int]:
        (state / owning.LOG).write_bytes(owning._TAKEN)
        if started:
            owners.append(listening(state))
        started.append(child := os.posix_spawn("/bin/true", ["true"], {}))
        return child, 0

    monkeypatch.setattr(owning, "_spawned", spawned)
    owning.started(str(state), "none.yaml").close()
    assert len(started) == 2
    owners[0].close()


def test_a_log_that_has_grown_is_put_aside_before_a_start(state: Path) -> None:
    (state / owning.LOG).write_bytes(b"x" * (owning.LOG_BYTES + 1))
    child, said_from = owning._spawned(str(state), str(state / "none.yaml"))
    os.waitpid(child, 0)
    assert said_from == 0
    assert (state / f"{owning.LOG}.1").stat().st_size == owning.LOG_BYTES + 1
