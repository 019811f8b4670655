"""Messages of the upstream leg: the requests we form, and what an answer means. Pure.

Nothing of the client's own bytes or envelope goes upstream: a request is built from what was judged.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from gateway import __version__
from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid
from gateway.model import Code, JsonObject
from gateway.wire.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, encode
from gateway.wire.mcp import HEADER_MISMATCH, LATEST_MODERN, MISSING_CAPABILITY, modern_meta

CLIENT: Final[JsonObject] = {"name": "bascule", "version": __version__}
OUR_META: Final[JsonObject] = modern_meta(LATEST_MODERN, CLIENT, {})
"""No capability is declared: nobody here answers elicitation or sampling."""

SPOKEN_BY_BOTH: Final = frozenset(
    {INVALID_PARAMS, METHOD_NOT_FOUND, INTERNAL_ERROR, HEADER_MISMATCH, MISSING_CAPABILITY}
)
"""Errors that speak of one request, not of the protocol version or the session."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
_HOP = frozenset({"traceparent", "tracestate", "baggage", "progressToken", *OUR_META})
"""Members of `_meta` that belong to one hop. Baggage ends at this border, and no progress is passed on."""
_RESERVED = frozenset({"modelcontextprotocol", "mcp", "bascule"})


class Request(NamedTuple):
    """One request before it is known in which era it goes. A tuple: made for each call, at a third of the cost."""

    method: str
    params: JsonObject
    meta: JsonObject
    """What of the client's `_meta` goes along."""
    headers: dict[str, str]
    """The modern headers."""
    owner: tuple[str, str]
    """Principal and client session: whose upstream session a legacy request may use."""
    era: str
    """The client's."""
    limit: int


def passed_on(meta: JsonObject) -> JsonObject:
    """The client's `_meta` without what is reserved, ours, or ends at this hop."""
    kept = {key: value for key, value in meta.items() if key not in _HOP and not ("/" in key and _reserved(key))}
    if type(trace := meta.get("traceparent")) is str and _TRACEPARENT.fullmatch(trace):
        kept["traceparent"] = trace
        if type(state := meta.get("tracestate")) is str and _TRACESTATE.fullmatch(state):
            kept["tracestate"] = state
    return kept


def _reserved(key: str) -> bool:
    return not _RESERVED.isdisjoint(key.partition("/")[0].split("."))


def modern(ident: str, request: Request) -> bytes:
    """The request as a message with its own envelope."""
    meta = {**request.meta, **OUR_META} if request.meta else OUR_META
    return encode(
        {"jsonrpc": "2.0", "id": ident, "method": request.method, "params": {**request.params, "_meta": meta}}
    )


def legacy(ident: str, request: Request) -> bytes:
    """The request as a message within a session."""
    params = {**request.params, "_meta": request.meta} if request.meta else request.params
    return encode({"jsonrpc": "2.0", "id": ident, "method": request.method, "params": params})


def notification(method: str, params: JsonObject) -> bytes:
    """A message that has no answer."""
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def error_code(answer: Answer) -> int | None:
    """The JSON-RPC error code of an answer, if it carries one."""
    fault = answer.message.get("error") if answer.message else None
    code = fault.get("code") if type(fault) is dict else None
    return code if type(code) is int else None


def result_of(answer: Answer, scrubbed: Callable[[str], str]) -> JsonObject:
    """The result object.

    Raises:
        Failed: the answer is an error, or a result of a kind that is not served.
    """
    if answer.status != 200 or answer.message is None:
        raise _refusal(answer, scrubbed)
    if "error" in answer.message:
        raise _error(answer.message["error"], scrubbed)
    result = answer.message["result"]
    if type(result) is not dict:
        raise invalid("the result is no object")
    kind = result.get("resultType", "complete")
    if kind != "complete":
        asked = kind in {"input_required", "task"}
        raise invalid(f"a result of type {kind} is not served" if asked else "the type of its result is unknown")
    if type(result.get("_meta", {})) is not dict:
        raise invalid("its _meta is no object")
    return result


def check_tool_result(result: JsonObject) -> bool:
    """Whether the tool itself reported an error.

    Raises:
        Failed: the parts that everybody reads are not what they must be.
    """
    content = result.get("content", [])
    if type(content) is not list or not all(type(part) is dict for part in content):
        raise invalid("the content is no list of objects")
    tool_error = result.get("isError")
    if tool_error is not None and type(tool_error) is not bool:
        raise invalid("isError is no boolean")
    return tool_error is True


def _error(fault: Any, scrubbed: Callable[[str], str], *, unknown: bool = False) -> Failed:
    """The upstream's own error: a definite answer, so the ending is known. Its words are for the operator only."""
    code = fault.get("code") if type(fault) is dict else None
    if type(code) is not int:
        return invalid("its error has no code")
    named = str(code) if abs(code) < 1_000_000 else "of an unknown code"
    detail = scrubbed(str(fault.get("message", "")))
    return Failed(Code.UPSTREAM_INVALID, f"the upstream answered with error {named}", detail=detail, unknown=unknown)


def _refusal(answer: Answer, scrubbed: Callable[[str], str]) -> Failed:
    """What a status other than 200 says. 4xx means that the request did not run."""
    status = answer.status
    if status in {401, 403}:
        reason = "the upstream refused the gateway's credentials"
        return Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=f"HTTP {status}")
    if 300 <= status < 400:
        return invalid("it is a redirect, which is not followed", unknown=status not in {307, 308})
    if status >= 500 or status in {408, 429}:
        reason = f"the upstream answered with HTTP status {status}"
        detail = scrubbed(str(answer.message["error"].get("message", ""))) if answer.message else ""
        return Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=detail, unknown=status != 429)
    if status < 400:
        return invalid(f"HTTP status {status} carries no result")
    if answer.message is not None:
        return _error(answer.message["error"], scrubbed)
    return Failed(Code.UPSTREAM_INVALID, f"the upstream answered with HTTP status {status}")
