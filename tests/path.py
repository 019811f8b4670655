"""The data path for tests: every part real and on a real file, but the upstream, which a test scripts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway import pipeline
from gateway.approvals.waiting import Requests
from gateway.audit import keys, seal
from gateway.audit.log import Log
from gateway.brakes import Brakes
from gateway.budgets.ledger import Budgets
from gateway.channel import SILENT, About, Channel, Tell
from gateway.config import Settings
from gateway.executors.launcher import Grounds, Machine
from gateway.executors.packages.store import Packages
from gateway.executors.sandbox.machine import Cause, Host
from gateway.facts import Sessions
from gateway.keyed import Keyed
from gateway.kinds import Listed
from gateway.model import Call, JsonObject, Limits, Manifest, Outcome, Principal, Proposal, Reply
from gateway.parts import Archive, Gateway, Tasks
from gateway.policy.bundle import load
from gateway.policy.regorus import Regorus
from gateway.registry import Registry, Terms
from gateway.registry.manifests import Manifests
from gateway.rounds import Seals
from gateway.storage.sqlite import SqliteDatabase
from tests import nouns

ORIGIN = "tests.example/bascule"
POLICY = """package bascule.call

allow contains "reads are allowed" if "read" in input.tool.manifest.effects

allow contains "notes are kept under notes/" if {
	input.tool.name == "write_note"
	startswith(input.args.path, "notes/")
}

deny contains {"reason": "only notes/ may be written", "would_pass": "a path under notes/"} if {
	input.tool.name == "write_note"
	not under_notes
}

under_notes if startswith(input.args.path, "notes/")
"""
READ_NOTE = {
    "name": "read_note",
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
MANIFEST = Manifest(effects=("write",), reversal="none")
READS = Manifest(effects=("read",), reversal="none", trust="trusted")


@dataclass(slots=True)
class Scripted:
    """An executor that does what the test says; `calls` is what reached it."""

    calls: list[Proposal] = field(default_factory=list)
    offers: list[JsonObject] = field(default_factory=lambda: [nouns.WRITE_NOTE, READ_NOTE])
    answer: Callable[[Proposal, Limits], Awaitable[Outcome]] | None = None
    lists: Callable[[], Awaitable[list[JsonObject]]] | None = None
    talks: Callable[[Proposal, Channel], Awaitable[Outcome]] | None = None
    """In place of `answer`, with the client's channel."""

    changed = False

    others: dict[Listed, list[JsonObject]] = field(default_factory=dict)
    says: About = field(default_factory=About)

    async def execute(self, proposal: Proposal, limits: Limits, channel: Channel = SILENT) -> Outcome:
        self.calls.append(proposal)
        if self.talks:
            return await self.talks(proposal, channel)
        return await self.answer(proposal, limits) if self.answer else nouns.outcome()

    async def tools(self) -> list[JsonObject]:
        return await self.lists() if self.lists else self.offers

    async def listed(self, what: Listed) -> list[JsonObject]:
        return self.others.get(what, [])

    async def about(self) -> About:
        return self.says

    async def feed(self, _owner: Principal | None, _session: str, _uris: tuple[str, ...], _tell: Tell) -> None:
        await asyncio.Event().wait()

    def stderr_tail(self) -> str:
        return "it said this"

    async def sweep(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class DataPath:
    """The parts and what a test asks of them."""

    gw: Gateway
    executor: Scripted
    database: SqliteDatabase
    sealing: bytes

    async def call(self, name: str = "write_note", **changed: Any) -> Reply:
        call: Call = nouns.call(name, **changed)
        return await pipeline.serve(call, self.gw)

    async def write(self, path: str = "notes/a.md") -> Reply:
        return await self.call(arguments={"path": path, "text": "hello"})

    def leaves(self, kind: str = "") -> list[JsonObject]:
        """The records, oldest first, each with what was sealed under `sealed`."""
        reader = self.gw.archive.reader
        found = []
        for index, _, record in reader.leaves(0, reader.count()):
            leaf = orjson.loads(record)
            payload = reader.payload(index)
            opened = seal.unseal(self.sealing, leaf["id"], payload.salt, payload.sealed) if payload else {}
            leaf["sealed"] = {key: orjson.loads(value) for key, (_, value) in opened.items()}
            found.append(leaf)
        return [leaf for leaf in found if not kind or leaf["kind"] == kind]

    def use(self, policy: str) -> None:
        """Swap the policy for this one."""
        folder = self.database.path.parent / "policies"
        (folder / "tests.rego").write_text(policy)
        self.gw.pdp = Regorus(load(folder))


async def _no_sandbox() -> Host:
    """A machine that can confine nothing: what is tested here starts no process."""
    return Host(uid=1000, gid=1000, cause=Cause.MISSING)


def _settings(folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "file": folder / "bascule.yaml",
            "version": 1,
            "state": folder,
            "upstreams": {"notes": {"url": "http://127.0.0.1:1/mcp"}},
            "audit": {"origin": ORIGIN},
        }
    )


@asynccontextmanager
async def data_path(folder: Path, policy: str = POLICY, terms: Terms | None = None) -> AsyncIterator[DataPath]:
    """Everything but the client side and the upstream."""
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "tests.rego").write_text(policy)
    own = keys.create(folder, ORIGIN) if not (folder / keys.SIGNING).exists() else keys.load(folder, ORIGIN)
    database = SqliteDatabase(folder / "bascule.db")
    log = Log.open(database, own)
    reader = database.reader()
    executor = Scripted()
    settings = _settings(folder)
    stated = Manifests({"notes": {"write_note": MANIFEST, "read_note": READS}})
    tasks = Tasks()
    gw = Gateway(
        settings=settings,
        registry=Registry({"notes": terms or Terms()}, {}, stated, clock=time.time),
        pdp=Regorus(load(folder / "policies")),
        executors={"notes": executor},
        grounds=Grounds(folder, (), Packages(folder / "packages"), machine=Machine(_no_sandbox)),
        sessions=Sessions(reader.session),
        log=log,
        archive=Archive(settings, reader, own.vkey),
        load_policy=lambda: Regorus(load(folder / "policies")),
        tasks=tasks,
        seals=Seals(own.sealing),
        requests=Requests(reader, own.sealing, time.time),
        keyed=Keyed(reader, own.sealing),
        brakes=Brakes(reader, time.time),
        budgets=Budgets(reader, settings.budgets, time.time),
    )
    try:
        yield DataPath(gw, executor, database, own.sealing)
    finally:
        await tasks.close()
        reader.close()
        await log.close()
