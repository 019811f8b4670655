import asyncio
import json
import os
from typing import Any

import pytest

from gateway.errors import Failed
from gateway.executors import Executor
from gateway.executors.process import Child
from gateway.executors.stdio.processes import OURS, Key
from gateway.executors.stdio.upstream import Patience, Stdio
from gateway.model import Code, JsonObject, Limits, Proposal
from tests.executors.hostile import LEGACY, MODERN, proposal, said
from tests.executors.stdio_upstream import BRIEF, LIMITS, SOON, Launcher, by, ended, failure, faulty, kill, stdio
from tests.nouns import call, pin

UNAVAILABLE, INVALID, WITHHELD, TIMEOUT = (
    Code.UPSTREAM_UNAVAILABLE,
    Code.UPSTREAM_INVALID,
    Code.RESULT_WITHHELD,
    Code.UPSTREAM_TIMEOUT,
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.stdio.server.GRACE_SECONDS", 0.3)


async def idle(client: Stdio) -> None:
    """Until no process is left."""
    await asyncio.gather(*(server.gone() for server in client._running))


def test_a_stdio_upstream_is_an_executor_and_shows_no_secret() -> None:
    made: Executor = Stdio("files", faulty(), secrets=["hunter2hunter2"])
    assert repr(made) == "Stdio('files')"


# What goes to the server


@pytest.mark.parametrize(("start", "era"), [("modern", MODERN), ("legacy", LEGACY)])
async def test_a_request_is_our_own_in_the_servers_era(start: str, era: str) -> None:
    meta = {"example.com/kept": 1, "progressToken": 5, "baggage": "k=v", "bascule/task": "t"}
    async with stdio(faulty(start)) as client:
        wanted = Proposal(call("notes__seen", meta=meta), pin("seen"))
        seen = json.loads(said(await client.execute(wanted, LIMITS)))
    assert seen["params"]["name"] == "seen"
    assert seen["params"]["arguments"] == {"path": "notes/a.md", "text": "hello"}
    ours = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "bascule", "version": "0.1.0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    assert seen["params"]["_meta"] == {"example.com/kept": 1, **(ours if era == MODERN else {})}


async def test_the_outcome_says_what_it_ran_in_and_what_happened_beside() -> None:
    contacts = [["api.example:443"], [], []]

    def taken(child: Child) -> JsonObject:
        return {"contacts": found} if (found := contacts.pop(0)) else {}

    async with stdio(faulty(evidence={"sandbox": "default"}), taken=taken) as client:
        first = await client.execute(proposal("surrounded"), LIMITS)
        second = await client.execute(proposal("echo"), LIMITS)
        assert first.evidence == {
            "era": MODERN,
            "sandbox": "default",
            "contacts": ["api.example:443"],
            "passed_over": 6,
        }
        assert second.evidence["era"] == MODERN
        assert "contacts" not in second.evidence
        assert first.size > 0
        assert first.elapsed_us > 0
        assert client.changed


async def test_what_happened_in_a_call_that_failed_stands_in_its_detail() -> None:
    async with stdio(
        faulty(), taken=lambda child: {"contacts": ["key-hunter2hunter2"]}, secrets=["hunter2hunter2"]
    ) as client:
        assert (await failure(client, "error")).detail == 'no; {"contacts":["key-***"]}'


# Answers, each way a server can misbehave


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("echo", "done"),
        ("surrounded", "done"),
        ("twice", "first"),
        ("wrong_ids", "yours"),
        ("pieces", "ünï" * 9),
        ("batch", "b"),
        ("whole", "done"),
        ("flood_stderr", "done"),
    ],
)
async def test_a_call_finds_its_answer_whatever_surrounds_it(tool: str, text: str) -> None:
    async with stdio(faulty()) as client:
        assert said(await client.execute(proposal(tool), LIMITS)) == text


@pytest.mark.parametrize(
    ("tool", "code", "unknown"),
    [
        ("die", UNAVAILABLE, True),
        ("killed", UNAVAILABLE, True),
        ("half", UNAVAILABLE, True),
        ("flood_stdout", INVALID, True),
        ("flood_line", INVALID, True),
        ("flood_notifications", INVALID, True),
        ("flood_pings", INVALID, True),
        ("nan", INVALID, True),
        ("repeated_key", INVALID, True),
        ("neither", INVALID, True),
        ("both", INVALID, True),
        ("wrong_version", INVALID, True),
        ("no_object", INVALID, True),
        ("no_content", INVALID, True),
        ("asks_more", INVALID, True),
        ("error", INVALID, False),
        ("error_without_id", INVALID, False),
        ("big", WITHHELD, False),
        ("big_id_last", WITHHELD, False),
    ],
)
async def test_what_is_no_answer_fails_the_call_and_the_next_one_works(tool: str, code: Code, unknown: bool) -> None:
    async with stdio(faulty(), line_bytes=200_000, jitter=lambda: 0.0) as client:
        failed = await failure(client, tool)
        assert (failed.code, failed.unknown) == (code, unknown)
        assert said(await client.execute(proposal("echo"), LIMITS)) == "done"


async def test_a_result_beyond_the_calls_own_limit_is_withheld() -> None:
    async with stdio(faulty()) as client:
        assert (await failure(client, "big", Limits(20, 200_000))).code is WITHHELD
        assert (await client.execute(proposal("big"), Limits(20, 400_000))).size > 300_000


async def test_a_tools_own_error_is_a_result() -> None:
    async with stdio(faulty()) as client:
        assert (await client.execute(proposal("tool_error"), LIMITS)).tool_error


async def test_its_own_requests_are_answered_and_granted_nothing() -> None:
    async with stdio(faulty()) as client:
        refused, pong = json.loads(said(await client.execute(proposal("ask_back"), LIMITS)))
        assert refused == {"jsonrpc": "2.0", "id": "theirs", "error": {"code": -32601, "message": "not served here"}}
        assert pong == {"jsonrpc": "2.0", "id": 77, "result": {}}


async def test_a_time_out_withdraws_the_call_and_the_process_stays() -> None:
    launcher = faulty()
    async with stdio(launcher) as client:
        before = said(await client.execute(proposal("pid"), LIMITS))
        failed = await failure(client, "hang", SOON)
        assert (failed.code, failed.unknown) == (TIMEOUT, True)
        assert said(await client.execute(proposal("cancelled_before"), LIMITS)) == "3"
        assert said(await client.execute(proposal("pid"), LIMITS)) == before
        assert len(launcher.children) == 1


async def test_one_that_is_silent_through_several_time_outs_is_replaced() -> None:
    launcher = faulty()
    async with stdio(launcher, jitter=lambda: 0.0) as client:
        await client.execute(proposal("echo"), LIMITS)
        for _ in range(2):
            assert (await failure(client, "hang", SOON)).code is TIMEOUT
        await client.execute(proposal("echo"), LIMITS)
        for tool in ("hang", "deaf", "hang"):
            assert len(launcher.children) == 1
            assert (await failure(client, tool, SOON)).code is TIMEOUT
        assert said(await client.execute(proposal("echo"), LIMITS)) == "done"
        assert len(launcher.children) == 2


async def test_a_server_that_does_not_read_hangs_no_call_and_is_not_fed_for_ever() -> None:
    async with stdio(faulty()) as client:
        await client.execute(proposal("echo"), LIMITS)
        long = proposal("deaf", arguments={"text": "x" * 2**20})
        calls = [client.execute(long, Limits(1, 1_000)) for _ in range(12)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        codes = [(end.code, end.unknown) for end in ends if isinstance(end, Failed)]
        assert len(codes) == 12
        assert set(codes) == {(TIMEOUT, True), (UNAVAILABLE, False)}
        assert said(await client.execute(proposal("echo"), LIMITS)) == "done"


async def test_a_thousand_calls_at_once_each_get_their_own_answer() -> None:
    async with stdio(faulty()) as client:
        await client.execute(proposal("echo"), LIMITS)
        held = [asyncio.ensure_future(client.execute(proposal("hold"), LIMITS)) for _ in range(999)]
        await asyncio.sleep(0)
        last = await client.execute(proposal("release"), LIMITS)
        texts = [int(said(await each)) for each in held]
        assert texts == list(range(texts[0], texts[0] + 999))
        assert int(said(last)) == texts[-1] + 1


async def test_an_error_that_contradicts_the_era_has_the_server_asked_anew() -> None:
    launcher = faulty()
    async with stdio(launcher, jitter=lambda: 0.0) as client:
        assert (await failure(client, "unsupported")).code is INVALID
        assert client._handshake.known is None
        assert said(await client.execute(proposal("echo"), LIMITS)) == "done"
        assert len(launcher.children) == 2


# Whose process it is


async def test_two_principals_never_share_a_process_unless_all_do() -> None:
    for share, processes in (("principal", 3), ("all", 1)):
        launcher = faulty()
        async with stdio(launcher, share=share) as client:
            pids = {
                said(await client.execute(by(name, "pid", tenant), LIMITS))
                for name, tenant in (("alice", "a"), ("bob", "a"), ("alice", "b"), ("alice", "a"))
            }
            assert len(pids) == len(launcher.children) == processes
            alice = await client.execute(by("alice", "remember", arguments={"text": "of alice"}), LIMITS)
            bob = await client.execute(by("bob", "remember", arguments={"text": "of bob"}), LIMITS)
            assert (said(alice), said(bob)) == ("", "of alice" if share == "all" else "")
        expected = [OURS] if share == "all" else [Key("a", "alice"), Key("a", "bob"), Key("b", "alice")]
        assert launcher.keys[:3] == expected


async def test_a_list_costs_no_process_of_its_own() -> None:
    launcher = faulty()
    async with stdio(launcher) as client:
        assert [tool["name"] for tool in await client.tools()] == ["echo", "pid"]
        await client.execute(by("alice"), LIMITS)
        await client.tools()
        assert launcher.keys == [OURS]


@pytest.mark.parametrize("start", ["modern", "legacy"])
async def test_the_list_is_what_the_server_wrote(start: str) -> None:
    async with stdio(faulty(start)) as client:
        client.changed = True
        assert await client.tools() == [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "pid")]
        assert not client.changed


async def test_a_list_that_does_not_end_fails_with_a_known_ending() -> None:
    async with stdio(faulty("endless")) as client:
        with pytest.raises(Failed) as caught:
            await client.tools()
        assert (caught.value.code, caught.value.unknown) == (INVALID, False)


# Its life


async def test_the_idle_end_and_the_next_call_starts_another() -> None:
    now, launcher = [0.0], faulty()
    patience = Patience(BRIEF.probe_s, idle_s=60)
    async with stdio(launcher, clock=lambda: now[0], patience=patience) as client:
        await client.execute(by("alice"), LIMITS)
        now[0] = 59.0
        await client.execute(by("bob"), LIMITS)
        now[0] = 60.0
        await client.sweep()
        assert [child.returncode for child in launcher.children] == [0, None]
        await client.execute(by("alice"), LIMITS)
        assert len(launcher.running) == 2


async def test_one_that_dies_in_each_call_is_restarted_with_back_off_and_hinders_nobody_else() -> None:
    now, launcher = [0.0], faulty()
    async with stdio(launcher, clock=lambda: now[0], jitter=lambda: 1.0) as client:
        for pause in (0.25, 0.5, 1.0, 2.0):
            assert (await failure(client, "die")).unknown
            await idle(client)
            now[0] += pause
        assert (await failure(client, "die")).unknown
        await idle(client)
        refused = await failure(client, "die")
        assert (refused.code, refused.unknown) == (UNAVAILABLE, False)
        assert "started again in 4 s" in refused.reason
        assert said(await client.execute(by("somebody else"), LIMITS)) == "done"
        now[0] += 4
        assert said(await client.execute(proposal("echo"), LIMITS)) == "done"


async def test_a_wait_for_a_start_is_bounded_by_the_calls_own_deadline_and_the_start_goes_on() -> None:
    gate, launcher = asyncio.Event(), faulty()

    async def slow(key: Key) -> Child:
        await gate.wait()
        return await launcher(key)

    async with stdio(launcher) as client:
        client._start = slow
        failed = await failure(client, "echo", SOON)
        assert (failed.code, failed.unknown) == (TIMEOUT, False)
        gate.set()
        assert said(await client.execute(proposal("echo"), LIMITS)) == "done"
        assert len(launcher.children) == 1


async def test_a_program_that_is_not_there_is_said_to_the_operator_only() -> None:
    async with stdio(Launcher(("/no/such/program",))) as client:
        failed = await failure(client, "echo")
        assert (failed.code, failed.unknown) == (UNAVAILABLE, False)
        assert failed.reason == "the upstream's process cannot be started"
        assert "No such file or directory" in failed.detail


async def test_a_launcher_that_breaks_fails_the_call_with_a_known_ending() -> None:
    async def broken(key: Key) -> Child:
        raise ZeroDivisionError("hunter2hunter2")

    client = Stdio("notes", broken, secrets=["hunter2hunter2"])
    failed = await failure(client, "echo")
    assert (failed.code, failed.unknown, failed.detail) == (INVALID, False, "ZeroDivisionError('***')")


async def test_closing_lets_a_call_end_and_takes_no_more() -> None:
    launcher = faulty()
    async with stdio(launcher) as client:
        await client.execute(proposal("echo"), LIMITS)
        held = asyncio.ensure_future(client.execute(proposal("hold"), LIMITS))
        released = asyncio.ensure_future(client.execute(proposal("release"), LIMITS))
        await asyncio.sleep(0)
        await client.close()
        assert said(await held) == "2" or said(await held) == "3"
        assert (await released).size > 0
        assert launcher.running == []
        failed = await failure(client, "echo")
        assert (failed.code, failed.unknown) == (UNAVAILABLE, False)


async def test_closing_in_the_middle_of_a_handshake_leaves_no_process() -> None:
    launcher = faulty("silent")
    async with stdio(launcher, patience=Patience(probe_s=60)) as client:
        calling = asyncio.ensure_future(failure(client, "echo"))
        await launcher.started.wait()
        await client.close()
        assert "no longer serves" in (await calling).reason
        assert launcher.running == []


async def test_what_it_forks_does_not_keep_it_from_ending() -> None:
    launcher = faulty()
    async with stdio(launcher) as client:
        assert (await failure(client, "orphan")).code is UNAVAILABLE
        pid = int(client.stderr_tail().rsplit(maxsplit=1)[-1])
        try:
            assert said(await client.execute(proposal("echo"), LIMITS)) == "done"
        finally:
            kill(pid)
            await ended(pid)


# What is kept of its words


async def test_stderr_is_kept_bounded_without_secrets_and_in_no_reason() -> None:
    async with stdio(faulty(), secrets=["hunter2hunter2"]) as client:
        failed = await failure(client, "secret")
        assert failed.detail == "exit status 5; last on stderr: key is *** there"
        assert "***" not in failed.reason
        assert "stderr: key is *** there" in client.stderr_tail()
        await client.execute(proposal("flood_stderr"), LIMITS)
        assert len(client.stderr_tail()) <= 65_536


async def test_a_flood_of_stderr_between_calls_stops_neither_the_server_nor_the_gateway() -> None:
    async with stdio(faulty()) as client:
        texts = [said(await client.execute(proposal("flood_stderr"), LIMITS)) for _ in range(5)]
        assert texts == ["done"] * 5


async def test_nothing_of_our_environment_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "hunter2hunter2")
    async with stdio(faulty(env={"GIVEN": "1"})) as client:
        seen: dict[str, Any] = json.loads(said(await client.execute(proposal("environment"), LIMITS)))
    assert seen["GIVEN"] == "1"
    assert "CANARY" not in seen
    assert set(seen) <= {"GIVEN", "LC_CTYPE"}
    assert os.environ["CANARY"] == "hunter2hunter2"
