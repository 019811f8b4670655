"""The connections to one origin: a request goes out once, and what comes back is classified.

Not the protocol: it knows methods and results only as far as telling an answer from none. It never repeats a
request but one that a 401 proves not to have run, follows no redirect, keeps no cookie, takes no proxy from the
environment and decompresses nothing.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BodyDecodeError,
    DecodeError,
    DetailedPyreqwestError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.http import Url
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from gateway.cancels import Cancels
from gateway.errors import Failed
from gateway.executors.answer import Answer, Listener, invalid, read_error, read_json, read_stream, too_large
from gateway.executors.backoff import Backoff
from gateway.model import Code

if TYPE_CHECKING:  # the SDK behind it takes longer to import than all of this
    from gateway.executors.oauth.authorization import Authorization

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 4.0
"""Shorter than the 5 s after which common servers close an idle connection: a request that crosses such a close on
the wire could not be told from one that ran."""
IDLE_CONNECTIONS = 128
DRAIN_SECONDS = 10.0
_FIRST_BYTES = 1
"""The client hands a response over once this much of its body is there: more would hold back an open event stream,
none would cost each short answer another wake-up."""
_TELL = 10.0
_NOT_SENT = "client error (Connect)"
"""The cause that proves no byte of the request left. The exception's class does not: the client's ConnectError is
also raised when a connection breaks after the request was sent."""
_UNCOMPRESSED = {"accept-encoding": "identity"}


class Pool:
    """One origin. `headers` are the operator's and may be secret; nothing of the client's is ever among them."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._url = Url(url)
        self._client = _client(headers)
        self._clock = clock
        self._backoff = Backoff(clock, jitter)
        self._secrets = _secrets(url, headers)
        self._closed = False
        self._waited_for = 0
        self._drained: asyncio.Event | None = None

    async def ask(
        self,
        body: bytes,
        headers: Mapping[str, str],
        wanted: str,
        limit: int,
        seconds: float | None,
        listener: Listener | None = None,
        *,
        verb: str = "POST",
    ) -> Answer:
        """Send one request and read the response to it, within `limit` bytes and `seconds`. `wanted` is its id.

        The client's own deadline is used because it costs nothing here; asyncio's costs a tenth of the whole call.
        None is for whoever has one that moves. By `GET` whoever asked before comes back for the answer.

        Raises:
            Failed: no answer; `unknown` unless it is certain that the request did not run.
        """
        started = self._due()
        request = self._request(verb, body, headers, seconds)
        self._waited_for += 1
        cancels = Cancels()
        try:
            async with request as response:
                cancels.heed()
                self._backoff.succeeded()
                answer = await self._read(response, wanted, limit, listener)
            cancels.heed()
            return answer
        except PyreqwestError as error:
            raise self._failed(error, started) from None
        except ValueError:  # what the client says of a header that is no text
            raise invalid("one of its headers is not ASCII") from None
        finally:
            self._waited_for -= 1
            if not self._waited_for and self._drained is not None:
                self._drained.set()

    async def tell(self, method: str, body: bytes, headers: Mapping[str, str], url: Url | None = None) -> int:
        """Send what has no answer (a notification, the end of a session); the status. `url` is of this origin.

        Raises:
            Failed: it did not arrive.
        """
        started, cancels = self._due(), Cancels()
        try:
            async with self._request(method, body, headers, _TELL, url) as response:
                self._backoff.succeeded()
                status = response.status
            cancels.heed()
            return status
        except PyreqwestError as error:
            raise self._failed(error, started) from None

    @asynccontextmanager
    async def open(self, verb: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[Response]:
        """A response that stays open for as long as whoever asked reads it: a stream that answers no call.

        Raises:
            Failed: it could not be had, or it broke.
        """
        started, cancels = self._due(), Cancels()
        try:
            async with self._request(verb, body, headers, None, first_bytes=0) as response:
                cancels.heed()
                self._backoff.succeeded()
                yield response
            cancels.heed()
        except PyreqwestError as error:
            raise self._failed(error, started) from None

    async def drain(self) -> None:
        """Wait until no answer is waited for, or for long enough."""
        if self._waited_for:
            self._drained = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._drained.wait()

    async def close(self) -> None:
        """Close every connection; nothing is sent afterwards."""
        self._closed = True
        await self._client.close()

    def neighbour(self, reference: str) -> Url | None:
        """Another address of this origin, by the parser that dials; None where it is one of somebody else's."""
        try:
            url = self._url.join(reference)
        except ValueError:
            return None
        ours = url.origin_ascii == self._url.origin_ascii and url.username == self._url.username
        return url if ours and url.password == self._url.password else None

    def scrubbed(self, text: str) -> str:
        """An upstream's words for the operator, without our own credentials should it repeat them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:2000]

    def _request(
        self,
        method: str,
        body: bytes,
        headers: Mapping[str, str],
        seconds: float | None,
        url: Url | None = None,
        first_bytes: int = _FIRST_BYTES,
    ) -> StreamRequest:
        """A request that is whole but not sent."""
        try:
            builder = self._client.request(method, self._url if url is None else url).headers(headers)
            if seconds is not None:
                builder = builder.timeout(timedelta(seconds=seconds))
            if method != "GET":
                builder = builder.body_bytes(body)
            return builder.streamed_read_buffer_limit(first_bytes).build_streamed()
        except ValueError as error:
            # Its text quotes the value, which may be an argument.
            detail = type(error).__name__
            raise Failed(Code.UPSTREAM_INVALID, "the request could not be formed", detail=detail) from None

    async def _read(self, response: Response, wanted: str, limit: int, listener: Listener | None) -> Answer:
        status = response.status
        encoding = response.get_header("content-encoding")
        if encoding is not None and encoding.strip().lower() != "identity":
            raise invalid("it is compressed, which was not asked for")
        if status != 200:
            return Answer(status, await read_error(response.body_reader), session=response.get_header("mcp-session-id"))
        length = response.get_header("content-length")
        if length is not None and length.isdigit() and int(length) > limit:
            raise too_large()
        media = response.get_header("content-type") or ""
        if media != "application/json":
            media = media.partition(";")[0].strip().lower()
        session = response.get_header("mcp-session-id")
        if media == "application/json":
            message, size = await read_json(response.body_reader, wanted, limit)
            return Answer(status, message, size, session=session)
        if media == "text/event-stream":
            reading = await read_stream(response.body_reader, wanted, limit, listener)
            come_back = reading.resume if reading.message is None else None
            return Answer(status, reading.message, reading.size, reading.passed_over, session, come_back)
        raise invalid("its media type is neither JSON nor an event stream")

    def _due(self) -> float:
        if self._closed:
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the gateway no longer serves this upstream")
        if wait := self._backoff.remaining():
            raise Failed(
                Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached", detail=f"next attempt in {wait:.1f} s"
            )
        return self._clock()

    def _failed(self, error: PyreqwestError, started: float) -> Failed:
        causes = _causes(error)
        detail = self.scrubbed(": ".join([type(error).__name__, *causes]))
        if _NOT_SENT in causes:
            self._backoff.failed(started)
            return Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached", detail=detail)
        if isinstance(error, RequestTimeoutError):
            reason = "the upstream did not answer in time"
            return Failed(Code.UPSTREAM_TIMEOUT, reason, detail=detail, unknown=True)
        if isinstance(error, DecodeError) and not isinstance(error, BodyDecodeError):
            return invalid("it is not HTTP", detail=detail)
        return Failed(Code.UPSTREAM_UNAVAILABLE, "the connection to the upstream broke", detail=detail, unknown=True)


class AuthorizedPool(Pool):
    """A pool whose requests carry the gateway's own login (oauth.py): to this origin, and to nowhere else."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        authorization: "Authorization",
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(url, headers, clock, jitter)
        self._authorization = authorization

    async def ask(
        self,
        body: bytes,
        headers: Mapping[str, str],
        wanted: str,
        limit: int,
        seconds: float | None,
        listener: Listener | None = None,
        *,
        verb: str = "POST",
    ) -> Answer:
        """As a pool does, with the login of the moment; once more with another where the upstream refuses that one."""
        started = self._due()
        deadline = None if seconds is None else started + seconds
        held = self._authorization
        if started >= held.due:
            await self._renewed("", deadline)
        bearer = held.bearer
        signed, left = {**headers, "authorization": bearer}, self._left(deadline)
        answer = await super().ask(body, signed, wanted, limit, left, listener, verb=verb)
        if answer.status != 401:
            return answer
        # "Invalid or expired tokens MUST receive a HTTP 401 response": the request was turned away at the door, so
        # sending it again is no second effect. Twice turned away, it stays so.
        await self._renewed(bearer, deadline)
        signed, left = {**headers, "authorization": held.bearer}, self._left(deadline)
        return await super().ask(body, signed, wanted, limit, left, listener, verb=verb)

    async def tell(self, method: str, body: bytes, headers: Mapping[str, str], url: Url | None = None) -> int:
        """As a pool does, with the login of the moment, however old: nobody waits for this."""
        return await super().tell(method, body, self._signed(headers), url)

    @asynccontextmanager
    async def open(self, verb: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[Response]:
        """As a pool does; a login that is due is renewed, and one that is refused is left to the next attempt."""
        if self._clock() >= self._authorization.due:
            await self._renewed("", self._clock() + _TELL)
        refused = self._authorization.bearer
        async with super().open(verb, body, self._signed(headers)) as response:
            if response.status == 401:
                await self._renewed(refused, self._clock() + _TELL)
            yield response

    def scrubbed(self, text: str) -> str:
        """As a pool does, and without the tokens of now and before."""
        return super().scrubbed(self._authorization.scrubbed(text))

    async def close(self) -> None:
        """As a pool does; a renewal under way comes to its end."""
        await super().close()
        await self._authorization.close()

    def _signed(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        bearer = self._authorization.bearer
        return {**headers, "authorization": bearer} if bearer else headers

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.001, deadline - self._clock())

    async def _renewed(self, refused: str, deadline: float | None) -> None:
        try:
            async with asyncio.timeout(self._left(deadline)):
                await self._authorization.renew(refused)
        except TimeoutError:
            reason = "the upstream's authorisation server did not answer in time"
            raise Failed(Code.UPSTREAM_TIMEOUT, reason) from None

    async def _read(self, response: Response, wanted: str, limit: int, listener: Listener | None) -> Answer:
        if response.status == 403 and (scope := _scope_needed(response)):
            detail = f"HTTP 403: it needs the scope {scope!r}; add it to oauth.scopes and log in again"
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream refused the gateway's credentials", detail=detail)
        return await super()._read(response, wanted, limit, listener)


def _scope_needed(response: Response) -> str:
    """The scope that a refusal for want of one names; a question mark where it names none."""
    try:
        challenge = response.get_header("www-authenticate") or ""
    except ValueError:  # no text
        return ""
    if not re.search(r"\berror=\"?insufficient_scope\b", challenge):
        return ""
    found = re.search(r"\bscope=\"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,500})\"", challenge)
    return found[1] if found else "?"


def _client(headers: Mapping[str, str]) -> Client:
    return (
        ClientBuilder()
        .http1_only()
        .no_proxy()
        .follow_redirects(enable=False)
        .referer(enable=False)
        .gzip(enable=False)
        .brotli(enable=False)
        .zstd(enable=False)
        .deflate(enable=False)
        .user_agent("bascule")
        .connect_timeout(timedelta(seconds=CONNECT_SECONDS))
        .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .default_headers({**headers, **_UNCOMPRESSED})
        .build()
    )


def _causes(error: PyreqwestError) -> list[str]:
    """What the client says went wrong, without the address (it may hold a key)."""
    if not isinstance(error, DetailedPyreqwestError):
        return []
    causes: list[Any] = error.details.get("causes") or []
    return [cause["message"] for cause in causes if " for url " not in cause["message"]]


def _secrets(url: str, headers: Mapping[str, str]) -> tuple[str, ...]:
    """The strings no text may repeat, longest first: header values, their words, the address's query."""
    found = set(headers.values())
    for value in headers.values():
        found.update(value.split())
    found.update(re.findall(r"[?&][^=&#]*=([^&#]+)", url))
    return tuple(sorted((text for text in found if len(text) >= 6), key=len, reverse=True))
