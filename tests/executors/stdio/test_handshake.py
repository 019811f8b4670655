import asyncio

import pytest

from gateway.errors import Failed
from gateway.executors.era import Verdict
from gateway.executors.process import Child
from gateway.executors.stdio.handshake import Handshake
from gateway.executors.stdio.processes import Key
from gateway.executors.stdio.upstream import Patience
from gateway.model import Code
from tests.executors.hostile import LEGACY, MODERN, proposal, said
from tests.executors.stdio_upstream import LIMITS, by, failure, faulty, stdio

KEY = Key("default", "agent")


@pytest.mark.parametrize(
    ("start", "version", "processes"),
    [
        ("modern", MODERN, 1),
        ("legacy", LEGACY, 1),
        ("legacy_2024", "2024-11-05", 1),
        ("legacy_invalid", LEGACY, 1),
        ("legacy_no_id", LEGACY, 1),
        ("legacy_odd", LEGACY, 1),
        ("legacy_named", LEGACY, 1),
        ("legacy_silent", LEGACY, 2),
        ("legacy_exits", LEGACY, 2),
        ("legacy_upset", LEGACY, 2),
        ("modern_slow", MODERN, 3),
    ],
)
async def test_the_era_is_found_however_a_server_takes_the_question(start: str, version: str, processes: int) -> None:
    launcher = faulty(start)
    async with stdio(launcher) as client:
        for era in (MODERN, LEGACY):
            outcome = await client.execute(proposal("echo", era=era), LIMITS)
            assert said(outcome) == "done"
            assert outcome.evidence["era"] == version
        assert len(launcher.children) == processes
        assert len(launcher.running) <= 2, "those that were only asked are ended"


@pytest.mark.parametrize(("start", "era"), [("modern", MODERN), ("legacy", LEGACY), ("legacy_silent", LEGACY)])
async def test_what_a_process_says_of_itself_is_kept_until_its_era_is_forgotten(start: str, era: str) -> None:
    async with stdio(faulty(start)) as client:
        await client.execute(proposal("echo"), LIMITS)
        (server,) = client._processes.live()
        assert client._handshake.about == server.about
        assert server.about.era == era
        assert server.about.capabilities == ({"tools": {}} if era == MODERN else {})
        client._handshake.forget()
        assert client._handshake.about is None


async def test_what_was_found_is_kept_for_the_next_process() -> None:
    launcher = faulty("legacy_silent")
    async with stdio(launcher) as client:
        await client.execute(proposal("echo"), LIMITS)
        await client.execute(by("other"), LIMITS)
        assert len(launcher.children) == 3
        assert client._handshake.known == Verdict(modern=False, legacy=True)


@pytest.mark.parametrize(
    ("start", "code", "detail", "processes"),
    [
        ("dies", Code.UPSTREAM_UNAVAILABLE, "exit status 9; last on stderr: Traceback: it broke", 2),
        ("dies_in_handshake", Code.UPSTREAM_UNAVAILABLE, "exit status 9; last on stderr: Traceback: it broke", 2),
        ("refuses", Code.UPSTREAM_INVALID, "no", 2),
        ("silent", Code.UPSTREAM_TIMEOUT, "", 2),
        ("floods", Code.UPSTREAM_INVALID, None, 2),
        ("legacy_unknown", Code.UPSTREAM_INVALID, "", 2),
        ("other", Code.UPSTREAM_INVALID, "", 1),
    ],
)
async def test_a_server_that_cannot_be_spoken_to_fails_the_call_with_a_known_ending(
    start: str, code: Code, detail: str | None, processes: int
) -> None:
    launcher = faulty(start)
    patience = Patience(0.3, 0.3) if start == "silent" else Patience(10, 10)
    async with stdio(launcher, patience=patience) as client:
        with pytest.raises(Failed) as caught:
            await client.execute(proposal(), LIMITS)
        assert (caught.value.code, caught.value.unknown) == (code, False)
        assert detail is None or caught.value.detail == detail
        assert len(launcher.children) == processes
        assert client._handshake.known is None


@pytest.mark.parametrize(
    ("believed", "start"), [(Verdict(modern=True), "legacy"), (Verdict(modern=False, legacy=True), "modern")]
)
async def test_a_server_that_is_no_longer_what_it_was_is_asked_anew(believed: Verdict, start: str) -> None:
    async with stdio(faulty(start), jitter=lambda: 0.0) as client:
        client._handshake.known = believed
        with pytest.raises(Failed) as caught:
            await client.execute(proposal(), LIMITS)
        assert (caught.value.code, caught.value.unknown) == (Code.UPSTREAM_INVALID, False)
        assert said(await client.execute(proposal("echo"), LIMITS)) == "done"


async def test_a_violation_of_the_sandbox_at_the_start_is_told_and_not_tried_again() -> None:
    launcher = faulty("silent")

    async def start(key: Key) -> Child:
        child = await launcher(key)
        child.kill("memory")
        return child

    async with stdio(launcher) as client:
        client._start = start
        failed = await failure(client, "echo")
        assert (failed.code, failed.unknown, failed.detail) == (Code.SANDBOX_VIOLATION, False, "memory")
        assert len(launcher.children) == 1


async def test_servers_of_many_upstreams_begin_in_turns() -> None:
    turns, launchers = asyncio.Semaphore(1), [faulty("silent"), faulty()]
    async with (
        stdio(launchers[0], turns=turns, patience=Patience(probe_s=60)) as silent,
        stdio(launchers[1], turns=turns) as other,
    ):
        first = asyncio.ensure_future(silent.execute(proposal(), LIMITS))
        await launchers[0].started.wait()
        second = asyncio.ensure_future(other.execute(proposal("echo"), LIMITS))
        for _ in range(10):
            await asyncio.sleep(0)
        assert launchers[1].children == []
        await silent.close()
        assert said(await second) == "done"
        with pytest.raises(Failed):
            await first


async def test_a_start_that_fails_is_told_as_the_launcher_told_it() -> None:
    async def start(key: Key) -> None:
        raise Failed(Code.SANDBOX_UNAVAILABLE, "there is no sandbox", detail="no bwrap; fix: apt install bubblewrap")

    with pytest.raises(Failed) as caught:
        await Handshake(start, str).open(KEY)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.unknown) == (Code.SANDBOX_UNAVAILABLE, False)
    assert caught.value.detail == "no bwrap; fix: apt install bubblewrap"
