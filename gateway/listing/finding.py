"""The built-in tool that finds others by words, for views with more tools than an agent wants to carry.

It shows what the list would show, and no upstream is called for it: like a list it is no proposal.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from gateway.errors import Refused
from gateway.kinds import Kind, Listed
from gateway.listing.addresses import search_of
from gateway.listing.fetching import STALE_SECONDS, ready
from gateway.listing.hiding import hidden, revision
from gateway.model import Call, Code, JsonObject, Pin, Reply
from gateway.parts import Gateway
from gateway.registry.words import Entry, Words
from gateway.wire import jsonrpc

NAME: Final = "bascule__search_tools"
MOST_FOUND: Final = 50
USUAL: Final = 10
LONGEST_QUERY: Final = 1_000
MOST_BYTES: Final = 1_000_000
"""Of the definitions in one answer."""

DEFINITION: Final[JsonObject] = {
    "name": NAME,
    "title": "Search tools",
    "description": "Finds tools by words in their names, titles and descriptions, the best fit first. "
    "Each tool that is found can be called by its name.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": LONGEST_QUERY, "description": "What to look for."},
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST_FOUND, "default": USUAL},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    "outputSchema": {
        "type": "object",
        "properties": {"tools": {"type": "array", "items": {"type": "object"}}},
        "required": ["tools"],
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}


async def builtin(call: Call, gw: Gateway) -> Reply | None:
    """The answer to a call of the gateway's own tool; None for every other call, which an upstream answers. HOT"""
    if call.name != NAME or call.kind != Kind.TOOL or search_of(call.endpoint, gw) is None:
        return None
    query, limit = call.arguments.get("query"), call.arguments.get("limit", USUAL)
    if problem := _problem(call.arguments, query, limit):
        return _error(Code.SCHEMA, problem)
    try:
        await ready(Listed.TOOLS, call.endpoint, gw, STALE_SECONDS)
        index = await _index(call, gw)
        entries = await asyncio.to_thread(index.find, str(query))
        found = await _shown(call, entries, int(limit), gw)
    except Refused as refusal:
        return _error(refusal.code, refusal.reason)
    told: JsonObject = {"tools": found}
    return Reply(result={"content": [_text(jsonrpc.encode(told).decode())], "structuredContent": told})


async def _index(call: Call, gw: Gateway) -> Words:
    endpoint = call.endpoint
    revisions = tuple(revision(upstream, Listed.TOOLS, gw) for upstream in endpoint.upstreams)
    known = gw.lists.words.get(endpoint.name)
    if known is None or known[0] != revisions:
        pins = gw.registry.pins(endpoint)
        known = gw.lists.words[endpoint.name] = (revisions, await asyncio.to_thread(_made, pins))
    return known[1]


def _made(pins: Iterable[Pin]) -> Words:
    return Words(_entry(pin) for pin in pins)


def _entry(pin: Pin) -> Entry:
    title, description = pin.definition.get("title"), pin.definition.get("description")
    return Entry(pin.upstream, pin.name, _or_empty(title), _or_empty(description))


def _or_empty(text: Any) -> str:
    return text if isinstance(text, str) else ""


async def _shown(call: Call, entries: Iterable[Entry], limit: int, gw: Gateway) -> list[JsonObject]:
    """The definitions of what was found, as the list would show them."""
    left_out: dict[str, frozenset[str]] = {}
    found: list[JsonObject] = []
    size = 0
    for entry in entries:
        upstream = entry.upstream
        if upstream not in left_out:
            left_out[upstream] = await hidden(call.principal, upstream, call.session, call.era, gw)
        name = f"{upstream}__{entry.name}"
        pin = gw.registry.find(call.endpoint, name)
        if pin is None or entry.name in left_out[upstream]:
            continue
        definition = pin.definition | {"name": name}
        size += len(jsonrpc.encode(definition))
        if len(found) == limit or (found and size > MOST_BYTES):
            break
        found.append(definition)
    return found


def _problem(arguments: JsonObject, query: object, limit: object) -> str:
    if not arguments.keys() <= {"query", "limit"}:
        return "the arguments are query and limit"
    if type(query) is not str or not 0 < len(query) <= LONGEST_QUERY:
        return f"query must be a text of 1 to {LONGEST_QUERY} characters"
    if type(limit) is not int or not 1 <= limit <= MOST_FOUND:
        return f"limit must be an integer from 1 to {MOST_FOUND}"
    return ""


def _error(code: Code, reason: str) -> Reply:
    return Reply(result={"content": [_text(f"{code.value}: {reason}.")], "isError": True})


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text}
