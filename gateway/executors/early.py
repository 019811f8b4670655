"""The transport of 2024-11-05: one stream that says where to POST, and carries every answer.

Not a session by the words of later revisions: what it is tied to is the stream, and ends with it.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from pyreqwest.http import Url

from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid, response_to, too_large
from gateway.executors.pool import Pool
from gateway.executors.streams import follow, message_of
from gateway.model import Code, JsonObject
from gateway.wire.mcp import upstream_headers
from gateway.wire.sse import Event, EventStream

EARLIEST: Final = "2024-11-05"
GREETING_SECONDS: Final = 5.0
"""For its first event, which says where to POST."""
_EVENT_BYTES = 64 * 2**20
"""The largest event that is read at all; a call brings the limit of its own answer."""


class _Waiting(NamedTuple):
    answer: asyncio.Future[Answer]
    limit: int


class Line:
    """One such stream. `hear` is told whatever on it is no answer of ours."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._endpoint: asyncio.Future[Url] = asyncio.get_running_loop().create_future()
        self._waiting: dict[str, _Waiting] = {}
        self.hear: Callable[[JsonObject], bool] = _unheard
        self.over: asyncio.Future[Failed] = asyncio.get_running_loop().create_future()
        """Why it ended."""
        self._task = asyncio.ensure_future(self._run())

    async def opened(self) -> bool:
        """Whether the other side speaks this transport, once that is known."""
        either: set[asyncio.Future[Any]] = {self._endpoint, self.over}
        await asyncio.wait(either, timeout=GREETING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if self._endpoint.done() and not self.over.done():
            return True
        await self.close()
        return False

    async def ask(self, body: bytes, ident: str, limit: int) -> Answer:
        """Send one request and wait for its answer on the stream.

        Raises:
            Failed: there is none.
        """
        waiting = _Waiting(asyncio.get_running_loop().create_future(), limit)
        self._waiting[ident] = waiting
        try:
            status = await self.tell(body)
            if status >= 300:
                return Answer(status, None)
            return await waiting.answer
        finally:
            del self._waiting[ident]
            if not waiting.answer.cancel():
                waiting.answer.exception()  # seen, also where the POST failed before it

    async def tell(self, body: bytes) -> int:
        """Send what is not waited for; the status.

        Raises:
            Failed: it did not arrive.
        """
        if self.over.done():
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's stream ended")
        headers = upstream_headers(EARLIEST, "initialize")
        return await self._pool.tell("POST", body, headers, self._endpoint.result())

    async def close(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        why = Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's stream ended", unknown=True)
        try:
            headers = {"accept": "text/event-stream"}
            async with self._pool.open("GET", b"", headers) as response:
                await follow(response, EventStream(_EVENT_BYTES), self._said)
        except Failed as failed:
            why = Failed(failed.code, failed.reason, detail=failed.detail, unknown=True)
        except Exception as error:  # noqa: BLE001 - a task's own boundary: whatever broke, whoever waits is told
            why = invalid("its stream cannot be read", detail=self._pool.scrubbed(repr(error)))
        finally:
            self.over.set_result(why)
            for waiting in self._waiting.values():
                if not waiting.answer.done():
                    waiting.answer.set_exception(Failed(why.code, why.reason, detail=why.detail, unknown=True))

    def _said(self, event: Event) -> None:
        if event.type == "endpoint":
            self._greeted(event.data)
        elif (message := message_of(event)) is not None:
            self._take(message, len(event.data))

    def _greeted(self, data: bytes) -> None:
        """Where to POST: on this origin and nowhere else, since the gateway's credentials go along."""
        url = self._pool.neighbour(data.decode("utf-8", "replace"))
        if url is None or self._endpoint.done():
            raise invalid("it names an endpoint that is not its own", unknown=False)
        self._endpoint.set_result(url)

    def _take(self, message: JsonObject, size: int) -> None:
        ident = message.get("id")
        waiting = self._waiting.get(ident) if type(ident) is str and "method" not in message else None
        if waiting is None or waiting.answer.done():  # an id of nobody, a second answer, or one that came too late
            self.hear(message)
        elif size > waiting.limit:
            waiting.answer.set_exception(too_large())
        else:
            try:
                response_to(message, str(ident))
            except Failed as failed:
                waiting.answer.set_exception(failed)
            else:
                waiting.answer.set_result(Answer(200, message, size))


def _unheard(_message: JsonObject) -> bool:
    return False
