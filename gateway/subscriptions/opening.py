"""Subscriptions as callers have them: opened, changed, closed; and what a reload makes of those that are open."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.channel import Tell
from gateway.errors import Failed, Refused
from gateway.feeds import FeedKey, Hub, Listener
from gateway.kinds import Listed
from gateway.model import Code, Endpoint, Principal
from gateway.parts import Gateway
from gateway.subscriptions import lists, updates

MOST_EACH: Final = 10_000
"""Subscriptions of one principal."""
LISTENING_SECONDS: Final = 1.0
"""How long an opening waits for upstreams that are slow to listen, or down."""
ANSWERED_SECONDS: Final = 5.0
"""How long it waits for what they say of resources, which they may refuse; a process may have to start for it."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What a caller wants to be told of."""

    lists: frozenset[Listed] = frozenset()
    uris: tuple[str, ...] = ()
    shown: Mapping[Listed, str] | None = field(default=None, hash=False)
    """Where this goes on after a rest: digests of what was shown before it."""


class Subscription:
    """One caller's, until it is closed."""

    __slots__ = ("_gw", "_listener", "_lists")

    def __init__(self, listener: Listener, wanted: frozenset[Listed], gw: Gateway) -> None:
        self._listener, self._lists, self._gw = listener, wanted, gw

    @property
    def wants(self) -> Wants:
        """What was accepted and still stands, without resources of which their upstreams said that they do not tell."""
        listener, hub = self._listener, self._gw.hub
        return Wants(self._lists, tuple(uri for uri in listener.held if not updates.refused(listener, uri, hub)))

    @property
    def resting(self) -> Wants | None:
        """What to open to go on with it after a rest; None while it is being changed."""
        listener = self._listener
        if listener.asking:
            return None
        uris = tuple(dict.fromkeys((*listener.held, *listener.awaited)))
        return Wants(self._lists, uris, dict(listener.shown))

    async def add(self, uri: str) -> None:
        """Be told of updates of this resource too; the same again changes nothing.

        Raises:
            Refused: it is not allowed, or there are too many.
            Failed: its upstream does not tell of it.
        """
        listener, hub = self._listener, self._gw.hub
        if not await updates.permit(listener, uri, self._gw):
            return
        updates.join(listener, uri, self._gw)
        await _listening(listener, hub)
        if uri in listener.held and updates.refused(listener, uri, hub):
            updates.drop(listener, uri, hub)
            raise Failed(Code.UPSTREAM_INVALID, "the upstream does not tell of updates of this resource")

    def remove(self, uri: str) -> None:
        """Be told nothing of this resource any more; one that is not held changes nothing."""
        self._listener.asking.discard(uri)
        updates.give_up(self._listener, uri)
        updates.drop(self._listener, uri, self._gw.hub)

    def close(self) -> None:
        """Be told nothing any more."""
        _close(self._listener, self._gw.hub)


async def open_subscription(
    principal: Principal,
    endpoint: Endpoint,
    era: str,
    transport: str,
    session: str,
    wants: Wants,
    tell: Tell,
    gw: Gateway,
) -> Subscription:
    """Begin to tell a caller what it wants to know and may know. Nothing is told before this returns.

    An upstream that is down is no refusal: it is tried again until it is back. After a rest one of the URIs that is
    no longer allowed is none either: it is left out.

    Raises:
        Refused: one of the URIs is not allowed, or there are too many.
    """
    hub = gw.hub
    if hub.each[principal.id] >= MOST_EACH:
        raise Refused(Code.RATE, f"{MOST_EACH} subscriptions are open already", would_pass="when one of them is closed")
    if len(set(wants.uris)) > updates.MOST_URIS:
        raise updates.too_many()
    listener = Listener(principal, endpoint, era, transport, session, tell, lists.whole(wants.lists))
    listener.early = []
    hub.listeners[listener] = None
    hub.each[principal.id] += 1
    try:
        await _wanted(listener, wants, gw)
    except BaseException:
        _close(listener, hub)
        raise
    if not listener.closed:  # as at the end of the process
        _begin(listener, gw)
        await _listening(listener, hub)
        asyncio.get_running_loop().call_soon(listener.begin)  # after whoever asked has gone on
    return Subscription(listener, wants.lists, gw)


async def _wanted(listener: Listener, wants: Wants, gw: Gateway) -> None:
    """Note what it is shown, and hold what is allowed; after a rest that is begun behind its back, once it is told."""
    if wants.shown is None:
        for uri in wants.uris:
            await updates.permit(listener, uri, gw)
        await lists.begin(listener, gw)
        return
    listener.shown |= wants.shown
    listener.behind = True
    listener.awaited = dict.fromkeys(wants.uris)


async def _listening(listener: Listener, hub: Hub) -> None:
    """Wait until its upstreams tell of what it wants, so that the next change is heard, and have said of which
    resources they do not; not long for a slow one."""
    upstreams = listener.endpoint.upstreams
    lists_of = [FeedKey(None, "", upstream) for upstream in upstreams] if listener.lists else []
    held_of = {FeedKey(listener.principal, listener.session, held.upstream) for held in listener.held.values()}
    await asyncio.gather(
        _set([feed.listening for key in lists_of if (feed := hub.feeds.get(key)) is not None], LISTENING_SECONDS),
        _set([feed.answered for key in held_of if (feed := hub.feeds.get(key)) is not None], ANSWERED_SECONDS),
    )


async def _set(events: Iterable[asyncio.Event], seconds: float) -> None:
    """Wait until all of them are set, or for so long."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events if not event.is_set()]
    if not waiting:
        return
    try:
        await asyncio.wait(waiting, timeout=seconds)
    finally:
        for each in waiting:
            each.cancel()


def _begin(listener: Listener, gw: Gateway) -> None:
    """Open the feeds it needs. From here on it is told."""
    listener.ready = True
    for uri in listener.held:
        updates.join(listener, uri, gw)
    if listener.awaited:
        gw.tasks.start(updates.resume(listener, gw))
    if not listener.lists:
        return
    for upstream in listener.endpoint.upstreams:
        gw.hub.wanting[upstream] += 1
        lists.follow(upstream, gw)
    if len(listener.shown) < len(listener.lists):
        gw.tasks.start(lists.complete(listener, gw))
    if listener.behind:
        lists.changed(lists.ALL, listener.lists, gw)


def _close(listener: Listener, hub: Hub) -> None:
    if listener.closed:
        return
    listener.closed = True
    del hub.listeners[listener]
    _one_less(hub.each, listener.principal.id)
    listener.asking.clear()
    for uri in tuple(listener.awaited):
        updates.give_up(listener, uri)
    for uri in tuple(listener.held):
        updates.drop(listener, uri, hub)
    if listener.ready and listener.lists:
        for upstream in listener.endpoint.upstreams:
            if not _one_less(hub.wanting, upstream):
                hub.close(FeedKey(None, "", upstream))


def _one_less(counter: Counter[str], name: str) -> int:
    """What is left; a name that counts nothing is forgotten."""
    counter[name] -= 1
    left = counter[name]
    if not left:
        del counter[name]
    return left


def reconcile(gw: Gateway, endpoints: Iterable[Endpoint] | None = None) -> None:
    """After executors were replaced, came or went: feeds follow those of now. With `endpoints`, all addresses of now,
    each subscription also reaches what its address now reaches.

    What the settings hold is no measure of that: an upstream that is lent is among them, and at nobody's address.
    """
    hub = gw.hub
    now = None if endpoints is None else {one.name: one for one in endpoints}
    hub.wanting.clear()
    for listener in hub.listeners:
        if now is not None:
            listener.endpoint = now.get(listener.endpoint.name) or _without_address(listener.endpoint, gw)
        if listener.ready and listener.lists:
            hub.wanting.update(listener.endpoint.upstreams)
        for uri, held in tuple(listener.held.items()):
            if held.upstream not in listener.endpoint.upstreams or held.upstream not in gw.executors:
                updates.drop(listener, uri, hub)
    for key, feed in tuple(hub.feeds.items()):
        executor = gw.executors.get(key.upstream)
        if executor is None or not (feed.holders or hub.wanting[key.upstream]):
            hub.close(key)
        else:
            feed.move(executor)
    for upstream in hub.wanting:
        lists.follow(upstream, gw)
    touched(gw)


def _without_address(endpoint: Endpoint, gw: Gateway) -> Endpoint:
    """What is left of an address that is gone. One that was lent has none, and stays while its upstream does."""
    if not endpoint.qualified and endpoint.upstreams[0] in gw.executors:
        return endpoint
    return replace(endpoint, upstreams=(), qualified=True)


def touched(gw: Gateway) -> None:
    """After pins, policies or manifests were changed: each permit is given again, and whoever is shown another list
    than before is told."""
    gw.hub.epoch += 1
    lists.changed(lists.ALL, lists.EVERY, gw)


def close(gw: Gateway) -> None:
    """At the end: nobody is told anything any more, and every feed ends."""
    for listener in tuple(gw.hub.listeners):
        _close(listener, gw.hub)
