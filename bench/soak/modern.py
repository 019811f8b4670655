"""A client of the current revision, by hand: it answers what it is asked in rounds, and hangs up by closing."""

import asyncio
import contextlib
from itertools import count

import aiohttp

from bench import reading
from bench.reading import Json, Refusal
from bench.soak.deeds import Deed
from bench.soak.tally import Strange, Tally
from gateway.wire.sse import EventStream

ROUNDS = 4
ACCEPTED: Json = {"action": "accept", "content": {"sure": True}}


class Modern:
    """One client at one address."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str, tally: Tally) -> None:
        self._http, self._url, self._tally = http, url, tally
        self._authorization = {"authorization": f"Bearer {token}"}
        self._ids = count(1)

    async def do(self, deed: Deed) -> None:
        """One deed, with as many rounds as it takes."""
        params = deed.params
        for _ in range(ROUNDS):
            result = await self._request(deed, params)
            if result.get("resultType") != "input_required":
                break
            answers = {}
            for name, asked in result["inputRequests"].items():
                self._tally.heard[asked["method"]] += 1
                answers[name] = ACCEPTED
            params = {**deed.params, "inputResponses": answers, "requestState": result.get("requestState")}
        else:
            raise Strange(f"still asked after {ROUNDS} rounds")
        if not deed.right(result):
            raise Strange(str(result)[:300])

    async def vanish(self, deed: Deed, after_s: float) -> None:
        """Ask, and be gone without waiting for the answer."""
        self._tally.vanished += 1
        with contextlib.suppress(TimeoutError, Refusal, reading.Unanswered, aiohttp.ClientError):
            async with asyncio.timeout(after_s):
                await self._request(deed, deed.params)

    async def listen(self, uris: list[str], seconds: float) -> None:
        """Hear of changes for so long, then close.

        Raises:
            Unanswered: it was not acknowledged, or the stream ended by itself.
        """
        lists = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
        wants = {**lists, "resourceSubscriptions": uris}
        body, headers = reading.modern("subscriptions/listen", {"notifications": wants}, next(self._ids), {})
        async with self._http.post(self._url, data=body, headers=headers | self._authorization) as response:
            if response.content_type != "text/event-stream":
                reading.parsed(await response.read(), response.status)
                raise Strange("a result came in place of a stream")
            events, first = EventStream(reading.LARGEST), ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    async for chunk in response.content.iter_any():
                        for message in reading.messages(events, chunk):
                            first = first or message["method"]
                            self._tally.heard[message["method"]] += 1
                    raise reading.Unanswered("the subscription ended by itself")
            if first != "notifications/subscriptions/acknowledged":
                raise Strange(f"the first message was {first or 'none'}")

    async def _request(self, deed: Deed, params: Json) -> Json:
        ident = next(self._ids)
        meta: Json = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
        if deed.progress:
            meta |= {"progressToken": f"t{ident}", "io.modelcontextprotocol/logLevel": "info"}
        body, headers = reading.modern(deed.method, params, ident, meta)
        async with self._http.post(self._url, data=body, headers=headers | self._authorization) as response:
            return await reading.answer(response, ident, self._before)

    async def _before(self, message: Json) -> None:
        self._tally.heard[message["method"]] += 1
        if "id" in message:
            raise Strange(f"the gateway asked {message['method']} on a stream of this revision")
