"""Several upstreams that a test scripts, behind real parts: their lists, what they say of themselves, how they fail."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from gateway import listing
from gateway.channel import SILENT, About, Channel, Tell
from gateway.errors import Failed, Refused
from gateway.kinds import Kind, Listed
from gateway.listing.addresses import endpoints
from gateway.model import Call, Code, Endpoint, JsonObject, Limits, Outcome, Pin, Principal, Proposal
from gateway.parts import Gateway
from gateway.registry import Registry, Terms
from gateway.registry.manifests import Manifests
from gateway.settings import Settings
from tests import nouns
from tests.path import DataPath

ERA = "2026-07-28"
READER = Principal("reader")
DOWN = Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached", detail="refused")


def tool(name: str, description: str = "does it", **more: Any) -> JsonObject:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}, **more}


def resource(uri: str, **more: Any) -> JsonObject:
    return {"uri": uri, "name": uri.rpartition("/")[2], **more}


def template(text: str) -> JsonObject:
    return {"uriTemplate": text, "name": "a template"}


def prompt(name: str) -> JsonObject:
    return {"name": name, "description": "asks"}


@dataclass(slots=True)
class Server:
    """One upstream."""

    lists: dict[Listed, list[JsonObject]] = field(default_factory=dict)
    says: About | Failed = field(default_factory=About)
    failure: Failed | None = None
    """What comes of every list."""
    failures: dict[Listed, Failed] = field(default_factory=dict)
    """What comes of one."""
    gate: asyncio.Event | None = None
    """Its lists are told once this is set."""
    asked: list[Listed] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it was asked for a list."""
    changed: bool = False

    async def execute(self, proposal: Proposal, limits: Limits, channel: Channel = SILENT) -> Outcome:
        raise AssertionError("a list runs nothing")

    async def tools(self) -> list[JsonObject]:
        told = await self.listed(Listed.TOOLS)
        self.changed = False
        return told

    async def listed(self, what: Listed) -> list[JsonObject]:
        self.asked.append(what)
        self.reached.set()
        told = self.lists.get(what, [])
        if self.gate is not None:
            await self.gate.wait()
        if failure := self.failures.get(what, self.failure):
            raise failure
        return told

    async def about(self) -> About:
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.says, Failed):
            raise self.says
        return self.says

    async def feed(self, owner: Principal | None, session: str, uris: tuple[str, ...], tell: Tell) -> None: ...

    def stderr_tail(self) -> str:
        return ""

    async def sweep(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class Several:
    """The parts, and what a test asks of their lists."""

    path: DataPath
    servers: dict[str, Server]
    views: JsonObject = field(default_factory=dict)

    @property
    def gw(self) -> Gateway:
        return self.path.gw

    def at(self, upstream: str | None = None, view: str | None = None) -> Endpoint:
        """An address; without a name `/mcp`, which reaches all."""
        return endpoints(self.gw.settings)[upstream, view]

    async def page(
        self, what: Listed, endpoint: Endpoint, principal: Principal = nouns.AGENT, cursor: str | None = None
    ) -> tuple[list[JsonObject], str | None]:
        """One page as a client reads it."""
        session = f"principal:{principal.id}"
        items, following = await listing.listed(what, principal, endpoint, ERA, session, cursor, self.gw)
        return orjson.loads(orjson.dumps(items)), following

    async def names(
        self, endpoint: Endpoint, what: Listed = Listed.TOOLS, principal: Principal = nouns.AGENT
    ) -> list[str]:
        """What the first page shows."""
        items, _ = await self.page(what, endpoint, principal)
        return [item.get("uri") or item.get("uriTemplate") or item["name"] for item in items]

    async def seen(self, endpoint: Endpoint, what: Listed = Listed.TOOLS, principal: Principal = nouns.AGENT) -> str:
        return await listing.visible(what, principal, endpoint, ERA, f"principal:{principal.id}", self.gw)

    async def resolve(self, kind: Kind, name: str, endpoint: Endpoint, **changed: Any) -> Pin:
        return await listing.resolve(called(kind, name, endpoint, **changed), self.gw)

    async def refused(self, kind: Kind, name: str, endpoint: Endpoint, **changed: Any) -> Refused:
        """Why it does not resolve."""
        try:
            pin = await self.resolve(kind, name, endpoint, **changed)
        except Refused as refusal:
            return refusal
        raise AssertionError(f"it resolved to {pin.upstream} {pin.name}")

    def age(self, seconds: float = 6.0) -> None:
        """Let time pass for what was fetched and what failed."""
        gw = self.gw
        gw.listed.update({name: at - seconds for name, at in gw.listed.items()})
        lists = gw.lists
        lists.fetched.update({key: (one, at - seconds) for key, (one, at) in lists.fetched.items()})
        lists.failed.update({key: replace(one, at=one.at - seconds) for key, one in lists.failed.items()})
        lists.spoken.update({name: replace(one, at=one.at - seconds) for name, one in lists.spoken.items()})
        lists.flights.update({key: replace(one, began=one.began - seconds) for key, one in lists.flights.items()})


def called(kind: Kind, name: str, endpoint: Endpoint, **changed: Any) -> Call:
    return nouns.call(name, kind=kind, endpoint=endpoint, **{"arguments": {}, **changed})


def several(
    path: DataPath, servers: dict[str, Server], *, views: JsonObject | None = None, terms: Iterable[Terms] = ()
) -> Several:
    """Put these upstreams into the place of those that are there."""
    stated = dict(zip(servers, terms, strict=False))
    path.gw.settings = Settings.model_validate(
        {
            "file": path.gw.settings.file,
            "version": 1,
            "state": path.gw.settings.state,
            "upstreams": {name: {"url": "http://127.0.0.1:1/mcp"} for name in servers},
            "views": views or {},
            "audit": {"origin": "tests.example/bascule"},
        }
    )
    path.gw.registry = Registry(
        {name: stated.get(name, Terms()) for name in servers}, {}, Manifests({}), clock=time.time
    )
    path.gw.executors = {**servers}
    return Several(path, servers)
