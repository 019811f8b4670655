"""Several files are written as one step: all or none, also when it is cut off, and never over what somebody edited."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.clients import adoption, backups, undoing
from gateway.clients.backups import Change
from gateway.errors import ConfigError
from tests.clients.homes import GIT, TIME, Home, claude_code


def changes(home: Home, count: int = 3) -> list[Change]:
    """Files that are there, and a last one that is not."""
    made = []
    for number in range(count - 1):
        path = home.path / f"{number}.json"
        path.write_bytes(b"before %d" % number)
        made.append(Change(path, "client", path.read_bytes(), b"after %d" % number))
    return [*made, Change(home.path / "deep" / "new", "secret", None, b"after")]


FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # children here only write and leave


def in_a_child(do: Callable[[], object]) -> int:
    """The status of a child that does it; a kill cannot be had in this process."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
        except ConfigError:
            os._exit(2)
        except BaseException:
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dying_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let this process die at a step: before the journal, between the files, or before the journal is finished."""
    replaced = backups.replace
    left = [step]

    def replace(path: Path, content: bytes, mode: int, **how: Any) -> None:
        if left[0] == 0:
            os._exit(9)
        left[0] -= 1
        replaced(path, content, mode, **how)

    monkeypatch.setattr(backups, "replace", replace)


def test_all_are_written_with_a_backup_beside_each_clients_file(home: Home) -> None:
    home.state.mkdir()
    made = changes(home)
    made[0].path.chmod(0o604)
    written = backups.write(home.state, made)
    assert [change.path.read_bytes() for change in made] == [b"after 0", b"after 1", b"after"]
    assert [path.read_bytes() for path in written] == [b"before 0", b"before 1"]
    assert [path.name for path in written] == ["0.json.bascule-backup", "1.json.bascule-backup"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (written[0], made[0].path, made[2].path)] == [
        0o604,
        0o604,
        0o600,
    ]


def test_a_backup_that_is_there_is_never_written_over(home: Home) -> None:
    home.state.mkdir()
    made = changes(home)
    mine = home.path / "0.json.bascule-backup"
    mine.write_bytes(b"mine")
    assert [path.name for path in backups.write(home.state, made)] == [
        "0.json.bascule-backup-2",
        "1.json.bascule-backup",
    ]
    assert mine.read_bytes() == b"mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_an_owner_is_kept(home: Home) -> None:
    home.state.mkdir()
    made = changes(home)
    os.chown(made[0].path, 65534, 65534)
    [first, _] = backups.write(home.state, made)
    for path in (first, made[0].path):
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def test_a_file_that_was_changed_since_it_was_read_is_not_written_and_none_is(home: Home) -> None:
    home.state.mkdir()
    made = changes(home)
    made[1].path.write_bytes(b"edited")
    with pytest.raises(ConfigError, match="was changed while it was read") as refused:
        backups.write(home.state, made)
    assert refused.value.file == str(made[1].path)
    assert made[0].path.read_bytes() == b"before 0"
    assert backups.journals(home.state) == []


def test_a_file_that_is_changed_while_others_are_written_takes_them_all_back(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.state.mkdir()
    made = changes(home)
    before = home.everything()
    checked = backups.check
    seen: list[Path] = []

    def check(change: Change) -> None:
        seen.append(change.path)
        if len(seen) == 5:
            change.path.write_bytes(b"edited meanwhile")
        checked(change)

    monkeypatch.setattr(backups, "check", check)
    with pytest.raises(ConfigError, match="changed while"):
        backups.write(home.state, made)
    # What was edited meanwhile is nobody's backup: it stays.
    assert home.everything() == before | {"1.json": b"edited meanwhile"}


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_write_that_fails_takes_the_others_back(home: Home, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    home.state.mkdir()
    made, before = changes(home), home.everything()
    replaced, calls = os.replace, [0]

    def full(source: str, target: Path) -> None:
        calls[0] += 1
        if calls[0] == step:
            raise OSError(28, "No space left on device")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConfigError, match="No space left"):
        backups.write(home.state, made)
    monkeypatch.undo()
    assert home.everything() == before
    assert backups.journals(home.state) == []


@pytest.mark.parametrize("denied", ["0.json", "."])
def test_without_permission_nothing_is_begun(home: Home, monkeypatch: pytest.MonkeyPatch, denied: str) -> None:
    home.state.mkdir()
    made, before = changes(home), home.everything()
    place, asked = (home.path / denied).resolve(), os.access

    def access(path: Path, mode: int) -> bool:
        return Path(path) != place and asked(path, mode)

    # Root may do everything: the answer is made up, so that everybody sees the same.
    monkeypatch.setattr(os, "access", access)
    with pytest.raises(ConfigError, match="no permission"):
        backups.write(home.state, made)
    assert home.everything() == before


def test_what_is_no_file_is_not_opened(home: Home) -> None:
    os.mkfifo(home.path / "pipe")
    for path in (home.path, home.path / "pipe"):
        with pytest.raises(ConfigError, match="is no file"):
            backups.content_of(path)


def test_a_file_that_cannot_be_read_is_said(home: Home) -> None:
    (home.path / "loop").symlink_to(home.path / "loop")
    with pytest.raises(ConfigError, match="cannot be read: Too many levels"):
        backups.content_of(home.path / "loop")


@FORKS
@pytest.mark.parametrize("step", range(7))
def test_a_run_that_was_killed_anywhere_is_put_back_by_undo(
    home: Home, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    paths = [home.put("claude-code", claude_code(TIME, GIT)), home.put("cursor", claude_code(GIT))]
    before = home.everything()
    plan = home.plan(paths)
    assert len(plan.changes) == 4
    dying_at(monkeypatch, step)
    status = in_a_child(lambda: adoption.adopt(plan))
    monkeypatch.undo()
    assert status == (9 if step < 6 else 0)
    if step == 0:
        assert home.everything() == before
        return
    if step < 5:
        with pytest.raises(ConfigError, match=r"cut off: `bascule init --undo`"):
            home.adopt(*paths)
    else:
        later = home.put("vscode", '{"servers": {' + TIME + "}}")
        home.adopt(later)
        undoing.undo(home.state)
        later.unlink()
    undoing.undo(home.state)
    assert home.everything() == before
    assert not home.config.exists()
    assert not list((home.state / "secrets").glob("*"))
    home.adopt(*paths)
    undoing.undo(home.state)
    assert home.everything() == before


def test_what_a_killed_run_left_half_written_is_swept_away(home: Home) -> None:
    path = home.put("claude-code", claude_code(TIME))
    before = home.everything()
    home.adopt(path)
    path.with_name(f".{path.name}.bascule-new-x1").write_bytes(b"half")
    undoing.undo(home.state)
    assert home.everything() == before


def test_of_two_runs_at_once_one_is_told_to_wait(home: Home) -> None:
    plan = home.plan([home.put("claude-code", claude_code(TIME))])
    with backups.locked(home.state), pytest.raises(ConfigError, match="at work"):
        adoption.adopt(plan)
    adoption.adopt(plan)


@FORKS
def test_of_two_runs_that_race_one_writes_and_the_other_changes_nothing(home: Home) -> None:
    path = home.put("claude-code", claude_code(TIME, GIT))
    before = home.everything()
    plans = [home.plan([path]) for _ in range(2)]
    waiting, go = os.pipe()
    children = []
    for plan in plans:
        pid = os.fork()
        if pid == 0:
            os.close(go)
            os.read(waiting, 1)  # ends when the other end is closed
            status = 3
            try:
                adoption.adopt(plan)
                status = 0
            except ConfigError:
                status = 2
            finally:
                os._exit(status)
        children.append(pid)
    os.close(waiting)
    os.close(go)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert sorted(statuses) == [0, 2]
    assert len(backups.journals(home.state)) == 1
    undoing.undo(home.state)
    assert home.everything() == before


def test_a_state_folder_that_cannot_be_made_is_said(home: Home) -> None:
    (home.path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"), backups.locked(home.path / "file" / "state"):
        pass


def test_a_journal_that_cannot_be_read_is_said_and_hides_nothing(home: Home) -> None:
    home.adopt(home.put("claude-code", claude_code(TIME)))
    [journal] = (home.state / "adoptions").glob("*/journal.json")
    journal.write_text('{"files": [{}]}')
    with pytest.raises(ConfigError, match="backups beside the clients' files"):
        undoing.undo(home.state)
