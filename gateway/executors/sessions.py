"""Sessions with an upstream of the legacy era: one per principal, client session and what that client can be asked.

Not our clients' sessions: those are the transport's.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid
from gateway.executors.early import EARLIEST, Line
from gateway.executors.messages import CLIENT
from gateway.executors.pool import Pool
from gateway.executors.results import about_of, result_of
from gateway.executors.session import Session
from gateway.kinds import ASKED_OF_CLIENTS
from gateway.model import Code, JsonObject
from gateway.wire.jsonrpc import encode, notification
from gateway.wire.mcp import LATEST_LEGACY, LEGACY, upstream_headers

Owner = tuple[str, ...]
"""The principal's id and the client's session, and where the client can be asked anything a digest of that."""
MOST = 1_000
IDLE_SECONDS = 900.0
LISTENING_SECONDS = 1.0
"""How long a first call waits for the stream on which its upstream may ask; some hold back even its head."""
FAREWELL_SECONDS = 1.0
_HANDSHAKE_BYTES = 1_048_576
_HANDSHAKE_SECONDS = 30.0
_REFUSED = frozenset({400, 404, 405, 406, 415, 501})
_PERHAPS_EARLY = frozenset({400, 404, 405})
"""What a server of the oldest transport answers a POST to the address of its stream."""
_NOTHING: Mapping[str, Any] = {}
_INITIALIZED = "notifications/initialized"


def _nobody(_owner: Owner, _method: str, _params: JsonObject) -> bool:
    return False


class Sessions:
    """The sessions with one upstream: opened when needed, ended when idle, at most `most` at a time.

    `beside` is told what an upstream notifies of in somebody's session that belongs to no call.
    """

    def __init__(
        self,
        pool: Pool,
        clock: Callable[[], float],
        *,
        most: int = MOST,
        idle_s: float = IDLE_SECONDS,
        beside: Callable[[Owner, str, JsonObject], bool] = _nobody,
    ) -> None:
        self._pool, self._clock, self._most, self._idle_s, self._beside = pool, clock, most, idle_s, beside
        self._open: dict[Owner, Session] = {}
        self._opening: WeakValueDictionary[Owner, asyncio.Lock] = WeakValueDictionary()
        """One handshake at a time and owner; a lock lives as long as somebody waits for it."""
        self._leaving: set[asyncio.Future[None]] = set()
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._open)

    async def of(
        self, owner: Owner, capabilities: Mapping[str, Any] = _NOTHING, *, early: bool | None = False
    ) -> Session | None:
        """The owner's session, opened if there is none; None if the upstream refuses the handshake.

        `capabilities` are declared in a new one. `early` says whether the oldest transport is spoken; None: try it.

        Raises:
            Failed: it could not be asked, or there is no room.
        """
        if (session := self.current(owner)) is not None:
            return session
        lock = self._opening.setdefault(owner, asyncio.Lock())
        async with lock:
            return self.current(owner) or await self._renewed(owner, capabilities, early=early)

    async def _renewed(self, owner: Owner, capabilities: Mapping[str, Any], *, early: bool | None) -> Session | None:
        leaving = self._make_room()
        session, _ = await asyncio.gather(self._handshake(capabilities, early=early), self._farewell(leaving))
        if session is not None:
            session.beside = partial(self._beside, owner)
            if any(kind.value in capabilities for kind in ASKED_OF_CLIENTS.values()):
                await _listening(session)
            self._open[owner] = session
        return session

    def current(self, owner: Owner) -> Session | None:
        """The owner's session, if it is open and not idle for too long."""
        session = self._open.get(owner)
        if session is None or self._idle(session):
            return None
        if session.line is not None and session.line.over.done():
            del self._open[owner]
            return None
        session.used = self._clock()
        self._open[owner] = self._open.pop(owner)
        return session

    def _idle(self, session: Session) -> bool:
        return not session.busy and self._clock() - session.used >= self._idle_s

    def _take_idle(self) -> list[Session]:
        return [self._open.pop(owner) for owner in [key for key, held in self._open.items() if self._idle(held)]]

    def _make_room(self) -> list[Session]:
        """Take out the idle sessions, and if there are still too many the one that was used longest ago."""
        leaving = self._take_idle()
        if len(self._open) + len(self._opening) > self._most:
            free = next((key for key, held in self._open.items() if not held.busy), None)
            if free is None:
                raise Failed(Code.UPSTREAM_UNAVAILABLE, "too many sessions are open with the upstream")
            leaving.append(self._open.pop(free))
        return leaving

    def forget(self, owner: Owner, session: Session) -> None:
        """The upstream no longer knows the session; others of the owner stay."""
        if self._open.get(owner) is session:
            del self._open[owner]
            leaving = asyncio.ensure_future(session.leave())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def sweep(self) -> None:
        """End the sessions that are idle."""
        await self._farewell(self._take_idle())

    async def close(self) -> None:
        """End them all."""
        leaving = list(self._open.values())
        self._open.clear()
        await self._farewell(leaving)
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _handshake(self, capabilities: Mapping[str, Any], *, early: bool | None) -> Session | None:
        ident = f"bascule-initialize-{next(self._numbers)}"
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": capabilities, "clientInfo": CLIENT}
        body = encode({"jsonrpc": "2.0", "id": ident, "method": "initialize", "params": params})
        if early:
            return await self._early(body, ident)
        # Whoever speaks the modern era, too, looks for the method's name in every request.
        headers = {**upstream_headers(LATEST_LEGACY, "initialize"), "mcp-method": "initialize"}
        answer = await self._pool.ask(body, headers, ident, _HANDSHAKE_BYTES, _HANDSHAKE_SECONDS)
        if answer.status in _REFUSED:
            return await self._early(body, ident) if early is None and answer.status in _PERHAPS_EARLY else None
        return await self._confirmed(answer, None)

    async def _early(self, body: bytes, ident: str) -> Session | None:
        """The same over the oldest transport, where the address turns out to speak that."""
        line = Line(self._pool)
        session = None
        try:
            if await line.opened():
                async with asyncio.timeout(_HANDSHAKE_SECONDS):
                    session = await self._confirmed(await line.ask(body, ident, _HANDSHAKE_BYTES), line)
        except TimeoutError:
            raise Failed(Code.UPSTREAM_TIMEOUT, "the upstream did not answer in time") from None
        finally:
            if session is None:
                await line.close()
        return session

    async def _confirmed(self, answer: Answer, line: Line | None) -> Session | None:
        """A session from the answer to `initialize`, once the upstream knows that it is one."""
        if answer.status == 200 and answer.message is not None and "error" in answer.message:
            return None
        result = result_of(answer, self._pool.scrubbed)
        version = result.get("protocolVersion")
        if version not in LEGACY and (line is None or version != EARLIEST):
            raise Failed(Code.UPSTREAM_INVALID, "the upstream speaks no protocol version of ours")
        session = Session(self._pool, about_of(result, version), _visible(answer.session), self._clock(), line)
        if line is not None:
            line.hear = session.hear
        status = await session.tell(_INITIALIZED, notification(_INITIALIZED, {}))
        if status >= 300:
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream refused its own session", detail=f"HTTP {status}")
        return session

    async def _farewell(self, leaving: list[Session]) -> None:
        """DELETE, as far as the upstream listens: a session it keeps is its own to expire."""
        for session in leaving:
            await session.leave()
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                for session in leaving:
                    if session.id is not None:
                        await self._pool.tell("DELETE", b"", session.headers("DELETE"))
        except (Failed, TimeoutError):
            return


async def _listening(session: Session) -> None:
    """Servers may ask there, and what they ask before anybody listens is lost: no call goes out before."""
    if (stream := session.listen()) is not None:
        with suppress(Failed):  # a server need not offer it
            await stream.opened(LISTENING_SECONDS)


def _visible(ident: str | None) -> str | None:
    """A session id is visible ASCII; anything else could not be sent back as it came."""
    if ident is not None and not (ident.isascii() and ident.isprintable() and " " not in ident and ident):
        raise invalid("its session id is not visible ASCII", unknown=False)
    return ident
