"""What a result must still be once parts of it were taken out: one that its method allows.

Not what decides what is taken out. Where a part may not be missing, another stands for it that says nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.kinds import Kind
from gateway.model import JsonObject

REDACTED: Final = "[redacted]"
NOWHERE: Final = "bascule:redacted"
"""Stands where the protocol wants a URI."""
_NO_TEXT = frozenset({"_meta", "structuredContent", "isError", "resultType", "ttlMs", "cacheScope"})
"""Members of a result that are no text, and may be missing."""
_OPTIONAL = frozenset({"_meta", "annotations", "icons", "size"})
"""The same of a block or a content."""
_TEXTS = frozenset({"text", "mimeType", "name", "title", "description"})
"""Members of a block that are any text."""


def whole(kind: str) -> JsonObject:
    """What stands for a result of which nothing is left."""
    match kind:
        case Kind.TOOL:
            return {"content": [_block()]}
        case Kind.RESOURCE:
            return {"contents": [_content()]}
        case Kind.PROMPT:
            return {"messages": [_message()]}
        case Kind.COMPLETION:
            return {"completion": {"values": []}}
    return {}


def mended(result: JsonObject, kind: str) -> JsonObject:
    """A copy that a client of this kind of call can read; only what was taken out whole is mended."""
    kept = _without(result, _NO_TEXT)
    if kind == Kind.COMPLETION and "completion" in kept:
        kept["completion"] = _completion(kept["completion"])
    elif (shape := _LISTS.get(kind)) is not None and (member := shape[0]) in kept:
        _, mend, instead = shape
        parts = kept[member]
        kept[member] = [_one(part, mend(part)) for part in parts] if isinstance(parts, list) else [instead()]
    return kept


def _one(part: Any, after: Any) -> Any:
    return part if after == part else after


def _without(value: JsonObject, names: frozenset[str]) -> JsonObject:
    return {name: part for name, part in value.items() if part is not REDACTED or name not in names}


def _block_of(part: Any) -> Any:
    """A block, of which only texts may be taken out, or something of the resource that is in it."""
    if not isinstance(part, dict):
        return _block() if part is REDACTED else part
    kept = _annotated(part)
    if isinstance(kept.get("resource"), dict):
        kept["resource"] = _content_of(kept["resource"])
    return _block() if any(value is REDACTED and name not in _TEXTS for name, value in kept.items()) else kept


def _content_of(part: Any) -> Any:
    """One content of a resource: it has an address, and a text or bytes."""
    if not isinstance(part, dict):
        return _content() if part is REDACTED else part
    kept = _annotated(part)
    if kept.get("uri") == REDACTED:
        kept["uri"] = NOWHERE
    if kept.get("blob") is REDACTED:
        del kept["blob"]
        kept["text"] = REDACTED
    return kept


def _annotated(part: JsonObject) -> JsonObject:
    kept = _without(part, _OPTIONAL)
    if isinstance(notes := kept.get("annotations"), dict):
        kept["annotations"] = {name: note for name, note in notes.items() if note is not REDACTED}
    return kept


def _message_of(part: Any) -> Any:
    """One message of a prompt: somebody's, with a block."""
    if not isinstance(part, dict):
        return _message() if part is REDACTED else part
    kept = dict(part)
    if kept.get("role") is REDACTED:
        kept["role"] = "user"
    if "content" in kept:
        kept["content"] = _block_of(kept["content"])
    return kept


def _completion(part: Any) -> Any:
    if not isinstance(part, dict):
        return {"values": []}
    kept = _without(part, frozenset({"total", "hasMore"}))
    if kept.get("values") is REDACTED:
        kept["values"] = []
    return kept


def _block() -> JsonObject:
    return {"type": "text", "text": REDACTED}


def _content() -> JsonObject:
    return {"uri": NOWHERE, "text": REDACTED}


def _message() -> JsonObject:
    return {"role": "user", "content": _block()}


_LISTS: Final[Mapping[str, tuple[str, Callable[[Any], Any], Callable[[], JsonObject]]]] = {
    Kind.TOOL: ("content", _block_of, _block),
    Kind.RESOURCE: ("contents", _content_of, _content),
    Kind.PROMPT: ("messages", _message_of, _message),
}
"""By kind: the member that holds the parts, how one of them is mended, and what stands for them all."""
