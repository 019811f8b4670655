"""An upstream's answer: the one JSON-RPC message that replies to our request, read within bounds.

Not the meaning of its error codes or results: that is the reader's. Everything here distrusts the sender.
"""

import asyncio
from typing import Any, NamedTuple, Protocol

import jiter
import re2
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.response import ResponseBodyReader

from gateway.cancels import Cancels
from gateway.errors import Failed
from gateway.model import Code, JsonObject
from gateway.wire.sse import EventStream

ERROR_BODY_BYTES = 65_536
"""How much of a body that carries no result is read."""
GRACE_SECONDS = 0.5
"""How long a stream may stay open after its response. A second answer within it is seen, and a stream that ends
leaves its connection for the next call."""
BESIDE_BYTES = 16 * 2**20
BESIDE_EVENTS = 100_000
"""How much may be said on a stream beside the answer."""
_WALKED_BYTES = 65_536
_BIG_NUMBER = re2.compile(rb"[0-9][eE]\+?[0-9]{3}|[0-9]{300}")
"""Where a float that becomes infinite could be: reading a large body for it costs less than walking its values."""


class Listener(Protocol):
    """Who is told what is said on a stream beside the answer."""

    def hear(self, message: JsonObject) -> bool:
        """Take a notification or a request; whether it was for anybody. Never waits.

        Raises:
            Failed: it must not be there.
        """
        ...


class Resume(NamedTuple):
    """Where a stream that ended before its answer goes on."""

    last_id: str
    retry_ms: int | None


class Answer(NamedTuple):
    """What came back. `message` is None where the body holds no JSON-RPC response of ours."""

    status: int
    message: JsonObject | None
    size: int = 0
    passed_over: int = 0
    """Notifications and requests of the upstream that were ignored."""
    session: str | None = None
    """`Mcp-Session-Id`, where the upstream gave one."""
    resume: Resume | None = None
    """Instead of a message: the stream ended, and its sender said how to come back for it."""


def too_large() -> Failed:
    """The effect is done and its result is not to be had: an ending of its own, not an unknown one."""
    return Failed(Code.RESULT_WITHHELD, "the result is larger than the limit")


def invalid(problem: str, *, detail: str = "", unknown: bool = True) -> Failed:
    """The upstream broke the protocol. After a request was sent its effect may have happened."""
    return Failed(
        Code.UPSTREAM_INVALID, f"the upstream's answer is not valid: {problem}", detail=detail, unknown=unknown
    )


def parse(data: bytes) -> Any:
    """Strict JSON: UTF-8, no repeated keys, no numbers that are none."""
    try:
        value = jiter.from_json(data, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError as error:
        raise invalid("it is not strict JSON", detail=str(error)) from None
    suspicious = len(data) <= _WALKED_BYTES or _BIG_NUMBER.search(data) is not None
    if suspicious and not _finite(value):
        raise invalid("a number is out of range")
    return value


def _finite(value: Any) -> bool:
    """Whether no float is infinite (1e400 parses to one, and would leave as null)."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is dict:
            waiting.extend(item.values())
        elif kind is list:
            waiting.extend(item)
        elif kind is float and item - item != 0.0:
            return False
    return True


def response_to(value: Any, wanted: str) -> JsonObject | None:
    """The message if it answers request `wanted`; None if it is a notification or a request.

    Raises:
        Failed: it is neither, or it answers something else.
    """
    if type(value) is not dict:
        raise invalid("it is a batch" if type(value) is list else "it is no JSON-RPC message")
    if value.get("jsonrpc") != "2.0":
        raise invalid("it is no JSON-RPC message")
    if "method" in value:
        if "result" in value or "error" in value or type(value["method"]) is not str:
            raise invalid("it is no JSON-RPC message")
        return None
    if ("result" in value) == ("error" in value):
        raise invalid("it is neither a result nor an error")
    if value.get("id") != wanted:
        raise invalid("it answers another request")
    return value


async def read_json(body: ResponseBodyReader, wanted: str, limit: int) -> tuple[JsonObject, int]:
    """The response in a body of one JSON document, and its size."""
    data = await body.read(limit + 1)
    if data is None:
        raise invalid("it is empty")
    if len(data) > limit:
        raise too_large()
    message = response_to(parse(bytes(data)), wanted)
    if message is None:
        raise invalid("it is no response")
    return message, len(data)


async def read_stream(body: ResponseBodyReader, wanted: str, limit: int, listener: Listener | None = None) -> "Reading":
    """The response in a stream of events, or how to come back for it; each event is taken as it comes.

    Raises:
        Failed: the stream is not valid, or ends without either.
    """
    reading, cancels = Reading(wanted, limit, listener), Cancels()
    try:
        while reading.message is None:
            chunk = await body.read_chunk()
            cancels.heed()
            if chunk is None:
                if reading.resume is None:
                    raise invalid("the stream ended without a response")
                return reading
            reading.feed(bytes(chunk))
    except PyreqwestError:
        if reading.resume is None:
            raise
        return reading
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            while (chunk := await body.read_chunk()) is not None:
                cancels.heed()
                reading.feed(bytes(chunk))
    except (TimeoutError, PyreqwestError):
        # The response is whole: a stream kept open, or broken off after it, takes nothing back.
        pass
    return reading


def resume(stream: EventStream) -> Resume | None:
    """How to come back for what a stream would have said; None where its ids could not be sent back as they came."""
    last = stream.last_id.decode("ascii", "replace")
    return Resume(last, stream.retry_ms) if last.isascii() and last.isprintable() and last else None


async def read_error(body: ResponseBodyReader) -> JsonObject | None:
    """The JSON-RPC error in a body that carries no result, whatever id it names; None where there is none."""
    data = await body.read(ERROR_BODY_BYTES + 1)
    if data is None or len(data) > ERROR_BODY_BYTES:
        return None
    try:
        value = parse(bytes(data))
    except Failed:
        return None
    if type(value) is dict and type(value.get("error")) is dict and type(value["error"].get("code")) is int:
        return value
    return None


class Reading:
    """The events of one stream, until the response and any second one are seen.

    What is said beside the answer has bounds of its own: many small reports are not a large result.
    """

    __slots__ = ("_beside", "_limit", "_listener", "_stream", "_wanted", "message", "passed_over", "size", "told")

    def __init__(self, wanted: str, limit: int, listener: Listener | None = None) -> None:
        self._stream, self._wanted, self._limit, self._listener = EventStream(limit), wanted, limit, listener
        self.message: JsonObject | None = None
        self.passed_over = self.size = self.told = self._beside = 0

    @property
    def resume(self) -> Resume | None:
        """How to come back for the answer, where the sender said so."""
        return resume(self._stream)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            Failed: too large, not valid, or a second answer.
        """
        self.size += len(chunk)
        for event in self._stream.feed(chunk):
            if event.type != "message":
                self.passed_over += 1
            elif event.data:
                self._take(parse(event.data), len(event.data))
        if self.size - self._beside > self._limit:
            raise too_large()

    def _take(self, value: Any, size: int) -> None:
        message = response_to(value, self._wanted)
        if message is None:
            self._hear(value, size)
        elif self.message is not None:
            raise invalid("it answers twice")
        else:
            self.message = message

    def _hear(self, message: JsonObject, size: int) -> None:
        self.told += 1
        self._beside += size
        if self.told > BESIDE_EVENTS or self._beside > BESIDE_BYTES:
            raise invalid("it says far too much beside its answer")
        if self.message is not None or self._listener is None or not self._listener.hear(message):
            self.passed_over += 1
