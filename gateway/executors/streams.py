"""A stream that belongs to no call: what an upstream says by itself, event by event, for as long as it lasts.

Not the stream of an answer (answer.py).
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from pyreqwest.response import Response

from gateway.cancels import Cancels
from gateway.errors import Failed
from gateway.executors.answer import BESIDE_BYTES, BESIDE_EVENTS, Resume, invalid, parse, resume
from gateway.executors.pool import Pool
from gateway.model import Code, JsonObject
from gateway.wire.sse import Event, EventStream

RETRY_SECONDS: Final = 1.0
LEAST_SECONDS: Final = 0.1
MOST_SECONDS: Final = 30.0
"""How long an upstream that wants to be come back to may say to wait."""
IN_VAIN: Final = 3
"""So many connections in a row that bring nothing are no stream."""
OPENING_SECONDS: Final = 5.0
"""After that a stream counts as open: some senders hold back even its head until there is something to say."""
_WINDOW_SECONDS = 60.0
_EVENT_BYTES = 4 * 2**20
"""A question of an upstream may hold a picture."""


def pause(retry_ms: int | None) -> float:
    """Seconds until a stream is come back to."""
    return RETRY_SECONDS if retry_ms is None else min(MOST_SECONDS, max(LEAST_SECONDS, retry_ms / 1000))


async def follow(response: Response, stream: EventStream, take: Callable[[Event], object]) -> None:
    """Hand over what a response says until it ends, within bounds for each minute and not for all of it.

    Raises:
        Failed: it is no stream of events, or it says far too much.
    """
    media = media_of(response)
    if response.status != 200 or media != "text/event-stream":
        detail = f"HTTP {response.status}, {media[:100]!r}"
        raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream opens no such stream", detail=detail)
    since, size, count, cancels = time.monotonic(), 0, 0, Cancels()
    while (chunk := await response.body_reader.read_chunk()) is not None:
        cancels.heed()
        found = stream.feed(bytes(chunk))
        size, count = size + len(chunk), count + len(found)
        if size > BESIDE_BYTES or count > BESIDE_EVENTS:
            if time.monotonic() - since < _WINDOW_SECONDS:
                raise invalid("it says far too much by itself", unknown=False)
            since, size, count = time.monotonic(), 0, 0
        for event in found:
            take(event)


def media_of(response: Response) -> str:
    """The media type of a body, in lower case and without its parameters.

    Raises:
        Failed: it is no text.
    """
    try:
        return (response.get_header("content-type") or "").partition(";")[0].strip().lower()
    except ValueError:
        raise invalid("one of its headers is not ASCII", unknown=False) from None


def message_of(event: Event) -> JsonObject | None:
    """The JSON-RPC message in an event; None where it holds none.

    Raises:
        Failed: it is not strict JSON.
    """
    if event.type != "message" or not event.data:
        return None
    value = parse(event.data)
    return value if type(value) is dict and value.get("jsonrpc") == "2.0" else None


def _unheard(_message: JsonObject) -> bool:
    return False


class Stream:
    """The GET stream of one session: begins as soon as it is made, and comes back where its sender says how."""

    def __init__(self, pool: Pool, headers: dict[str, str], hear: Callable[[JsonObject], bool]) -> None:
        self._pool, self._headers, self._hear = pool, headers, hear
        self._opened = asyncio.Event()
        self._said = False
        self.over: asyncio.Future[Failed] = asyncio.get_running_loop().create_future()
        """Why it ended."""
        self._task = asyncio.ensure_future(self._run())

    async def opened(self, seconds: float = OPENING_SECONDS) -> None:
        """Wait until the upstream can say something on it, as far as that is to be seen.

        Raises:
            Failed: it ended instead.
        """
        opening = asyncio.ensure_future(self._opened.wait())
        try:
            either: set[asyncio.Future[Any]] = {opening, self.over}
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opening.cancel()
        if self.over.done():
            raise self.over.result().anew()

    async def close(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        why = Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's stream ended")
        try:
            last, vain = Resume("", None), 0
            while vain < IN_VAIN:
                self._said = False
                last = await self._once(last)
                if not last.last_id and last.retry_ms is None:
                    break
                vain = 0 if self._said else vain + 1
                await asyncio.sleep(pause(last.retry_ms))
        except Failed as failed:
            why = failed.anew()
        except asyncio.CancelledError:
            pass  # by `close` alone; going on with it, the task would keep this stream, which keeps the task
        except Exception as error:  # noqa: BLE001 - a task's own boundary: whatever broke, whoever listens is told
            why = invalid("its stream cannot be read", detail=self._pool.scrubbed(repr(error)), unknown=False)
        finally:
            self.over.set_result(why)
            self._hear = _unheard

    async def _once(self, last: Resume) -> Resume:
        """One connection, and how to come back after it."""
        headers = {**self._headers, "last-event-id": last.last_id} if last.last_id else self._headers
        stream = EventStream(_EVENT_BYTES)
        async with self._pool.open("GET", b"", headers) as response:
            if response.status == 200:
                self._opened.set()
            await follow(response, stream, self._take)
        found = resume(stream)
        if found is not None:
            return found
        return Resume(last.last_id, stream.retry_ms if stream.retry_ms is not None else last.retry_ms)

    def _take(self, event: Event) -> None:
        self._said = True
        if (message := message_of(event)) is not None:
            self._hear(message)
