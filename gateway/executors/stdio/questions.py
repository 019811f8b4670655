"""What a process asks of the client of a call, each answered once, in whatever order the answers come.

Not who may ask what: the channel judges that. Here is only that a process can neither ask without end nor without
a call, and that reading it never waits for an answer.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from gateway.channel import Ask, Unanswered
from gateway.executors.stdio.waiting import Waiting
from gateway.kinds import ASKED_OF_CLIENTS
from gateway.model import JsonObject
from gateway.wire.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LARGEST_INTEGER,
    METHOD_NOT_FOUND,
    Id,
    error,
    result,
)

MOST_OF_A_CALL: Final = 100
MOST_AT_ONCE: Final = 32
"""Of one process."""
QUESTION_BYTES: Final = 4 * 2**20
_ID_CHARACTERS = 256

logger = logging.getLogger(__name__)


def id_of(message: JsonObject) -> int | str | None:
    """The id of a request; None where it is none that can be answered without doubt."""
    ident = message.get("id")
    if type(ident) is int and -LARGEST_INTEGER <= ident <= LARGEST_INTEGER:
        return ident
    return ident if type(ident) is str and len(ident) <= _ID_CHARACTERS else None


def invalid_request() -> bytes:
    """The answer to what is no request. It names no id: one that is in use would answer something else."""
    return error(None, INVALID_REQUEST, "no request with an id of its own")


class Questions:
    """Of one process. `say` writes the answer to one that was put to a client."""

    def __init__(self, say: Callable[[bytes], None]) -> None:
        self._say = say
        self._open: dict[int | str, tuple[asyncio.Task[bytes], Waiting]] = {}
        self._running: set[asyncio.Task[bytes]] = set()
        """Those that were withdrawn and have not ended among them."""

    def take(self, ident: int | str, message: JsonObject, size: int, whose: Waiting | None) -> bytes | None:
        """Put a request to the client of a call; the refusal where it cannot be put to anybody."""
        if ident in self._open:
            return invalid_request()
        ask = _way(message["method"], whose)
        if ask is None or whose is None:
            return error(ident, METHOD_NOT_FOUND, "not served here")
        params = message.get("params", {})
        if type(params) is not dict or size > QUESTION_BYTES:
            return error(ident, INVALID_PARAMS, "the params are no object, or too large a one")
        if len(self._running) >= MOST_AT_ONCE or whose.asked >= MOST_OF_A_CALL:
            return error(ident, INTERNAL_ERROR, "too much is asked")
        whose.ask()
        putting = asyncio.ensure_future(_put(ident, ask, message["method"], _own(params)))
        self._open[ident] = putting, whose
        self._running.add(putting)
        putting.add_done_callback(partial(self._answered, ident, whose))
        return None

    def withdraw(self, ident: Any) -> bool:
        """The process no longer wants to know; whether it had asked."""
        if (type(ident) is not int and type(ident) is not str) or ident not in self._open:
            return False
        self._open.pop(ident)[0].cancel()
        return True

    def over(self, whose: Waiting) -> None:
        """A call has ended: nobody is asked for it any more."""
        for putting, of in self._open.values():
            if of is whose:
                putting.cancel()

    def end(self) -> None:
        """Nobody is asked any more."""
        for putting in self._running:
            putting.cancel()

    def _answered(self, ident: int | str, whose: Waiting, done: "asyncio.Task[bytes]") -> None:
        self._running.discard(done)
        whose.go_on()
        if (kept := self._open.get(ident)) is None or kept[0] is not done:
            return  # withdrawn: "the receiver SHOULD NOT send a response for the cancelled request"
        del self._open[ident]
        self._say(error(ident, INTERNAL_ERROR, "nobody waits any more") if done.cancelled() else done.result())


async def _put(ident: Id, ask: Ask, method: str, params: JsonObject) -> bytes:
    try:
        return result(ident, await ask(method, params))
    except Unanswered as unanswered:
        return error(ident, unanswered.code, "the client gave no answer")
    except Exception:  # the executor's boundary: whatever broke, the process gets an answer
        logger.exception("what an upstream asked could not be put to a client")
        return error(ident, INTERNAL_ERROR, "the client could not be asked")


def _way(method: str, whose: Waiting | None) -> Ask | None:
    """How the client of that call is asked this: not in the modern era, and nothing it did not declare."""
    kind = ASKED_OF_CLIENTS.get(method)
    if kind is None or whose is None or whose.modern or whose.channel is None:
        return None
    return whose.channel.ask if type(whose.channel.capabilities.get(kind)) is dict else None


def _own(params: JsonObject) -> JsonObject:
    """Without the token by which the process would be told of progress: nobody tells it."""
    meta = params.get("_meta")
    if type(meta) is not dict or "progressToken" not in meta:
        return params
    kept = {key: value for key, value in meta.items() if key != "progressToken"}
    bare = {key: value for key, value in params.items() if key != "_meta"}
    return {**bare, "_meta": kept} if kept else bare
