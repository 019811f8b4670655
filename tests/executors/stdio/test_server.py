import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.process import Child
from gateway.executors.stdio.processes import OURS
from gateway.executors.stdio.server import Server
from gateway.executors.stdio.tail import Tail
from gateway.executors.stdio.topics import LISTS, Feed
from gateway.executors.stdio.waiting import Envelope
from gateway.model import Code
from tests.executors.stdio_upstream import ended, faulty, kill


class Ends:
    """Notes each end it is told of."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.changed = 0

    def over(self, server: Server) -> None:
        self.said.append("over")

    def on_end(self) -> None:
        self.said.append("on_end")

    def change(self) -> None:
        self.changed += 1


@asynccontextmanager
async def serving(start: str = "modern") -> AsyncIterator[tuple[Server, Ends, Tail]]:
    ends, tail = Ends(), Tail(str)
    server = Server(await faulty(start)(OURS), tail, 1_000_000, ends.change, ends.over)
    server.modern, server.on_end = True, ends.on_end
    try:
        yield server, ends, tail
    finally:
        async with asyncio.timeout(20):
            await server.leave()
        assert ends.said == ["on_end", "over"]
        assert not server.usable


async def asked(server: Server, tool: str, seconds: float = 20) -> Answer:
    return await server.ask(Envelope("tools/call", {"name": tool, "arguments": {}}, {}, 100_000, seconds))


async def failed(server: Server, tool: str) -> Failed:
    with pytest.raises(Failed) as caught:
        await asked(server, tool)
    return caught.value


@pytest.mark.parametrize(
    ("tool", "detail"),
    [
        ("die", "exit status 3; last on stderr: Traceback: it broke"),
        ("killed", "killed by SIGKILL; last on stderr: ready modern"),
        ("half", "exit status 0; last on stderr: ready modern"),
    ],
)
async def test_a_death_in_a_call_says_how_and_the_last_words(tool: str, detail: str) -> None:
    async with serving() as (server, _, _):
        other = asyncio.ensure_future(failed(server, "hang"))
        failure = await failed(server, tool)
        assert (failure.code, failure.unknown, failure.detail) == (Code.UPSTREAM_UNAVAILABLE, True, detail)
        assert (await other).detail == detail
        again = await failed(server, "echo")
        assert (again.code, again.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)


async def test_a_violation_of_the_sandbox_is_told_as_such() -> None:
    async with serving() as (server, _, _):
        calling = asyncio.ensure_future(failed(server, "hang"))
        await asked(server, "echo")
        server.child.kill("memory: 2.1 GB of 2 GB")
        failure = await calling
        assert (failure.code, failure.unknown) == (Code.SANDBOX_VIOLATION, True)
        assert failure.detail == "memory: 2.1 GB of 2 GB"


async def test_a_sandbox_that_could_not_be_made_ran_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as (server, _, _):
        monkeypatch.setattr(Child, "sandbox_failed", property(lambda child: True))
        failure = await failed(server, "die")
        assert (failure.code, failure.unknown) == (Code.SANDBOX_UNAVAILABLE, False)
        assert failure.detail == "exit status 3; last on stderr: Traceback: it broke"


async def test_what_its_output_is_given_up_for_ends_it() -> None:
    async with serving() as (server, _, _):
        failure = await failed(server, "flood_notifications")
        assert (failure.code, failure.unknown) == (Code.UPSTREAM_INVALID, True)
        assert "far more than it was asked for" in failure.reason
        await server.gone()
        assert server.child.returncode is not None


async def test_the_end_is_seen_though_something_it_started_holds_its_streams() -> None:
    async with serving() as (server, _, _):
        failure = await failed(server, "orphan")
        pid = int(failure.detail.rpartition(" ")[2])
        try:
            assert failure.detail == f"exit status 4; last on stderr: {pid}"
            await server.gone()
        finally:
            kill(pid)
            await ended(pid)


async def test_one_that_forked_is_ended_though_its_streams_stay_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.stdio.server.GRACE_SECONDS", 0.1)
    async with serving() as (server, _, _):
        message = (await asked(server, "fork")).message
        assert message is not None
        pid = int(message["result"]["content"][0]["text"])
        try:
            await server.leave()
            assert server.child.returncode is not None
        finally:
            kill(pid)
            await ended(pid)


async def test_one_that_closes_its_output_is_of_no_more_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.stdio.server.GRACE_SECONDS", 0.1)
    async with serving() as (server, _, _):
        failure = await failed(server, "close_stdout")
        assert (failure.code, failure.unknown) == (Code.UPSTREAM_UNAVAILABLE, True)
        assert failure.detail == "it still ran; last on stderr: ready modern"


async def test_a_fault_of_our_own_in_reading_hangs_no_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as (server, _, _):
        monkeypatch.setattr(server._conversation, "_take", None)
        failure = await failed(server, "echo")
        assert (failure.code, failure.unknown) == (Code.UPSTREAM_INVALID, True)
        assert "could not be read" in caplog.text


@pytest.mark.parametrize("tool", ["deaf", "stubborn"])
async def test_one_that_does_not_end_when_it_is_told_to_is_killed(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.stdio.server.GRACE_SECONDS", 0.1)
    async with serving("stubborn") as (server, _, _):
        assert await asked(server, "echo")
        calling = asyncio.ensure_future(failed(server, "deaf" if tool == "deaf" else "hang"))
        await asyncio.sleep(0)
        await server.leave()
        failure = await calling
        assert failure.unknown
        assert "the gateway ended" in failure.reason
        assert server.child.returncode == -9


async def test_it_is_watched_only_while_something_is_asked_of_it() -> None:
    class Watch:
        said: list[str] = []  # noqa: RUF012 - one of them

        def begin(self) -> None:
            self.said.append("begin")

        def end(self) -> None:
            self.said.append("end")

    async with serving() as (server, _, _):
        server.child.watch = Watch()
        held = [asyncio.ensure_future(asked(server, "hold")) for _ in range(3)]
        await asyncio.sleep(0)
        assert (server.busy, Watch.said) == (3, ["begin"])
        quiet = asyncio.ensure_future(server.quiet())
        await asked(server, "release")
        await asyncio.gather(*held, quiet)
        assert (server.busy, Watch.said) == (0, ["begin", "end"])
        await failed(server, "die")
        assert Watch.said == ["begin", "end"] * 2


async def test_a_new_list_of_tools_is_told_and_text_beside_the_protocol_is_kept() -> None:
    async with serving() as (server, ends, tail):
        await asked(server, "surrounded")
        assert ends.changed == 1
        assert "stdout: Server started on stdio" in str(tail)


async def test_what_is_heard_beside_its_calls_reaches_who_listens_and_a_subscription_makes_it_no_busier() -> None:
    async with serving() as (server, ends, _):
        told: list[str] = []
        feed = Feed(("", ""), (), lambda method, params: told.append(method))
        server.topics.join(LISTS, feed)
        await asyncio.sleep(0)
        assert (server.busy, server.kept) == (0, False)
        assert server.heard("notifications/prompts/list_changed", {})
        assert not server.heard("notifications/resources/updated", {"uri": "note://a"})
        assert (told, ends.changed) == (["notifications/prompts/list_changed"], 1)


async def test_its_end_ends_what_was_subscribed_to_with_its_reason() -> None:
    async with serving() as (server, _, _):
        feed = Feed(("", ""), ("note://a",), lambda method, params: None)
        server.topics.join("note://a", feed)
        assert server.kept
        await failed(server, "die")
        with pytest.raises(Failed) as caught:
            await feed.over
        assert (caught.value.code, caught.value.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)
        assert caught.value.detail == "exit status 3; last on stderr: Traceback: it broke"


async def test_an_end_that_fails_is_told_and_ends_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise OSError("the door is stuck")

    async with serving() as (server, _, _):
        server.child.on_end.append(broken)
        await server.leave()
    assert "could not be ended whole" in caplog.text


async def test_a_process_that_ended_before_anybody_looked_is_seen_to_have() -> None:
    child: Any = await faulty("dies")(OURS)
    await child.wait()
    ends = Ends()
    server = Server(child, Tail(str), 1_000, ends.change, ends.over)
    async with asyncio.timeout(20):
        await server.gone()
    assert ends.said == ["over"]
