"""kill -9 at random moments under load: no acknowledged record is lost, no effect happens without its intent."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.audit import keys, seal
from gateway.audit.verify import verify
from gateway.model import RunId
from gateway.storage.sqlite import SqliteReader
from tests.attacks.clients import client, decision
from tests.attacks.upstreams import Upstream, upstream
from tests.serving import PATIENCE, Folder, Served, serving

CLIENTS = 8
ALLOW = 'package bascule.call\n\nallow contains "tests may write" if input.tool.name == "write_note"\n'


class Acknowledged(list[str]):
    """The runs that were answered, and how many of them to wait for."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.enough, self.reached = enough, asyncio.Event()
        if not enough:
            self.reached.set()

    def add(self, run: str) -> None:
        self.append(run)
        if len(self) >= self.enough:
            self.reached.set()


async def _load(served: Served, name: str, acknowledged: Acknowledged) -> None:
    """Call until the gateway dies; what it answered is what it must not lose."""
    async with client(served.url("kept")) as talking:
        for number in range(100_000):
            try:
                result = await talking.call("write_note", {"path": f"{name}/{number}", "text": "x" * 500})
            except (aiohttp.ClientError, orjson.JSONDecodeError, ConnectionError):
                return
            acknowledged.add(decision(result)["run"])


async def _kill_under_load(folder: Folder, name: str, enough: int, then: float) -> list[str]:
    """Kill it `then` seconds after so many answers: anywhere within the calls that are under way."""
    acknowledged = Acknowledged(enough)
    async with serving(folder) as served, asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(_load(served, f"{name}/{number}", acknowledged))
        async with asyncio.timeout(PATIENCE):
            await acknowledged.reached.wait()
        await asyncio.sleep(then)  # the moment is what is random: there is no event to wait for
        await served.kill()
    return acknowledged


def _recorded(folder: Folder) -> tuple[dict[str, str], set[str]]:
    """Run to the path it was allowed to write, and the runs with a durable ending, a refusal too."""
    reader = SqliteReader(folder.state / "bascule.db")
    sealing = keys.sealing_key(folder.state)
    assert sealing is not None
    intents: dict[str, str] = {}
    settled: set[str] = set()
    for index, _, record in reader.leaves(0, reader.count()):
        leaf: dict[str, Any] = orjson.loads(record)
        if leaf["kind"] in {"call.settled", "call.refused"}:
            settled.add(leaf["run"])
        if leaf["kind"] == "call.intent":
            payload = reader.payload(index)
            assert payload is not None
            values = seal.unseal(sealing, leaf["id"], payload.salt, payload.sealed)
            intents[leaf["run"]] = orjson.loads(values["args"][1])["path"]
    reader.close()
    return intents, settled


def _check(folder: Folder, acknowledged: list[str], reached: Upstream) -> None:
    intents, settled = _recorded(folder)
    assert set(acknowledged) <= settled, "an acknowledged record was lost"
    effects = [effect["arguments"]["path"] for effect in reached.effects]
    assert len(effects) == len(set(effects)), "an effect happened twice"
    assert set(effects) <= set(intents.values()), "an effect without its intent"
    reader = SqliteReader(folder.state / "bascule.db")
    report = verify(reader, keys.public_key(folder.state), sealing=keys.sealing_key(folder.state))
    assert report.findings == ()
    frozen = {row.run for row in reader.runs(limit=-1, unfinished=True)}
    reader.close()
    assert all(RunId(run) in frozen or run in settled for run in intents)


@pytest.mark.slow
@pytest.mark.promise("every-ending-is-recorded", "recorded-before-it-runs")
async def test_sixty_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    rolled = random.Random(seed)
    async with upstream() as reached:
        folder = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}}, ALLOW)
        acknowledged: list[str] = []
        for kill in range(60):
            acknowledged += await _kill_under_load(folder, str(kill), rolled.randint(0, 40), rolled.uniform(0, 0.03))
        async with serving(folder):
            pass  # the last start settles what the last kill left
        assert len(acknowledged) > 500
        _check(folder, acknowledged, reached)


@pytest.mark.promise("every-ending-is-recorded")
async def test_a_kill_under_load_loses_nothing(tmp_path: Path) -> None:
    async with upstream() as reached:
        folder = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}}, ALLOW)
        acknowledged = await _kill_under_load(folder, "once", 20, 0.003)
        async with serving(folder):
            pass
        _check(folder, acknowledged, reached)
