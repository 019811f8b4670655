"""One session with an upstream of the legacy era: its id and revision, what it said of itself, the calls under way.

Not how sessions are opened and ended (sessions.py).
"""

import asyncio
from contextlib import suppress
from typing import Final

from gateway.channel import About
from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid
from gateway.executors.early import Line
from gateway.executors.exchange import Beside, Exchange, refused
from gateway.executors.interests import Interests
from gateway.executors.pool import Pool
from gateway.executors.streams import Stream, pause
from gateway.kinds import LOGGED, PROGRESS, ROOTS_CHANGED
from gateway.model import JsonObject
from gateway.wire.jsonrpc import notification
from gateway.wire.mcp import upstream_headers

MOST_REPLIES: Final = 100
"""Refusals of what belongs to no call that may be on their way; further ones are dropped."""


def _nobody(_method: str, _params: JsonObject) -> bool:
    return False


class Session:
    """One initialised session. `id` is None where the upstream keeps none; `line` is its stream in the oldest
    transport, over which all of it goes.
    """

    __slots__ = (
        "_pool", "_replies", "about", "beside", "busy", "calls", "id", "interests", "level", "line", "stream", "used",
    )  # fmt: skip

    def __init__(self, pool: Pool, about: About, ident: str | None, used: float, line: Line | None = None) -> None:
        self._pool, self.about, self.id, self.used, self.line = pool, about, ident, used, line
        self.busy = 0
        self.calls: dict[str, Exchange] = {}
        """The calls under way, by the id of their request."""
        self.level = ""
        """The least severe log message that was asked for."""
        self.interests: Interests | None = None
        """The resources subscribed to, once there were any."""
        self.stream: Stream | None = None
        self.beside: Beside = _nobody
        self._replies: set[asyncio.Future[None]] = set()

    @property
    def version(self) -> str:
        """The revision that is spoken."""
        return self.about.era

    def headers(self, method: str) -> dict[str, str]:
        """The headers of a request within this session."""
        headers = upstream_headers(self.version, method)
        if self.id is not None:
            headers["mcp-session-id"] = self.id
        return headers

    def stream_headers(self) -> dict[str, str]:
        """The headers of a GET within this session."""
        headers = self.headers("GET")
        del headers["content-type"]
        return headers | {"accept": "text/event-stream"}

    async def tell(self, method: str, body: bytes) -> int:
        """Send what has no answer; the status.

        Raises:
            Failed: it did not arrive.
        """
        if self.line is not None:
            return await self.line.tell(body)
        return await self._pool.tell("POST", body, self.headers(method))

    async def reply(self, body: bytes) -> None:
        """Answer what the upstream asked."""
        await self.tell("response", body)

    async def ask(self, body: bytes, method: str, limit: int, exchange: Exchange) -> Answer:
        """Send a request of the exchange, whose id is set, and wait for its answer. HOT.

        Raises:
            Failed: there is none.
        """
        self.busy += 1
        self.calls[exchange.ident] = exchange
        exchange.reply, exchange.beside, exchange.version = self.reply, self.beside, self.version
        try:
            if exchange.channel.roots_changed:
                await self._others(exchange)
            exchange.sent = True
            if self.line is not None:
                exchange.deadline.watch()
                return await self.line.ask(body, exchange.ident, limit)
            answer = await self._pool.ask(
                body, self.headers(method), exchange.ident, limit, exchange.deadline.seconds, exchange
            )
            return answer if answer.resume is None else await self._resumed(answer, limit, exchange)
        finally:
            self.busy -= 1
            del self.calls[exchange.ident]

    async def _others(self, exchange: Exchange) -> None:
        """Tell that the client has other roots. A server that does not take it is asked all the same."""
        exchange.deadline.watch()
        exchange.channel.roots_changed = False
        with suppress(Failed):
            await self.tell(ROOTS_CHANGED, notification(ROOTS_CHANGED, {}))

    def hear(self, message: JsonObject) -> bool:
        """Take what is said on a stream of the session that is no call's own: it may be about one all the same.

        Raises:
            Failed: it must not be there.
        """
        if type(method := message.get("method")) is not str or type(params := message.get("params", {})) is not dict:
            return False
        only = next(iter(self.calls.values())) if len(self.calls) == 1 else None
        if method == PROGRESS:
            token = params.get("progressToken")
            only = self.calls.get(token) if type(token) is str else None
        elif "id" in message and (only is None or method == "ping"):
            return self._refuse(message)
        elif "id" not in message and method != LOGGED and self.beside(method, params):
            return True
        return only is not None and only.hear(message)

    def listen(self) -> Stream | None:
        """Its own stream, opened where it is not; None where all goes over one line anyway."""
        if self.line is None and (self.stream is None or self.stream.over.done()):
            self.stream = Stream(self._pool, self.stream_headers(), self.hear)
        return self.stream

    def over(self) -> "asyncio.Future[Failed]":
        """Done once nothing more can be said in it by the upstream itself."""
        listening = self.line or self.stream
        assert listening is not None
        return listening.over

    async def leave(self) -> None:
        """Close its streams; what is still answered in it is not waited for."""
        waiting = [*self._replies]
        for reply in waiting:
            reply.cancel()
        if waiting:
            await asyncio.wait(waiting)
        if self.interests is not None:
            await self.interests.end()
        if self.stream is not None:
            await self.stream.close()
        if self.line is not None:
            await self.line.close()

    async def _resumed(self, answer: Answer, limit: int, exchange: Exchange) -> Answer:
        """Come back for the answer for as long as the upstream says how. Nothing is sent again."""
        exchange.deadline.watch()
        size = passed_over = 0
        retry_ms: int | None = None
        while (resume := answer.resume) is not None:
            size, passed_over = size + answer.size, passed_over + answer.passed_over
            retry_ms = retry_ms if resume.retry_ms is None else resume.retry_ms
            await asyncio.sleep(pause(retry_ms))
            headers = {**self.stream_headers(), "last-event-id": resume.last_id}
            left = max(0, limit - size)
            answer = await self._pool.ask(b"", headers, exchange.ident, left, None, exchange, verb="GET")
        if answer.status != 200:
            raise invalid("the stream ended without a response", detail=f"HTTP {answer.status} on coming back")
        return answer._replace(size=size + answer.size, passed_over=passed_over + answer.passed_over)

    def _refuse(self, message: JsonObject) -> bool:
        answer = refused(message)
        if answer is not None and len(self._replies) < MOST_REPLIES:
            reply = asyncio.ensure_future(self._refused(answer))
            self._replies.add(reply)
            reply.add_done_callback(self._replies.discard)
        return False

    async def _refused(self, answer: bytes) -> None:
        with suppress(Failed):
            await self.reply(answer)
