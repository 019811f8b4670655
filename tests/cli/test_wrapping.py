"""`wrap` where typer reads its words, and the log of an owner that nobody watches."""

import logging
import stat
from pathlib import Path

import pytest

from gateway.cli import owning, shim
from gateway.cli.wrapping import own_log
from tests.cli.commandline import Run


def test_words_that_the_fast_path_leaves_are_read_the_same(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[shim.Asked] = []

    def served(what: shim.Asked) -> int:
        seen.append(what)
        return 7

    monkeypatch.setattr(shim, "run", served)
    words = ["--as", "a", "--folder", "/x:rw", "--env", "K", "-c", "bascule.yaml", "--", "npx", "-y", "p"]
    assert run("wrap", "--name", "n", *words).status == 7
    monkeypatch.setattr(shim, "asked", lambda _: None)
    assert run("wrap", "--name", "n", *words).status == 7
    quick, slow = ({name: getattr(what, name) for name in what.__slots__} for what in seen)
    assert quick == slow


def test_a_word_it_does_not_know_is_a_fault_of_usage(here: Path, run: Run) -> None:
    ended = run("wrap", "--nam", "x")
    assert ended.status == 2
    assert "--nam" in ended.err


def test_without_a_state_folder_it_says_what_makes_one(here: Path, run: Run) -> None:
    ended = run("wrap", "--name", "x")
    assert ended.status == 2
    assert "no state folder at" in ended.err
    assert "`bascule init` makes one" in ended.err


def test_the_owners_log_is_private_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owning, "LOG_BYTES", 2000)
    handler = own_log(tmp_path)
    for _ in range(100):
        handler.emit(logging.makeLogRecord({"msg": "x" * 100}))
    handler.close()
    written = sorted(tmp_path.iterdir())
    assert [file.name for file in written] == [owning.LOG, f"{owning.LOG}.1"]
    assert all(file.stat().st_size <= 2000 and stat.S_IMODE(file.stat().st_mode) == 0o600 for file in written)
