"""Who is told what an upstream notifies of by itself, and the ways in which it does: `subscriptions/listen`, or the
streams of sessions and `resources/subscribe`.

Not a call's own progress and log messages (exchange.py). What an upstream says here is a hint that something is
another: nothing of it is passed on but which list, and which of the resources that were asked for.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NoReturn

from gateway.channel import About, Tell
from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid, read_error, read_json
from gateway.executors.deadline import late
from gateway.executors.messages import ELICITED, Request, elicited, modern
from gateway.executors.pool import Pool
from gateway.executors.results import result_of
from gateway.executors.sessions import Owner
from gateway.executors.streams import follow, media_of, message_of
from gateway.kinds import ACKNOWLEDGED, LIST_CHANGED, UPDATED
from gateway.model import Code, JsonObject
from gateway.wire.jsonrpc import METHOD_NOT_FOUND
from gateway.wire.mcp import LATEST_MODERN, upstream_headers
from gateway.wire.sse import Event, EventStream

OURS: Final[Owner] = ("", "")
"""Owner of the gateway's own session; no principal has an empty name."""
LISTEN: Final = "subscriptions/listen"
_META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
_LISTS: Final = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}
_ACKNOWLEDGED_SECONDS = 30.0
_EVENT_BYTES = 1_048_576
MOST_REFUSED: Final = 64
"""Requests of one feed that are refused; after that none is made again in halves."""

logger = logging.getLogger(__name__)


class Feed:
    """One listener: whose it is, and the resources it is subscribed to."""

    __slots__ = ("owner", "tell", "uris")

    def __init__(self, owner: Owner, uris: tuple[str, ...], tell: Tell) -> None:
        self.owner, self.uris, self.tell = owner, uris, tell

    def updated(self, params: JsonObject) -> bool:
        """Tell that a resource is another, if it is one of its own: "This might be a sub-resource of the one that
        the client actually subscribed to."
        """
        uri = params.get("uri")
        if type(uri) is not str or not any(uri == one or uri.startswith(one.rstrip("/") + "/") for one in self.uris):
            return False
        self.tell(UPDATED, {"uri": uri})
        return True


class Feeds:
    """The feeds of one upstream. `changed` is for whoever looks now and then."""

    def __init__(self) -> None:
        self.changed = False
        """Whether a list was said to be another."""
        self._feeds: list[Feed] = []

    @contextmanager
    def added(self, feed: Feed) -> Iterator[None]:
        """Tell the feed while the block lasts."""
        self._feeds.append(feed)
        try:
            yield
        finally:
            self._feeds.remove(feed)

    def noticed(self, owner: Owner, method: str, params: JsonObject) -> bool:
        """Take what was said in an owner's session: of lists to the gateway and that owner, of resources to the owner,
        of elicitations to the gateway, which knows whose each is; whether it was anything of the kind.
        """
        mine = [feed for feed in self._feeds if feed.owner == owner[:2]]
        if method == UPDATED:
            return sum(feed.updated(params) for feed in mine) > 0  # all of them, not only the first
        if method == ELICITED:
            return self._elicited(params)
        if method not in LIST_CHANGED:
            return False
        self.changed = True
        for feed in [*mine, *(feed for feed in self._feeds if feed.owner == OURS != owner[:2])]:
            feed.tell(method, {})
        return True

    def _elicited(self, params: JsonObject) -> bool:
        ours = [feed for feed in self._feeds if feed.owner == OURS]
        if (told := elicited(params)) is not None:
            for feed in ours:
                feed.tell(ELICITED, told)
        return bool(ours)


def wanted(about: About | None, uris: tuple[str, ...]) -> JsonObject:
    """What to ask for of what a server offers; of everything where it has not said what it offers.

    Raises:
        Failed: it offers nothing of it.
    """
    offered = (
        _LISTS if about is None else {name: _LISTS[name] for name in _LISTS if _offers(about, name, "listChanged")}
    )
    found: JsonObject = dict.fromkeys(offered.values(), True)
    if uris:
        if about is not None and not _offers(about, "resources", "subscribe"):
            raise Failed(Code.UPSTREAM_INVALID, "the upstream does not offer to tell of its resources")
        found["resourceSubscriptions"] = list(uris)
    if not found:
        raise Failed(Code.UPSTREAM_INVALID, "the upstream does not offer to tell of changes")
    return found


def _left_out(uris: tuple[str, ...], params: JsonObject) -> list[str]:
    """Of these what an acknowledgement says is not told; one that says nothing leaves nothing out."""
    filter_ = params.get("notifications")
    if type(filter_) is not dict:
        return []
    accepted = filter_.get("resourceSubscriptions")
    told = {one for one in accepted if type(one) is str} if type(accepted) is list else frozenset[str]()
    return [uri for uri in uris if uri not in told]


def _offers(about: About, name: str, feature: str) -> bool:
    offered: Any = about.capabilities.get(name)
    return type(offered) is dict and offered.get(feature) is True


class Listenings:
    """All that one feed asks by `subscriptions/listen`: one request, and where that is refused with several resources,
    one for each half of them, so that a resource that is refused fails none but itself.
    """

    def __init__(self, pool: Pool, feeds: Feeds, about: About | None, ident: Callable[[], str]) -> None:
        self._pool, self._feeds, self._about, self._ident = pool, feeds, about, ident
        self._refused = 0
        self._unsettled = 1
        """Requests that are neither acknowledged nor refused for good."""
        self._without: list[str] = []
        self._acknowledged = False

    async def run(self, feed: Feed) -> Failed:
        """Listen until cancelled; why, where the upstream refuses all of it.

        Raises:
            Failed: it could not be asked, or what it told of ended.
        """
        listening = Listening(self._pool, self._feeds, feed, self._ident(), partial(self._accepted, feed))
        try:
            return await listening.run(wanted(self._about, feed.uris))
        except Failed as failed:
            if listening.acknowledged or failed.fault is None:
                raise
            self._refused += 1
            if failed.fault.get("code") == METHOD_NOT_FOUND or self._refused > MOST_REFUSED or len(feed.uris) < 2:
                logger.warning("updates of %s are not to be had: %s (%s)", feed.uris, failed.reason, failed.detail)
                self._settled(feed, feed.uris)
                return failed
        self._unsettled += 1
        middle = len(feed.uris) // 2
        halves = [Feed(feed.owner, uris, feed.tell) for uris in (feed.uris[:middle], feed.uris[middle:])]
        both = [asyncio.ensure_future(self.run(half)) for half in halves]
        try:
            return (await asyncio.gather(*both))[0]
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    def _accepted(self, feed: Feed, without: Sequence[str]) -> None:
        self._acknowledged = True
        if without:
            logger.warning("updates of %s are not to be had: the upstream leaves them out", without)
        self._settled(feed, without)

    def _settled(self, feed: Feed, without: Sequence[str]) -> None:
        """One request is answered. With the last of them it is known what is told: unless all was refused, that is
        acknowledged."""
        self._without += without
        self._unsettled -= 1
        if self._acknowledged and not self._unsettled:
            feed.tell(ACKNOWLEDGED, {"refused": self._without})


class Listening:
    """One `subscriptions/listen` request: nothing counts before it is acknowledged, nor what bears another id."""

    def __init__(
        self, pool: Pool, feeds: Feeds, feed: Feed, ident: str, accepted: Callable[[Sequence[str]], object]
    ) -> None:
        """`accepted` is told what an acknowledgement leaves out."""
        self._pool, self._feeds, self._feed, self._ident, self._accepted = pool, feeds, feed, ident, accepted
        self.acknowledged = False
        self._patience = asyncio.timeout(_ACKNOWLEDGED_SECONDS)

    async def run(self, notifications: JsonObject) -> NoReturn:
        """Listen until cancelled.

        Raises:
            Failed: it is not answered by a stream, or the stream ended.
        """
        headers = upstream_headers(LATEST_MODERN, LISTEN)
        params: JsonObject = {"notifications": notifications}
        request = Request(LISTEN, params, {}, headers, self._feed.owner, LATEST_MODERN, _EVENT_BYTES)
        try:
            async with self._patience, self._pool.open("POST", modern(self._ident, request), headers) as response:
                if response.status != 200:
                    self._ended(Answer(response.status, await read_error(response.body_reader)))
                elif media_of(response) == "application/json":
                    message, _ = await read_json(response.body_reader, self._ident, _EVENT_BYTES)
                    self._ended(Answer(200, message))
                await follow(response, EventStream(_EVENT_BYTES), self._take)
        except TimeoutError:
            raise late() from None
        raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's stream ended")

    def _take(self, event: Event) -> None:
        if (message := message_of(event)) is None:
            return
        method, params = message.get("method"), message.get("params", {})
        if type(method) is not str:
            if message.get("id") == self._ident and ("result" in message) != ("error" in message):
                self._ended(Answer(200, message))
            return
        if "id" in message:
            raise invalid("it asks something, where it may only tell", unknown=False)
        meta = params.get("_meta") if type(params) is dict else None
        if type(meta) is not dict or meta.get(_META_SUBSCRIPTION) != self._ident:
            return
        if not self.acknowledged:
            if method != ACKNOWLEDGED:
                raise invalid("it tells before it acknowledges", unknown=False)
            self.acknowledged = True
            self._patience.reschedule(None)
            self._accepted(_left_out(self._feed.uris, params))
        elif method == UPDATED:
            self._feed.updated(params)
        elif method in LIST_CHANGED:
            self._feeds.changed = True
            self._feed.tell(method, {})

    def _ended(self, answer: Answer) -> None:
        """The answer to the request is its end, and says why if it was not to be."""
        result_of(answer, self._pool.scrubbed)
        raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream ended the subscription")
