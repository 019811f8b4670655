"""What one HTTP request is answered with, whole, and the faults that every answer can be.

Not the events of an answer that is written piece by piece (streams.py).
"""

import logging
import secrets
from dataclasses import dataclass
from typing import Final, NoReturn

from gateway.errors import JSONRPC_NUMBER, Failed, LogUnavailable, Malformed, Refused
from gateway.model import Code, JsonObject
from gateway.wire import jsonrpc

JSON: Final = (b"content-type", b"application/json")
NOWHERE: Final = "there is nothing at this address"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whole."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


ACCEPTED: Final = Answer(202)


def bad_params(reason: str) -> NoReturn:
    """Refuse the params of a request."""
    raise Malformed(Code.PARSE, reason, jsonrpc=jsonrpc.INVALID_PARAMS)


def unknown_method() -> Malformed:
    """No method of this name is served in this era."""
    return Malformed(Code.PARSE, "unknown method", jsonrpc=jsonrpc.METHOD_NOT_FOUND, status=404)


def no_session() -> Malformed:
    """A legacy message that is of no session."""
    return Malformed(
        Code.PARSE, "the mcp-session-id header is missing: begin with initialize", jsonrpc=jsonrpc.INVALID_REQUEST
    )


def no_handshake() -> Malformed:
    """The same where there are no headers."""
    return Malformed(Code.PARSE, "begin with initialize", jsonrpc=jsonrpc.INVALID_REQUEST)


def lost_session() -> Malformed:
    """A session that never was, has ended, or is another's: the same for all."""
    return Malformed(Code.PARSE, "there is no such session", jsonrpc=jsonrpc.INVALID_REQUEST, status=404)


def unreadable() -> Malformed:
    """A stream for a client that reads none."""
    reason = "the answer is text/event-stream, which the accept header must name"
    return Malformed(Code.PARSE, reason, jsonrpc=jsonrpc.INVALID_REQUEST, status=406)


def of_fault(fault: Exception, ident: jsonrpc.Id) -> Answer:
    """Any fault, told."""
    if isinstance(fault, Malformed):
        return malformed(fault, ident)
    if isinstance(fault, Refused | Failed | LogUnavailable):
        return _not_done(fault, ident)
    reference = secrets.token_hex(8)
    logger.error("unforeseen fault %s", reference, exc_info=fault)
    # Not 5xx: what stands between would take that as leave to send the call again.
    return Answer(200, jsonrpc.error(ident, jsonrpc.INTERNAL_ERROR, f"internal error {reference}"), (JSON,))


def malformed(fault: Malformed, ident: jsonrpc.Id, *, status: int = 0) -> Answer:
    """The specification's own error, with the id where one was understood."""
    body = jsonrpc.error(ident, fault.jsonrpc, fault.reason, fault.data)
    return Answer(status or fault.status, body, (JSON,))


def nowhere() -> Answer:
    """No endpoint at this address."""
    return Answer(404, jsonrpc.error(None, jsonrpc.INVALID_REQUEST, NOWHERE), (JSON,))


def not_allowed() -> Answer:
    """A method of HTTP that is not served here, or not in this era."""
    return Answer(405, headers=((b"allow", b"GET, POST, DELETE"),))


def _not_done(fault: Refused | Failed | LogUnavailable, ident: jsonrpc.Id) -> Answer:
    """A refusal or failure outside a tool result (surface.md): error 1000+n with the decision in `data`."""
    if isinstance(fault, LogUnavailable):
        code, reason = Code.LOG_UNAVAILABLE, str(fault)
    else:
        code, reason = fault.code, fault.reason
    told: JsonObject = {"code": code.value, "effect": "deny", "reasons": [reason]}
    if isinstance(fault, Refused) and fault.would_pass:
        told["would_pass"] = fault.would_pass
    return Answer(200, jsonrpc.error(ident, JSONRPC_NUMBER[code], reason, told), (JSON,))
