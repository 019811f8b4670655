"""Subscriptions on two scripted upstreams; what is judged, fetched and shown is the test's to say."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from gateway import subscriptions
from gateway.errors import Refused
from gateway.kinds import Listed
from gateway.model import Call, Code, Digest, Endpoint, Pin, Principal
from gateway.parts import Gateway
from gateway.subscriptions import Subscription, Wants
from tests import nouns
from tests.feeding import Clock, Feeding, Told, settle

BOTH = Endpoint("", ("notes", "crm"), qualified=True)
CRM = Endpoint("crm", ("crm",), qualified=False)
TOOLS = frozenset({Listed.TOOLS})
EVERY = frozenset(Listed)
TOOLS_CHANGED = "notifications/tools/list_changed"
RESOURCES_CHANGED = "notifications/resources/list_changed"
PROMPTS_CHANGED = "notifications/prompts/list_changed"


@dataclass(slots=True)
class Scene:
    """What a test says, and what was asked."""

    gw: Gateway
    clock: Clock
    notes: Feeding = field(default_factory=Feeding)
    crm: Feeding = field(default_factory=Feeding)
    permits: list[Call] = field(default_factory=list)
    refuses: dict[str, Exception] = field(default_factory=dict)
    """URI to why it is not permitted."""
    owner: dict[str, str] = field(default_factory=dict)
    """URI to its upstream, where that is not notes."""
    judging: asyncio.Event | None = None
    """What the next judgements wait for."""
    fetched: list[tuple[str, tuple[Listed, ...]]] = field(default_factory=list)
    fetching: asyncio.Event | None = None
    """What the next fetches wait for."""
    shows: dict[tuple[str, Listed], str] = field(default_factory=dict)
    """Endpoint and list to what is shown there, by digest."""
    hidden: dict[str, str] = field(default_factory=dict)
    """Principal to what it is shown of everything, whatever changes."""
    unknown: set[str] = field(default_factory=set)
    """Upstreams whose lists nobody had yet."""
    down: set[str] = field(default_factory=set)
    """Upstreams whose lists cannot be had."""

    async def open(
        self,
        lists: frozenset[Listed] = frozenset(),
        *uris: str,
        told: Told | None = None,
        endpoint: Endpoint = nouns.NOTES,
        principal: Principal = nouns.AGENT,
        session: str = "s1",
    ) -> Subscription:
        wants = Wants(lists, uris)
        return await subscriptions.open_subscription(
            principal, endpoint, "2026-07-28", "http", session, wants, told or Told(), self.gw
        )

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gw.executors.clear()
        self.gw.executors.update({"notes": self.notes, "crm": self.crm})
        upstreams = dict.fromkeys(("notes", "crm"), self.gw.settings.upstreams["notes"])
        self.gw.settings = self.gw.settings.model_copy(update={"upstreams": upstreams})
        monkeypatch.setattr("gateway.pipeline.permit", self._permit)
        monkeypatch.setattr("gateway.listing.changed", self._changed)
        monkeypatch.setattr("gateway.listing.visible", self._visible)
        monkeypatch.setattr("gateway.subscriptions.lists.known", lambda name, *_: name not in self.unknown)
        monkeypatch.setattr("gateway.subscriptions.lists.ready", self._ready)

    async def settle(self) -> None:
        await settle()

    async def _permit(self, call: Call, gw: Gateway) -> Pin:
        self.permits.append(call)
        if self.judging is not None:
            await self.judging.wait()
        if (refusal := self.refuses.get(call.name)) is not None:
            raise refusal
        return replace(nouns.pin(call.name), upstream=self.owner.get(call.name, "notes"))

    async def _changed(self, upstream: str, lists: tuple[Listed, ...], gw: Gateway) -> None:
        self.fetched.append((upstream, lists))
        if self.fetching is not None:
            await self.fetching.wait()
        self.unknown.discard(upstream)

    async def _ready(self, what: Listed, endpoint: Endpoint, gw: Gateway, age: float = 0.0) -> None:
        if self.down.issuperset(endpoint.upstreams):
            raise Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached")
        self.unknown -= set(endpoint.upstreams)

    async def _visible(
        self, what: Listed, principal: Principal, endpoint: Endpoint, era: str, session: str, gw: Gateway
    ) -> Digest:
        shown = self.hidden.get(principal.id) or self.shows.get((endpoint.name, what), "as before")
        return Digest(f"{endpoint.name}:{shown}")
