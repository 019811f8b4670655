"""`/approvals`: where approvers with a token list, see and answer what waits for them.

Not who may speak to us and how much (http.py), and not what an answer counts for (admin).
"""

import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import jiter

from gateway.admin.approvers import NotTheirs
from gateway.errors import JSONRPC_NUMBER, ConfigError, LogUnavailable, Malformed, Refused
from gateway.model import Code, JsonObject, Principal
from gateway.transports.answers import JSON, Answer, malformed, nowhere
from gateway.wire import jsonrpc

DESK: Final = "approvals"
LARGEST: Final = 16 << 10
"""A verdict, a signature and a reason of a thousand characters, each written as an escape, take less."""
_KEYS: Final = frozenset({"verdict", "reason", "signature"})
_ID: Final = re.compile(r"[0-9a-f-]{36}")
_NO_STORE: Final = (b"cache-control", b"no-store")
_ALLOWED: Final = (b"allow", b"GET, POST")

logger = logging.getLogger(__name__)


class Take(Protocol):
    """Answers one request as this person."""

    def __call__(
        self, who: Principal, approval: str, /, *, verdict: str, reason: str, signature: str
    ) -> Awaitable[JsonObject]: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What stands behind `/approvals`."""

    waiting: Callable[[Principal], Awaitable[JsonObject]]
    show: Callable[[Principal, str], Awaitable[JsonObject]]
    take: Take

    async def serve(self, who: Principal, method: str, path: str, body: bytes) -> Answer:
        """The answer to one request. Whatever is not theirs is not there."""
        try:
            told = await self._told(who, method, path.split("/")[2:], body)
        except Exception as fault:  # noqa: BLE001 - the transport's boundary: no text of an unforeseen fault leaves
            return _of_fault(fault)
        if told is None:
            return Answer(405, headers=(_ALLOWED,))
        return Answer(200, jsonrpc.encode(told), (JSON, _NO_STORE))

    async def _told(self, who: Principal, method: str, rest: list[str], body: bytes) -> JsonObject | None:
        match method, rest:
            case "GET", []:
                return await self.waiting(who)
            case "GET", [approval] if _ID.fullmatch(approval):
                return await self.show(who, approval)
            case "POST", [approval] if _ID.fullmatch(approval):
                await self.show(who, approval)  # whose it is not learns no more from its body
                return await self.take(who, approval, **_said(body))
            case "GET" | "POST", [_, *_]:
                raise NotTheirs
        return None


def _said(body: bytes) -> dict[str, str]:
    """The three members of an answer, all text, none twice, none else."""
    try:
        said = jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError:
        raise Malformed(Code.PARSE, "the body is not strict JSON", jsonrpc=jsonrpc.PARSE_ERROR) from None
    if type(said) is not dict or said.keys() != _KEYS or any(type(one) is not str for one in said.values()):
        reason = "an answer is an object of verdict, reason and signature, each a text, and nothing else"
        raise Malformed(Code.PARSE, reason, jsonrpc=jsonrpc.INVALID_REQUEST)
    return said


def _of_fault(fault: Exception) -> Answer:
    match fault:
        case NotTheirs():
            return nowhere()
        case Malformed():
            return malformed(fault, None)
        case Refused():
            data = {"code": fault.code.value, "would_pass": fault.would_pass}
            return _error(403, JSONRPC_NUMBER[fault.code], fault.reason, data)
        case ConfigError():
            return _error(409, jsonrpc.INVALID_REQUEST, fault.problem)
        case LogUnavailable():
            code = Code.LOG_UNAVAILABLE
            return _error(503, JSONRPC_NUMBER[code], str(fault), {"code": code.value})
    reference = secrets.token_hex(8)
    logger.error("unforeseen fault %s", reference, exc_info=fault)
    return _error(500, jsonrpc.INTERNAL_ERROR, f"internal error {reference}")


def _error(status: int, number: int, reason: str, data: JsonObject | None = None) -> Answer:
    return Answer(status, jsonrpc.error(None, number, reason, data), (JSON, _NO_STORE))
