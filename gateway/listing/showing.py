"""What a caller is shown of an endpoint's lists, page by page.

What is made of the lists is kept and shared: definitions are encoded once per upstream and form, pages once for all
callers who see the same. A list that did not change costs a caller one look.
"""

import logging
from collections.abc import Iterable
from typing import Any, Final

import orjson

from gateway.kinds import Listed
from gateway.listing import cursors
from gateway.listing.addresses import search_of
from gateway.listing.fetching import FRESH_SECONDS, STALE_SECONDS, ready
from gateway.listing.finding import DEFINITION
from gateway.listing.hiding import alike, hidden, kept, revision
from gateway.model import Digest, Endpoint, Principal
from gateway.parts import Gateway, SeenKey
from gateway.registry import names
from gateway.registry.rolls import NOTHING_HIDDEN, Owners, Page, Place, Roll, digest, page
from gateway.wire import jsonrpc

PAGES_KEPT: Final = 1_024
PARTS_KEPT: Final = 16_384
OWNERS_KEPT: Final = 256
TOLD: Final = 10_000
"""Collisions that are told to the operator's log, each once."""
_BY_URI: Final = (Listed.RESOURCES, Listed.TEMPLATES)

logger = logging.getLogger(__name__)
Seen = list[tuple[Roll, int, frozenset[str]]]
"""Of each upstream: what it lists, in which revision, and what of it is hidden."""


async def listed(
    what: Listed, principal: Principal, endpoint: Endpoint, era: str, session: str, cursor: str | None, gw: Gateway
) -> tuple[list[Any], str | None]:
    """One page of a list as this principal sees it at this endpoint, in a stable order, and the next one's cursor.

    The items are ready to be put into a result: JSON objects, or fragments of JSON.

    Raises:
        Malformed: the cursor is not one of ours.
        Refused: the upstream asked for is down, or all of them are; or the policy gives no answer.
    """
    after = None if cursor is None else cursors.read(what, cursor)
    search = search_of(endpoint, gw) if what is Listed.TOOLS else None
    if search == "only":
        if after is not None:
            raise cursors.not_ours()
        return [DEFINITION], None
    await ready(what, endpoint, gw, FRESH_SECONDS if after is None else STALE_SECONDS)
    found = _page(what, endpoint, await seen(what, principal, endpoint, era, session, gw), after, gw)
    items: list[Any] = [*found.items]
    if search == "also" and after is None:
        items.insert(0, DEFINITION)
    return items, None if found.end is None else cursors.written(what, found.end)


async def visible(
    what: Listed, principal: Principal, endpoint: Endpoint, era: str, session: str, gw: Gateway
) -> Digest:
    """The digest of what `listed` shows this principal, as far as it is known: nothing is fetched for it.

    Raises:
        Refused: the policy gives no answer.
    """
    if what is Listed.TOOLS and search_of(endpoint, gw) == "only":
        return digest(())
    shown = await seen(what, principal, endpoint, era, session, gw)
    return digest([(roll, _part(what, endpoint, one, gw)) for one in shown if (roll := one[0]).names])


async def seen(what: Listed, principal: Principal, endpoint: Endpoint, era: str, session: str, gw: Gateway) -> Seen:
    """Each upstream's part of a list and what of it this principal does not see.

    Raises:
        Refused: the policy gives no answer.
    """
    several = endpoint.qualified and len(endpoint.upstreams) > 1
    taken = owners(what, endpoint.upstreams, gw).taken if several and what in _BY_URI else {}
    shown: Seen = []
    for upstream in endpoint.upstreams:
        made_of, roll = _roll(upstream, what, gw, qualified=endpoint.qualified)
        left_out = NOTHING_HIDDEN
        if roll.names:
            left_out = await hidden(principal, upstream, session, era, gw, what)
            if upstream in taken:
                left_out = alike(left_out | taken[upstream], gw)
        shown.append((roll, made_of, left_out))
    return shown


def owners(what: Listed, upstreams: tuple[str, ...], gw: Gateway) -> Owners:
    """Whose each URI or template is among these upstreams; what two of them list is told to the operator's log."""
    revisions = tuple(revision(upstream, what, gw) for upstream in upstreams)
    known = gw.lists.owners.get((what, upstreams))
    if known is None or known[0] != revisions:
        made = Owners.among((upstream, gw.lists.catalogue.items(upstream, what)) for upstream in upstreams)
        known = (revisions, made)
        kept(gw.lists.owners, (what, upstreams), known, OWNERS_KEPT)
        _tell(made, gw)
    return known[1]


def _tell(found: Owners, gw: Gateway) -> None:
    for upstream, uris in found.taken.items():
        for uri in sorted(uris):
            key = (uri, found.of[uri], upstream)
            if key not in gw.lists.told and len(gw.lists.told) < TOLD:
                gw.lists.told.add(key)
                logger.warning("%s is %s's: %s lists it too", names.visible(uri), found.of[uri], upstream)


def _page(what: Listed, endpoint: Endpoint, shown: Seen, after: Place | None, gw: Gateway) -> Page:
    form: SeenKey = (
        what,
        endpoint.upstreams,
        endpoint.qualified,
        tuple([made_of for _, made_of, _ in shown]),
        tuple([left_out for _, _, left_out in shown]),
    )
    known = gw.lists.pages.get((form, after))
    if known is None:
        known = page([(roll, left_out) for roll, _, left_out in shown], after)
        if known is None:
            raise cursors.not_ours()
        kept(gw.lists.pages, (form, after), known, PAGES_KEPT)
    return known


def _part(what: Listed, endpoint: Endpoint, one: tuple[Roll, int, frozenset[str]], gw: Gateway) -> bytes:
    roll, made_of, left_out = one
    key = (roll.upstream, what, endpoint.qualified, left_out)
    known = gw.lists.parts.get(key)
    if known is None or known[0] != made_of:
        known = (made_of, roll.digest(left_out))
        kept(gw.lists.parts, key, known, PARTS_KEPT)
    return known[1]


def _roll(upstream: str, what: Listed, gw: Gateway, *, qualified: bool) -> tuple[int, Roll]:
    made_of = revision(upstream, what, gw)
    known = gw.lists.rolls.get((upstream, what, qualified))
    if known is None or known[0] != made_of:
        if known is not None:  # pages of the old one would never be asked for, and keep it in memory
            gw.lists.pages.clear()
        known = (made_of, Roll.of(upstream, _encoded(upstream, what, gw, qualified=qualified)))
        kept(gw.lists.rolls, (upstream, what, qualified), known, PAGES_KEPT)
    return known


def _encoded(upstream: str, what: Listed, gw: Gateway, *, qualified: bool) -> Iterable[tuple[str, bytes]]:
    if what is Listed.TOOLS:
        for pin in gw.registry.pins(Endpoint(upstream, (upstream,), qualified)):
            shown = {"name": names.qualified(upstream, pin.name) if qualified else pin.name}
            yield pin.name, orjson.dumps(pin.definition | shown)
        return
    for name, item in gw.lists.catalogue.items(upstream, what).items():
        if what is not Listed.PROMPTS or not qualified:
            yield name, item.encoded
        elif full := names.qualified(upstream, name):
            yield name, jsonrpc.encode(item.definition | {"name": full})
