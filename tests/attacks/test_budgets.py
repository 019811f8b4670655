"""Budgets at their edge, with a gateway that runs, clients that hurry, and kills: never overdrawn, nothing lost."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.audit import keys
from gateway.audit.verify import verify
from gateway.storage.sqlite import SqliteReader
from gateway.storage.tables.budgets import CounterRow, listed
from tests.attacks.clients import client, decision
from tests.attacks.upstreams import Upstream, upstream
from tests.serving import PATIENCE, Folder, Served, serving

ALLOW = 'package bascule.call\n\nallow contains "tests may write" if input.tool.name == "write_note"\n'
LIMIT = 40
BUDGETS = (
    f"budgets:\n  ever: {{of: calls, limit: {LIMIT}, per: [principal], where: {{tool: ['write_*']}}}}\n"
    "  sent: {of: bytes_out, limit: 100000}\n"
)
CLIENTS = 64


async def _until_dead(served: Served, name: str, seen: Counter[str], enough: asyncio.Event, kill_after: int) -> None:
    async with client(served.url("kept")) as talking:
        for number in range(3):
            try:
                result = await talking.call("write_note", {"path": f"{name}/{number}", "text": "x" * 20})
            except (aiohttp.ClientError, orjson.JSONDecodeError, ConnectionError):
                return
            seen[decision(result).get("code", "ran")] += 1
            if seen.total() >= kill_after:
                enough.set()


def _counted(folder: Folder) -> dict[str, CounterRow]:
    reader = SqliteReader(folder.state / "bascule.db")
    try:
        report = verify(reader, keys.public_key(folder.state), sealing=keys.sealing_key(folder.state))
        assert report.findings == ()
        return {row.budget: row for row in listed(reader)}
    finally:
        reader.close()


def _endings(folder: Folder) -> Counter[str]:
    reader = SqliteReader(folder.state / "bascule.db")
    endings = Counter(row.ending for row in reader.all_runs())
    reader.close()
    return endings


@pytest.mark.promise("budget.edge", "budget.refusal")
async def test_of_64_clients_at_once_exactly_as_many_effects_happen_as_the_budget_has(tmp_path: Path) -> None:
    async with upstream() as reached:
        folder = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}}, ALLOW, BUDGETS)
        seen: Counter[str] = Counter()
        async with serving(folder) as served, asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(_until_dead(served, str(number), seen, asyncio.Event(), 1))
        assert seen == {"ran": LIMIT, "BUDGET": CLIENTS * 3 - LIMIT}
        assert len(reached.effects) == LIMIT
        ever = _counted(folder)["ever"]
        assert (ever.used, ever.reserved, ever.scope) == (LIMIT, 0, '{"principal":"agent"}')


@pytest.mark.promise("budget.kept")
@pytest.mark.parametrize("kills", [pytest.param(2, id="two"), pytest.param(20, id="twenty", marks=pytest.mark.slow)])
async def test_kills_under_load_lose_no_unit_and_overdraw_none(tmp_path: Path, kills: int) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    rolled = random.Random(seed)
    async with upstream() as reached:
        more = BUDGETS.replace(f"limit: {LIMIT}", f"limit: {LIMIT * kills}")
        folder = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}}, ALLOW, more)
        seen: Counter[str] = Counter()
        for turn in range(kills):
            await _killed(folder, str(turn), seen, seen.total() + rolled.randint(1, 30), rolled.uniform(0, 0.02))
        async with serving(folder):
            pass  # the last start settles what the last kill left
        _compare(folder, reached, seen, LIMIT * kills)


async def _killed(folder: Folder, name: str, seen: Counter[str], enough: int, then: float) -> None:
    reached = asyncio.Event()
    async with serving(folder) as served, asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(_until_dead(served, f"{name}/{number}", seen, reached, enough))
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
        await asyncio.sleep(then)  # the moment is what is random: there is no event to wait for
        await served.kill()


def _compare(folder: Folder, reached: Upstream, seen: Counter[str], limit: int) -> None:
    counted, endings = _counted(folder), _endings(folder)
    print(dict(endings), seen, counted["ever"], len(reached.effects))
    ever: Any = counted["ever"]
    assert ever.used == endings["done"] >= seen["ran"], "what was used is what is recorded as done"
    assert ever.reserved == endings["unknown"], "what no ending is known of stays reserved"
    assert ever.used <= len(reached.effects) <= ever.used + ever.reserved <= limit
