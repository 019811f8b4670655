"""MCP as bytes and names: versions, the modern validation ladder, header rules, result shaping. Pure.

Not a server: no method is run here. The ladder follows `mcp.shared.inbound` rung for rung (a test holds the two
together) without importing it, since that import costs 0.7 s and 25 MB at each start.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gateway.errors import Malformed
from gateway.model import Code, JsonObject
from gateway.wire.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR

MODERN: Final = ("2026-07-28",)
"""Revisions without sessions: each request carries its own envelope in `_meta`."""
LEGACY: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
"""Revisions with the `initialize` handshake, newest first."""
LATEST_MODERN: Final = MODERN[0]
LATEST_LEGACY: Final = LEGACY[0]

HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
STATUS: Final[Mapping[int, int]] = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
"""HTTP status of an error code on the modern wire; any other code travels with 200."""

META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT: Final = "io.modelcontextprotocol/clientInfo"
META_SERVER: Final = "io.modelcontextprotocol/serverInfo"
META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"

VERSION_HEADER: Final = b"mcp-protocol-version"
METHOD_HEADER: Final = b"mcp-method"
NAME_HEADER: Final = b"mcp-name"
PARAM_PREFIX: Final = b"mcp-param-"
ROUTING_HEADERS: Final = frozenset({VERSION_HEADER, METHOD_HEADER, NAME_HEADER})
NAMED_BY: Final[Mapping[str, str]] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""Method -> the member of params that `Mcp-Name` repeats; the last three are those of the extension for tasks."""
INPUT_REQUIRED: Final = "input_required"

_SENTINEL = re.compile(r"=\?base64\?(.*)\?=")
_PLAIN = re.compile(r"[\x20-\x7E]*")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL = re.compile(r"(-?[0-9]+)(?:\.0+)?")
_ANNOTATION: Final = "x-mcp-header"

# The 2020-12 keywords whose values are schemas themselves. `default`, `const`, `enum` and `examples` hold data,
# and `$ref` is never followed, so the walk ends on any finite schema.
_ONE = frozenset(
    {"items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties"}
    | {"not", "if", "then", "else", "contentSchema"}
)
_SEVERAL = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"patternProperties", "dependentSchemas", "$defs", "definitions"})


@dataclass(frozen=True, slots=True)
class ParamHeader:
    """An argument that `x-mcp-header` makes the client repeat as a header."""

    path: tuple[str, ...]
    name: str
    """The whole header name, as sent."""
    key: bytes
    """The same in lower case, as received."""
    integer: bool


def is_modern(header: str | None, params: Mapping[str, Any]) -> bool:
    """Whether the modern rules judge a message. The body counts too: a header alone must not choose the rules."""
    if header is not None and header not in LEGACY:
        return True
    meta = params.get("_meta")
    return type(meta) is dict and META_VERSION in meta


def climb(method: str, params: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str:
    """Run a modern request up the ladder: its version, or Malformed from the first rung that fails."""
    meta = params.get("_meta")
    if type(meta) is not dict:
        _bad_params("params._meta must be an object with the protocol version and the client capabilities")
    if META_VERSION not in meta or META_CAPABILITIES not in meta:
        absent = [key for key in (META_VERSION, META_CAPABILITIES) if key not in meta]
        _bad_params(f"params._meta lacks {' and '.join(absent)}")
    version = meta[META_VERSION]
    stated = headers.get(VERSION_HEADER)
    if stated is None or stated.decode("latin-1") != version:
        mismatch("the mcp-protocol-version header is not the version in params._meta")
    if (stated := headers.get(METHOD_HEADER)) is None or stated.decode("latin-1") != method:
        mismatch("the mcp-method header is not the body's method")
    if (member := NAMED_BY.get(method)) is not None and (named := params.get(member)) is not None:
        stated = headers.get(NAME_HEADER)
        if stated is None or decode_header(stated.decode("latin-1")) != named:
            mismatch(f"the mcp-name header is not the body's {member}")
    if version not in MODERN:
        unsupported(version)
    return str(version)


def unsupported(version: str) -> NoReturn:
    """Refuse a version, naming those that are served."""
    raise Malformed(
        Code.PARSE,
        "unsupported protocol version",
        jsonrpc=UNSUPPORTED_VERSION,
        data={"supported": list(MODERN), "requested": version},
    )


def mismatch(reason: str) -> NoReturn:
    """Refuse a message whose headers and body disagree."""
    raise Malformed(Code.HEADER_MISMATCH, reason, jsonrpc=HEADER_MISMATCH)


def _bad_params(reason: str) -> NoReturn:
    raise Malformed(Code.PARSE, reason, jsonrpc=INVALID_PARAMS)


def check_repeated(repeated: frozenset[bytes]) -> None:
    """Refuse a routing header that was sent twice: readers of the first and of the last would disagree."""
    for name in sorted(repeated):
        if name in ROUTING_HEADERS or name.startswith(PARAM_PREFIX):
            mismatch(f"the {name.decode('latin-1')} header is there more than once")


def encode_header(value: str) -> str:
    """`value` as a header value: itself where it survives a field, else in the `=?base64?…?=` form."""
    if _PLAIN.fullmatch(value) and value == value.strip() and not _SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode('ascii')}?="


def decode_header(value: str) -> str | None:
    """The value a header stands for; None where its base64 form is broken or not the canonical one."""
    if not (match := _SENTINEL.fullmatch(value)):
        return value
    try:
        decoded = base64.b64decode(match[1], validate=True)
        return decoded.decode() if base64.b64encode(decoded).decode("ascii") == match[1] else None
    except (binascii.Error, ValueError):
        return None


def _positions(root: Any) -> Iterator[tuple[tuple[str, ...] | None, JsonObject]]:
    """Every schema within `root`, with its chain of `properties` keys, or None once another keyword was crossed."""
    stack: list[tuple[tuple[str, ...] | None, Any]] = [((), root)]
    while stack:
        path, schema = stack.pop()
        if not isinstance(schema, dict):
            continue
        yield path, schema
        for keyword, value in schema.items():
            if keyword == "properties" and isinstance(value, dict):
                stack.extend(((*path, name) if path is not None else None, sub) for name, sub in value.items())
            elif keyword in _ONE:
                stack.append((None, value))
            elif keyword in _SEVERAL and isinstance(value, list):
                stack.extend((None, sub) for sub in value)
            elif keyword in _NAMED and isinstance(value, dict):
                stack.extend((None, sub) for sub in value.values())


def invalid_annotation(schema: object) -> str | None:
    """Why an `x-mcp-header` in `schema` is not allowed (a client must then drop the tool), else None."""
    seen: set[str] = set()
    for path, place in _positions(schema):
        if _ANNOTATION not in place:
            continue
        if not path:
            return f"{_ANNOTATION} stands where no chain of properties leads"
        token = place[_ANNOTATION]
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            return f"{_ANNOTATION} at {'.'.join(path)} is not a header token"
        if place.get("type") not in ("string", "integer", "boolean"):
            return f"{_ANNOTATION} at {'.'.join(path)} is not on a string, an integer or a boolean"
        if token.lower() in seen:
            return f"{_ANNOTATION} at {'.'.join(path)} repeats another"
        seen.add(token.lower())
    return None


def param_headers(schema: object) -> tuple[ParamHeader, ...]:
    """The headers a call of the tool must repeat; none where an annotation is invalid (clients then send none)."""
    if invalid_annotation(schema) is not None:
        return ()
    return tuple(
        ParamHeader(path, name := f"Mcp-Param-{token}", name.lower().encode("ascii"), place.get("type") == "integer")
        for path, place in _positions(schema)
        if path and isinstance(token := place.get(_ANNOTATION), str)
    )


def render_params(declared: tuple[ParamHeader, ...], arguments: Mapping[str, Any]) -> dict[str, str]:
    """The `Mcp-Param-*` headers of one call, for the upstream leg."""
    rendered = ((header.name, _render(_value_at(arguments, header.path))) for header in declared)
    return {name: encode_header(value) for name, value in rendered if value is not None}


def check_params(
    declared: tuple[ParamHeader, ...], arguments: Mapping[str, Any], headers: Mapping[bytes, bytes]
) -> None:
    """Each declared header and its argument: both there and equal, or both absent (null is absent)."""
    for header in declared:
        stated, value = headers.get(header.key), _value_at(arguments, header.path)
        if (rendered := _render(value)) is None:
            if stated is not None:
                mismatch(f"the {header.name} header has no argument to repeat")
        elif stated is None:
            mismatch(f"the {header.name} header is missing")
        elif not _same(header, value, rendered, decode_header(stated.decode("latin-1"))):
            mismatch(f"the {header.name} header is not the body's argument")


def _value_at(arguments: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(arguments, Mapping):
            return None
        arguments = arguments.get(key)
    return arguments


def _render(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        return None
    try:
        return str(value)
    except ValueError:  # an integer beyond the interpreter's limit of digits
        return None


def _same(header: ParamHeader, value: Any, rendered: str, decoded: str | None) -> bool:
    if decoded is None:
        return False
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if header.integer and whole and not isinstance(value, bool) and (match := _DECIMAL.fullmatch(decoded)):
        try:
            return int(match[1]) == int(value)  # 42 and 42.0 are one integer
        except ValueError:
            return False
    return decoded == rendered


def shape_result(
    version: str, result: JsonObject, *, cacheable: bool, server: JsonObject | None = None, ttl_ms: int = 0
) -> JsonObject:
    """`result` as the revision `version` writes it, a new object. It may be kept for `ttl_ms` where it is cacheable.

    Whatever an upstream allowed to be shared is private here: policy judges each principal for itself.
    """
    meta = result.get("_meta")
    if version in MODERN:
        shaped = {"resultType": "complete", **result}
        if shaped["resultType"] == INPUT_REQUIRED:  # the answer to one attempt is nothing to keep
            shaped.pop("ttlMs", None)
            shaped.pop("cacheScope", None)
        elif cacheable:
            shaped["ttlMs"] = ttl_ms
            shaped["cacheScope"] = "private"
        elif "cacheScope" in shaped:
            shaped["cacheScope"] = "private"
        if server is not None:
            shaped["_meta"] = {**meta, META_SERVER: server} if type(meta) is dict else {META_SERVER: server}
        return shaped
    shaped = {key: value for key, value in result.items() if key not in ("resultType", "ttlMs", "cacheScope")}
    if type(meta) is dict and META_SERVER in meta:
        shaped["_meta"] = {key: value for key, value in meta.items() if key != META_SERVER}
        if not shaped["_meta"]:
            del shaped["_meta"]
    return shaped


def upstream_headers(
    version: str, method: str, name: str | None = None, param_headers: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The headers of one request to an upstream that speaks `version`; `name` is what `Mcp-Name` repeats.

    The session id of a legacy upstream is the caller's to add.
    """
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if version not in MODERN:
        if method != "initialize" and version != "2025-03-26":  # that revision knew no version header
            headers["mcp-protocol-version"] = version
        return headers
    headers["mcp-protocol-version"] = version
    headers["mcp-method"] = method
    if name is not None:
        headers["mcp-name"] = encode_header(name)
    if param_headers:
        headers.update(param_headers)
    return headers


def modern_meta(version: str, client_info: JsonObject, capabilities: JsonObject) -> JsonObject:
    """What each modern request to an upstream carries in `params._meta`."""
    return {META_VERSION: version, META_CLIENT: client_info, META_CAPABILITIES: capabilities}
