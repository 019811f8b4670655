"""npm and uv as we run them: what they see of our environment, and what becomes of their failures."""

import asyncio
import errno
import os
import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.executors.packages.installer import (
    Ended,
    build_environment,
    disk_faults,
    environment,
    fault,
    finish,
    screened,
)
from gateway.executors.process import NOT_STARTED, TIMED_OUT

OURS = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "HTTPS_PROXY": "http://proxy:3128",
    "no_proxy": "localhost",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "NPM_CONFIG_REGISTRY": "https://npm.example",
    "npm_config_cafile": "/etc/ca.pem",
    "npm_config_@mine:registry": "https://npm.example",
    "npm_config_//npm.example/:_authToken": "for npm",
    "NPM_TOKEN": "for npm",
    "UV_DEFAULT_INDEX": "https://pypi.example/simple",
    "UV_INDEX_MINE_PASSWORD": "for uv",
}
NOT_THEIRS = {
    "GITHUB_TOKEN": "canary",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "BASCULE_KEY": "canary",
    "CRM_TOKEN": "canary",
    "UV_PUBLISH_TOKEN": "canary",
    "NPM_CONFIG_SCRIPT_SHELL": "canary",
    "npm_config_ignore_scripts": "false",
    "NODE_OPTIONS": "--require canary",
    "PYTHONPATH": "canary",
    "LD_PRELOAD": "canary",
    "VIRTUAL_ENV": "canary",
}


def test_the_tools_see_the_settings_of_registries_and_no_secret_that_is_not_theirs() -> None:
    assert environment(OURS | NOT_THEIRS) == OURS


def test_foreign_code_sees_the_network_and_no_credentials_of_registries(tmp_path: Path) -> None:
    assert build_environment(OURS | NOT_THEIRS, tmp_path) == {
        "PATH": "/usr/bin",
        "HOME": str(tmp_path),
        "HTTPS_PROXY": "http://proxy:3128",
        "no_proxy": "localhost",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"PIP_INDEX_URL": "p"}, {"UV_DEFAULT_INDEX": "p"}),
        ({"PIP_INDEX_URL": "p", "UV_DEFAULT_INDEX": "u"}, {"UV_DEFAULT_INDEX": "u"}),
        ({"PIP_INDEX_URL": "p", "UV_INDEX_URL": "u"}, {"UV_INDEX_URL": "u"}),
        ({"PIP_EXTRA_INDEX_URL": "p", "UV_EXTRA_INDEX_URL": "u"}, {"UV_EXTRA_INDEX_URL": "u"}),
        ({"PIP_CERT": "p", "PIP_NO_INDEX": "1"}, {"SSL_CERT_FILE": "p"}),
    ],
)
def test_uv_takes_pips_settings_where_it_has_none_of_its_own(ours: dict[str, str], theirs: dict[str, str]) -> None:
    assert environment(ours) == theirs


async def test_a_tool_ends_with_its_code_and_what_it_printed_on_each_stream(tmp_path: Path) -> None:
    text = "import os, sys; print(os.getcwd(), dict(os.environ)); print('e', file=sys.stderr); sys.exit(3)"
    ended = await finish([sys.executable, "-IS", "-c", text], env={"A": "b"}, cwd=tmp_path, timeout_s=20)
    assert (ended.code, ended.err) == (3, "e\n")
    assert ended.out.startswith(f"{tmp_path} {{'A': 'b'")


async def test_a_tool_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    ended = await finish([str(tmp_path / "none")], env={}, cwd=tmp_path, timeout_s=20)
    assert ended.code == NOT_STARTED
    assert str(fault("x", ended)) == f"x: {tmp_path}/none cannot be started: No such file or directory"


WAITING = "import os, sys, time; f = open(sys.argv[1], 'w'); f.write('ready\\n'); f.flush(); time.sleep(600)"


async def test_a_tool_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    ended = await finish([sys.executable, "-c", "import time; time.sleep(600)"], env={}, cwd=tmp_path, timeout_s=0.2)
    assert ended.code == TIMED_OUT
    assert "it took too long" in str(fault("x", ended))


async def test_whoever_stops_waiting_stops_the_tool(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    argv = [sys.executable, "-IS", "-c", WAITING, str(tmp_path / "pipe")]
    running = asyncio.ensure_future(finish(argv, env={}, cwd=tmp_path, timeout_s=600))
    with await asyncio.to_thread((tmp_path / "pipe").open) as reading:
        assert await asyncio.to_thread(reading.readline) == "ready\n"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(reading.read) == ""


async def test_whoever_stops_waiting_while_it_starts_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, started, stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Late:
        async def stop(self, grace_s: float) -> None:
            stopped.set()

    async def start(_what: object) -> Late:
        starting.set()
        await started.wait()
        return Late()

    monkeypatch.setattr("gateway.executors.packages.installer.start", start)
    running = asyncio.ensure_future(finish(["x"], env={}, cwd=tmp_path, timeout_s=600))
    await starting.wait()
    running.cancel()
    started.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.is_set()


MEANINGS = [
    ("npm error code ENOSPC", "the disk is full"),
    ("cause: No space left on device (os error 28)", "the disk is full"),
    ("npm error code EINTEGRITY", "its digest differs"),
    ("cause: Hash mismatch for `a==1`", "its digest differs"),
    ("npm error code SELF_SIGNED_CERT_IN_CHAIN", "not trusted"),
    ("cause: invalid peer certificate: UnknownIssuer", "not trusted"),
    ("npm error code E401", "credentials are missing or wrong"),
    ("HTTP status client error (403 Forbidden) for url (https://r.example)", "credentials are missing or wrong"),
    ("npm error code ECONNREFUSED", "cannot be reached"),
    ("npm error code EAI_AGAIN", "cannot be reached"),
    ("npm error code E503", "cannot be reached"),
    ("error: Request failed after 3 retries in 7.7s", "cannot be reached"),
    ("cause: dns error", "cannot be reached"),
    ("something else", "the tool ended with 7"),
]


@pytest.mark.parametrize(("said", "meaning"), MEANINGS)
def test_a_failure_is_told_in_our_words_and_the_tools_own_are_a_note(said: str, meaning: str) -> None:
    error = fault("pypi:a cannot be resolved", Ended(7, "", said))
    assert str(error).startswith("pypi:a cannot be resolved: ")
    assert meaning in str(error)
    assert error.__notes__ == [said.replace("https://r.example)", "https://r.example)")]


def test_a_tools_own_signs_are_looked_at_after_the_common_ones() -> None:
    own = [("E404", "no such package"), ("ENOSPC", "never")]
    assert str(fault("x", Ended(1, "E404", ""), own)) == "x: no such package"
    assert "the disk is full" in str(fault("x", Ended(1, "", "ENOSPC"), own))


def test_what_printed_nothing_leaves_no_note() -> None:
    assert not hasattr(fault("x", Ended(1, "", " \n")), "__notes__")


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("GET https://me:canary@r.example/a failed", "GET https://r.example/a failed"),
        ("via http://canary@proxy:3128", "via http://proxy:3128"),
        ("//r.example/:_authToken=canary", "//r.example/:_authToken=[removed]"),
        ('"_password": "canary"', '"_password": [removed]'),
        ("authorization: canary", "authorization: [removed]"),
        ("GET https://r.example/a?key=canary", "GET https://r.example/a"),
        ("https://registry.example/@scope%2fname", "https://registry.example/@scope%2fname"),
        ("a\n\n  \nb  ", "a\nb"),
    ],
)
def test_what_a_tool_printed_is_shown_without_credentials(printed: str, shown: str) -> None:
    assert screened(printed) == shown


def test_only_the_end_of_what_a_tool_printed_is_shown() -> None:
    assert screened("\n".join(f"line {number}" for number in range(1000))).splitlines()[0] == "line 980"
    assert len(screened("x" * 100_000)) == 2_000


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "Bascule must own the folder '/x'")]
)
def test_our_own_work_on_the_disk_fails_in_words_too(number: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words), disk_faults("a cannot be pinned"):
        raise OSError(number, os.strerror(number), "/x")
