"""`approvals enroll`, the key's file, and that only a person at a terminal opens it."""

import getpass
import io
import os
import select
import stat
import termios
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gateway.approvals import signing
from gateway.approvals.signing import verified
from gateway.cli import approver
from gateway.config import Settings
from gateway.errors import ConfigError
from tests.cli.commandline import Run

PASSPHRASE = "four words are enough"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_MEMORY_COST", 2**4)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the person types, in order."""
    words: list[str] = []
    monkeypatch.setattr(approver, "passphrase", lambda _: words.pop(0).encode())
    return words


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of a terminal that the person sits at."""
    master, slave = os.openpty()
    modes = termios.tcgetattr(slave)
    modes[3] &= ~termios.ECHO  # else what was typed may stand before, behind or within the question
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    monkeypatch.setattr(approver, "TERMINAL", os.ttyname(slave))
    yield master
    os.close(master)
    os.close(slave)


def test_a_key_is_made_for_nobody_else_and_the_operator_is_told_what_to_add(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    typed += [PASSPHRASE, PASSPHRASE]
    ended = run("approvals", "enroll", "ann@example.org", "--role", "ops", "--role", "a: b")
    path = tmp_path / "config/bascule/approvers/ann@example.org.pem"
    assert ended.status == 0
    assert str(path) in ended.out
    assert "adds this to bascule.yaml and reloads" in ended.out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    stated = "version: 1\naudit: {origin: example.org/bascule}\napprovers:\n" + ended.out.partition("\napprovers:\n")[2]
    settings = Settings.model_validate(YAML(typ="safe").load(stated))
    enrolled = settings.approvers["ann@example.org"]
    assert enrolled.roles == ("ops", "a: b")
    typed += [PASSPHRASE]
    assert verified(enrolled.key, b"this", approver.signature(path, "ann@example.org", b"this"))


def test_a_key_is_never_overwritten(run: Run, tmp_path: Path, typed: list[str]) -> None:
    (tmp_path / "key").write_bytes(b"mine")
    ended = run("approvals", "enroll", "ann", "--key", str(tmp_path / "key"))
    assert (ended.status, "never overwritten" in ended.err) == (2, True)
    assert (tmp_path / "key").read_bytes() == b"mine"


def test_a_key_is_not_written_through_a_link(run: Run, tmp_path: Path, typed: list[str]) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    assert run("approvals", "enroll", "ann", "--key", str(tmp_path / "key")).status == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_cannot_be_written_is_said(run: Run, tmp_path: Path, typed: list[str]) -> None:
    (tmp_path / "file").touch()
    typed += [PASSPHRASE, PASSPHRASE]
    ended = run("approvals", "enroll", "ann", "--key", str(tmp_path / "file" / "key"))
    assert (ended.status, "cannot be" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "problem"),
    [(["", ""], "at least 8"), (["         "], "at least 8"), (["short"], "at least 8"), ([PASSPHRASE, "x"], "differ")],
)
def test_a_passphrase_that_protects_nothing_makes_no_key(
    run: Run, tmp_path: Path, typed: list[str], words: list[str], problem: str
) -> None:
    typed += words
    ended = run("approvals", "enroll", "ann", "--key", str(tmp_path / "key"))
    assert (ended.status, problem in ended.err) == (2, True)
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("name", ["", "../ann", "a/b", ".hidden", "ann\n", "é", "-x", "a" * 101])
def test_a_name_that_the_configuration_would_not_take_names_no_file(name: str) -> None:
    with pytest.raises(ConfigError, match="name is letters"):
        approver.place(name, None)


def test_a_key_that_is_not_there_or_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"key: there is no such key"):
        approver.signature(tmp_path / "key", "ann", b"")
    with pytest.raises(ConfigError, match=r"cannot be read"):
        approver.signature(tmp_path, "ann", b"")


def test_what_is_wrong_with_a_key_is_said_with_its_file(tmp_path: Path, typed: list[str]) -> None:
    pem, _ = signing.new_key(PASSPHRASE.encode())
    (tmp_path / "key").write_bytes(pem)
    typed += ["another passphrase"]
    with pytest.raises(ConfigError, match=r"/key: the passphrase is wrong$"):
        approver.signature(tmp_path / "key", "ann", b"")
    (tmp_path / "key").write_bytes(b"nonsense")
    typed += [PASSPHRASE]
    with pytest.raises(ConfigError, match=r"/key: it is not an approver's key"):
        approver.signature(tmp_path / "key", "ann", b"")


def test_a_passphrase_is_asked_on_the_terminal_and_taken_from_nowhere_else(
    terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASCULE_PASSPHRASE", "from the environment")
    monkeypatch.setattr("sys.stdin", io.StringIO("from standard input\n"))
    monkeypatch.setattr(approver, "getpass", lambda prompt: f"typed after {prompt}")
    assert approver.passphrase("p: ") == b"typed after p: "


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(approver, "TERMINAL", str(tmp_path / "no-terminal"))
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with pytest.raises(ConfigError, match="no terminal"):
        approver.passphrase("p: ")
    with pytest.raises(ConfigError, match="no terminal"):
        approver.agreed("Grant?")


def test_a_terminal_that_would_show_the_passphrase_is_not_used(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(_: str) -> str:
        warnings.warn("would be echoed", getpass.GetPassWarning, stacklevel=1)
        return "seen by all"

    monkeypatch.setattr(approver, "getpass", shown)
    with pytest.raises(ConfigError, match="no passphrase was given"):
        approver.passphrase("p: ")


@pytest.mark.parametrize(
    ("typed_in", "agreed"), [(b"y\n", True), (b"YES\n", True), (b"\n", False), (b"no\n", False), (b"yo\n", False)]
)
def test_only_a_yes_is_a_yes(terminal: int, typed_in: bytes, agreed: bool) -> None:
    os.write(terminal, typed_in)
    assert approver.agreed("Grant refund?") is agreed
    assert select.select([terminal], [], [], 60)[0]
    assert os.read(terminal, 1000) == b"Grant refund? [y/N] "
