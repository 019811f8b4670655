"""Interleaved slices: every path gets a short slice of load in turn, so that drift of the machine hits all alike."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load import Target, load
from bench.processes import cpu_s, rss_mb

WARM_S, WARM_CLIENTS = 0.5, 4


@dataclass(frozen=True, slots=True)
class Path:
    """One path under test, running."""

    name: str
    target: Target
    pid: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What one slice came to."""

    calls: int
    calls_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_call: float


Key = tuple[str, int]
"""Path and number of clients."""


async def rotate(
    paths: Sequence[Path], clients: Sequence[int], rounds: int, seconds: float, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """`rounds` rotations over every path at every number of clients; one row for each, medians over its slices."""
    for path in paths:
        await load(path.target, WARM_CLIENTS, WARM_S)
    seen: dict[Key, list[Figures]] = defaultdict(list)
    for turn in range(rounds):
        say(f"round {turn + 1} of {rounds}")
        for count in clients:
            for path in paths:
                seen[path.name, count].append(await slice_of(path, count, seconds))
    return [row(path, count, seen[path.name, count]) for count in clients for path in paths]


async def slice_of(path: Path, clients: int, seconds: float) -> Figures:
    """One slice of load on one path."""
    before = cpu_s(path.pid)
    seen = await load(path.target, clients, seconds)
    spent = cpu_s(path.pid) - before
    calls = len(seen.latencies_ns)
    ordered = sorted(seen.latencies_ns)
    return Figures(
        calls=calls,
        calls_per_s=calls / seen.seconds,
        p50_ms=ordered[calls // 2] / 1e6,
        p99_ms=ordered[min(calls - 1, calls * 99 // 100)] / 1e6,
        cpu_ms_per_call=spent * 1e3 / calls,
    )


def row(path: Path, clients: int, figures: Sequence[Figures]) -> dict[str, Any]:
    """Medians over the slices of one path, and how far apart its slices were."""
    cpu = [one.cpu_ms_per_call for one in figures]
    return {
        "path": path.name,
        "clients": clients,
        "calls_per_s": round(statistics.median(one.calls_per_s for one in figures), 1),
        "p50_ms": round(statistics.median(one.p50_ms for one in figures), 3),
        "p99_ms": round(statistics.median(one.p99_ms for one in figures), 3),
        "cpu_ms_per_call": round(statistics.median(cpu), 4),
        "rss_mb": round(rss_mb(path.pid), 1),
        "calls": sum(one.calls for one in figures),
        "cpu_spread": [round(min(cpu), 4), round(max(cpu), 4)],
    }
