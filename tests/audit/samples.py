"""Records, logs and stores that the tests of the log share."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.audit.ids import uuid7
from gateway.audit.keys import Keys, create
from gateway.audit.log import Log
from gateway.model import Digest, Ending, Record, RunId, RunState
from gateway.storage.sqlite import SqliteDatabase, SqliteReader
from gateway.writes import BundleStored, RunEnded, RunOpened, RunRefused, Write

ORIGIN = "test.example/log"
CONTENT = b"package bascule.call"
BUNDLE = Digest("sha256:8e0ad2c0fba1ad3fb9bb3d0c2d1a8a5c5d2a3f2a0b4d6a2cbb5c2c3a7f6d1e00")
DECISION = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8057", "effect": "allow", "action": "allow", "code": None,
    "bundle": BUNDLE, "engine": "regorus 0.13",
}  # fmt: skip
CHECKS = [{"name": "schema", "verdict": "pass", "score": 1_000_000, "threshold": 1_000_000}]


def run_id() -> RunId:
    return RunId(uuid7())


def intent(run: RunId, **public: Any) -> Record:
    said = {"upstream": "notes", "tool": "write", "decision": DECISION, "checks": CHECKS, **public}
    return Record("call.intent", run, said, {
        "principal": b'{"id":"ann","tenant":"acme"}', "call": b'{"task":"t1"}', "args": b'{"text":"hello"}',
    })  # fmt: skip


def settled(run: RunId, ending: Ending = Ending.DONE, code: str = "") -> Record:
    return Record(
        "call.settled", run, {"ending": ending.value, **({"code": code} if code else {})}, {"result": b'{"ok":true}'}
    )


def refused(run: RunId) -> Record:
    return Record("call.refused", run, {"code": "NO_RULE", "upstream": "notes", "tool": "write"}, {
        "principal": b'{"id":"ann","tenant":"acme"}', "call": b'{"task":"t1"}',
    })  # fmt: skip


def opening(run: RunId) -> RunOpened:
    return RunOpened(run, "t1", "ann", "acme", "notes", "write")


def ending(run: RunId, how: Ending = Ending.DONE, code: str = "") -> RunEnded:
    return RunEnded(run, RunState.FROZEN if how is Ending.UNKNOWN else RunState.ENDED, how, code)


def refusing(run: RunId) -> RunRefused:
    return RunRefused(run, "t1", "ann", "acme", "notes", "write", "NO_RULE")


def boot() -> tuple[Sequence[Record], Sequence[Write]]:
    return [Record("log.boot", None, {"version": "0.1.0"})], [BundleStored(BUNDLE, CONTENT)]


def digest_of(content: bytes) -> str:
    """What a bundle is called, for these tests: only CONTENT has the name."""
    return BUNDLE if content == CONTENT else "sha256:" + "0" * 64


@dataclass
class Store:
    """A state folder with keys, and what opens it."""

    folder: Path
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = create(self.folder, ORIGIN)

    @property
    def path(self) -> Path:
        return self.folder / "bascule.db"

    def open(self, **settings: Any) -> Log:
        return Log.open(SqliteDatabase(self.path), self.keys, **settings)

    def reader(self) -> SqliteReader:
        return SqliteReader(self.path)


async def call(log: Log, how: Ending = Ending.DONE, code: str = "") -> RunId:
    """A whole call: two appends."""
    run = run_id()
    await log.append([intent(run)], [opening(run)])
    await log.append([settled(run, how, code)], [ending(run, how, code)])
    return run


async def fill(store: Store, records: int, **settings: Any) -> None:
    """A log of at least so many records: calls, a refusal, an unknown end, an open run."""
    log = store.open(**settings)
    await log.append(*boot())
    one = run_id()
    await log.append([refused(one)], [refusing(one)])
    await call(log, Ending.UNKNOWN, "OUTCOME_UNKNOWN")
    unsettled = run_id()
    await log.append([intent(unsettled)], [opening(unsettled)])
    await asyncio.gather(*(call(log) for _ in range((records - 4) // 2)))
    await log.close()
