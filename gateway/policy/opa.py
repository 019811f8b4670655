"""The engine outside: an OPA server that serves our bundle, asked over kept connections.

Not its operator: whoever runs it gives it the tarball of `opabundle`. An answer under any other revision, one
that says nothing of its revision, and one that comes too late are all none.
"""

import re
from datetime import timedelta
from typing import Any

import orjson
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError, RequestTimeoutError
from pyreqwest.http import Url
from pyreqwest.response import Response

from gateway.errors import BasculeError, ConfigError
from gateway.model import JsonObject, Point
from gateway.policy.bundle import Bundle

LARGEST_ANSWER = 4 * 1024 * 1024
"""Bytes. `list` may name ten thousand tools; nothing else comes near."""
AT_ONCE = 64
"""Questions under way; more wait for their turn, within the same time-out."""
IDLE_SECONDS = 30.0
_JSON = {"content-type": "application/json", "accept-encoding": "identity"}
_ASKED = "provenance=true&strict-builtin-errors=true"
"""Without strict errors a rule whose builtin fails is silently skipped, a `deny` as well: what is a refusal by the
engine in process would be an allow."""
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}")


class NoAnswer(BasculeError):
    """The server gave no answer that may be used; the guard in `decide` makes it a refusal."""


class Opa:
    """A `Pdp` that asks a server at `url`.

    `timeout_s` bounds the whole of one answer: waiting for a connection, connecting, reading.
    """

    def __init__(self, bundle: Bundle, url: str, *, value_bytes: int = 65_536, timeout_s: float = 1.0) -> None:
        if "?" in url:
            raise ConfigError("policy.url should be the server's address, without a query")
        self.bundle = bundle
        self.value_bytes = value_bytes
        self.engine = "opa"
        """With the server's version from its first answer on."""
        root = f"{url.rstrip('/')}/v1/data/bascule"
        self._urls = {point: Url(f"{root}/{point}/decision?{_ASKED}") for point in Point}
        self._seconds = timeout_s
        self._client = _client(timedelta(seconds=timeout_s))

    def reload(self, bundle: Bundle) -> None:
        """Expects this bundle's revision from now on; until the server serves it, it answers nothing."""
        self.bundle = bundle

    async def evaluate(self, point: Point, document: JsonObject) -> JsonObject:
        """HOT. Raises NoAnswer."""
        revision = self.bundle.digest  # of when it is asked: a swap during the wait changes nothing
        body = b'{"input":' + orjson.dumps(document) + b"}"
        try:
            async with self._client.post(self._urls[point]).body_bytes(body).build_streamed() as response:
                content = await _read(response)
        except RequestTimeoutError:
            raise NoAnswer(f"OPA did not answer within {self._seconds} s") from None
        except PyreqwestError as error:
            raise NoAnswer(f"OPA could not be asked: {_cause(error)}") from None
        if response.status != 200:
            raise NoAnswer(f"OPA answered {response.status}: {_said(content)}")
        answer = _parsed(content)
        version = _checked(answer.get("provenance"), revision)
        decision: Any = answer.get("result")
        if type(decision) is not dict:
            raise NoAnswer(f"OPA has no decision at `{point}`: the entry is undefined")
        self.engine = f"opa/{version}" if version else "opa"
        return decision

    async def close(self) -> None:
        """Close every connection; nothing is asked afterwards."""
        await self._client.close()


def _client(within: timedelta) -> Client:
    """No proxy, redirect or compression: only the server that the operator named may decide."""
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
        .default_headers(_JSON)
        .timeout(within)
        .max_connections(AT_ONCE)
        .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
        .pool_max_idle_per_host(AT_ONCE)
        .build()
    )


async def _read(response: Response) -> bytes:
    content = await response.body_reader.read(LARGEST_ANSWER + 1)
    if content is None:
        return b""
    if len(content) > LARGEST_ANSWER:
        raise NoAnswer(f"OPA answered more than {LARGEST_ANSWER >> 20} MB")
    return bytes(content)


def _parsed(content: bytes) -> JsonObject:
    try:
        answer = orjson.loads(content)
    except ValueError:
        raise NoAnswer("OPA answered what is no JSON") from None
    if type(answer) is not dict:
        raise NoAnswer("OPA answered no JSON object")
    return answer


def _checked(provenance: Any, revision: str) -> str:
    """The server's version, where its one bundle is ours; any other may hold rules that are not in our digest."""
    bundles = provenance.get("bundles") if type(provenance) is dict else None
    if type(bundles) is not dict or not bundles:
        raise NoAnswer("OPA did not say which bundle it serves")
    if len(bundles) > 1:
        raise NoAnswer(f"OPA serves {len(bundles)} bundles; beside ours there should be none")
    (served,) = bundles.values()
    found = served.get("revision") if type(served) is dict else None
    if found != revision:
        raise NoAnswer(
            f"OPA serves revision {found!r:.90}, not {revision}: give it the tarball of `bascule policy build`"
        )
    version = provenance.get("version")
    return version if type(version) is str and _VERSION.fullmatch(version) else ""


def _said(content: bytes) -> str:
    """OPA's error in one line: the first of those it lists, with its place, else its own message."""
    try:
        answer = _parsed(content)
    except NoAnswer:
        return "no error of its own"
    errors = answer.get("errors")
    first = errors[0] if type(errors) is list and errors and type(errors[0]) is dict else answer
    place = first.get("location")
    where = f"{place.get('file')}:{place.get('row')}:{place.get('col')}: " if type(place) is dict else ""
    return f"{where}{first.get('code')}: {first.get('message')}"[:300]


def _cause(error: PyreqwestError) -> str:
    """What the client says went wrong, innermost last, without the address."""
    causes = (error.details.get("causes") or []) if isinstance(error, DetailedPyreqwestError) else []
    texts = [cause["message"] for cause in causes if " for url " not in cause["message"]]
    return ": ".join([type(error).__name__, *texts])[:300]
