"""Answers of the gateway read as they come: one JSON body, or a stream of events that ends with the answer.

Not the load generator (load.py), which reads whole replies of one shape as cheaply as it can.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
import orjson

from gateway.wire.sse import EventStream

Json = dict[str, Any]
Heard = Callable[[Json], Awaitable[None]]
"""Takes a notification or a request that comes before the answer."""
MODERN: Final = "2026-07-28"
METHOD_NOT_FOUND: Final = -32601
LARGEST: Final = 64 << 20
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
USUAL: Final = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


class Refusal(Exception):
    """The answer was an error. `code` is JSON-RPC's, `word` the gateway's own where it gave one."""

    def __init__(self, code: int, message: str, word: str = "") -> None:
        super().__init__(f"{code} {word} {message}")
        self.code, self.word = code, word


class Unanswered(Exception):
    """The reply ended without an answer."""


async def ignored(_message: Json) -> None:
    """What comes before the answer is not looked at."""


def modern(method: str, params: Mapping[str, Any], ident: object, meta: Mapping[str, Any]) -> tuple[bytes, Json]:
    """The body of a modern request, and the headers that repeat it."""
    told = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        **meta,
    }
    body = orjson.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": {**params, "_meta": told}})
    headers = {**USUAL, "mcp-protocol-version": MODERN, "mcp-method": method}
    if method in _NAMED:
        headers["mcp-name"] = params[_NAMED[method]]
    return body, headers


async def answer(response: aiohttp.ClientResponse, ident: object, heard: Heard = ignored) -> Json:
    """The result for `ident`.

    Raises:
        Refusal: it is an error.
        Unanswered: there is none.
    """
    if response.content_type != "text/event-stream":
        return parsed(await response.read(), response.status)
    events = EventStream(LARGEST)
    async for chunk in response.content.iter_any():
        for message in messages(events, chunk):
            if "method" not in message and message.get("id") == ident:
                return result(message)
            await heard(message)
    raise Unanswered(f"the stream ended without its answer (HTTP {response.status})")


def messages(events: EventStream, chunk: bytes) -> list[Json]:
    """What this chunk completes; events without data only say where to go on."""
    try:
        return [orjson.loads(event.data) for event in events.feed(chunk) if event.data]
    except orjson.JSONDecodeError as problem:
        raise Unanswered(f"an event with no JSON: {problem}") from None


def result(message: Json) -> Json:
    """The result of a response; a gateway that did not run a tool says so within it."""
    if (error := message.get("error")) is not None:
        raise Refusal(error["code"], str(error["message"]), str((error.get("data") or {}).get("code", "")))
    if "result" not in message:
        raise Unanswered(str(message)[:300])
    told: Json = message["result"]
    decision = told.get("_meta", {}).get("bascule/decision", {})
    if told.get("isError") and "code" in decision:
        raise Refusal(0, str(decision.get("reason", "")), str(decision["code"]))
    return told


def parsed(body: bytes, status: int) -> Json:
    """The result in a whole body; raises as `answer` does."""
    try:
        message: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unanswered(f"HTTP {status} with no JSON: {body[:200]!r}") from None
    return result(message)
