"""What an endpoint says of itself: what its upstreams can do, as one."""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any, Final

from gateway.channel import About
from gateway.errors import Failed
from gateway.executors import Executor
from gateway.listing.fetching import STALE_SECONDS
from gateway.model import Endpoint, JsonObject, Principal
from gateway.parts import Gateway, Spoken
from gateway.registry import names
from gateway.wire import jsonrpc

PATIENCE_SECONDS: Final = 2.0
"""So long a client that shakes hands waits for what upstreams say of themselves."""
MOST_INSTRUCTIONS: Final = 16_384
"""Bytes of instructions that are passed on: every one of them is in the model's context."""
MOST_EXTENSIONS: Final = 16_384
"""Bytes of a server's extensions, as JSON, and of what it calls experimental."""
_AS_SENT: Final = ("extensions", "experimental")
_FLAGS: Final = {
    "tools": ("listChanged",),
    "resources": ("subscribe", "listChanged"),
    "prompts": ("listChanged",),
    "completions": (),
    "logging": (),
}
"""The capabilities that are passed on, with what may stand in them."""
_UNKNOWN: Final = About({"tools": {}, "resources": {}, "prompts": {}})
"""Of an upstream that could not be asked: it may have any list."""

logger = logging.getLogger(__name__)


async def about(principal: Principal, endpoint: Endpoint, gw: Gateway) -> About:  # noqa: ARG001 - the same for all
    """The capabilities of all its upstreams together, and of a single one what else it says. Never raises."""
    there = [upstream for upstream in endpoint.upstreams if upstream in gw.executors]
    asked = [asking for upstream in there if (asking := _asked(upstream, gw)) is not None]
    if asked:
        await asyncio.wait(asked, timeout=PATIENCE_SECONDS)
    said = [_known(upstream, gw) for upstream in there]
    capabilities = _together(one.capabilities for one in said)
    if said:
        capabilities |= _alike([one.capabilities for one in said])
    if endpoint.qualified or not said:
        return About(capabilities)
    alone = said[0]
    return About(capabilities, _bounded(alone.instructions), alone.era)


def _together(each: Iterable[JsonObject]) -> JsonObject:
    """Their union. Tools always: what is not there yet may be configured later."""
    union: dict[str, dict[str, bool]] = {"tools": {}}
    for capabilities in each:
        for name, flags in _FLAGS.items():
            declared: Any = capabilities.get(name)
            if isinstance(declared, dict):
                union.setdefault(name, {}).update({flag: True for flag in flags if declared.get(flag) is True})
    return {name: union[name] for name in _FLAGS if name in union}


def _alike(each: list[JsonObject]) -> JsonObject:
    """What all of them declare in the same words, as they sent it: of what differs nobody could tell whose it is."""
    first, *others = each
    return {
        name: first[name]
        for name in _AS_SENT
        if isinstance(first.get(name), dict)
        and all(name in other and jsonrpc.encode(other[name]) == jsonrpc.encode(first[name]) for other in others)
        and len(jsonrpc.encode(first[name])) <= MOST_EXTENSIONS
    }


def _bounded(instructions: str) -> str:
    visible = names.without_hidden(instructions)
    return visible.encode(errors="replace")[:MOST_INSTRUCTIONS].decode(errors="ignore")


def _known(upstream: str, gw: Gateway) -> About:
    known = gw.lists.spoken.get(upstream)
    return known.about if known is not None and known.executor is gw.executors.get(upstream) else _UNKNOWN


def _asked(upstream: str, gw: Gateway) -> "asyncio.Task[None] | None":
    """The question that has to be waited for; what was said lately, or before, need not be."""
    executor, known = gw.executors[upstream], gw.lists.spoken.get(upstream)
    there = known is not None and known.executor is executor
    if known is not None and there and time.monotonic() - known.at <= STALE_SECONDS:
        return None
    asking = gw.lists.asked.get(upstream)
    if asking is None:
        asking = gw.lists.asked[upstream] = gw.tasks.start(_ask(upstream, executor, gw))
        asking.add_done_callback(lambda _: gw.lists.asked.pop(upstream, None))
    return None if there else asking


async def _ask(upstream: str, executor: Executor, gw: Gateway) -> None:
    try:
        said = await executor.about()
    except Failed as failure:
        logger.warning("upstream %s says nothing of itself: %s (%s)", upstream, failure.reason, failure.detail)
        return
    gw.lists.spoken[upstream] = Spoken(said, executor, time.monotonic())
