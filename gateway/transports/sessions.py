"""Sessions of the handshake revisions: a random id, bound to the principal and the address it was opened at.

Not authentication: an id without its principal's token opens nothing. Kept in memory only; after a restart each
id is unknown, and the protocol has clients shake hands again.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

Address = tuple[str | None, str | None]
"""(upstream, view) as the path names them; (None, None) is `/mcp`."""


@dataclass(slots=True)
class Session:
    """One handshake. Only `seen` ever changes."""

    id: str
    address: Address
    version: str
    seen: float


class Sessions:
    """Open sessions by principal, so that nobody can find, end or crowd out another's."""

    def __init__(
        self, *, idle_s: float = 3600.0, per_principal: int = 1024, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle_s, self._per_principal, self._clock = idle_s, per_principal, clock
        self._open: dict[str, OrderedDict[str, Session]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def open(self, principal: str, address: Address, version: str) -> Session:
        """A new session; over the cap the principal's longest idle one ends."""
        mine = self._open.setdefault(principal, OrderedDict())
        now = self._expire(mine)
        while len(mine) >= self._per_principal:
            mine.popitem(last=False)
        session = Session(secrets.token_hex(24), address, version, now)
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
        if self.find(principal, address, session_id) is None:
            return False
        mine = self._open[principal]
        del mine[session_id]
        if not mine:
            del self._open[principal]
        return True

    def _expire(self, mine: OrderedDict[str, Session]) -> float:
        """Forget what idled too long: the order of the table is the order of last use."""
        now = self._clock()
        while mine and now - next(iter(mine.values())).seen > self._idle_s:
            mine.popitem(last=False)
        return now
