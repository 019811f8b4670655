"""Which tools there are, and who sees them: upstream lists to the registry, the `list` point to principals."""

import asyncio
import logging
import time

from gateway.audit import records
from gateway.config import Settings
from gateway.errors import Failed, LogUnavailable, Refused
from gateway.model import Call, Code, Endpoint, JsonObject, Mode, Pin, Principal, Record
from gateway.parts import Gateway
from gateway.policy import inputs
from gateway.policy.decide import hidden as hidden_by
from gateway.registry import PinChange, lockfile
from gateway.registry.registry import UNKNOWN
from gateway.wire import mcp

STALE_SECONDS = 60.0
"""A list older than this is fetched again behind the next call, so that a definition that changes is seen."""
FRESH_SECONDS = 5.0
"""A client that lists is answered from a list at most this old."""

KEPT = 4096
"""Answers of the `list` point that are kept."""

logger = logging.getLogger(__name__)


def endpoints(settings: Settings) -> dict[tuple[str | None, str | None], Endpoint]:
    """Every address under /mcp, by the upstream or the view it names."""
    found: dict[tuple[str | None, str | None], Endpoint] = {
        (None, None): Endpoint("", tuple(settings.upstreams), qualified=True)
    }
    for name in settings.upstreams:
        found[name, None] = Endpoint(name, (name,), qualified=False)
    for view, members in settings.views.items():
        found[None, view] = Endpoint(f"view/{view}", tuple(members), qualified=True)
    return found


def upstream_of(call: Call) -> str:
    """The upstream a call addresses; it may not exist."""
    if not call.endpoint.qualified:
        return call.endpoint.upstreams[0]
    return call.name.partition("__")[0]


async def resolve(call: Call, gw: Gateway) -> Pin:
    """The pin a call means, if this principal may know of it.

    Raises:
        Refused: TOOL_UNKNOWN, TOOL_DRIFTED, or why the upstream's list is not to be had.
    """
    upstream = upstream_of(call)
    if upstream in gw.executors:
        await _current(upstream, gw)
    try:
        pin = gw.registry.resolve(call)
    except Refused as refusal:
        # Drift is told only to those who may know of the tool.
        if refusal.code is Code.TOOL_DRIFTED and await _hides(call, upstream, gw):
            raise _hidden() from None
        raise
    if await _hides(call, upstream, gw):
        raise _hidden()
    return pin


async def _hides(call: Call, upstream: str, gw: Gateway) -> bool:
    name = call.name.partition("__")[2] if call.endpoint.qualified else call.name
    return name in await hidden(call.principal, upstream, call.session, call.era, gw)


def _hidden() -> Refused:
    return Refused(Code.TOOL_UNKNOWN, UNKNOWN, detail="hidden by the list point")


async def list_tools(principal: Principal, endpoint: Endpoint, era: str, session: str, gw: Gateway) -> list[JsonObject]:
    """The definitions this principal sees at this endpoint, in a stable order.

    An upstream that cannot be reached is an error where it alone was asked for; among several it must not
    take the others with it, and its tools are missing until it is back.
    """
    for upstream in endpoint.upstreams:
        try:
            await _current(upstream, gw, FRESH_SECONDS)
        except Refused as refusal:
            if not endpoint.qualified:
                raise
            logger.warning("upstream %s is not listed: %s (%s)", upstream, refusal.reason, refusal.detail)
    shown: list[JsonObject] = []
    for pin in gw.registry.pins(endpoint):
        if pin.name in await hidden(principal, pin.upstream, session, era, gw):
            continue
        name = f"{pin.upstream}__{pin.name}" if endpoint.qualified else pin.name
        shown.append(pin.definition | {"name": name})
    return shown


async def input_schema(principal: Principal, endpoint: Endpoint, name: str, gw: Gateway) -> JsonObject | None:
    """The arguments' schema of a tool whose calls must repeat arguments as headers; None for every other name,
    and where this principal may not know of the tool."""
    pin = gw.registry.find(endpoint, name)
    if pin is None or not _repeats_arguments(pin, gw):
        return None
    if pin.name in await hidden(principal, pin.upstream, f"principal:{principal.id}", mcp.LATEST_MODERN, gw):
        return None
    schema: JsonObject = pin.definition["inputSchema"]
    return schema


def _repeats_arguments(pin: Pin, gw: Gateway) -> bool:
    known = gw.repeating.get(pin.digest)
    if known is None:
        if len(gw.repeating) >= KEPT:
            gw.repeating.clear()
        known = gw.repeating[pin.digest] = bool(mcp.param_headers(pin.definition.get("inputSchema")))
    return known


async def hidden(principal: Principal, upstream: str, session: str, era: str, gw: Gateway) -> frozenset[str]:
    """The names of this upstream's tools that this principal does not see; asked once, then kept."""
    labels = gw.sessions.labels(session)
    key = (principal.id, labels, upstream, gw.pdp.bundle.digest, gw.registry.revision, era)
    known = gw.shown.get(key)
    if known is None:
        pins = gw.registry.pins(Endpoint(upstream, (upstream,), qualified=False))
        document = inputs.for_list(principal, upstream, pins, protocol="mcp", era=era, transport="http", labels=labels)
        known = await hidden_by(gw.pdp, document)
        if known:  # shadow breaks no tool: what it would hide is called, judged and recorded
            known -= {pin.name for pin in pins if pin.mode is Mode.SHADOW}
        if len(gw.shown) >= KEPT:
            gw.shown.clear()
        gw.shown[key] = known
        await asyncio.sleep(0)  # with many pins one evaluation is long: let others in between upstreams
    return known


async def refresh(upstream: str, gw: Gateway) -> None:
    """Fetch the whole list of one upstream and record what changed. One fetch at a time for each.

    Raises:
        Refused: the upstream is down or its list cannot be trusted; nothing was changed.
    """
    flight = gw.listing.get(upstream)
    if flight is None:
        flight = gw.tasks.start(_fetched(upstream, gw))
        gw.listing[upstream] = flight
        flight.add_done_callback(lambda _: gw.listing.pop(upstream, None))
    failure = await asyncio.shield(flight)
    if failure is not None:
        raise Refused(failure.code, failure.reason, detail=failure.detail)


async def _current(upstream: str, gw: Gateway, age: float = STALE_SECONDS) -> None:
    """See that the upstream was listed in this process: before the first call, later behind a call."""
    seen = gw.listed.get(upstream)
    if seen is None:
        await refresh(upstream, gw)
        return
    executor = gw.executors.get(upstream)
    old = time.monotonic() - seen > age or (executor is not None and executor.changed)
    if old and age < STALE_SECONDS:
        await refresh(upstream, gw)
    elif old and upstream not in gw.listing:
        gw.listed[upstream] = time.monotonic()  # the next attempt is a period away, whatever this one brings
        gw.tasks.start(refreshed_quietly(upstream, gw))


async def refreshed_quietly(upstream: str, gw: Gateway) -> None:
    """`refresh` where nobody waits for the list: a failure is told to the operator's log."""
    try:
        await refresh(upstream, gw)
    except Refused as refusal:
        logger.warning("list of %s not renewed: %s (%s)", upstream, refusal.reason, refusal.detail)


async def _fetched(upstream: str, gw: Gateway) -> Failed | Refused | None:
    """The fetch itself; a failure is a value, for whoever of the many waiters is still there to raise."""
    executor = gw.executors.get(upstream)
    try:
        definitions = await executor.tools() if executor else []
        if executor is None or gw.executors.get(upstream) is not executor:  # a reload: these are another server's tools
            return Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream was reconfigured meanwhile")
        await keep(gw.registry.offer(upstream, definitions), gw)
    except Failed as failure:
        return failure
    except LogUnavailable as gone:
        return Refused(Code.LOG_UNAVAILABLE, "the audit log cannot commit", detail=gone.detail)
    except OSError as error:  # pins that are not kept would be accepted anew, whatever they then say
        return Refused(Code.UPSTREAM_UNAVAILABLE, "what was pinned cannot be kept", detail=f"bascule.lock: {error}")
    for problem in gw.registry.problems(upstream):
        logger.warning("upstream %s: tool %s: %s", upstream, problem.name, problem.text)
    gw.listed[upstream] = time.monotonic()
    return None


async def keep(changes: tuple[PinChange, ...], gw: Gateway, *, operator: str = "") -> None:
    """Record what changed and write `bascule.lock`. What could not be recorded is recorded with the next change.

    Raises:
        LogUnavailable: it is not recorded yet.
        OSError: it is recorded and not written; until it is, each list of this gateway fails.
    """
    gw.unrecorded.extend(_record(change, operator) for change in changes)
    async with gw.keeping:  # one at a time, so that the newest lock is written last
        if taken := tuple(gw.unrecorded):
            await gw.log.append(taken)
            del gw.unrecorded[: len(taken)]
            gw.unwritten = True
        if gw.unwritten:
            await asyncio.to_thread(lockfile.write, gw.settings.file.with_name("bascule.lock"), gw.registry.lock())
            gw.unwritten = False  # only we can have set it: it is set under this lock alone


def _record(change: PinChange, operator: str) -> Record:
    return records.event(
        f"pin.{change.change}",
        {"upstream": change.upstream, "tool": change.name, "pin": change.new or "", "was": change.old or ""},
        sealed={"operator": operator} if operator else None,
    )
