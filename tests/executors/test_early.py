import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest

from gateway.channel import Channel
from gateway.errors import Failed
from gateway.model import Code, JsonObject
from tests.executors.hostile import (
    INVALID,
    LIMITS,
    SOON,
    SSE,
    UNAVAILABLE,
    WITHHELD,
    Answer,
    Reply,
    Seen,
    always,
    cut,
    event,
    http,
    proposal,
    remote,
    said,
    upstream,
)


class Old:
    """A server of 2024-11-05: what is posted is answered on the one stream, by what `on` says for its method."""

    def __init__(self, *, version: str = "2024-11-05", endpoint: str = "/messages?session=7") -> None:
        self.version, self.endpoint = version, endpoint
        self.replies: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.paths: list[str] = []
        self.call: list[str] = [
            'data: {"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"done"}]}}\n\n'
        ]
        self.status = 202
        self.streams = 0

    def on(self) -> dict[str, Answer]:
        return {
            "server/discover": always(lambda seen: http(405)),
            "initialize": self._initialize,
            "GET": self._stream,
            "notifications/initialized": always(lambda seen: http(202, kind="")),
            "notifications/cancelled": always(lambda seen: http(202, kind="")),
            "POST": always(lambda seen: http(202, b"Accepted", "text/plain")),
            "tools/call": self._call,
        }

    async def _initialize(self, seen: Seen) -> Reply:
        if not self.streams:
            return http(405)
        info = {"protocolVersion": self.version, "capabilities": {"tools": {}}}
        self.say(f"data: {orjson.dumps({'jsonrpc': '2.0', 'id': seen.ident, 'result': info}).decode()}\n\n")
        return http(202, b"Accepted", "text/plain")

    async def _call(self, seen: Seen) -> Reply:
        for part in self.call:
            self.say(part.replace("ID", seen.text))
        return http(self.status, b"Accepted", "text/plain")

    def say(self, part: str) -> None:
        self.replies.put_nowait(part.encode())

    def hang_up(self) -> None:
        self.replies.put_nowait(None)

    async def _stream(self, seen: Seen) -> Reply:
        self.streams += 1
        self.replies = asyncio.Queue()
        return self._send(self.replies, seen.upstream.over)

    async def _send(self, replies: "asyncio.Queue[bytes | None]", over: asyncio.Event) -> AsyncGenerator[bytes, None]:
        yield f"HTTP/1.1 200 OK\r\ncontent-type: {SSE}\r\n\r\n".encode()
        yield f"event: endpoint\ndata: {self.endpoint}\n\n".encode()
        ended = asyncio.ensure_future(over.wait())
        while True:
            part = asyncio.ensure_future(replies.get())
            await asyncio.wait({ended, part}, return_when=asyncio.FIRST_COMPLETED)
            if not part.done() or (said := part.result()) is None:
                part.cancel()
                ended.cancel()
                return
            yield said


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26"])
async def test_a_server_of_the_oldest_transport_is_called_and_its_answer_read_from_its_stream(version: str) -> None:
    old = Old(version=version)
    async with upstream(old.on()) as server, remote(server.url) as through:
        for _ in range(2):
            outcome = await through.execute(proposal(), LIMITS)
            assert said(outcome) == "done"
            assert outcome.evidence["era"] == version
        assert (await through.about()).capabilities == {"tools": {}}
        assert old.streams == 1
        assert len(server.of("tools/call")) == 2


async def test_the_transport_that_was_found_is_remembered_for_other_sessions() -> None:
    old = Old()
    async with upstream(old.on()) as server, remote(server.url) as through:
        await through.execute(proposal(), LIMITS)
        await through.execute(proposal(session="other"), LIMITS)
        assert old.streams == 2
        assert len(server.of("initialize")) == 3, "the first was refused, and each stream has one"


@pytest.mark.parametrize(
    "endpoint", ["http://other.example/messages", "//other.example/m", "http://u:p@127.0.0.1/m", "\\\\other.example\\m"]
)
async def test_an_endpoint_of_another_origin_is_not_posted_to(endpoint: str) -> None:
    old = Old(endpoint=endpoint)
    async with upstream(old.on()) as server, remote(server.url) as through:
        with pytest.raises(Failed) as failed:
            await through.execute(proposal(), LIMITS)
        assert len(server.of("initialize")) == 1
    assert (failed.value.code, failed.value.unknown) == (UNAVAILABLE, False)


async def test_progress_and_questions_on_the_stream_are_the_calls() -> None:
    told: list[Any] = []

    async def ask(method: str, _params: JsonObject) -> JsonObject:
        old.say(f"data: {orjson.dumps({'jsonrpc': '2.0', 'id': asked[0], 'result': {'content': []}}).decode()}\n\n")
        return {"asked": method}

    asked: list[Any] = []
    old = Old()
    old.call = [
        'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":ID,"progress":1}}\n\n',
        event("notifications/progress", {"progressToken": "x", "progress": 2}),
        event("roots/list", id=4),
    ]
    on = old.on()

    async def call(seen: Seen) -> Reply:
        asked.append(seen.ident)
        return await old._call(seen)

    on["tools/call"] = call
    channel = Channel({"roots": {}}, progress=True, tell=lambda *said: told.append(said), ask=ask)
    async with upstream(on) as server, remote(server.url) as through:
        assert (await through.execute(proposal(), LIMITS, channel)).result == {"content": []}
        assert len(server.of("tools/call")) == 1
    assert told == [("notifications/progress", {"progress": 1})]


@pytest.mark.parametrize(
    ("parts", "code", "unknown"),
    [
        (['data: {"jsonrpc":"2.0","id":ID,"result":{},"error":{}}\n\n'], INVALID, True),
        (['data: {"jsonrpc":"2.0","id":ID,"error":{"code":-32602,"message":"m"}}\n\n'], INVALID, False),
        (["data: {\n\n"], INVALID, True),
        (["event: endpoint\ndata: /elsewhere\n\n"], INVALID, True),
        (['data: {"jsonrpc":"2.0","id":ID,"result":{"a":"' + "x" * 200_000 + '"}}\n\n'], WITHHELD, False),
        (['data: {"jsonrpc":"2.0","id":"other","result":{}}\n\n'], Code.UPSTREAM_TIMEOUT, True),
        ([], Code.UPSTREAM_TIMEOUT, True),
        ([""], UNAVAILABLE, True),
    ],
)
async def test_what_is_no_answer_on_the_stream_is_no_result(parts: list[str], code: Code, unknown: bool) -> None:
    old = Old()
    async with upstream(old.on()) as server, remote(server.url) as through:
        await through.execute(proposal(), LIMITS)
        old.call = [part for part in parts if part]
        if parts == [""]:
            server.on["tools/call"] = _hanging(old)
        with pytest.raises(Failed) as failed:
            await through.execute(proposal(), SOON)
        assert (failed.value.code, failed.value.unknown) == (code, unknown), failed.value.reason
        old.call = Old().call
        server.on["tools/call"] = old._call
        assert said(await through.execute(proposal(), LIMITS)) == "done", "one failure poisoned the client"


def _hanging(old: Old) -> Answer:
    async def answer(seen: Seen) -> Reply:
        old.hang_up()
        return http(202, kind="")

    return answer


async def test_a_post_that_is_refused_is_a_known_ending() -> None:
    old = Old()
    async with upstream(old.on()) as server, remote(server.url) as through:
        await through.execute(proposal(), LIMITS)
        old.call, old.status = [], 400
        with pytest.raises(Failed) as failed:
            await through.execute(proposal(), LIMITS)
    assert (failed.value.code, failed.value.unknown) == (INVALID, False)


async def test_a_post_that_breaks_off_is_not_known_to_have_run() -> None:
    old = Old()
    async with upstream(old.on()) as server, remote(server.url) as through:
        await through.execute(proposal(), LIMITS)
        server.on["tools/call"] = always(lambda seen: cut(b"HTTP"))
        with pytest.raises(Failed) as failed:
            await through.execute(proposal(), LIMITS)
    assert (failed.value.code, failed.value.unknown) == (UNAVAILABLE, True)
