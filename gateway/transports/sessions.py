"""Sessions of the handshake revisions: a random id, bound to the principal and the address it was opened at.

Not authentication: an id without its principal's token opens nothing. Kept in memory only; after a restart each
id is unknown, and the protocol has clients shake hands again.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.subscriptions import Wants
from gateway.transports.client import Client
from gateway.transports.streams import Pulse, Replay, Stream

Address = tuple[str | None, str | None]
"""(upstream, view) as the path names them; (None, None) is `/mcp`."""


@dataclass(slots=True, eq=False)
class Session:
    """One handshake. What stands below `replay` changes."""

    id: str
    address: Address
    client: Client
    replay: Replay
    seen: float
    standalone: Stream | None = None
    """The stream for what belongs to no request; it may wait for the client to come for it."""
    unread: float | None = None
    """Since when nobody reads any of its streams, as far as that was looked at."""
    resting: Wants | None = None
    """What its subscription was for that was closed because nobody came for it; its client is to have it again."""

    @property
    def in_use(self) -> bool:
        """Whether somebody reads one of its streams, so that silence is no sign of having left."""
        return any(stream.connected for stream in self.replay.streams.values())

    def send(self, message: bytes) -> bool:
        """Send what belongs to no request; False where nobody reads it now."""
        if self.standalone is None:
            self.standalone = Stream(None, self.replay.pulse, self.replay)
        return self.standalone.send(message)

    def rest(self, now: float, after_s: float) -> None:
        """Close its subscription once its client was neither seen nor reading for a while: nobody ends a session
        whose client was lost, and until it expires upstreams would go on telling it."""
        if self.in_use:
            self.unread = None
            return
        if self.unread is None:
            self.unread = now
        client = self.client
        if client.subscription is None or client.opening.locked() or now - max(self.unread, self.seen) < after_s:
            return
        if (wants := client.subscription.resting) is not None:
            client.subscription.close()
            client.subscription, self.resting = None, wants

    def close(self) -> None:
        """End what goes on in it: streams, questions, its subscription, and what was called."""
        self.client.close()
        for channel in tuple(self.client.under_way.values()):
            channel.hang_up()
        self.standalone = None
        self.replay.close()


class Sessions:
    """Open sessions by principal, so that nobody can find, end or crowd out another's."""

    def __init__(
        self,
        *,
        idle_s: float = 3600.0,
        rest_s: float = 60.0,
        per_principal: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle_s, self._rest_s, self._per_principal, self._clock = idle_s, rest_s, per_principal, clock
        self._open: dict[str, OrderedDict[str, Session]] = {}
        self.pulse = Pulse()

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def open(self, principal: str, address: Address, client: Client) -> Session:
        """A new session; over the cap the principal's longest idle one ends."""
        mine = self._open.setdefault(principal, OrderedDict())
        now = self._expire(mine)
        while len(mine) >= self._per_principal:
            mine.popitem(last=False)[1].close()
        replay = Replay(self.pulse, primes=client.version >= "2025-11-25")
        session = Session(secrets.token_hex(24), address, client, replay, now)
        mine[session.id] = session
        return session

    def find(self, principal: str, address: Address, session_id: str) -> Session | None:
        """The session, seen now; None alike for an unknown, an ended, an expired and a foreign id."""
        mine = self._open.get(principal)
        if mine is None:
            return None
        now = self._expire(mine)
        session = mine.get(session_id)
        if session is None or session.address != address:
            return None
        session.seen = now
        mine.move_to_end(session_id)
        return session

    def end(self, principal: str, address: Address, session_id: str) -> bool:
        """End the session; False where `find` would find none."""
        if (session := self.find(principal, address, session_id)) is None:
            return False
        mine = self._open[principal]
        del mine[session_id]
        if not mine:
            del self._open[principal]
        session.close()
        return True

    def sweep(self) -> None:
        """End what idled too long, also of principals that never come again, and let rest what nobody comes for;
        called about once a minute."""
        for principal, mine in tuple(self._open.items()):
            now = self._expire(mine)
            if not mine:
                del self._open[principal]
            for session in mine.values():
                session.rest(now, self._rest_s)

    def _expire(self, mine: OrderedDict[str, Session]) -> float:
        """Forget what idled too long: the order of the table is the order of last use."""
        now = self._clock()
        while mine and now - (oldest := next(iter(mine.values()))).seen > self._idle_s:
            del mine[oldest.id]
            if oldest.in_use:
                oldest.seen = now
                mine[oldest.id] = oldest
            else:
                oldest.close()
        return now
