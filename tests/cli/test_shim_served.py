"""The process that a client starts: lines in, lines out, whatever happens to the owner between. Real processes."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.cli import shim
from gateway.cli.owning import LOG
from tests.attacks.upstreams import Upstream, upstream
from tests.serving import Folder, serving
from tests.wraps import end_owner, modern, owner, records, request, unowned, wrapping

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SMALL = "limits: {body_mb: 1}\n"
LONG = "ä" * (2 << 20)
NOTE: dict[str, Any] = {"name": "write_note", "arguments": {"path": "notes/a", "text": "t"}}


@pytest_asyncio.fixture(loop_scope="module")
async def reached() -> AsyncIterator[Upstream]:
    async with upstream() as kept:
        yield kept


@pytest_asyncio.fixture(loop_scope="module")
async def folder(reached: Upstream, tmp_path: Path) -> AsyncIterator[Folder]:
    """A gateway of its own, that does not run yet."""
    made = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}})
    made.write()
    yield made
    await end_owner(made.state)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Folder]:
    """One gateway that runs, for all that leave it as it was."""
    async with upstream() as kept:
        kept.call = _long_or_short
        made = Folder(tmp_path_factory.mktemp("shim") / "gateway", {"kept": {"url": kept.url}}, more=SMALL)
        async with serving(made):
            yield made


async def _long_or_short(_upstream: Upstream, message: dict[str, Any]) -> dict[str, Any]:
    text = LONG if message["params"]["arguments"].get("text") == "long" else "done"
    return {"result": {"resultType": "complete", "content": [{"type": "text", "text": text}]}}


def said(answer: Any) -> str:
    return str(answer["result"]["content"][0]["text"])


class Held:
    """An upstream that answers a call only when it is told to."""

    def __init__(self, reached: Upstream) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        reached.call = self.call

    async def call(self, _upstream: Upstream, _message: dict[str, Any]) -> dict[str, Any]:
        self.asked.set()
        await self.go.wait()
        return {"result": {"resultType": "complete", "content": [{"type": "text", "text": "late"}]}}


async def test_a_legacy_client_is_served(shared: Folder) -> None:
    async with wrapping(shared) as wrap:
        assert (await wrap.shake())["result"]["protocolVersion"] == "2025-11-25"
        tools = (await wrap.ask("tools/list"))["result"]["tools"]
        assert [tool["name"] for tool in tools] == ["read_note", "write_note"]
        assert said(await wrap.ask("tools/call", NOTE)) == "done"
        assert await wrap.leave() == 0
        assert await wrap.told() is None


async def test_a_modern_client_needs_no_handshake(shared: Folder) -> None:
    async with wrapping(shared) as wrap:
        wrap.send(modern("tools/call", NOTE, "ä"))
        answer = await wrap.answer("ä")
    assert answer["result"]["resultType"] == "complete"


async def test_two_that_start_at_once_have_one_owner_and_both_are_served(folder: Folder) -> None:
    async def served() -> Any:
        async with wrapping(folder) as wrap:
            await wrap.shake()
            return said(await wrap.ask("tools/call", NOTE))

    assert await asyncio.gather(*(served() for _ in range(3))) == ["done"] * 3
    assert (folder.state / LOG).read_text().count("listening on") == 1
    assert len(records(folder, "log.boot")) == 1


async def test_an_owner_that_an_operator_started_is_used_and_left_alone(folder: Folder) -> None:
    async with serving(folder) as served:
        async with wrapping(folder) as wrap:
            await wrap.shake()
            assert said(await wrap.ask("tools/call", NOTE)) == "done"
        assert served.process.returncode is None
        assert not (folder.state / LOG).exists()


async def test_when_the_owner_is_killed_each_open_request_is_answered_and_the_next_finds_another(
    folder: Folder, reached: Upstream
) -> None:
    held = Held(reached)
    async with wrapping(folder) as wrap:
        await wrap.shake()
        await wrap.ask("tools/list")
        wrap.send(request("tools/call", NOTE, 7))
        wrap.send(request("tools/call", {"name": "read_note", "arguments": {}}, "seven"))
        await held.asked.wait()
        first = owner(folder.state)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        for ident in (7, "seven"):
            error = (await wrap.answer(ident))["error"]
            assert (error["code"], error["data"]["code"]) == (shim.OUTCOME_UNKNOWN, "OUTCOME_UNKNOWN")
        held.go.set()
        assert said(await wrap.ask("tools/call", NOTE, 8)) == "late"  # in the handshake of the killed one
        assert owner(folder.state) not in (None, first)
        assert await wrap.leave() == 0
    [ending] = {record["call"]["session"] for record in records(folder, "call.intent")}
    assert ending.startswith("wrap:agent:")


async def test_an_owner_that_stops_in_order_answers_first(folder: Folder, reached: Upstream) -> None:
    held = Held(reached)
    async with wrapping(folder) as wrap:
        await wrap.shake()
        wrap.send(request("tools/call", NOTE, 7))
        await held.asked.wait()
        pid = owner(folder.state)
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        held.go.set()
        assert said(await wrap.answer(7)) == "late"
        await unowned(folder.state)
        assert said(await wrap.ask("tools/call", NOTE, 8)) == "late"


async def test_at_the_end_of_its_input_it_waits_for_what_it_is_owed(folder: Folder, reached: Upstream) -> None:
    held = Held(reached)
    async with wrapping(folder) as wrap:
        await wrap.shake()
        wrap.send(orjson.dumps(request("tools/call", NOTE, 7)))  # without the end of its line
        leaving = asyncio.ensure_future(wrap.leave())
        await held.asked.wait()
        held.go.set()
        assert said(await wrap.answer(7)) == "late"
        assert await leaving == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(shared: Folder, stop: signal.Signals) -> None:
    async with wrapping(shared) as wrap:
        await wrap.shake()
        wrap.process.send_signal(stop)
        assert await wrap.process.wait() == -stop


async def test_a_client_that_hangs_up_cuts_no_call(folder: Folder, reached: Upstream) -> None:
    held = Held(reached)
    async with wrapping(folder) as wrap:
        await wrap.shake()
        wrap.send(request("tools/call", NOTE, 7))
        await held.asked.wait()
        wrap.process.kill()
        await wrap.process.wait()
        held.go.set()
    await end_owner(folder.state)
    assert [record["ending"] for record in records(folder, "call.settled")] == ["done"]


async def test_without_somebody_to_read_it_ends(shared: Folder) -> None:
    reading, writing = os.pipe()
    async with wrapping(shared, stdout=writing) as wrap:
        os.close(writing)
        os.close(reading)
        wrap.send(modern("server/discover"))
        assert await wrap.process.wait() == 1


LINES: dict[str, tuple[bytes, Any, int]] = {
    "no JSON": (b"hello\n", None, -32700),
    "a batch": (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]\n', None, -32600),
    "a result that is none": (b'{"jsonrpc":"2.0","id":1,"result":[]}\n', None, -32600),
    "two members of a name": (b'{"jsonrpc":"2.0","id":4,"method":"ping","method":"ping"}\n', 4, -32700),
    "an integer too large": (b'{"jsonrpc":"2.0","id":5,"method":"ping","params":{"n":9007199254740993}}\n', 5, -32600),
    "nothing open": (b'{"jsonrpc":"2.0","id":6,"method":"ping"}\n', 6, -32600),
}  # fmt: skip


async def test_what_is_no_message_is_answered_as_over_http_and_by_its_id_where_it_has_one(shared: Folder) -> None:
    async with wrapping(shared) as wrap:
        for what, (line, ident, code) in LINES.items():
            wrap.send(line)
            assert (await wrap.answer(ident))["error"]["code"] == code, what
        assert await wrap.leave() == 0


async def test_half_lines_line_ends_of_windows_blank_lines_and_a_byte_order_mark_are_read(shared: Folder) -> None:
    line = orjson.dumps(modern("server/discover", ident=1))
    async with wrapping(shared) as wrap:
        wrap.send(b"\xef\xbb\xbf" + line[:20])
        assert wrap.process.stdin is not None
        await wrap.process.stdin.drain()
        wrap.send(line[20:] + b"\r\n\r\n\n")
        assert "result" in await wrap.answer(1)


@pytest.mark.parametrize("first", [True, False], ids=["id first", "id last"])
async def test_a_line_that_is_too_long_is_refused_under_its_id_and_the_next_is_served(
    shared: Folder, first: bool
) -> None:
    body = {"method": "tools/call", "params": {"name": "x" * (3 << 20)}}
    head = {"jsonrpc": "2.0", "id": 9}
    async with wrapping(shared) as wrap:
        wrap.send(head | body if first else body | head)
        assert (await wrap.answer(9))["error"]["message"] == "the message is larger than 1 MB"
        wrap.send(modern("server/discover", ident=1))
        assert "result" in await wrap.answer(1)


async def test_a_result_of_many_pieces_arrives_whole(shared: Folder) -> None:
    async with wrapping(shared) as wrap:
        wrap.send(modern("tools/call", {"name": "write_note", "arguments": {"path": "notes/a", "text": "long"}}))
        assert said(await wrap.answer(1)) == LONG


REFUSED = {
    "an upstream that is not there": (["--name", "other"], "no upstream 'other'; there are: kept"),
    "a principal that is not there": (["--name", "kept", "--as", "nobody"], "no principal 'nobody'; there are: agent"),
    "nothing": (["--as", "agent"], "--name NAME says which upstream"),
    "a folder for what is registered": (["--name", "kept", "--folder", "/srv"], "belong to a command after --"),
    "a variable that is not set": (["--env", "NO_SUCH_VARIABLE", "--", "/bin/x"], "NO_SUCH_VARIABLE: the variable"),
    "a name that means another": (["--name", "kept", "--", "/bin/x"], "registered with another command"),
    "a name that cannot be one": (["--name", "a__b", "--", "/bin/x"], "holds no '__'"),
}


async def test_what_cannot_be_wrapped_is_said_on_standard_error_and_nothing_on_standard_output(shared: Folder) -> None:
    pipe = asyncio.subprocess.PIPE
    for what, (words, reason) in REFUSED.items():
        async with wrapping(shared, *words, stderr=pipe) as wrap:
            out, err = await wrap.process.communicate()
            assert (wrap.process.returncode, out) == (2, b""), what
            assert reason in err.decode(), what
            assert "Traceback" not in err.decode(), what


async def test_an_owner_that_cannot_start_says_why_through_the_wrap(folder: Folder) -> None:
    folder.policy = "package bascule.call\n\nallow if"
    folder.write()
    async with wrapping(folder, stderr=asyncio.subprocess.PIPE) as wrap:
        out, err = await wrap.process.communicate()
    assert (wrap.process.returncode, out) == (2, b"")
    assert "the gateway did not start" in err.decode()
    assert "tests.rego:3" in err.decode()


@pytest.mark.slow
async def test_an_owner_that_cannot_start_again_fails_the_request_and_not_the_wrap(folder: Folder) -> None:
    async with wrapping(folder, stderr=asyncio.subprocess.DEVNULL) as wrap:
        await wrap.shake()
        await end_owner(folder.state)
        good, folder.policy = folder.policy, "package bascule.call\n\nallow if"
        folder.write()
        assert (await wrap.ask("tools/list"))["error"]["code"] == shim.INTERNAL_ERROR
        folder.policy = good
        folder.write()
        assert "result" in await wrap.ask("tools/list")


async def test_where_the_address_is_taken_the_owner_serves_wraps_alone(folder: Folder) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        folder.config.write_text(folder.config.read_text().replace("port: 0", f"port: {port}"))
        async with wrapping(folder) as wrap:
            await wrap.shake()
            assert said(await wrap.ask("tools/call", NOTE)) == "done"
        assert f"cannot listen on 127.0.0.1:{port}: only wraps are served" in (folder.state / LOG).read_text()
