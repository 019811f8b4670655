"""A conversation whose other end is the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from gateway.channel import Channel
from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.stdio.conversation import Conversation
from gateway.executors.stdio.waiting import Envelope
from gateway.kinds import ACKNOWLEDGED
from gateway.model import JsonObject
from gateway.wire.jsonrpc import encode


class Pipe:
    """A process's input, as far as a conversation uses it: what was written, and how much waits."""

    def __init__(self) -> None:
        self.written: list[JsonObject] = []
        self.closed = False
        self.waiting = 0
        self.transport = self
        self.more = asyncio.Event()

    def write(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        self.written.append(orjson.loads(line))
        self.more.set()

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return self.waiting


class Talk:
    """Says what the test says, and keeps what it hears."""

    def __init__(self, line_bytes: int) -> None:
        self.stdin, self.stdout = Pipe(), asyncio.StreamReader(limit=2**26)
        self.noise: list[bytes] = []
        self.told: list[tuple[str, JsonObject]] = []
        """Notifications of no call."""
        self.conversation = Conversation(
            self.stdin,  # type: ignore[arg-type]
            self.stdout,
            line_bytes,
            noise=self.noise.append,
            heard=self._heard,
        )
        self.reading = asyncio.ensure_future(self.conversation.read())

    def _heard(self, method: str, params: JsonObject) -> bool:
        self.told.append((method, params))
        return True

    def says(self, text: str | bytes) -> None:
        self.stdout.feed_data(text if isinstance(text, bytes) else text.encode())

    def sends(self, *messages: JsonObject) -> None:
        self.says(b"".join(encode({"jsonrpc": "2.0", **message}) + b"\n" for message in messages))

    def asks(self, limit: int = 10_000, seconds: float = 20, **more: Any) -> asyncio.Future[Answer]:
        modern, meta = more.pop("modern", False), more.pop("meta", {})
        envelope = Envelope("tools/call", {"name": "t"}, meta, limit, seconds, **more)
        return asyncio.ensure_future(self.conversation.ask(envelope, modern=modern))

    async def heard(self, number: int) -> None:
        """Until so many messages were written."""
        async with asyncio.timeout(10):
            while len(self.stdin.written) < number:
                self.stdin.more.clear()
                await self.stdin.more.wait()

    async def taken(self) -> int:
        """Until all that was said is read; how much of that was passed over."""
        written, before = len(self.stdin.written), self.conversation.passed_over
        self.sends({"id": "taken", "method": "ping"})
        async with asyncio.timeout(10):
            while {"jsonrpc": "2.0", "id": "taken", "result": {}} not in self.stdin.written[written:]:
                self.stdin.more.clear()
                await self.stdin.more.wait()
        return self.conversation.passed_over - before - 1


@asynccontextmanager
async def talking(line_bytes: int = 100_000) -> AsyncIterator[Talk]:
    talk = Talk(line_bytes)
    try:
        yield talk
    finally:
        talk.reading.cancel()
        await asyncio.wait({talk.reading})


def line(ident: Any, **more: Any) -> bytes:
    return encode({"jsonrpc": "2.0", "id": ident, "result": {}} | more) + b"\n"


async def outcome(asked: "asyncio.Future[Answer]") -> Failed | Answer:
    try:
        async with asyncio.timeout(10):
            return await asked
    except Failed as failed:
        return failed


class Client:
    """The other end of a channel: keeps what it is told and asked, and answers when the test says so."""

    def __init__(self, **capabilities: Any) -> None:
        self.told: list[tuple[str, JsonObject]] = []
        self.asked: list[tuple[str, JsonObject]] = []
        self.answers: asyncio.Queue[JsonObject | Exception] = asyncio.Queue()
        self.more = asyncio.Event()
        self.listening = False
        self.capabilities = capabilities

    def channel(self, **settings: Any) -> Channel:
        kept: dict[str, Any] = {"capabilities": self.capabilities, "ask": self.ask, "tell": self.tell}
        return Channel(**{**kept, **settings})

    def tell(self, method: str, params: JsonObject) -> None:
        if method == ACKNOWLEDGED:
            self.listening = True
            return
        self.told.append((method, params))
        self.more.set()

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        self.asked.append((method, params))
        self.more.set()
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def was_told(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.told) < number:
                self.more.clear()
                await self.more.wait()

    async def was_asked(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.asked) < number:
                self.more.clear()
                await self.more.wait()
