"""HTTP/1.1 on a connection: uvicorn's httptools protocol with deadlines, and strict where uvicorn is not.

Not the app (http.py). llhttp refuses most of what request smuggling needs; what it lets pass and two readers
could take differently is refused here: targets that name an authority, hosts and lengths given twice, trailers.
"""

import asyncio
from asyncio import TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, ClassVar, NoReturn

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.identity.tokens import Failures


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may take. Seconds, bytes and lines."""

    header_s: float = 10.0
    """From the first byte (or the opening of the connection) to the end of the header."""
    body_s: float = 30.0
    """From the end of the header to the end of the body."""
    keep_alive_s: int = 30
    header_bytes: int = 65_536
    header_lines: int = 100


class Reading(Enum):
    """What of a request is being read."""

    NOTHING = "nothing"
    HEADER = "header"
    BODY = "body"


_NOTHING, _HEADER, _BODY = Reading  # an attribute of an Enum costs more than the rest of a header line


class Unacceptable(Exception):
    """The header is well formed and still not one we answer. The parser learns no more than that it must stop."""


class NoTrailers(list[tuple[bytes, bytes]]):
    """Stands in for the header lines once they are judged: a trailer would join them unseen."""

    def append(self, _line: tuple[bytes, bytes]) -> NoReturn:
        """Refuse the request."""
        raise Unacceptable


_NO_TRAILERS = NoTrailers()


class StrictProtocol(HttpToolsProtocol):
    """One connection. A stranger's fault is counted, never logged: he could write the log full.

    An app finds it in its scope, as `connection`, and may write an answer here piece by piece, without waiting.
    """

    bounds: ClassVar[Bounds] = Bounds()
    failures: ClassVar[Failures] = Failures()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reading = _NOTHING
        self._header_bytes = self._chunk_bytes = 0
        self._timer: TimerHandle | None = None
        self._timed = _NOTHING
        self._deaf = False
        self._answering: RequestResponseCycle | None = None
        """Of the request that is being answered; uvicorn knows the last one that arrived."""
        self.on_lost: Callable[[], object] | None = None
        """Called once when the client is gone before its answer is whole."""
        self.on_stop: Callable[[], object] | None = None
        """Called when the server stops: an answer that has no end by itself is to end now."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that sends nothing has as long as one that sends a header."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers: uvicorn keeps its own when the connection broke."""
        self._stop_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        answering = self._answering
        if answering is not None and not answering.response_complete:
            answering.disconnected = True
            if self.on_lost is not None:
                self.on_lost()
        self.on_lost = self.on_stop = None

    def shutdown(self) -> None:
        """End streams that would go on; let other answers end by themselves."""
        super().shutdown()
        if self.on_stop is not None:
            self.on_stop()

    def begin(self, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """Begin an answer that is written piece by piece."""
        answering = self._open()
        answering.response_started = answering.chunked_encoding = True
        answering.waiting_for_100_continue = False
        lines = [*answering.default_headers, *headers, (b"transfer-encoding", b"chunked")]
        if not answering.keep_alive:
            lines.append((b"connection", b"close"))
        head = b"".join(b"%b: %b\r\n" % line for line in lines)
        self.transport.write(b"%b%b\r\n" % (STATUS_LINE[HTTPStatus.OK], head))

    @property
    def begun(self) -> bool:
        """Whether the header of the answer is out."""
        return self._open().response_started

    @property
    def gone(self) -> bool:
        """Whether nobody is there any more to be answered."""
        return self._open().disconnected

    def put(self, piece: bytes) -> int:
        """Write a piece of the answer; how many bytes of all pieces the client has not taken yet."""
        self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return self.transport.get_write_buffer_size()

    def finish(self) -> None:
        """The answer is whole."""
        answering = self._open()
        self.transport.write(b"0\r\n\r\n")
        self.on_lost = self.on_stop = None
        answering.response_complete = True
        answering.message_event.set()
        if not answering.keep_alive:
            self.transport.close()
        answering.on_response()

    def cut(self) -> None:
        """End the connection, with whatever the client has not taken."""
        self._open().disconnected = True
        self.transport.abort()

    def _open(self) -> RequestResponseCycle:
        assert self._answering is not None
        return self._answering

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        self.on_lost = self.on_stop = None
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then see what is still to come and until when."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._chunk_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        if self._reading is _HEADER:
            self._header_bytes += len(data)
            if self._header_bytes > self.bounds.header_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return
        self._watch()

    def on_message_begin(self) -> None:
        """A request begins."""
        HttpToolsProtocol.on_message_begin(self)
        self.scope["connection"] = self  # type: ignore[typeddict-unknown-key]
        self._reading, self._header_bytes = _HEADER, 0

    def on_headers_complete(self) -> None:
        """Judge the header as a whole before any of it reaches the app."""
        self._check_header()
        HttpToolsProtocol.on_headers_complete(self)
        self._reading, self.headers = _BODY, _NO_TRAILERS

    def on_message_complete(self) -> None:
        """The request is whole."""
        HttpToolsProtocol.on_message_complete(self)
        self._reading = _NOTHING

    def _check_header(self) -> None:
        names = [name for name, _ in self.headers]
        version = self.parser.get_http_version()
        # llhttp has refused a second length, a second transfer coding, and one beside the other.
        if names.count(b"host") != 1 or (version != "1.1" and version != "1.0"):  # noqa: PLR1714 - a set is slower
            raise Unacceptable
        if b"transfer-encoding" in names:
            coding = self.headers[names.index(b"transfer-encoding")][1]
            if coding.lower() != b"chunked" or version != "1.1":
                raise Unacceptable
        if self.parser.should_upgrade():  # the parser would drop the body and hear no further request
            raise Unacceptable
        if not self.url.startswith(b"/") or b"#" in self.url:  # absolute, authority or asterisk form
            raise Unacceptable
        if len(names) > self.bounds.header_lines:
            raise Unacceptable
        if self._header_bytes + self._chunk_bytes > self.bounds.header_bytes and self._lines_too_long():
            raise Unacceptable

    def _lines_too_long(self) -> bool:
        """Count the lines alone: what has arrived may hold the body as well."""
        return sum(len(name) + len(value) for name, value in self.headers) > self.bounds.header_bytes

    def _watch(self) -> None:
        """Run the one timer that fits what is being read; most requests come whole and need none."""
        wanted = self._reading
        if wanted is _NOTHING and not self._busy():
            wanted = _HEADER  # opened and silent, or empty lines between requests
        if wanted is self._timed:
            return
        self._stop_timer()
        if wanted is not _NOTHING and not self._deaf:
            self._start_timer(wanted)

    def _start_timer(self, wanted: Reading) -> None:
        seconds = self.bounds.body_s if wanted is _BODY else self.bounds.header_s
        self._timed, self._timer = wanted, self.loop.call_later(seconds, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timed = None, _NOTHING

    def _late(self) -> None:
        """The deadline has passed. Requests that wait their turn are not the client's delay."""
        if self.pipeline:
            self._start_timer(self._timed)
        elif self._reading is _NOTHING:
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def _refuse(self, status: HTTPStatus) -> None:
        """End the connection. The answer to an earlier request goes out first; a cut-off body has no answer."""
        self.failures.count("http")
        self._deaf = True
        self._stop_timer()
        busy = self._busy()
        if busy and self._reading is not _BODY:
            self.cycle.keep_alive = False
            return
        if not busy or not (self.pipeline or self.cycle.response_started):
            self.transport.write(_refusal(status))
        self.transport.close()


def _refusal(status: HTTPStatus) -> bytes:
    said = "strict HTTP is served: one Host, one length, no Upgrade, no trailers, no delays\n"
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    return f"{head}content-length: {len(said)}\r\n\r\n{said}".encode("ascii")


def server_config(
    app: Any, *, host: str, port: int, bounds: Bounds | None = None, failures: Failures | None = None
) -> uvicorn.Config:
    """How uvicorn must be set up for `app`."""
    bounds = bounds if bounds is not None else Bounds()
    made = {"bounds": bounds, "failures": failures if failures is not None else Failures()}
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=type("BoundedProtocol", (StrictProtocol,), made),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # A forwarded address would let a stranger claim to be on loopback.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=bounds.keep_alive_s,
    )
