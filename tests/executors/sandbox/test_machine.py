"""What a machine can enforce, in words: causes, fixes, doctor's lines."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.executors.sandbox.machine import FIX, Cause, Host, cause_of
from gateway.model import Code

HOST = Host(uid=1000, gid=1000, kernel="6.1", version="0.12.0", fixed=True)


@pytest.mark.parametrize(
    ("said", "sysctl", "cause"),
    [
        (
            "bwrap: No permissions to create a new namespace, likely because the kernel does not allow non-privileged",
            "1",
            Cause.CONTAINER,
        ),
        ("bwrap: No permissions to create a new namespace, likely because", "0", Cause.SYSCTL),
        ("bwrap: No permissions to create new namespace, likely because", "1", Cause.CONTAINER),
        ("bwrap: No permissions to creating new namespace, likely because", "1", Cause.CONTAINER),
        ("bwrap: Unexpected capabilities but not setuid, old file caps config?", "1", Cause.CAPABILITIES),
        (
            "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)",
            "1",
            Cause.LIMIT,
        ),
        ("bwrap: setting up uid map: Permission denied", "1", Cause.APPARMOR),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "1", Cause.APPARMOR),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "1", Cause.MASKED),
        ("bwrap: Unknown option --disable-userns", "1", Cause.OLD),
        ("unshare: unshare failed: Operation not permitted", "1", Cause.ROOT),
        ("setpriv: setresuid failed: Operation not permitted", "1", Cause.ROOT),
        ("bwrap: something nobody has seen", "0", Cause.UNKNOWN),
        ("", "1", Cause.UNKNOWN),
    ],
)
def test_the_words_of_bubblewrap_name_the_cause(said: str, sysctl: str, cause: Cause) -> None:
    assert cause_of(said, sysctl=sysctl) is cause


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_fix_and_the_caller_learns_no_path(cause: Cause) -> None:
    failed = replace(HOST, cause=cause, said="bwrap: odd words about /srv/secret").unavailable()
    assert failed is not None
    assert failed.code is Code.SANDBOX_UNAVAILABLE
    assert FIX[cause] in failed.detail
    assert str(cause) in failed.reason
    assert "secret" not in failed.reason
    assert ("odd words" in failed.detail) is (cause is Cause.UNKNOWN)


def test_a_machine_that_made_a_sandbox_is_available() -> None:
    assert HOST.unavailable() is None


@pytest.fixture
def bwrap(tmp_path: Path) -> Path:
    (tmp_path / "bwrap").write_text("")
    (tmp_path / "bwrap").chmod(0o755)
    return tmp_path / "bwrap"


def _with(bwrap: Path) -> Host:
    return replace(HOST, uid=bwrap.stat().st_uid, programs={"bwrap": str(bwrap)})


def test_a_whole_machine_has_only_good_lines(bwrap: Path) -> None:
    lines = _with(bwrap).lines()
    assert [name for name, state, _, fix in lines if state != "ok" or fix] == []
    assert [name for name, *_ in lines] == ["bubblewrap", "sandbox start", "CVE-2026-87766", "executors' user"]


@pytest.mark.parametrize(
    ("mode", "state", "evidence"),
    [(0o755, "ok", "0.12.0"), (0o4755, "warn", "setuid"), (0o777, "fail", "others can change it")],
)
def test_a_bubblewrap_that_others_can_change_is_none(bwrap: Path, mode: int, state: str, evidence: str) -> None:
    bwrap.chmod(mode)
    line = _with(bwrap).lines()[0]
    assert line[1] == state
    assert evidence in line[2]
    assert bool(line[3]) is (state != "ok")


def test_a_missing_bubblewrap_is_a_failure_with_the_command_to_install_it(bwrap: Path) -> None:
    missing = replace(HOST, cause=Cause.MISSING)
    assert missing.lines()[0] == ("bubblewrap", "fail", "bubblewrap is not installed", "apt-get install bubblewrap")
    assert missing.lines()[1][1] == "fail"
    bwrap.unlink()
    assert replace(HOST, programs={"bwrap": str(bwrap)}).lines()[0][1] == "fail"


def test_an_old_bubblewrap_is_a_warning_that_says_what_follows(bwrap: Path) -> None:
    _, state, evidence, fix = replace(_with(bwrap), fixed=False).lines()[2]
    assert state == "warn"
    assert "a read-only folder inside a writable one is refused" in evidence
    assert "0.12" in fix


def test_what_was_examined_comes_last_and_root_is_told_that_servers_are_not(bwrap: Path) -> None:
    lines = replace(HOST, uid=0, programs={"bwrap": str(bwrap)}, examined=(("x", "ok", "y", ""),)).lines()
    assert lines[-1] == ("x", "ok", "y", "")
    assert "servers never do" in lines[-2][2]
