"""Upstreams' lists, fetched whole: one fetch at a time for each, and none holds up the lists of the others."""

import asyncio
import logging
import time
from typing import Final

from gateway.errors import Failed, LogUnavailable, Refused
from gateway.executors import Executor
from gateway.kinds import Listed
from gateway.listing.recording import keep
from gateway.model import Code, Endpoint, JsonObject
from gateway.parts import Flight, Gateway, ListKey, Missing
from gateway.registry import Problem
from gateway.wire.jsonrpc import METHOD_NOT_FOUND

STALE_SECONDS: Final = 60.0
"""A list older than this is fetched again behind the next call, so that a definition that changes is seen."""
FRESH_SECONDS: Final = 5.0
"""A client that lists is answered from a list at most this old."""
PATIENCE_SECONDS: Final = 5.0
"""So long one upstream is waited for where others have their lists ready."""

logger = logging.getLogger(__name__)


async def refresh(upstream: str, gw: Gateway, what: Listed = Listed.TOOLS) -> None:
    """Fetch one whole list of an upstream and record what changed of its pins. One fetch at a time for each.

    Raises:
        Refused: the upstream is down or its list cannot be trusted; nothing was changed.
    """
    failure = await asyncio.shield(_flight(upstream, what, gw).task)
    if failure is not None:
        raise _refusal(failure)


async def refreshed_quietly(upstream: str, gw: Gateway, what: Listed = Listed.TOOLS) -> None:
    """`refresh` where nobody waits for the list: a failure is in the operator's log."""
    await asyncio.shield(_flight(upstream, what, gw).task)


async def changed(upstream: str, lists: tuple[Listed, ...], gw: Gateway) -> None:
    """Fetch again what the upstream says has changed: whole, and begun after this. Never raises for the upstream.

    However many say so at once, each list is fetched once more, after the fetch that may be under way.
    """
    await asyncio.gather(*(_renewed(upstream, what, gw) for what in lists if upstream in gw.executors))


async def current(upstream: str, what: Listed, gw: Gateway, age: float = STALE_SECONDS) -> None:
    """See that the list was fetched by this process: before the first call, later behind a call. HOT

    Raises:
        Refused: it was not, and cannot be had.
    """
    seen = _seen(upstream, what, gw)
    if seen is None:
        await refresh(upstream, gw, what)
    elif _old(upstream, what, seen, age, gw):
        if age < STALE_SECONDS:
            await refresh(upstream, gw, what)
        else:
            _renew_behind(upstream, what, gw)


async def ready(what: Listed, endpoint: Endpoint, gw: Gateway, age: float = FRESH_SECONDS) -> None:
    """See that an endpoint's lists are at most so old, as far as its upstreams let it.

    An upstream that is down or slow is an error where it alone was asked for, and where all are; among several the
    others are shown, and of it what was known before.

    Raises:
        Refused: there is no list to show.
    """
    if not endpoint.qualified:
        await current(endpoint.upstreams[0], what, gw, age)
        return
    awaited = [upstream for upstream in endpoint.upstreams if _awaited(upstream, what, age, gw)]
    if not awaited and _all_missing(what, endpoint, gw):
        awaited = [upstream for upstream in endpoint.upstreams if _flies(upstream, what, gw)]
    if awaited:
        under_way = [_flight(upstream, what, gw).task for upstream in awaited]
        await asyncio.wait(under_way, timeout=PATIENCE_SECONDS)
    if (why := _all_missing(what, endpoint, gw)) is not None:
        raise why


def known(upstream: str, what: Listed, gw: Gateway) -> bool:
    """Whether this list was had of the executor that is in place."""
    return _seen(upstream, what, gw) is not None


def _awaited(upstream: str, what: Listed, age: float, gw: Gateway) -> bool:
    """Whether one of several upstreams is to be waited for. One that failed or kept others waiting just now is not,
    and no call waits for one that failed before."""
    if upstream not in gw.executors:
        return False
    seen, failed = _seen(upstream, what, gw), _failed(upstream, what, gw)
    if seen is not None and not _old(upstream, what, seen, age, gw):
        return False
    if failed is not None and time.monotonic() - failed.at <= FRESH_SECONDS:
        return False
    if age >= STALE_SECONDS and (seen is not None or failed is not None):
        _renew_behind(upstream, what, gw)
        return False
    return (upstream, what) not in gw.lists.flights or _flies(upstream, what, gw)


def _flies(upstream: str, what: Listed, gw: Gateway) -> bool:
    """Whether its list is on its way, and not for too long."""
    flight = gw.lists.flights.get((upstream, what))
    return flight is not None and time.monotonic() - flight.began <= PATIENCE_SECONDS


def _all_missing(what: Listed, endpoint: Endpoint, gw: Gateway) -> Refused | None:
    """Why the first upstream is not shown, where none is."""
    first = None
    for upstream in endpoint.upstreams:
        why = _why_missing(upstream, what, gw)
        if why is None:
            return None
        first = first or why
    return first


def _why_missing(upstream: str, what: Listed, gw: Gateway) -> Refused | None:
    if (failed := _failed(upstream, what, gw)) is not None:
        return _refusal(failed.why)
    if upstream not in gw.executors:
        return Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream is not there")
    if _seen(upstream, what, gw) is None:
        return Refused(Code.UPSTREAM_TIMEOUT, "the upstream has not told its list yet")
    return None


def _seen(upstream: str, what: Listed, gw: Gateway) -> float | None:
    """When this list was last had, of the executor that is in place."""
    if what is Listed.TOOLS:
        return gw.listed.get(upstream)
    fetched = gw.lists.fetched.get((upstream, what))
    return fetched[1] if fetched is not None and fetched[0] is gw.executors.get(upstream) else None


def _failed(upstream: str, what: Listed, gw: Gateway) -> Missing | None:
    """What came of the last attempt, where the executor that is in place brought no list."""
    failed = gw.lists.failed.get((upstream, what))
    return failed if failed is not None and failed.executor is gw.executors.get(upstream) else None


def _old(upstream: str, what: Listed, seen: float, age: float, gw: Gateway) -> bool:
    if time.monotonic() - seen > age:
        return True
    executor = gw.executors.get(upstream)
    if executor is not None and executor.changed:
        _all_stale(upstream, what, gw)
    return (upstream, what) in gw.lists.stale


def _all_stale(upstream: str, what: Listed, gw: Gateway) -> None:
    """Its mark says that some list changed, and a new list of tools takes the mark away: note it for the others."""
    tools = (upstream, Listed.TOOLS)
    if tools in gw.lists.stale or tools in gw.lists.flights:
        return
    gw.lists.stale.update((upstream, each) for each in Listed)
    if what is not Listed.TOOLS:
        _flight(upstream, Listed.TOOLS, gw)


def _renew_behind(upstream: str, what: Listed, gw: Gateway) -> None:
    if (upstream, what) in gw.lists.flights:
        return
    if _seen(upstream, what, gw) is not None:
        _note_seen(upstream, what, gw.executors.get(upstream), gw)  # the next attempt is a period away, come what may
    _flight(upstream, what, gw)


async def _renewed(upstream: str, what: Listed, gw: Gateway) -> None:
    under_way = gw.lists.flights.get((upstream, what))
    if under_way is not None:  # it may have begun before the change
        await asyncio.shield(under_way.task)
    await refreshed_quietly(upstream, gw, what)


def _flight(upstream: str, what: Listed, gw: Gateway) -> Flight:
    key = (upstream, what)
    flight = gw.lists.flights.get(key)
    if flight is None:
        flight = gw.lists.flights[key] = Flight(gw.tasks.start(_fetched(key, gw)), time.monotonic())
        flight.task.add_done_callback(lambda _: gw.lists.flights.pop(key, None))
    return flight


async def _fetched(key: ListKey, gw: Gateway) -> Failed | Refused | None:
    """The fetch itself; a failure is a value, for whoever of the many waiters is still there to raise."""
    upstream, what = key
    executor = gw.executors.get(upstream)
    gw.lists.stale.discard(key)
    failure = await _had(executor, upstream, what, gw)
    if failure is None:
        gw.lists.failed.pop(key, None)
        _note_seen(upstream, what, executor, gw)
        return None
    before = _failed(upstream, what, gw)
    if before is None or before.why.reason != failure.reason:
        logger.warning("upstream %s: no list of %s: %s (%s)", upstream, what, failure.reason, failure.detail)
    gw.lists.failed[key] = Missing(failure, executor, time.monotonic())
    return failure


async def _had(executor: Executor | None, upstream: str, what: Listed, gw: Gateway) -> Failed | Refused | None:
    try:
        definitions = await _definitions(executor, what) if executor else []
        if executor is None or gw.executors.get(upstream) is not executor:  # a reload: these are another server's
            return Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream was reconfigured meanwhile")
        _forget_gone(gw)
        if what is Listed.TOOLS:
            await keep(gw.registry.offer(upstream, definitions), gw)
            _tell(gw.registry.problems(upstream), "tool")
        else:
            _tell(gw.lists.catalogue.offer(upstream, what, definitions), what)
    except Failed as failure:
        return failure.anew()
    except LogUnavailable as gone:
        return Refused(Code.LOG_UNAVAILABLE, "the audit log cannot commit", detail=gone.detail)
    except OSError as error:  # pins that are not kept would be accepted anew, whatever they then say
        return Refused(Code.UPSTREAM_UNAVAILABLE, "what was pinned cannot be kept", detail=f"bascule.lock: {error}")
    return None


async def _definitions(executor: Executor, what: Listed) -> list[JsonObject]:
    if what is Listed.TOOLS:
        return await executor.tools()
    try:
        return await executor.listed(what)
    except Failed as failure:
        # A server may declare resources and know nothing of templates: then it has none.
        if failure.fault is not None and failure.fault.get("code") == METHOD_NOT_FOUND:
            return []
        raise


def _note_seen(upstream: str, what: Listed, executor: Executor | None, gw: Gateway) -> None:
    if what is Listed.TOOLS:
        gw.listed[upstream] = time.monotonic()
    elif executor is not None:  # there was one to ask
        gw.lists.fetched[upstream, what] = (executor, time.monotonic())


def _forget_gone(gw: Gateway) -> None:
    """Forget what was kept of upstreams that a reload took away."""
    lists = gw.lists
    gone = {roll[0] for roll in lists.rolls} | lists.spoken.keys() | {key[0] for key in (*lists.fetched, *lists.failed)}
    gone -= gw.executors.keys()
    if not gone:
        return
    lists.catalogue.only(gw.executors)
    lists.pages.clear()
    lists.rolls = {key: roll for key, roll in lists.rolls.items() if key[0] not in gone}
    lists.fetched = {key: seen for key, seen in lists.fetched.items() if key[0] not in gone}
    lists.failed = {key: failed for key, failed in lists.failed.items() if key[0] not in gone}
    lists.spoken = {upstream: said for upstream, said in lists.spoken.items() if upstream not in gone}


def _tell(problems: tuple[Problem, ...], kind: str) -> None:
    for problem in problems:
        logger.warning("upstream %s: %s %s: %s", problem.upstream, kind, problem.name, problem.text)


def _refusal(failure: Failed | Refused) -> Refused:
    return Refused(failure.code, failure.reason, detail=failure.detail)
