"""The official suite through the gateway, policy and log on: it passes what it passes directly, check for check."""

import json
from collections import Counter
from pathlib import Path

import pytest

from gateway.kinds import ASKED_OF_CLIENTS, METHODS, Kind
from tests.commands import bascule
from tests.conformance import suite
from tests.conformance.fixture_seen import seen
from tests.conformance.page import PAGE, bridge, section
from tests.conformance.running import Governed, governed
from tests.conformance.runs import AS_IT_MAY, BRIDGES, DIRECT, THROUGH, Run, faults, verdict
from tests.wraps import records

STALE = "docs/conformance.md says something else: `make conformance` writes it again"
pytestmark = pytest.mark.slow


def recorded(folder: Governed, era: str) -> Counter[str]:
    """How many intents there are, by kind, but for later rounds before a legacy server: its request stays open."""
    intents = records(folder, "call.intent")
    return Counter(one["call"]["kind"] for one in intents if era != "legacy" or "previous" not in one)


async def recorded_as_seen(folder: Governed, file: Path, era: str) -> None:
    """The log is whole, and has an intent for each proposal that came to the server, and none besides."""
    verified = await bascule(folder, "audit", "verify")
    assert verified.code == 0, verified.err
    intents, got = recorded(folder, era), seen(file, "got")
    for kind in (Kind.TOOL, Kind.RESOURCE, Kind.PROMPT, Kind.COMPLETION):
        assert intents[kind] == got[METHODS[kind]], kind
    refused = Counter(record["call"]["kind"] for record in records(folder, "call.refused"))
    for method, kind in ASKED_OF_CLIENTS.items():
        assert intents[kind] + refused[kind] == seen(file, "asked")[method], kind
    assert intents[Kind.TOOL] > 0


def verified_all(into: Path, role: str, revision: str) -> None:
    """Every gateway that a scenario of a client had left a whole log."""
    ended = {file.stem: json.loads(file.read_text()) for file in (into / "clients").glob("*.json")}
    assert {name.replace("/", "-") for name in suite.scenarios(role, revision)} <= ended.keys()
    assert {name: told["said"] for name, told in ended.items() if told["verified"]} == {}


async def passes(asked: Run, into: Path) -> suite.Verdict:
    """Run it, and hold it to all that a run through the gateway must leave behind."""
    assert not suite.missing(), suite.missing()
    told = await verdict(asked, into)
    assert faults(asked, told) == [], told.said[-4000:]
    if asked.role == suite.SERVER:
        await recorded_as_seen(governed(into / "gateway", ""), into / "seen", asked.other)
    else:
        verified_all(into, asked.role, asked.revision)
    return told


@pytest.mark.parametrize(
    ("direct", "asked"), list(zip(DIRECT, THROUGH, strict=True)), ids=[each.title for each in THROUGH]
)
async def test_the_suite_finds_the_same_through_the_gateway_as_directly(
    direct: Run, asked: Run, tmp_path: Path
) -> None:
    for name in ("direct", "through"):
        (tmp_path / name).mkdir()
    there = await verdict(direct, tmp_path / "direct")
    here = await passes(asked, tmp_path / "through")
    assert here.scored.keys() == there.scored.keys()
    if asked.role == suite.SERVER:  # of a client the suite makes a check for each request, and we send some of our own
        assert [name for name in here.unlike(there) if name not in AS_IT_MAY] == []
        assert section(direct, there, asked, here) in PAGE.read_text(encoding="utf-8"), STALE


@pytest.mark.parametrize("asked", BRIDGES, ids=[each.title for each in BRIDGES])
async def test_the_suite_passes_across_the_eras_but_for_what_cannot_be(asked: Run, tmp_path: Path) -> None:
    told = await passes(asked, tmp_path)
    assert told.failing <= told.expected
    assert bridge(asked, told) in PAGE.read_text(encoding="utf-8"), STALE


def test_each_exception_of_a_bridge_says_which_sentence_makes_it_so() -> None:
    for asked in BRIDGES:
        assert {name for name, why in asked.exceptions.items() if '"' not in why} == set()
    assert not any(run.exceptions for run in (*DIRECT, *THROUGH))
