"""What the `list` point hides from a principal: asked once for each list of each upstream, then kept."""

import asyncio
from collections.abc import Iterable
from typing import Final, TypeVar

from gateway.kinds import Listed
from gateway.model import Endpoint, JsonObject, Mode, Pin, Principal
from gateway.parts import Gateway
from gateway.policy import inputs
from gateway.policy.decide import hidden as hidden_by
from gateway.registry.rolls import NOTHING_HIDDEN

KEPT: Final = 16_384
"""Answers of the `list` point that are kept."""
Key = TypeVar("Key")
Value = TypeVar("Value")


async def hidden(
    principal: Principal, upstream: str, session: str, era: str, gw: Gateway, what: Listed = Listed.TOOLS
) -> frozenset[str]:
    """The tools' names, URIs, templates or prompts' names of this upstream that this principal does not see. HOT

    Raises:
        Refused: the policy gives no answer.
    """
    labels, mode = gw.sessions.labels(session), gw.registry.mode(upstream)
    key = (principal, labels, (upstream, what), era, mode)
    bundle, made_of = gw.pdp.bundle.digest, revision(upstream, what, gw)
    before = gw.lists.shown.get(key)
    if before is not None and before[0] == made_of and before[1] == bundle:
        return before[2]
    entries: Iterable[Pin] | Iterable[JsonObject]
    if what is Listed.TOOLS:
        entries = gw.registry.pins(Endpoint(upstream, (upstream,), qualified=False))
    else:
        entries = [item.definition for item in gw.lists.catalogue.items(upstream, what).values()]
    document = inputs.for_list(
        principal, upstream, what, entries, protocol="mcp", era=era, transport="http", labels=labels
    )
    known = await hidden_by(gw.pdp, document)
    if mode is Mode.SHADOW:  # shadow breaks nothing: what it would hide is called, judged and recorded
        known = NOTHING_HIDDEN
    known = alike(known, gw)
    kept(gw.lists.shown, key, (made_of, bundle, known), KEPT)
    await asyncio.sleep(0)  # with many entries one evaluation is long: let others in between upstreams
    return known


def revision(upstream: str, what: Listed, gw: Gateway) -> int:
    """Of one list of one upstream. HOT"""
    return gw.registry.revision_of(upstream) if what is Listed.TOOLS else gw.lists.catalogue.revision(upstream, what)


def alike(names: frozenset[str], gw: Gateway) -> frozenset[str]:
    """The one object that stands for all sets equal to this one: thousands of callers share a few."""
    if not names:
        return NOTHING_HIDDEN
    found = gw.lists.alike.get(names)
    if found is None:
        found = names
        kept(gw.lists.alike, names, names, KEPT)
    return found


def kept(within: dict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Keep a value; where there are too many, the one kept first is forgotten."""
    if len(within) >= most and key not in within:
        del within[next(iter(within))]
    within[key] = value
