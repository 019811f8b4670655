"""An upstream of either era with all that content.py offers, raw ASGI: JSON where one answer is all, else a stream."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.servers.content import (
    CACHE,
    META_SUBSCRIPTION,
    META_VERSION,
    MODERN,
    QUESTION,
    Content,
    Json,
    answered,
    notification,
    said,
    steps,
    streamed,
    unknown,
)
from bench.servers.serving import JSON, arguments, body_of, reply, serve

SESSION = b"mcp-session-id"
STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
Queue = asyncio.Queue[Json]


@dataclass(slots=True)
class Session:
    """One client of the handshake era."""

    subscribed: set[str] = field(default_factory=set)
    asked: dict[str, asyncio.Future[Json]] = field(default_factory=dict)


class Everything:
    """One upstream. `modern` says which of the two eras it speaks."""

    def __init__(self, name: str, count: int, *, modern: bool) -> None:
        self._content, self._modern = Content(name, count), modern
        self._sessions: dict[str, Session] = {}
        self._listening: dict[Queue, Callable[[str], bool]] = {}
        """Who is told of changes, each with the addresses it wants to hear of."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            message = orjson.loads(await body_of(receive))
            answer = self._modern_post if self._modern else self._legacy_post
            await answer(message, dict(scope["headers"]), receive, send)
        elif self._modern:
            await reply(send, 405, [], b"")
        else:
            await self._other(scope["method"], dict(scope["headers"]), receive, send)

    async def _modern_post(self, message: Json, _: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        params, ident = message.get("params") or {}, message.get("id")
        if META_VERSION not in params.get("_meta", {}):
            told = {"code": -32022, "message": "unsupported", "data": {"supported": [MODERN], "requested": ""}}
            await reply(send, 400, [JSON], orjson.dumps({"jsonrpc": "2.0", "id": ident, "error": told}))
        elif ident is None:
            await reply(send, 202, [], b"")
        elif message["method"] == "subscriptions/listen":
            await self._listen(ident, params.get("notifications", {}), receive, send)
        elif message["method"] == "server/discover":
            told = {"supportedVersions": [MODERN], **self._content.about(), **CACHE}
            await self._answered(send, ident, told)
        elif message["method"] == "tools/call" and params["name"] == "ask" and "inputResponses" not in params:
            asks = {"sure": {"method": "elicitation/create", "params": QUESTION}}
            asking = {"resultType": "input_required", "inputRequests": asks, "requestState": secrets.token_urlsafe(8)}
            await reply(send, 200, [JSON], orjson.dumps(answered(ident, asking)))
        else:
            await self._request(message, Session(), send)

    async def _legacy_post(self, message: Json, headers: dict[bytes, bytes], _: Receive, send: Send) -> None:
        if message.get("method") == "initialize":
            ident = secrets.token_urlsafe(16)
            self._sessions[ident] = Session()
            told = orjson.dumps(answered(message["id"], self._content.initialized(message["params"])))
            await reply(send, 200, [JSON, (SESSION, ident.encode())], told)
            return
        session = self._sessions.get(headers.get(SESSION, b"").decode())
        if session is None:
            error = {"code": -32000, "message": "Bad Request: no such session"}
            known = SESSION in headers
            await reply(
                send, 404 if known else 400, [JSON], orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error})
            )
        elif "method" in message and "id" in message:
            await self._request(message, session, send)
        else:
            waiting = session.asked.pop(str(message.get("id")), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            await reply(send, 202, [], b"")

    async def _other(self, method: str, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """The stream of a session, and its end."""
        ident = headers.get(SESSION, b"").decode()
        session = self._sessions.get(ident)
        if session is None:
            await reply(send, 404, [], b"")
        elif method == "DELETE":
            del self._sessions[ident]
            await reply(send, 204, [], b"")
        else:
            with self._told(lambda uri: uri in session.subscribed) as queue:
                await send({"type": "http.response.start", "status": 200, "headers": STREAM})
                await _pour(queue, {}, receive, send)

    async def _request(self, message: Json, session: Session, send: Send) -> None:
        """What both eras have."""
        ident, method, params = message["id"], message["method"], message.get("params") or {}
        if method == "resources/subscribe":
            session.subscribed.add(params["uri"])
        if (simple := self._content.simple(method, params)) is not None:
            await self._answered(send, ident, simple)
        elif method == "tools/call":
            await self._call(ident, params, session, send)
        else:
            await reply(send, 404 if self._modern else 200, [JSON], orjson.dumps(unknown(ident)))

    async def _call(self, ident: Any, params: Json, session: Session, send: Send) -> None:
        if params["name"] == "change":
            self._change()
            await self._answered(send, ident, said("changed"))
        elif params["name"] == "stream":
            await _stream(send, self._steps(ident, params))
        elif self._modern:
            await self._answered(send, ident, said("the client answered"))
        else:
            await _stream(send, self._asking(ident, session))

    async def _steps(self, ident: Any, params: Json) -> AsyncIterator[Json]:
        for step in steps(params):
            yield step
            await asyncio.sleep(0)  # each in a turn of its own, as from a server that works between them
        yield notification("notifications/message", {"level": "info", "data": "streamed"})
        yield answered(ident, self._stamped(streamed(params)))

    async def _asking(self, ident: Any, session: Session) -> AsyncIterator[Json]:
        question = secrets.token_urlsafe(8)
        waiting = session.asked[question] = asyncio.get_running_loop().create_future()
        yield {"jsonrpc": "2.0", "id": question, "method": "elicitation/create", "params": QUESTION}
        await waiting
        yield answered(ident, said("the client answered"))

    async def _answered(self, send: Send, ident: Any, result: Json) -> None:
        await reply(send, 200, [JSON], orjson.dumps(answered(ident, self._stamped(result))))

    def _stamped(self, result: Json) -> Json:
        if not self._modern:
            return result
        return {
            **result,
            "resultType": "complete",
            "_meta": {"io.modelcontextprotocol/serverInfo": self._content.server()},
        }

    async def _listen(self, ident: Any, wants: Json, receive: Receive, send: Send) -> None:
        mark = {"_meta": {META_SUBSCRIPTION: ident}}
        uris = frozenset(wants.get("resourceSubscriptions", ()))
        with self._told(lambda uri: uri in uris) as queue:
            await send({"type": "http.response.start", "status": 200, "headers": STREAM})
            told = notification("notifications/subscriptions/acknowledged", {"notifications": wants, **mark})
            await _event(send, told)
            await _pour(queue, mark, receive, send)

    @contextmanager
    def _told(self, wanted: Callable[[str], bool]) -> Iterator[Queue]:
        queue = Queue()
        self._listening[queue] = wanted
        try:
            yield queue
        finally:
            del self._listening[queue]

    def _change(self) -> None:
        for change in self._content.changes():
            uri = change["params"].get("uri")
            for queue, wanted in self._listening.items():
                if uri is None or wanted(uri):
                    queue.put_nowait(change)


async def _stream(send: Send, messages: AsyncIterator[Json]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": STREAM})
    async for message in messages:
        await _event(send, message)
    await send({"type": "http.response.body", "body": b""})


async def _event(send: Send, message: Json) -> None:
    body = b"event: message\ndata: " + orjson.dumps(message) + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _pour(queue: Queue, mark: Json, receive: Receive, send: Send) -> None:
    """Pass on what is put into the queue until the client leaves."""
    leaving = asyncio.ensure_future(_left(receive))
    try:
        while True:
            coming = asyncio.ensure_future(queue.get())
            await asyncio.wait({leaving, coming}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                return
            change = coming.result()
            await _event(send, {**change, "params": {**change["params"], **mark}})
    finally:
        leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def everything(name: str, count: int, *, modern: bool) -> ASGIApp:
    """An upstream of its own at each path."""
    each: dict[str, Everything] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path not in each:
            each[path] = Everything(name, count, modern=modern)
        await each[path](scope, receive, send)

    return app


if __name__ == "__main__":
    options = arguments("name", "tools", "era")
    serve(everything(options.name, int(options.tools), modern=options.era == "modern"), options.port)
