"""A client of the handshake revisions, by hand: a session, its own stream, and answers to what it is asked."""

import asyncio
import contextlib
from itertools import count
from typing import Self

import aiohttp
import orjson

from bench import reading
from bench.reading import Json
from bench.soak.deeds import Deed
from bench.soak.modern import ACCEPTED
from bench.soak.tally import Strange, Tally
from gateway.wire.sse import EventStream

VERSION = "2025-11-25"


class Legacy:
    """One session at one address."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str, tally: Tally) -> None:
        self._http, self._url, self._tally = http, url, tally
        self._headers = {**reading.USUAL, "authorization": f"Bearer {token}"}
        self._ids = count(1)
        self._hearing: asyncio.Task[None] | None = None

    async def open(self) -> Self:
        """Shake hands, then hear what the gateway says by itself."""
        hello = {
            "protocolVersion": VERSION,
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "soak", "version": "1"},
        }
        body = orjson.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})
        async with self._http.post(self._url, data=body, headers=self._headers) as response:
            reading.parsed(await response.read(), response.status)
            self._headers |= {"mcp-session-id": response.headers["mcp-session-id"], "mcp-protocol-version": VERSION}
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self._hearing = asyncio.ensure_future(self._hear())
        return self

    async def do(self, deed: Deed) -> None:
        """One deed."""
        result = await self._request(deed)
        if not deed.right(result):
            raise Strange(str(result)[:300])

    async def vanish(self, deed: Deed, after_s: float) -> None:
        """Ask, and be gone without waiting for the answer; the session stays as it is."""
        self._tally.vanished += 1
        with contextlib.suppress(TimeoutError, reading.Refusal, reading.Unanswered, aiohttp.ClientError):
            async with asyncio.timeout(after_s):
                await self._request(deed)

    async def withdraw(self, deed: Deed, after_s: float) -> None:
        """Ask, then say that the answer is not wanted any more."""
        self._tally.vanished += 1
        ident = next(self._ids)
        asking = asyncio.ensure_future(self._request(deed, ident))
        await asyncio.wait({asking}, timeout=after_s)
        await self._send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": ident}})
        # Whether an answer still comes is the receiver's to choose: the stream ends with it or without.
        _, late = await asyncio.wait({asking}, timeout=5)
        for each in late:
            each.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    async def close(self, *, orderly: bool) -> None:
        """End the session, or only be gone."""
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.gather(self._hearing, return_exceptions=True)
        if orderly:
            async with self._http.delete(self._url, headers=self._headers) as response:
                await response.read()

    async def _request(self, deed: Deed, ident: int = 0) -> Json:
        ident = ident or next(self._ids)
        params = {**deed.params, "_meta": {"progressToken": f"t{ident}"}} if deed.progress else deed.params
        body = orjson.dumps({"jsonrpc": "2.0", "id": ident, "method": deed.method, "params": params})
        async with self._http.post(self._url, data=body, headers=self._headers) as response:
            return await reading.answer(response, ident, self._take)

    async def _take(self, message: Json) -> None:
        """A notification, or a request, which is answered."""
        self._tally.heard[message["method"]] += 1
        if "id" in message:
            answer: Json = ACCEPTED if message["method"] == "elicitation/create" else {}
            await self._send({"jsonrpc": "2.0", "id": message["id"], "result": answer})

    async def _send(self, message: Json) -> None:
        async with self._http.post(self._url, data=orjson.dumps(message), headers=self._headers) as response:
            await response.read()
            if response.status != 202:
                raise Strange(f"a message without an answer was met with HTTP {response.status}")

    async def _hear(self) -> None:
        """The session's own stream, as long as it lasts."""
        headers = {**self._headers, "accept": "text/event-stream"}
        events = EventStream(reading.LARGEST)
        async with self._http.get(self._url, headers=headers) as response:
            if response.status != 200:
                return
            async for chunk in response.content.iter_any():
                for message in reading.messages(events, chunk):
                    await self._take(message)
