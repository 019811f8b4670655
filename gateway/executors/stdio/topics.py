"""What one process is listened to for: changes of its lists, and updates of resources, each asked for once.

Not who listens in general (feeds.py): here are only those whom this process concerns.
"""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from gateway.channel import Tell
from gateway.errors import Failed
from gateway.executors.messages import ELICITED, elicited
from gateway.executors.results import result_of
from gateway.executors.stdio.waiting import FOR_EVER, Envelope
from gateway.kinds import LIST_CHANGED, UPDATED
from gateway.model import Code, JsonObject

if TYPE_CHECKING:
    from gateway.executors.stdio.server import Server

LISTS: Final = ""
"""The topic that is no resource. In the legacy era it costs nothing: a process tells it unasked."""
MOST: Final = 10_000
SECONDS: Final = 30.0
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_BYTES = 1 << 20
_LISTS: Final = ("tools", "prompts", "resources")

logger = logging.getLogger(__name__)


class Feed:
    """Somebody who is told what processes say by themselves."""

    __slots__ = ("_refused", "_unsettled", "over", "tell", "uris", "who")

    def __init__(self, who: tuple[str, str], uris: tuple[str, ...], tell: Tell) -> None:
        self.who, self.uris, self.tell = who, frozenset(uris), tell
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Its end, and why."""
        self._refused: set[str] = set()
        self._unsettled = set(self.uris)
        """Of what is not known yet whether it is told of it."""

    def begin(self) -> None:
        """It was joined to what there is: without resources nothing more is to be known."""
        if not self.uris:
            self.tell(ACKNOWLEDGED, {})

    def settle(self, uri: str) -> None:
        """Known of one resource. With the last of them it is known what is told, unless all were refused."""
        if uri not in self._unsettled:  # as of a process that came later
            return
        self._unsettled.discard(uri)
        if not self._unsettled and not self.over.done():
            self.tell(ACKNOWLEDGED, {"refused": sorted(self._refused)})

    def refuse(self, uri: str, failed: Failed) -> None:
        """It is not told of one resource; only without all of them is there nothing left of it."""
        self._refused.add(uri)
        if self._refused >= self.uris:
            self.fail(failed)
        else:
            logger.warning("updates of %s are not to be had: %s (%s)", uri, failed.reason, failed.detail)
        self.settle(uri)

    def fail(self, failed: Failed) -> None:
        """It can no longer be told what it wants to be."""
        if not self.over.done():
            self.over.set_exception(Failed(failed.code, failed.reason, detail=failed.detail, fault=failed.fault))
            self.over.exception()  # seen, also where nobody waits any more


class Topic:
    """One thing, and those who want to be told of it; `following` asks for it, until nobody does."""

    __slots__ = ("accepted", "acknowledged", "feeds", "following")

    def __init__(self) -> None:
        self.feeds: set[Feed] = set()
        self.following: asyncio.Task[None] | None = None
        self.acknowledged = self.accepted = False

    def accept(self, name: str) -> None:
        """The process said that it tells of it."""
        self.accepted = True
        for feed in list(self.feeds):
            feed.settle(name)


class Topics:
    """Of one process."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._topics: dict[str, Topic] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def kept(self) -> bool:
        """Whether somebody would miss the process though nothing is asked of it."""
        return len(self._topics) > (LISTS in self._topics)

    def join(self, name: str, feed: Feed) -> None:
        """Tell a feed of a topic."""
        if (topic := self._topics.get(name)) is None:
            if name != LISTS and len(self._topics) >= MOST:
                feed.fail(Failed(Code.UPSTREAM_UNAVAILABLE, "too much is subscribed to at the upstream's process"))
                return
            topic = self._topics[name] = Topic()
            if name != LISTS or self._server.modern:
                topic.following = asyncio.ensure_future(self._follow(name, topic))
        topic.feeds.add(feed)
        if topic.accepted:
            feed.settle(name)

    def leave(self, feed: Feed) -> None:
        """Tell it nothing any more, and let the process know of what nobody else is told."""
        for name, topic in list(self._topics.items()):
            topic.feeds.discard(feed)
            if not topic.feeds:
                del self._topics[name]
                self._end(name, topic)

    def end(self, why: Failed) -> None:
        """The process is gone."""
        topics, self._topics = self._topics, {}
        for name, topic in topics.items():
            if topic.following is not None:
                topic.following.cancel()
            if name != LISTS:
                _fail(topic, why)

    def heard(self, method: str, params: JsonObject) -> bool:
        """What a process says unasked, or since a legacy subscription; whether anybody is told."""
        if method in LIST_CHANGED:
            return self._changed(method, {})
        if method == ELICITED:  # the gateway knows whose it is, and listens wherever it listens for lists
            return (said := elicited(params)) is not None and self._changed(method, said)
        told = False
        if not self._server.modern:  # there every update names its subscription
            for name, topic in list(self._topics.items()):
                told = (name != LISTS and _updated(name, topic, params)) or told
        return told

    def _changed(self, method: str, params: JsonObject) -> bool:
        if (topic := self._topics.get(LISTS)) is not None:
            _tell(topic, method, params)
        return topic is not None

    async def _follow(self, name: str, topic: Topic) -> None:
        """Ask for a topic. A subscription of the modern era is followed to its end, which fails those it is for; one
        that is refused fails nobody's other resources."""
        try:
            await (self._listen(name, topic) if self._server.modern else self._subscribe(name, topic))
        except Failed as failed:
            if name != LISTS and self._topics.get(name) is topic:
                del self._topics[name]
                if failed.code is Code.UPSTREAM_INVALID and not topic.acknowledged:
                    for feed in topic.feeds:
                        feed.refuse(name, failed)
                else:
                    _fail(topic, failed)

    async def _subscribe(self, uri: str, topic: Topic) -> None:
        if type(self._server.about.capabilities.get("resources")) is not dict:
            raise _not_offered()  # its `subscribe` is not asked for: `mcp` 1.x always says that it is false
        answer = await self._server.ask(Envelope("resources/subscribe", {"uri": uri}, {}, _BYTES, SECONDS))
        result_of(answer, str)
        topic.accept(uri)

    async def _listen(self, name: str, topic: Topic) -> None:
        declared = self._server.about.capabilities
        wanted: JsonObject = _lists(declared) if name == LISTS else {"resourceSubscriptions": [name]}
        if not wanted:
            return

        def heard(method: str, params: JsonObject) -> bool:
            if not topic.acknowledged:  # "the first message MUST be notifications/subscriptions/acknowledged"
                topic.acknowledged = method == ACKNOWLEDGED
                if topic.acknowledged:
                    honoured = name == LISTS or _honoured(name, params)
                    clock.reschedule(None if honoured else 0)
                    if honoured:
                        topic.accept(name)
                return topic.acknowledged
            if name == LISTS and method in LIST_CHANGED:
                return self._server.heard(method, params)
            return name != LISTS and method == UPDATED and _updated(name, topic, params)

        envelope = Envelope("subscriptions/listen", {"notifications": wanted}, {}, _BYTES, FOR_EVER, heard=heard)
        try:
            async with asyncio.timeout(SECONDS) as clock:
                answer = await self._server.listen(envelope)
        except TimeoutError:
            if topic.acknowledged:
                topic.acknowledged = False  # what was accepted is not this
                raise _not_offered() from None
            raise Failed(Code.UPSTREAM_TIMEOUT, "the upstream did not answer in time") from None
        result_of(answer, str)
        raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream ended the subscription")

    def _end(self, name: str, topic: Topic) -> None:
        """Nobody wants it any more."""
        if topic.following is not None:
            topic.following.cancel()  # which withdraws what it asked
        if name != LISTS and not self._server.modern and self._server.usable:
            leaving = asyncio.ensure_future(self._unsubscribe(name))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _unsubscribe(self, uri: str) -> None:
        with contextlib.suppress(Failed):
            await self._server.ask(Envelope("resources/unsubscribe", {"uri": uri}, {}, _BYTES, SECONDS))


def _lists(capabilities: JsonObject) -> JsonObject:
    """The lists whose changes a process says it tells."""
    declared = {what: capabilities.get(what) for what in _LISTS}
    return {
        f"{what}ListChanged": True
        for what, offered in declared.items()
        if type(offered) is dict and offered.get("listChanged") is True
    }


def _honoured(uri: str, params: JsonObject) -> bool:
    """Whether an acknowledgement says that updates of this resource are told."""
    accepted = params.get("notifications")
    uris = accepted.get("resourceSubscriptions") if type(accepted) is dict else None
    return type(uris) is list and uri in uris


def _updated(name: str, topic: Topic, params: JsonObject) -> bool:
    """Tell of an update of a resource, or of what lies below it: "This might be a sub-resource"."""
    uri = params.get("uri")
    if type(uri) is not str or not (uri == name or uri.startswith(f"{name.removesuffix('/')}/")):
        return False
    _tell(topic, UPDATED, {"uri": name})  # what it names instead was judged for nobody
    return True


def _tell(topic: Topic, method: str, params: JsonObject) -> None:
    for feed in list(topic.feeds):
        feed.tell(method, params)


def _fail(topic: Topic, failed: Failed) -> None:
    for feed in topic.feeds:
        feed.fail(failed)


def _not_offered() -> Failed:
    return Failed(Code.UPSTREAM_INVALID, "the upstream offers no updates of that resource")
