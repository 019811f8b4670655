"""Updates of resources: each URI is a proposal, and its permit is given again before it grows old."""

import asyncio
import logging
import time
from functools import partial
from typing import Any, Final

from gateway import pipeline
from gateway.errors import LogUnavailable, Refused
from gateway.feeds import Feed, FeedKey, Held, Hub, Listener, Pace
from gateway.kinds import UPDATED, Kind
from gateway.model import Call, Code, Digest, Pin
from gateway.parts import Gateway

MOST_URIS: Final = 1_000
"""Of one subscription."""
LONGEST_URI: Final = 8_192
PERMITTED_SECONDS: Final = 60.0
"""A permit older than this is given again before the next update is passed on."""
NOT_NOW_SECONDS: Final = 30.0
"""So long an update waits whose permit could not be given again, for a reason that passes."""
UPDATE_SECONDS: Final = 0.1
"""At most one update of a resource in this time."""
_DEEPEST: Final = 32
"""So many levels below a resource are looked through."""
_PASSING: Final = frozenset({Code.LOG_UNAVAILABLE, Code.UPSTREAM_UNAVAILABLE, Code.UPSTREAM_TIMEOUT})

logger = logging.getLogger(__name__)


async def permit(listener: Listener, uri: str, gw: Gateway) -> bool:
    """Let the listener hold this URI; False where it does already, or no longer wants to.

    Raises:
        Refused: it is not allowed, or there are too many.
    """
    if listener.closed or uri in listener.held:
        return False
    if len(listener.held) + len(listener.asking) >= MOST_URIS:
        raise too_many()
    if len(uri) > LONGEST_URI:
        raise Refused(Code.TOO_LARGE, f"the URI of a resource has at most {LONGEST_URI} characters")
    listener.asking.add(uri)
    try:
        held = await _judged(listener, uri, gw)
        if uri not in listener.asking or uri in listener.held:  # removed, closed or held meanwhile
            return False
        listener.held[uri] = held
        return True
    finally:
        listener.asking.discard(uri)


async def resume(listener: Listener, gw: Gateway) -> None:
    """After a rest: hold again what is still allowed, each for itself, and tell each once as updated, since what
    was updated meanwhile was not told."""
    for uri in tuple(listener.awaited):
        await _resume(listener, uri, gw)


async def _resume(listener: Listener, uri: str, gw: Gateway) -> None:
    if uri not in listener.awaited:
        return
    try:
        permitted = await permit(listener, uri, gw)
    except Refused as refusal:
        _log(listener, uri, refusal)
        if uri in listener.awaited and refusal.code in _PASSING:
            again = partial(_once_more, listener, uri, gw)
            listener.awaited[uri] = asyncio.get_running_loop().call_later(NOT_NOW_SECONDS, again)
        else:
            listener.awaited.pop(uri, None)
        return
    listener.awaited.pop(uri, None)
    if permitted:
        join(listener, uri, gw)
    _updated(listener, uri, gw)


def _once_more(listener: Listener, uri: str, gw: Gateway) -> None:
    gw.tasks.start(_resume(listener, uri, gw))


def give_up(listener: Listener, uri: str) -> None:
    """Await it no more; what is not awaited changes nothing."""
    if (timer := listener.awaited.pop(uri, None)) is not None:
        timer.cancel()


def _log(listener: Listener, uri: str, refusal: Refused) -> None:
    logger.warning("updates of %s to %s: %s (%s)", uri, listener.principal.id, refusal.reason, refusal.detail)


def too_many() -> Refused:
    """More than one subscription may hold."""
    return Refused(Code.TOO_LARGE, f"a subscription holds at most {MOST_URIS} resources")


def join(listener: Listener, uri: str, gw: Gateway) -> None:
    """Listen to the upstream for what is held."""
    upstream = listener.held[uri].upstream
    executor = gw.executors.get(upstream)
    if executor is None:  # a reload is under way, and what it takes away is dropped then
        return
    key = FeedKey(listener.principal, listener.session, upstream)
    feed = gw.hub.opened(key, executor, partial(_heard, gw), partial(_again, gw), gw.tasks.start)
    feed.add(uri, listener)


def refused(listener: Listener, uri: str, hub: Hub) -> bool:
    """Whether the upstream of what is held said that it will not tell of it."""
    feed = hub.feeds.get(FeedKey(listener.principal, listener.session, listener.held[uri].upstream))
    return feed is not None and uri in feed.refused


def drop(listener: Listener, uri: str, hub: Hub) -> None:
    """Hold it no more; what is not held changes nothing."""
    held = listener.held.pop(uri, None)
    if held is not None:
        if held.pace is not None:
            held.pace.stop()
            held.pace = None
        _leave(listener, uri, held, hub)


def _leave(listener: Listener, uri: str, held: Held, hub: Hub) -> None:
    key = FeedKey(listener.principal, listener.session, held.upstream)
    if (feed := hub.feeds.get(key)) is not None:
        feed.remove(uri, listener)
        if not feed.holders:
            hub.close(key)


def _heard(gw: Gateway, feed: Feed, method: str, params: Any) -> None:
    """HOT. An upstream is believed nothing but that what it was asked about has changed."""
    if method == UPDATED and type(params) is dict and type(uri := params.get("uri")) is str:
        for held in _meant(uri, feed):
            for listener in tuple(feed.holders[held]):
                _updated(listener, held, gw)


def _meant(uri: str, feed: Feed) -> list[str]:
    """Which of the URIs that are held an update is of: "This might be a sub-resource of the one that the client
    actually subscribed to." Its own URI was judged for nobody, and is not passed on.
    """
    found = [uri] if uri in feed.holders else []
    if len(uri) <= LONGEST_URI:
        for _ in range(_DEEPEST):
            uri, below, _name = uri.rpartition("/")
            if not below:
                break
            found += [one for one in (uri, uri + below) if one in feed.holders and one not in found]
    return found


def _again(gw: Gateway, feed: Feed, missed: bool) -> None:  # noqa: FBT001 - as a feed calls it
    """What was updated while the feed was broken was not told: all of it may have been."""
    for uri, holders in tuple(feed.holders.items()) if missed else ():
        for listener in tuple(holders):
            _updated(listener, uri, gw)


def _updated(listener: Listener, uri: str, gw: Gateway) -> None:
    if (held := listener.held.get(uri)) is None:
        return
    if held.pace is None:
        held.pace = Pace(UPDATE_SECONDS, partial(_pass_on, listener, uri, held, gw))
    held.pace.wish()


def _pass_on(listener: Listener, uri: str, held: Held, gw: Gateway) -> None:
    """Tell the update, under a permit of now. It carries the URI and nothing of what the upstream sent beside."""
    if held.renewing or listener.held.get(uri) is not held:
        return
    if held.judged == _under(gw) and time.monotonic() - held.since < PERMITTED_SECONDS:
        listener.say(UPDATED, {"uri": uri})
    else:
        held.renewing = True
        gw.tasks.start(_renewed(listener, uri, held, gw))


async def _renewed(listener: Listener, uri: str, held: Held, gw: Gateway) -> None:
    """Judge it again, then tell the update that waits for it, or end it without a word."""
    go_on = partial(_go_on, listener, uri, held, gw)
    try:
        new = await _judged(listener, uri, gw)
    except Refused as refusal:
        _log(listener, uri, refusal)
        if refusal.code in _PASSING:
            asyncio.get_running_loop().call_later(NOT_NOW_SECONDS, go_on)
        elif listener.held.get(uri) is held:
            drop(listener, uri, gw.hub)
        return
    held.judged, held.since = new.judged, new.since
    if new.upstream == held.upstream:
        go_on()
    elif listener.held.get(uri) is held:  # it is another upstream's by now, which has told nothing yet
        _leave(listener, uri, held, gw.hub)
        held.upstream, held.renewing = new.upstream, False
        join(listener, uri, gw)


def _go_on(listener: Listener, uri: str, held: Held, gw: Gateway) -> None:
    held.renewing = False
    _pass_on(listener, uri, held, gw)


async def _judged(listener: Listener, uri: str, gw: Gateway) -> Held:
    """The permit for this URI, under a policy that is still in force when it is given.

    Raises:
        Refused: it is not allowed.
    """
    while True:
        under, since = _under(gw), time.monotonic()
        try:
            pin: Pin = await pipeline.permit(_call(listener, uri), gw)
        except LogUnavailable as gone:
            raise Refused(Code.LOG_UNAVAILABLE, "the audit log cannot commit", detail=gone.detail) from None
        if under == _under(gw):
            return Held(pin.upstream, under, since)


def _under(gw: Gateway) -> tuple[Digest, int]:
    return gw.pdp.bundle.digest, gw.hub.epoch


def _call(listener: Listener, uri: str) -> Call:
    return Call(
        principal=listener.principal,
        endpoint=listener.endpoint,
        kind=Kind.SUBSCRIPTION,
        name=uri,
        arguments={},
        protocol="mcp",
        era=listener.era,
        transport=listener.transport,
        session=listener.session,
        task=listener.session,
    )
