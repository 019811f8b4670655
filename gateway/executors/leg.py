"""The way to one upstream over HTTP: in which era it is asked, in whose session, and what is sent again because it is
certain that nothing ran.

Not the meaning of what comes back (results.py), nor of what is asked (messages.py).
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Final

from gateway.channel import SILENT, About
from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid
from gateway.executors.era import Era, Verdict
from gateway.executors.exchange import Exchange
from gateway.executors.feeds import OURS, Feed, Feeds, Listenings, wanted
from gateway.executors.interests import Interests
from gateway.executors.messages import SPOKEN_BY_BOTH, Request, declared, error_code, legacy, modern
from gateway.executors.pool import Pool
from gateway.executors.results import result_of
from gateway.executors.session import Session
from gateway.executors.sessions import Owner, Sessions
from gateway.kinds import ACKNOWLEDGED, CANCELLED
from gateway.model import Code, JsonObject, Limits
from gateway.wire.jsonrpc import encode, notification
from gateway.wire.mcp import LATEST_MODERN, MODERN, upstream_headers

_DOUBTFUL = frozenset({400, 404, 405, 406, 410, 426})
_FAREWELL_SECONDS = 0.5
_CLOSING: Final = "the gateway no longer serves this upstream"
_LEVEL: Final = "logging/setLevel"

logger = logging.getLogger(__name__)


class Leg:
    """One upstream's. `limits` bound what the gateway asks for itself."""

    def __init__(self, pool: Pool, feeds: Feeds, limits: Limits, clock: Callable[[], float]) -> None:
        self._pool, self._feeds, self._limits = pool, feeds, limits
        self._sessions = Sessions(pool, clock, beside=feeds.noticed)
        self._era = Era(self._discover)
        self._numbers = count(1)
        self._closing = False
        self._told: set[asyncio.Future[None]] = set()
        """What is told without anybody waiting for it."""

    @property
    def verdict(self) -> Verdict | None:
        """What is known of the upstream's eras."""
        return self._era.known

    def exchange(self) -> Exchange:
        """For what the gateway asks for itself."""
        return Exchange(self._limits, SILENT, self.beside)

    def beside(self, method: str, params: JsonObject) -> bool:
        """Take what is notified of in nobody's session."""
        return self._feeds.noticed(OURS, method, params)

    async def ask(self, request: Request, exchange: Exchange) -> Answer:
        """Send a request in the client's era where the upstream speaks it, else in the upstream's. HOT.

        Raises:
            Failed: there is no answer.
        """
        if self._closing:
            raise Failed(Code.UPSTREAM_UNAVAILABLE, _CLOSING)
        if (verdict := self._era.known) is None:
            exchange.deadline.watch()
            verdict = await self._era.find()
        mirrored = request.era not in MODERN and verdict.legacy is not False and "inputResponses" not in request.params
        if not verdict.modern or mirrored:
            capabilities = exchange.channel.capabilities
            changes = request.era not in MODERN
            declaring = declared(capabilities, changes=changes) if capabilities else capabilities
            owner = (*request.owner, _digest(declaring)) if declaring else request.owner
            if (session := self._sessions.current(owner)) is None:
                exchange.deadline.watch()
                session = await self._session(owner, declaring, verdict)
            if session is not None:
                return await self._ask_in(session, owner, request, exchange)
        exchange.ident = f"bascule-{next(self._numbers)}"
        exchange.version, exchange.reply = LATEST_MODERN, None
        body = modern(exchange.ident, request, exchange.channel)
        exchange.sent = True
        seconds = exchange.deadline.seconds
        answer = await self._pool.ask(body, request.headers, exchange.ident, request.limit, seconds, exchange)
        if answer.status != 200 and _doubtful(answer):
            self._era.forget()
        if answer.resume is not None:
            raise invalid("the stream ended without a response")
        return answer

    async def about(self) -> About:
        """What the upstream says of itself.

        Raises:
            Failed: it could not be asked.
        """
        self._check_open()
        verdict = self._era.known or await self._era.find()
        if self._era.about is None:
            if verdict.modern:  # it speaks the era without its discovery
                return About(era=LATEST_MODERN)
            return (await self._in_session(OURS, verdict)).about
        return self._era.about

    async def feed(self, feed: Feed) -> None:
        """Tell the feed until cancelled.

        Raises:
            Failed: the upstream could not be asked, offers nothing of it, or its stream ended.
        """
        self._check_open()
        verdict = self._era.known or await self._era.find()
        if verdict.modern:
            raise await Listenings(self._pool, self._feeds, self._era.about, self._ident).run(feed)
        session = await self._in_session(feed.owner, verdict)
        if not feed.uris:  # whether a server tells of its resources, only asking it tells: many declare it wrongly
            wanted(session.about, ())
        session.busy += 1
        subscribed: list[str] = []
        try:
            with self._feeds.added(feed):
                stream = session.listen()
                if stream is not None:
                    await stream.opened()
                refused = await self._subscribe(session, feed.uris, subscribed)
                feed.tell(ACKNOWLEDGED, {"refused": refused})
                raise (await asyncio.shield(session.over())).anew()
        finally:
            session.busy -= 1
            for uri in subscribed:
                self._unsubscribe(session, uri)

    def withdraw(self, exchange: Exchange, reason: str) -> None:
        """Tell a legacy upstream that nobody waits any more; a modern one sees the stream close."""
        if exchange.sent and exchange.reply is not None:
            params = {"requestId": exchange.ident, "reason": reason}
            self._later(exchange.reply(notification(CANCELLED, params)))

    async def sweep(self) -> None:
        """End what is idle; to be called now and then."""
        await self._sessions.sweep()

    async def close(self) -> None:
        """Take no more requests, let those under way end for a while, then end sessions and connections."""
        self._closing = True
        await self._pool.drain()
        if self._told:
            await asyncio.wait(self._told, timeout=_FAREWELL_SECONDS)
        for told in [*self._told]:
            told.cancel()
        await self._sessions.close()
        await self._pool.close()

    def _check_open(self) -> None:
        if self._closing:
            raise Failed(Code.UPSTREAM_UNAVAILABLE, _CLOSING)

    def _ident(self) -> str:
        return f"bascule-{next(self._numbers)}"

    async def _in_session(self, owner: Owner, verdict: Verdict) -> Session:
        session = self._sessions.current(owner) or await self._session(owner, {}, verdict)
        if session is None:
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream opens no session")
        return session

    async def _session(self, owner: Owner, capabilities: Mapping[str, Any], verdict: Verdict) -> Session | None:
        """The owner's legacy session; None where the upstream speaks only the modern era."""
        early = None if not verdict.modern and verdict.legacy is None else verdict.early
        try:
            session = await self._sessions.of(owner, capabilities, early=early)
        except Failed as failed:
            if not verdict.modern or failed.code is not Code.UPSTREAM_INVALID:
                if verdict.legacy is None:
                    self._era.forget()
                raise
            session = None  # a modern server may answer a handshake with anything
        if session is None and not verdict.modern:
            self._era.forget()
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "there is no MCP server at the upstream's address")
        if session is not None and not verdict.modern and self._era.about is None:
            self._era.about = session.about
        if verdict.legacy is None:
            self._era.learned(legacy=session is not None, early=session is not None and session.line is not None)
        return session

    async def _ask_in(self, session: Session, owner: Owner, request: Request, exchange: Exchange) -> Answer:
        level = exchange.channel.log_level
        if level and level != session.level and "logging" in session.about.capabilities:
            await self._set_level(session, level, exchange)
        answer = await self._ask_once(session, owner, request, exchange)
        if answer.status == 404 and session.id is not None:
            # "When a client receives HTTP 404 in response to a request containing an Mcp-Session-Id, it MUST start
            # a new session": the upstream dropped the request unread, so sending it again is no second effect.
            exchange.sent = False
            exchange.deadline.watch()
            self._sessions.forget(owner, session)
            declaring = declared(exchange.channel.capabilities, changes=request.era not in MODERN)
            renewed = await self._sessions.of(owner, declaring)
            if renewed is None:
                self._era.forget()
                raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream ended the session and opens no other")
            answer = await self._ask_once(renewed, owner, request, exchange)
        return answer

    async def _ask_once(self, session: Session, owner: Owner, request: Request, exchange: Exchange) -> Answer:
        exchange.ident = self._ident()
        body = legacy(exchange.ident, request, exchange.channel)
        answer = await session.ask(body, request.method, request.limit, exchange)
        if answer.status != 200 and _doubtful(answer):
            self._sessions.forget(owner, session)
        return answer

    async def _set_level(self, session: Session, level: str, exchange: Exchange) -> None:
        """Ask for the log messages that the call wants. Without them it is a call all the same."""
        exchange.ident, session.level = self._ident(), level
        body = encode({"jsonrpc": "2.0", "id": exchange.ident, "method": _LEVEL, "params": {"level": level}})
        with suppress(Failed):
            await session.ask(body, _LEVEL, self._limits.result_bytes, exchange)
        exchange.sent = False

    async def _subscribe(self, session: Session, uris: tuple[str, ...], subscribed: list[str]) -> list[str]:
        """Subscribe to each; what the upstream refuses. That fails nobody but itself.

        Raises:
            Failed: it refused all of them, or could not be asked.
        """
        if session.interests is None:
            session.interests = Interests(partial(self._about_uri, session))
        refused: list[str] = []
        for uri in uris:
            subscribed.append(uri)  # also where nobody waits for the answer: it may be one all the same
            try:
                await session.interests.hold(uri)
            except Failed as failed:
                refused.append(uri)
                if failed.fault is None or len(refused) == len(uris):
                    raise
                logger.warning("updates of %s are not to be had: %s (%s)", uri, failed.reason, failed.detail)
        return refused

    def _unsubscribe(self, session: Session, uri: str) -> None:
        assert session.interests is not None
        leaving = session.interests.drop(uri, silent=self._closing or session.over().done())
        if leaving is not None:
            self._later(leaving)

    async def _about_uri(self, session: Session, method: str, uri: str) -> None:
        exchange = self.exchange()
        exchange.ident = self._ident()
        body = encode({"jsonrpc": "2.0", "id": exchange.ident, "method": method, "params": {"uri": uri}})
        with exchange.deadline:
            result_of(await session.ask(body, method, self._limits.result_bytes, exchange), self._pool.scrubbed)

    def _later(self, telling: Awaitable[object]) -> None:
        told = asyncio.ensure_future(_quietly(telling))
        self._told.add(told)
        told.add_done_callback(self._told.discard)

    async def _discover(self) -> Answer:
        headers = upstream_headers(LATEST_MODERN, "server/discover")
        request = Request("server/discover", {}, {}, headers, OURS, LATEST_MODERN, self._limits.result_bytes)
        ident = self._ident()
        return await self._pool.ask(modern(ident, request), headers, ident, request.limit, self._limits.timeout_s)


def _doubtful(answer: Answer) -> bool:
    """Whether an answer casts doubt on the era or the session that the request relied on."""
    return answer.status in _DOUBTFUL and error_code(answer) not in SPOKEN_BY_BOTH


async def _quietly(telling: Awaitable[object]) -> None:
    with suppress(Failed):
        await telling


def _digest(capabilities: Mapping[str, Any]) -> str:
    """Clients that can be asked different things share no session."""
    return hashlib.sha256(encode(capabilities)).hexdigest()
