"""JSON-RPC messages: strict bytes -> `Message`, and values -> bytes.

Not MCP: what a method means, its headers and its eras are in mcp.py. Parsers that read one message in two ways
are a class of vulnerability, so whatever two of them could read differently is refused here, and what goes
upstream is our own serialisation of what was parsed.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import jiter
import orjson

from gateway.errors import Malformed
from gateway.model import Code, JsonObject

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

LARGEST_INTEGER: Final = 2**53 - 1
"""Beyond it a double no longer tells neighbours apart, and RFC 8785 has no form for it."""

MOST_VALUES: Final = 100_000
"""In one message: each is looked at several times, and all calls wait for that."""

_ENVELOPE = frozenset({"jsonrpc", "id", "method", "params"})
_ANSWERED = frozenset({"jsonrpc", "id", "result", "error"})

Id = str | int | None


@dataclass(frozen=True, slots=True)
class Message:
    """One request, or one notification where `id` is None."""

    id: Id
    method: str
    params: JsonObject


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request that was put to the client: its result, or the code of its error."""

    id: str | int
    result: JsonObject | None
    code: int = 0


def parse(body: bytes, *, depth: int) -> Message | Response:
    """The one message in `body`, or Malformed. `depth` bounds nested objects and arrays, the envelope included."""
    try:
        value = jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError:
        # The parser's own text quotes the message; the caller gets none of it.
        raise Malformed(Code.PARSE, "the body is not strict JSON", jsonrpc=PARSE_ERROR) from None
    if type(value) is not dict:
        _refuse_shape(value)
    if not value.keys() <= _ENVELOPE:
        return _response(value, depth)
    method = value.get("method")
    if value.get("jsonrpc") != "2.0" or type(method) is not str:
        _refuse("jsonrpc must be '2.0' and method a string")
    params = value.get("params", value)
    if type(params) is not dict:
        _refuse("params must be an object")
    ident = value.get("id")
    if type(ident) is not str and type(ident) is not int and "id" in value:
        _refuse("id must be a string or an integer")
    _check_values(value, depth)
    return Message(ident, method, {} if params is value else params)


def _response(value: JsonObject, depth: int) -> Response:
    """Exactly one of result and error, of the shapes that JSON-RPC gives them; the words of an error are not kept."""
    ident, result, fault = value.get("id"), value.get("result"), value.get("error")
    if value.keys() - _ANSWERED or len(value) != len(_ANSWERED) - 1:
        _refuse("an envelope holds jsonrpc and id, then method and params, or result, or error, and nothing else")
    if value.get("jsonrpc") != "2.0" or (type(ident) is not str and type(ident) is not int):
        _refuse("jsonrpc must be '2.0' and id a string or an integer")
    _check_values(value, depth)
    if type(result) is dict:
        return Response(ident, result)
    if type(fault) is not dict or type(code := fault.get("code")) is not int or type(fault.get("message")) is not str:
        _refuse("result must be an object, or error an object with a code and a message")
    return Response(ident, None, code)


def _check_values(message: JsonObject, depth: int) -> None:
    """Refuse, in one pass, numbers that parsers read differently and nesting beyond `depth`."""
    level: list[Any] = [message]
    values = 0
    for _ in range(depth):
        below: list[Any] = []
        for node in level:
            values += len(node)
            if values > MOST_VALUES:
                _refuse(f"more than {MOST_VALUES} values: send less at a time")
            for item in node.values() if type(node) is dict else node:
                kind = type(item)
                if kind is str:
                    continue
                if kind is dict or kind is list:
                    below.append(item)
                elif kind is int or kind is float:
                    _check_number(item)
        if not below:
            return
        level = below
    _refuse(f"nested deeper than {depth} levels")


def _check_number(number: float) -> None:
    if type(number) is int:
        if not -LARGEST_INTEGER <= number <= LARGEST_INTEGER:
            _refuse("an integer is beyond 2^53: send it as a string")
    elif number - number != 0.0:  # 1e400 parses to infinity
        _refuse("a number is beyond the range of a double")


def _refuse(reason: str) -> NoReturn:
    raise Malformed(Code.PARSE, reason, jsonrpc=INVALID_REQUEST)


def _refuse_shape(value: object) -> NoReturn:
    if type(value) is list:
        _refuse("batches are not served: send one message a request")
    _refuse("the body must be one JSON-RPC request or notification")


def encode(value: object) -> bytes:
    """JSON bytes. Integers keep every digit, also beyond 64 bits, where orjson gives up."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def notification(method: str, params: JsonObject) -> bytes:
    """A message that has no answer."""
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def request(ident: str, method: str, params: JsonObject) -> bytes:
    """A request of ours."""
    return encode({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})


def result(ident: Id, value: JsonObject) -> bytes:
    """The response that carries `value`."""
    return encode({"jsonrpc": "2.0", "id": ident, "result": value})


def error(ident: Id, code: int, message: str, data: object = None) -> bytes:
    """The error response; `id` is null when no request was understood."""
    fault: JsonObject = {"code": code, "message": message}
    if data is not None:
        fault["data"] = data
    return encode({"jsonrpc": "2.0", "id": ident, "error": fault})
