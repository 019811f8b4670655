"""Sessions with an upstream of the legacy era: one per principal and client session, never shared.

Not our clients' sessions: those are the transport's.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from weakref import WeakValueDictionary

from gateway.errors import Failed
from gateway.executors.answer import invalid
from gateway.executors.messages import CLIENT, notification, result_of
from gateway.executors.pool import Pool
from gateway.model import Code
from gateway.wire.jsonrpc import encode
from gateway.wire.mcp import LATEST_LEGACY, LEGACY, upstream_headers

Owner = tuple[str, str]
"""The principal's id and the client's session."""
MOST = 1_000
IDLE_SECONDS = 900.0
FAREWELL_SECONDS = 1.0
_HANDSHAKE_BYTES = 1_048_576
_HANDSHAKE_SECONDS = 30.0


class Session:
    """One initialised session. `id` is None where the upstream keeps none."""

    __slots__ = ("busy", "id", "used", "version")

    def __init__(self, version: str, ident: str | None, used: float) -> None:
        self.version, self.id, self.used = version, ident, used
        self.busy = 0

    def headers(self, method: str) -> dict[str, str]:
        """The headers of a request within this session."""
        headers = upstream_headers(self.version, method)
        if self.id is not None:
            headers["mcp-session-id"] = self.id
        return headers


class Sessions:
    """The sessions with one upstream: opened when needed, ended when idle, at most `most` at a time."""

    def __init__(
        self, pool: Pool, clock: Callable[[], float], *, most: int = MOST, idle_s: float = IDLE_SECONDS
    ) -> None:
        self._pool, self._clock, self._most, self._idle_s = pool, clock, most, idle_s
        self._open: dict[Owner, Session] = {}
        self._opening: WeakValueDictionary[Owner, asyncio.Lock] = WeakValueDictionary()
        """One handshake at a time and owner; a lock lives as long as somebody waits for it."""
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._open)

    async def of(self, owner: Owner) -> Session | None:
        """The owner's session, opened if there is none; None if the upstream refuses the handshake.

        Raises:
            Failed: it could not be asked, or there is no room.
        """
        if (session := self.current(owner)) is not None:
            return session
        lock = self._opening.setdefault(owner, asyncio.Lock())
        async with lock:
            return self.current(owner) or await self._renewed(owner)

    async def _renewed(self, owner: Owner) -> Session | None:
        leaving = self._make_room()
        session, _ = await asyncio.gather(self._handshake(), self._farewell(leaving))
        if session is not None:
            self._open[owner] = session
        return session

    def current(self, owner: Owner) -> Session | None:
        """The owner's session, if it is open and not idle for too long."""
        session = self._open.get(owner)
        if session is None or self._idle(session):
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

    async def sweep(self) -> None:
        """End the sessions that are idle."""
        await self._farewell(self._take_idle())

    async def close(self) -> None:
        """End them all."""
        leaving = list(self._open.values())
        self._open.clear()
        await self._farewell(leaving)

    async def _handshake(self) -> Session | None:
        ident = f"bascule-initialize-{next(self._numbers)}"
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT}
        body = encode({"jsonrpc": "2.0", "id": ident, "method": "initialize", "params": params})
        headers = upstream_headers(LATEST_LEGACY, "initialize")
        answer = await self._pool.ask(body, headers, ident, _HANDSHAKE_BYTES, _HANDSHAKE_SECONDS)
        refused = answer.status == 200 and answer.message is not None and "error" in answer.message
        if refused or answer.status in {400, 404, 405, 406, 415, 501}:
            return None
        version = result_of(answer, self._pool.scrubbed).get("protocolVersion")
        if version not in LEGACY:
            raise Failed(Code.UPSTREAM_INVALID, "the upstream speaks no protocol version of ours")
        session = Session(version, _visible(answer.session), self._clock())
        initialized = notification("notifications/initialized", {})
        status = await self._pool.tell("POST", initialized, session.headers("notifications/initialized"))
        if status >= 300:
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream refused its own session", detail=f"HTTP {status}")
        return session

    async def _farewell(self, leaving: list[Session]) -> None:
        """DELETE, as far as the upstream listens: a session it keeps is its own to expire."""
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                for session in leaving:
                    if session.id is not None:
                        await self._pool.tell("DELETE", b"", session.headers("DELETE"))
        except (Failed, TimeoutError):
            return


def _visible(ident: str | None) -> str | None:
    """A session id is visible ASCII; anything else could not be sent back as it came."""
    if ident is not None and not (ident.isascii() and ident.isprintable() and " " not in ident and ident):
        raise invalid("its session id is not visible ASCII", unknown=False)
    return ident
