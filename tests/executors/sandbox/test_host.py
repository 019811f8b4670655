"""Looking at this machine. What starts a sandbox is slow; what finds that there can be none needs none."""

import asyncio
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.executors import process
from gateway.executors.sandbox import host
from gateway.executors.sandbox.host import examine, probe
from gateway.executors.sandbox.machine import Cause, Host
from gateway.model import Code
from tests.sandbox.battery import AS, host_as

FAKED = ("bwrap", *host._NEEDED_BY_ROOT)


def bwrap_that_says(folder: Path, words: str, options: str = " ".join(host._OPTIONS)) -> str:
    """A $PATH with everything a sandbox needs, its bubblewrap ending as one that fails does."""
    for name in FAKED:
        (folder / name).write_text(
            f'#!/bin/sh\ncase "$1" in --version) echo bubblewrap 9.9;; --help) echo "{options}";; '
            f'*) echo "{words}" >&2; exit 1;; esac\n'
        )
        (folder / name).chmod(stat.S_IRWXU)
    return f"{folder}:/usr/bin:/bin"


async def test_without_bubblewrap_there_is_no_sandbox_and_one_command_that_mends_it(tmp_path: Path) -> None:
    found = await probe(str(tmp_path))
    assert found.cause is Cause.MISSING
    failed = found.unavailable()
    assert failed is not None
    assert failed.code is Code.SANDBOX_UNAVAILABLE
    assert "apt-get install bubblewrap" in failed.detail
    assert await examine(found) == found


async def test_without_the_other_programs_their_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "bwrap").write_text("")
    (tmp_path / "bwrap").chmod(stat.S_IRWXU)
    assert (await probe(str(tmp_path))).cause is Cause.TOOLS


async def test_a_bubblewrap_without_what_we_need_is_too_old(tmp_path: Path) -> None:
    assert (await probe(bwrap_that_says(tmp_path, "", options="--args"))).cause is Cause.OLD


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("bwrap: No permissions to create a new namespace, likely because the kernel", Cause.CONTAINER),
        ("bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces", Cause.LIMIT),
        ("bwrap: setting up uid map: Permission denied", Cause.APPARMOR),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", Cause.APPARMOR),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", Cause.MASKED),
        ("bwrap: what nobody has seen", Cause.UNKNOWN),
    ],
)
async def test_a_start_that_fails_is_told_with_its_cause(tmp_path: Path, words: str, cause: Cause) -> None:
    found = await probe(bwrap_that_says(tmp_path, words))
    assert found.cause is cause
    assert found.version == "9.9"
    assert words in found.said
    assert [state for _, state, _, _ in found.lines()[1:2]] == ["fail"]


async def test_debians_switch_is_told_from_a_containers_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_sysctl", lambda: "0")
    assert (await probe(bwrap_that_says(tmp_path, "No permissions to create a new namespace"))).cause is Cause.SYSCTL


@pytest.mark.slow
async def test_this_machine_can_confine_and_says_how() -> None:
    found = await probe()
    assert found.unavailable() is None
    assert found.uid == os.getuid()
    assert found.version
    assert Path(found.programs["bwrap"]).is_absolute()
    assert [name for name, state, *_ in found.lines() if state == "fail"] == []


@pytest.mark.slow
@pytest.mark.parametrize("who", AS)
async def test_the_self_tests_pass(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await host_as(who)
    if who == "user" and os.getuid() == 0:
        monkeypatch.setattr(process, "start", _as_nobody)
    lines = {name: (state, evidence) for name, state, evidence, _ in (await examine(found)).examined}
    assert [name for name, (state, _) in lines.items() if state != "ok"] == []
    assert lines.keys() == {
        *("memory limit", "seccomp filter", "process limit", "network", "inheritance"),
        "end with the gateway",
    }


_start = process.start


async def _as_nobody(what: process.Start) -> process.Child:
    became = ("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    return await _start(replace(what, argv=(*became, *what.argv)))


@pytest.mark.slow
async def test_a_self_test_that_finds_something_else_fails_with_what_it_found() -> None:
    found = await host_as("root" if os.getuid() == 0 else "user")
    prlimit = replace(found, programs={**found.programs, "prlimit": "/usr/bin/env"})
    lines = {name: state for name, state, *_ in (await examine(prlimit)).examined}
    assert lines["process limit"] == "fail"


@pytest.mark.slow
async def test_a_bubblewrap_that_follows_a_planted_symlink_is_known_by_what_it_does(tmp_path: Path) -> None:
    found = await host_as("root" if os.getuid() == 0 else "user")
    assert await host._refuses_planted_links(found) is found.fixed
    broken = replace(found, programs={**found.programs, "bwrap": "/usr/bin/false"})
    assert await host._refuses_planted_links(broken) is False


async def test_probing_takes_no_shell_and_leaves_nothing(tmp_path: Path) -> None:
    found = await asyncio.wait_for(probe(bwrap_that_says(tmp_path, "x")), 20)
    assert isinstance(found, Host)
    assert sorted(os.listdir(tmp_path)) == sorted(FAKED)
