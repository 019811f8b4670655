"""One request under way with an upstream: how far it got, and what is said about it before its answer.

Not the sending, and not the answer: those are the leg's (leg.py) and the stream's (answer.py).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.channel import Ask, Channel, Unanswered
from gateway.errors import Failed
from gateway.executors.answer import invalid
from gateway.executors.deadline import Deadline
from gateway.kinds import ASKED_OF_CLIENTS, CANCELLED, LOGGED, PROGRESS
from gateway.model import JsonObject, Limits
from gateway.wire.jsonrpc import INTERNAL_ERROR, METHOD_NOT_FOUND, error, result

MOST_ASKS = 100
"""Questions that one call may put to the client; as many again are refused, and then it asks in a loop."""
_NOT_SERVED = "not served here"

Reply = Callable[[bytes], Awaitable[object]]
Beside = Callable[[str, JsonObject], bool]

logger = logging.getLogger(__name__)


class Exchange:
    """`beside` takes what an upstream notifies of that is no call's. Within a session `reply` answers it."""

    __slots__ = (
        "_count",
        "asks",
        "beside",
        "channel",
        "deadline",
        "ident",
        "reply",
        "sent",
        "version",
    )  # fmt: skip

    def __init__(self, limits: Limits, channel: Channel, beside: Beside) -> None:
        self.deadline = Deadline(limits, moves=bool(channel.progress or channel.capabilities))
        self.channel = channel
        self.sent = False
        """Whether the request for the effect may have left."""
        self.ident = ""
        """The request's id, and the token of its progress."""
        self.version = ""
        """The revision that it was asked in."""
        self.reply: Reply | None = None
        """None where an upstream may ask nothing."""
        self.beside = beside
        self.asks: dict[str | int, asyncio.Future[None]] = {}
        """What it asks of the client and is not answered yet."""
        self._count = 0

    def hear(self, message: JsonObject) -> bool:
        """Take what is said on its stream, or is about it on another.

        Raises:
            Failed: it must not be there, or there is no end to it.
        """
        method, params = message["method"], message.get("params", {})
        if type(params) is not dict:
            return False
        if "id" in message:
            return self._asked(message["id"], method, params)
        if method == PROGRESS:
            return self._progressed(params)
        if method == LOGGED:
            self.channel.tell(method, params)
            return True
        if method == CANCELLED:
            return self._taken_back(params.get("requestId"))
        return self.beside(method, params)

    def end(self) -> None:
        """Nothing of it is answered any more."""
        for asking in self.asks.values():
            asking.cancel()

    def _progressed(self, params: JsonObject) -> bool:
        if (
            not self.channel.progress
            or params.get("progressToken") != self.ident
            or not _number(params.get("progress"))
        ):
            return False
        told: JsonObject = {"progress": params["progress"]}
        if _number(params.get("total")):
            told["total"] = params["total"]
        if type(params.get("message")) is str:
            told["message"] = params["message"]
        self.deadline.heard()
        self.channel.tell(PROGRESS, told)
        return True

    def _asked(self, ident: Any, method: str, params: JsonObject) -> bool:
        if self.reply is None:
            raise invalid("it asks something, where it may only answer")
        if (type(ident) is not int and type(ident) is not str) or ident in self.asks:
            return False
        self._count += 1
        if self._count > 2 * MOST_ASKS:
            raise invalid("there is no end to what it asks")
        self.asks[ident] = asking = asyncio.ensure_future(self._replied(ident, method, params, self.reply))
        asking.add_done_callback(lambda _: self.asks.pop(ident, None))
        return True

    def _taken_back(self, ident: Any) -> bool:
        """It no longer wants to know what it asked."""
        known = type(ident) is int or type(ident) is str
        if (asking := self.asks.get(ident) if known else None) is None:
            return False
        asking.cancel()
        return True

    async def _replied(self, ident: str | int, method: str, params: JsonObject, reply: Reply) -> None:
        """Put its question to the client, and send back the answer."""
        kind, ask = ASKED_OF_CLIENTS.get(method), self.channel.ask
        if method == "ping":
            answer = result(ident, {})
        elif kind is None or ask is None or kind.value not in self.channel.capabilities:
            answer = error(ident, METHOD_NOT_FOUND, _NOT_SERVED)
        elif self._count > MOST_ASKS:
            answer = error(ident, INTERNAL_ERROR, "too much was asked during one call")
        else:
            answer = await self._answered(ident, ask, method, params)
        try:
            await reply(answer)
        except Failed as failed:  # it will notice that nothing comes
            logger.info("an upstream does not take the answer to its %s: %s", method[:100], failed.reason)

    async def _answered(self, ident: str | int, ask: Ask, method: str, params: JsonObject) -> bytes:
        self.deadline.hold()
        try:
            return result(ident, await ask(method, without_token(params)))
        except Unanswered as unanswered:
            return error(ident, unanswered.code, "the client did not answer")
        except Exception:  # the boundary of a question: whatever broke, the upstream is answered
            logger.exception("a question of an upstream could not be put to the client")
            return error(ident, INTERNAL_ERROR, "the client could not be asked")
        finally:
            self.deadline.let_go()


def without_token(params: JsonObject) -> JsonObject:
    """What is asked, without the token by which the upstream would be told of progress: that is not passed on."""
    meta = params.get("_meta")
    if type(meta) is not dict or "progressToken" not in meta:
        return params
    return {**params, "_meta": {key: value for key, value in meta.items() if key != "progressToken"}}


def refused(message: JsonObject) -> bytes | None:
    """The answer to a request that belongs to no call; None where it is no request."""
    ident = message.get("id")
    if type(ident) is not int and type(ident) is not str:
        return None
    return result(ident, {}) if message["method"] == "ping" else error(ident, METHOD_NOT_FOUND, _NOT_SERVED)


def _number(value: Any) -> bool:
    return type(value) is int or type(value) is float
