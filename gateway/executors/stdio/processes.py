"""The processes of one stdio server: one per principal and what its client can be asked, or one for all; opened when
needed, ended when idle.

Not how one is started or confined: that is the launcher's, who is asked for each. Nor its era (handshake.py).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import orjson

from gateway.errors import Failed
from gateway.executors.backoff import Backoff
from gateway.executors.messages import declared
from gateway.executors.stdio.server import Server
from gateway.model import Code, JsonObject


class Key(NamedTuple):
    """Whose process it is; the empty one is nobody's yet, or everybody's."""

    tenant: str = ""
    principal: str = ""
    capabilities: str = ""
    """What its client can be asked, as canonical JSON; empty for nothing. A handshake says it once and for all."""

    @property
    def who(self) -> tuple[str, str]:
        """Tenant and principal."""
        return self.tenant, self.principal

    @property
    def declared(self) -> JsonObject:
        """The capabilities as the handshake declares them."""
        return orjson.loads(self.capabilities) if self.capabilities else {}


OURS = Key()
"""The gateway's own, for lists. The first principal of the default tenant to call takes it over, whose home it has:
lists leave nobody's traces in it."""
DEFAULT_TENANT = "default"
MOST = 32
MOST_OF_ONE = 4
"""Of one principal, whose clients may declare whatever they like."""
_DECLARED_BYTES = 16_384
"""Extensions that make it more are not declared."""
IDLE_SECONDS = 900.0
DRAIN_SECONDS = 10.0
_PATIENCE_SECONDS = 1.0
"""How much of a back-off is waited for; with more left, a call is refused at once."""


def capabilities_of(client: JsonObject, *, changes: bool) -> str:
    """A key's part of what a client declared it can be asked; `changes` of its roots where it tells of them."""
    if not (kept := declared(client, changes=changes)):
        return ""
    text = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)
    if len(text) > _DECLARED_BYTES:
        text = orjson.dumps({name: {} for name in sorted(kept.keys() - {"extensions", "experimental"})})
    return text.decode()


def _unnoticed(_: Server) -> None:
    """Nobody wants to know."""


class Processes:
    """Of one upstream. `open_one` brings a new process to where it can be asked; `came` is told of each that can be,
    and again when it belongs to somebody else.
    """

    def __init__(
        self,
        open_one: Callable[[Key], Awaitable[Server]],
        clock: Callable[[], float],
        jitter: Callable[[], float],
        *,
        most: int = MOST,
        idle_s: float = IDLE_SECONDS,
        came: Callable[[Server], None] = _unnoticed,
    ) -> None:
        self._came = came
        self._open_one, self._clock, self._jitter, self._most, self._idle_s = open_one, clock, jitter, most, idle_s
        self._live: dict[Key, Server] = {}
        self._opening: dict[Key, asyncio.Task[Server]] = {}
        self._pauses: dict[Key, Backoff] = {}
        self.closing = False

    def __len__(self) -> int:
        return len(self._live)

    def current(self, key: Key) -> Server | None:
        """The key's process, if it can be asked. HOT."""
        server = self._live.get(key)
        if server is None or not server.usable or self.closing:
            return None
        server.used = self._clock()
        return server

    def any(self) -> Server | None:
        """A process that can be asked for a list: the gateway's own, or of those with nothing to do the last used."""
        if self.closing:
            return None
        usable = [held for held in self._live.values() if held.usable]
        return self.current(OURS) or max(usable, key=_fit, default=None)

    def live(self) -> list[Server]:
        """Those that can be asked."""
        return [held for held in self._live.values() if held.usable]

    async def opened(self, key: Key) -> Server:
        """The key's process, opened if there is none; whoever stops waiting does not stop the opening.

        Raises:
            Failed: it could not be opened, or there is no room.
        """
        if self.closing:
            raise closed()
        if (server := self.current(key)) is not None:
            return server
        if (opening := self._opening.get(key)) is None:
            opening = self._opening[key] = asyncio.ensure_future(self._open(key))
            opening.add_done_callback(lambda done: self._opened(key, done))
        await asyncio.wait({opening})
        if opening.cancelled():
            raise closed()
        return opening.result()

    def _opened(self, key: Key, done: asyncio.Task[Server]) -> None:
        del self._opening[key]
        if not done.cancelled():
            done.exception()  # seen, also where nobody waits any more

    async def _open(self, key: Key) -> Server:
        own = key.tenant == DEFAULT_TENANT and not key.capabilities
        if own and (server := await self._taken_over(key)) is not None:
            return server
        if (ending := self._live.get(key)) is not None:
            await ending.gone()
        pause = self._pauses.setdefault(key, Backoff(self._clock, self._jitter))
        await _after(pause)
        self._make_room(key)
        started = self._clock()
        try:
            server = await self._open_one(key)
        except Failed:
            pause.failed(started)
            raise
        server.started = server.used = self._clock()
        server.on_end = lambda: self._ended(server)
        if server.modern:  # each request of that era says what its client can be asked
            key = key._replace(capabilities="")
            if (already := self.current(key)) is not None:
                server.dismiss()
                return already
        self._live[key] = server
        if not server.usable:
            self._ended(server)
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's process ended as soon as it had started")
        self._belongs(server, key)
        return server

    def _belongs(self, server: Server, key: Key) -> None:
        server.who = key.who
        self._came(server)

    async def _taken_over(self, key: Key) -> Server | None:
        """The gateway's own process, from now on the key's."""
        if (opening := self._opening.get(OURS)) is not None:
            await asyncio.wait({opening})
        if (server := self.current(OURS)) is not None:
            self._live[key] = self._live.pop(OURS)
            self._belongs(server, key)
        return server

    def _ended(self, server: Server) -> None:
        """A process is gone. One that was not dismissed is restarted after a pause, which grows if it never served."""
        key = next((key for key, held in self._live.items() if held is server), None)
        if key is None:
            return
        del self._live[key]
        pause = self._pauses.setdefault(key, Backoff(self._clock, self._jitter))
        if server.answered:
            pause.succeeded()
        pause.failed(server.started)

    def _make_room(self, wanted: Key) -> None:
        """Let the idle ones go, and if there are still too many the one that was used longest ago."""
        self._dismiss([key for key, held in self._live.items() if self._idle(held)])
        if sum(key.who == wanted.who for key in (*self._live, *self._opening)) > MOST_OF_ONE:
            self._let_go([key for key in self._live if key.who == wanted.who])
        if len(self._live) + len(self._opening) > self._most:
            self._let_go(list(self._live))

    def _let_go(self, keys: list[Key]) -> None:
        """Of these the one that is missed least.

        Raises:
            Failed: all are at work.
        """
        free = [key for key in keys if not self._live[key].busy]
        if not free:
            reason = "too many processes of the upstream are at work"
            raise Failed(Code.UPSTREAM_UNAVAILABLE, reason)
        self._dismiss([min(free, key=lambda key: (self._live[key].kept, self._live[key].used))])

    def _dismiss(self, keys: list[Key]) -> list[Server]:
        leaving = [self._live.pop(key) for key in keys]
        for server in leaving:
            server.dismiss()
        return leaving

    def _idle(self, server: Server) -> bool:
        return not server.busy and not server.kept and self._clock() - server.used >= self._idle_s

    async def sweep(self) -> None:
        """End the processes that are idle, and forget back-offs that are over."""
        leaving = self._dismiss([key for key, held in self._live.items() if self._idle(held)])
        for key in [key for key, pause in self._pauses.items() if key not in self._opening and not pause.remaining()]:
            del self._pauses[key]
        await asyncio.gather(*(server.leave() for server in leaving))

    async def close(self) -> None:
        """Open no more, let the calls under way end, for a while, then end every process."""
        self.closing = True
        for opening in self._opening.values():
            opening.cancel()
        if busy := [asyncio.ensure_future(held.quiet()) for held in self._live.values() if held.busy]:
            _, late = await asyncio.wait(busy, timeout=DRAIN_SECONDS)
            for each in late:
                each.cancel()
        if self._opening:
            await asyncio.wait(self._opening.values(), timeout=DRAIN_SECONDS)
        await asyncio.gather(*(server.leave() for server in self._dismiss(list(self._live))))


def _fit(server: Server) -> tuple[bool, float]:
    return not server.busy, server.used


def closed() -> Failed:
    """What whoever asks a closed upstream is told."""
    return Failed(Code.UPSTREAM_UNAVAILABLE, "the gateway no longer serves this upstream")


async def _after(pause: Backoff) -> None:
    """Wait for the rest of a short pause.

    Raises:
        Failed: it is a long one.
    """
    left = pause.remaining()
    if left > _PATIENCE_SECONDS:
        reason = f"the upstream's process did not last; it is started again in {math.ceil(left)} s"
        raise Failed(Code.UPSTREAM_UNAVAILABLE, reason)
    if left:
        await asyncio.sleep(left)
