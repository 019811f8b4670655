"""Changes of lists: fetched again, compared, and told to those who are shown something else than before."""

import asyncio
import sys
from functools import partial
from typing import Any, Final

from gateway import listing
from gateway.errors import Refused
from gateway.executors.messages import ELICITED
from gateway.feeds import Feed, FeedKey, Listener
from gateway.kinds import LIST_CHANGED, Listed
from gateway.listing.fetching import STALE_SECONDS, known, ready
from gateway.model import Digest, Endpoint
from gateway.parts import Gateway

FIRST_SECONDS: Final = 0.1
"""So long a list that is said to have changed is left to change further."""
FETCH_SECONDS: Final = 1.0
"""At most one fetch of an upstream's changed lists in this time."""
ELICITS: Final = "2025-11-25"
"""The one revision in which a client is told that an elicitation is complete."""
ALL: Final = ""
"""In place of an upstream's name: what is shown may be another everywhere, and nothing is to be fetched."""
EVERY: Final = frozenset(Listed)
_AS_ONE: Final = frozenset({Listed.RESOURCES, Listed.TEMPLATES})
_AT_ONCE: Final = 50
"""Comparisons without letting others in between."""


def whole(lists: frozenset[Listed]) -> frozenset[Listed]:
    """These lists, with those of which the same notifications speak."""
    return lists | _AS_ONE if lists & _AS_ONE else lists


def follow(upstream: str, gw: Gateway) -> None:
    """Have the gateway's own feed of this upstream open."""
    if (executor := gw.executors.get(upstream)) is not None:
        gw.hub.opened(FeedKey(None, "", upstream), executor, partial(_heard, gw), partial(_again, gw), gw.tasks.start)


def _heard(gw: Gateway, feed: Feed, method: str, params: Any) -> None:
    if lists := LIST_CHANGED.get(method):
        changed(feed.key.upstream, frozenset(lists), gw)
    elif method == ELICITED and (whose := gw.hub.visits.done(feed.key.upstream, params.get("elicitationId"))):
        for listener in tuple(gw.hub.listeners):
            if (listener.principal.id, listener.session) == whose and listener.era == ELICITS:
                listener.say(ELICITED, params)


def _again(gw: Gateway, feed: Feed, _missed: bool) -> None:  # noqa: FBT001 - as a feed calls it
    """What changed while the feed was not open was not told."""
    changed(feed.key.upstream, EVERY, gw)


def changed(upstream: str, lists: frozenset[Listed], gw: Gateway) -> None:
    """Look into it soon. However many say so meanwhile, it is done once."""
    changes = gw.hub.changes
    if upstream in changes:
        changes[upstream] |= lists
    elif gw.hub.listeners:
        changes[upstream] = set(lists)
        gw.tasks.start(_look(upstream, gw))


async def _look(upstream: str, gw: Gateway) -> None:
    changes = gw.hub.changes
    try:
        await asyncio.sleep(FIRST_SECONDS)
        while lists := changes[upstream]:
            changes[upstream] = set()
            if upstream == ALL:
                await _fetch_unknown(lists, gw)
            else:
                await listing.changed(upstream, tuple(sorted(lists)), gw)
            async with gw.hub.comparing:
                await _compare(upstream, lists, gw)
            await asyncio.sleep(FETCH_SECONDS)
    finally:
        del changes[upstream]


async def _fetch_unknown(lists: set[Listed], gw: Gateway) -> None:
    """After a reload an upstream's lists are those of another server, which nobody may have asked for yet."""
    endpoints = {(what, one.endpoint) for one in gw.hub.listeners for what in lists & one.lists}
    await asyncio.gather(*(_fetched(what, endpoint, gw) for what, endpoint in endpoints))


async def _fetched(what: Listed, endpoint: Endpoint, gw: Gateway) -> bool:
    """Whether there is a list to show."""
    try:
        await ready(what, endpoint, gw, STALE_SECONDS)
    except Refused:
        return False
    return True


async def _compare(upstream: str, lists: set[Listed], gw: Gateway) -> None:
    """Tell each of those whom it may concern, if what it is shown differs."""
    for number, listener in enumerate(tuple(gw.hub.listeners)):
        if upstream == ALL or upstream in listener.endpoint.upstreams:
            await _tell_difference(listener, lists & listener.lists, gw)
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)


async def _tell_difference(listener: Listener, lists: set[Listed], gw: Gateway) -> None:
    if not listener.ready:
        listener.behind = True
        return
    seen = {what: digest for what in sorted(lists) if (digest := await _shown(listener, what, gw)) is not None}
    different = {what for what, digest in seen.items() if listener.shown.get(what) != digest}
    listener.shown |= seen
    for method, of in LIST_CHANGED.items():
        if not different.isdisjoint(of):
            listener.say(method, {})


async def begin(listener: Listener, gw: Gateway) -> None:
    """Note what the listener is shown of the lists that are known, before anything is fetched for it."""
    for what in sorted(listener.lists):
        if all(known(upstream, what, gw) for upstream in listener.endpoint.upstreams):
            await _note(listener, what, gw)


async def complete(listener: Listener, gw: Gateway) -> None:
    """Note the rest as soon as it is known, so that fetching a list for the first time is no change of it."""
    for what in sorted(listener.lists - listener.shown.keys()):
        if not await _fetched(what, listener.endpoint, gw):  # when it is back, that is a change
            continue
        async with gw.hub.comparing:
            if what not in listener.shown:
                await _note(listener, what, gw)


async def _note(listener: Listener, what: Listed, gw: Gateway) -> None:
    if (digest := await _shown(listener, what, gw)) is not None:
        listener.shown[what] = digest


async def _shown(listener: Listener, what: Listed, gw: Gateway) -> Digest | None:
    """The digest of what it is shown; None where that is an error, which is no change of a list."""
    if not any(known(upstream, what, gw) for upstream in listener.endpoint.upstreams):
        return None
    try:
        digest = await listing.visible(what, listener.principal, listener.endpoint, listener.era, listener.session, gw)
    except Refused:
        return None
    return Digest(sys.intern(digest))  # one for all who see the same
