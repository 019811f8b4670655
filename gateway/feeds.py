"""Feeds: what upstreams notify of by themselves, kept open; and who listens to it.

Not who may be told of what: that is judged in subscriptions.py.
"""

import asyncio
import logging
import random
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from gateway.channel import Tell
from gateway.errors import Failed
from gateway.executors import Executor
from gateway.executors.backoff import LONGEST_SECONDS, Backoff
from gateway.kinds import ACKNOWLEDGED, Listed
from gateway.model import Code, Digest, Endpoint, JsonObject, Principal

SETTLED_SECONDS = 1.0
"""A feed that did not end within these is taken for open: some upstreams do not say when it is."""
RENEW_SECONDS = 0.1
"""At most one renewal of a feed in this time, however fast its URIs come and go."""
ENDING_SECONDS = 5.0
"""How long an earlier feed may take to withdraw what it asked, before the next one begins."""
NOT_OFFERED_SECONDS = 600.0
"""An upstream that refuses a feed outright, as one does that offers no such thing, is asked again after these."""
MOST_VISITS = 10_000
VISIT_SECONDS = 600.0
"""How long it is remembered who was sent to an address."""

Start = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]

logger = logging.getLogger(__name__)


class Pace:
    """Acts at once, then at most once a period, the last wish included. No timer runs while nothing is wished."""

    __slots__ = ("_act", "_again", "_seconds", "_timer")

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self._seconds, self._act = seconds, act
        self._timer: asyncio.TimerHandle | None = None
        self._again = False

    def wish(self) -> None:
        """Act, now or when the period is over."""
        if self._timer is not None:
            self._again = True
            return
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._over)
        self._act()

    def stop(self) -> None:
        """Forget what was wished."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._again = None, False

    def _over(self) -> None:
        again, self._timer, self._again = self._again, None, False
        if again:
            self.wish()


@dataclass(slots=True)
class Held:
    """One resource that a listener is subscribed to."""

    upstream: str
    judged: tuple[Digest, int]
    """Bundle and epoch under which it was permitted."""
    since: float
    """Monotonic second of that."""
    renewing: bool = False
    """Whether it is being permitted again."""
    pace: Pace | None = None


@dataclass(slots=True, eq=False)
class Listener:
    """Who listens: one subscription, as it stands now."""

    principal: Principal
    endpoint: Endpoint
    """As it is today; a reload replaces it."""
    era: str
    transport: str
    session: str
    tell: Tell
    lists: frozenset[Listed]
    shown: dict[Listed, str] = field(default_factory=dict)
    """Digests of what was shown when it was last told, or when it began."""
    held: dict[str, Held] = field(default_factory=dict)
    asking: set[str] = field(default_factory=set)
    """URIs that are being judged for the first time."""
    awaited: dict[str, asyncio.TimerHandle | None] = field(default_factory=dict)
    """URIs of before a rest until they are held again or refused, with the timer of the next try."""
    ready: bool = False
    """Whether its opening is over: nothing is told before."""
    behind: bool = False
    """Whether lists were compared without it meanwhile."""
    closed: bool = False
    early: list[tuple[str, JsonObject]] | None = None
    """What is to be told as soon as its opening is over: at most each list, and each resource it holds, once."""

    def begin(self) -> None:
        """Tell it what came up while it was opened, and from now on everything."""
        early, self.early = self.early or [], None
        for method, params in early:
            self.say(method, params)

    def say(self, method: str, params: JsonObject) -> None:
        """Tell it, if it still listens."""
        if self.early is not None:
            if (method, params) not in self.early:
                self.early.append((method, params))
            return
        if self.closed:
            return
        try:
            self.tell(method, params)
        except Exception:  # transport boundary: who cannot be told keeps nothing from the others
            logger.exception("principal %s was not told of %s", self.principal.id, method)


class FeedKey(NamedTuple):
    """Whose feed of which upstream. The gateway's own, for lists, has no owner and no session."""

    owner: Principal | None
    session: str
    upstream: str


class Feed:
    """The notifications of one upstream for one owner, opened again whenever they end.

    `heard` is called with each notification, and `again` each time it is taken for open, with whether something may
    have been missed since it last was.
    """

    __slots__ = (
        "_again",
        "_backoff",
        "_begun",
        "_executor",
        "_heard",
        "_missed",
        "_open",
        "_pace",
        "_refused",
        "_retired",
        "_start",
        "_task",
        "_warned",
        "answered",
        "holders",
        "key",
        "listening",
        "refused",
    )

    def __init__(self, key: FeedKey, heard: "Heard", again: "Again", start: Start) -> None:
        self.key, self._heard, self._again, self._start = key, heard, again, start
        self.holders: dict[str, set[Listener]] = {}
        """URI to who holds it."""
        self.listening = asyncio.Event()
        """Whether the upstream tells of all that is wanted now, or will not for the moment."""
        self.answered = asyncio.Event()
        """Whether the upstream itself has said so of all that is wanted now, or has failed: `refused` is of now."""
        self.refused: frozenset[str] = frozenset()
        """URIs of which its upstream will not tell, as far as it said so."""
        self._executor: Executor | None = None
        self._task: asyncio.Task[None] | None = None
        self._retired: set[asyncio.Task[None]] = set()
        """Openings with earlier URIs, until the new one is taken for open: nothing is missed between the two."""
        self._backoff = Backoff(time.monotonic, random.random)
        self._pace: Pace | None = None
        self._begun = self._missed = self._warned = self._refused = self._open = False

    def open(self, executor: Executor, after: "asyncio.Future[Any] | None" = None) -> None:
        """Begin, once an earlier feed of the same key has ended."""
        self._executor = executor
        self._task = self._start(self._follow(after))

    def move(self, executor: Executor) -> None:
        """Follow this executor from now on; the same one again changes nothing."""
        if executor is self._executor or self._task is None:
            return
        self._executor, self._missed = executor, True
        self._backoff = Backoff(time.monotonic, random.random)
        if self._begun:
            self._end_openings()
            self._open_anew()

    def add(self, uri: str, listener: Listener) -> None:
        """Listen for updates of this resource too."""
        holders = self.holders.setdefault(uri, set())
        holders.add(listener)
        if len(holders) == 1:
            self._renew()

    def remove(self, uri: str, listener: Listener) -> None:
        """Nothing of this resource for this listener any more; the same again changes nothing."""
        holders = self.holders.get(uri)
        if holders is None:
            return
        holders.discard(listener)
        if not holders:
            del self.holders[uri]
            self._renew()

    def close(self) -> "asyncio.Future[Any] | None":
        """End it. What it asked upstream is withdrawn by the time the returned future is done."""
        if self._task is None:
            return None
        if self._pace is not None:
            self._pace.stop()
            self._pace = None
        ended = asyncio.gather(*self._end_openings(), return_exceptions=True)
        self._task = None
        return ended

    def _end_openings(self) -> "list[asyncio.Task[None]]":
        assert self._task is not None
        ending = [self._task, *self._retired]
        self._retired.clear()
        for task in ending:
            task.cancel()
        return ending

    def _open_anew(self) -> None:
        self._refused = False
        self._unsettle()
        self._task = self._start(self._follow(None))

    def _renew(self) -> None:
        if self._task is None or not self._begun:  # it will begin with the URIs of then
            return
        self._unsettle()
        if self._pace is None:
            self._pace = Pace(RENEW_SECONDS, self._replace)
        self._pace.wish()

    def _unsettle(self) -> None:
        self.listening.clear()
        self.answered.clear()

    def _replace(self) -> None:
        """Open it with the URIs of now, and only then end the one before. No wait is shortened by that, but of what
        was refused for its URIs."""
        if self._task is None or not self.holders:
            return
        self._retired.add(self._task)
        self._task.add_done_callback(self._retired.discard)
        asyncio.get_running_loop().call_later(SETTLED_SECONDS, self._task.cancel)
        self._open_anew()

    async def _follow(self, after: "asyncio.Future[Any] | None") -> None:
        me = asyncio.current_task()
        assert me is not None
        if after is not None:
            await asyncio.wait([after], timeout=ENDING_SECONDS)
        self._begun = True
        while True:
            await asyncio.sleep(NOT_OFFERED_SECONDS if self._refused else self._backoff.remaining())
            if self._task is me:
                await self._once(me)
            if self._task is not me or me.cancelling():  # an executor may keep a cancellation to itself
                return

    async def _once(self, me: "asyncio.Task[None]") -> None:
        """One opening, until it ends."""
        assert self._executor is not None
        started = time.monotonic()
        self._open = False
        settled = asyncio.get_running_loop().call_later(SETTLED_SECONDS, self._settled, me)
        owner, session, upstream = self.key
        self._refused = False
        self.answered.clear()
        try:
            await self._executor.feed(owner, session, tuple(self.holders), partial(self._tell, me))
            why = "it ended"
        except Failed as failure:
            why = f"{failure.reason} ({failure.detail})"
            # Of resources it is asked one by one, which takes its time, as does the start of a process.
            early = time.monotonic() - started < SETTLED_SECONDS or (self.holders and not self.answered.is_set())
            self._refused = failure.code is Code.UPSTREAM_INVALID and bool(early)
            if self._refused and self._task is me:
                self.refused = frozenset(self.holders)
        except Exception as fault:  # noqa: BLE001 - executor boundary: whatever it raises, its feed is opened again
            why = f"{type(fault).__name__}: {fault}"
        finally:
            settled.cancel()
            if self._task is me:
                self.listening.set()  # nobody waits for what has failed
                self.answered.set()
        if self._task is not me:
            return
        # One that stays broken is told of once.
        logger.log(logging.DEBUG if self._warned else logging.WARNING, "notifications of %s ended: %s", upstream, why)
        self._missed = self._warned = True
        if time.monotonic() - started >= LONGEST_SECONDS:
            self._backoff.succeeded()
        self._backoff.failed(started)

    def _settled(self, me: "asyncio.Task[None]") -> None:
        if self._task is not me or self._open:
            return
        self._open = True
        self.listening.set()
        missed, self._missed, self._warned = self._missed, False, False
        self._again(self, missed)

    def _tell(self, by: "asyncio.Task[None]", method: str, params: Any) -> None:
        if method == ACKNOWLEDGED:
            if by is self._task:
                self.refused = frozenset(params.get("refused", ()))
                self.answered.set()
            self._settled(by)
        elif by is self._task or by in self._retired:
            self._heard(self, method, params)


Heard = Callable[[Feed, str, Any], None]
Again = Callable[[Feed, bool], None]


class Visits:
    """Addresses that clients were sent to: whom to tell that one is done with, by its upstream and the id it gave."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[str, str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def sent(self, upstream: str, ident: str, principal: str, session: str) -> None:
        """A client was sent there; of two with one id, the later."""
        now = time.monotonic()
        self._kept.pop((upstream, ident), None)
        while self._kept and (len(self._kept) >= MOST_VISITS or next(iter(self._kept.values()))[2] <= now):
            self._kept.popitem(last=False)
        self._kept[upstream, ident] = (principal, session, now + VISIT_SECONDS)

    def done(self, upstream: str, ident: str) -> tuple[str, str] | None:
        """Principal and session of who was sent there, once; None where nobody was, or too long ago."""
        principal, session, until = self._kept.pop((upstream, ident), ("", "", 0.0))
        return (principal, session) if time.monotonic() < until else None


@dataclass(slots=True)
class Hub:
    """All that is open: who listens, and the feeds that are open for them."""

    listeners: dict[Listener, None] = field(default_factory=dict)
    each: Counter[str] = field(default_factory=Counter)
    """Principal to its number of subscriptions."""
    wanting: Counter[str] = field(default_factory=Counter)
    """Upstream to the number of those that want one of its lists."""
    feeds: dict[FeedKey, Feed] = field(default_factory=dict)
    ending: dict[FeedKey, "asyncio.Future[Any]"] = field(default_factory=dict)
    """Feeds that were closed and still withdraw what they asked."""
    changes: dict[str, set[Listed]] = field(default_factory=dict)
    """Upstream (all: the empty name) to its lists that are said to have changed, while that is looked into."""
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while what is shown is compared, so that an older answer never follows a newer one."""
    visits: Visits = field(default_factory=Visits)
    epoch: int = 0
    """Counts what an operator or a reload changed: each permit of before is given again."""

    def opened(self, key: FeedKey, executor: Executor, heard: Heard, again: Again, start: Start) -> Feed:
        """The feed of this key, opened if it is not."""
        feed = self.feeds.get(key)
        if feed is None:
            feed = self.feeds[key] = Feed(key, heard, again, start)
            feed.open(executor, self.ending.get(key))
        return feed

    def close(self, key: FeedKey) -> None:
        """End a feed, if there is one."""
        feed = self.feeds.pop(key, None)
        ended = feed.close() if feed is not None else None
        if ended is not None:
            self.ending[key] = ended
            ended.add_done_callback(partial(self._ended, key))

    def _ended(self, key: FeedKey, ended: "asyncio.Future[Any]") -> None:
        if self.ending.get(key) is ended:
            del self.ending[key]
