"""What of a client's `_meta` goes on to an upstream. A tool may act on it: it is judged, recorded and approved.

Not the envelope of the modern era (mcp.py), nor our own members.
"""

import re
from functools import lru_cache
from typing import Final

from gateway.model import JsonObject

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
_HOP: Final = frozenset({"traceparent", "tracestate", "baggage", "progressToken"})
"""Members that belong to one hop. Baggage ends at this border, and no progress is passed on."""
_RESERVED: Final = frozenset({"modelcontextprotocol", "mcp", "bascule"})
_SHORT: Final = 64


def stated(meta: JsonObject) -> JsonObject:
    """The client's own words: without what is reserved, ours, ends at this hop, or traces. HOT"""
    return {key: value for key, value in meta.items() if not (_known if len(key) <= _SHORT else _ends_here)(key)}


def passed_on(meta: JsonObject) -> JsonObject:
    """What goes along: the client's own words, and which trace it is part of."""
    kept = stated(meta)
    if type(trace := meta.get("traceparent")) is str and _TRACEPARENT.fullmatch(trace):
        kept["traceparent"] = trace
        if type(state := meta.get("tracestate")) is str and _TRACESTATE.fullmatch(state):
            kept["tracestate"] = state
    return kept


def _ends_here(key: str) -> bool:
    return key in _HOP or ("/" in key and not _RESERVED.isdisjoint(key.partition("/")[0].split(".")))


_known: Final = lru_cache(256)(_ends_here)
"""Asked several times of the same few keys in each call; long ones are not kept: they are whoever sends them's."""
