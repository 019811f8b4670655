"""The rows that take longer: memory after many calls, and whether cost grows with the number of tools."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path as Folder
from typing import Any

from bench.load import load
from bench.measure import Path, slice_of
from bench.paths import FEW, MANY, echoing, full, lacking
from bench.processes import rss_mb

CALLS = 100_000
STEP_S = 2.0
LONGEST_S = 75.0


async def memory(paths: Sequence[Path], say: Callable[[str], None]) -> dict[str, Any]:
    """RSS of the whole gateway on the way to 100,000 calls."""
    path = next((path for path in paths if path.name == "bascule-full"), None)
    if path is None:
        return {}
    say(f"memory over {CALLS:,} calls")
    calls, begun = 0, asyncio.get_running_loop().time()
    steps = [(0, round(rss_mb(path.pid), 1))]
    while calls < CALLS and asyncio.get_running_loop().time() - begun < LONGEST_S:
        calls += len((await load(path.target, 16, STEP_S)).latencies_ns)
        steps.append((calls, round(rss_mb(path.pid), 1)))
    said = f"bascule-full: {steps[0][1]} MB before, {steps[-1][1]} MB after {calls:,} further calls (target <= 150)"
    return {"calls": calls, "rss_mb": steps, "said": [said]}


async def flatness(state: Folder, say: Callable[[str], None], wanted: tuple[str, ...]) -> dict[str, Any]:
    """CPU per call in front of few and of many tools, slices in turn."""
    if lacking("bascule-full") or (wanted and "bascule-full" not in wanted):
        return {}
    say(f"{FEW} against {MANY:,} tools")
    seen: dict[int, list[float]] = {FEW: [], MANY: []}
    async with contextlib.AsyncExitStack() as stack:
        paths = {}
        for tools in seen:
            port, _ = await stack.enter_async_context(echoing(tools))
            paths[tools] = await full(stack, f"http://127.0.0.1:{port}/mcp", state, f"bascule-full-{tools}-tools")
            await load(paths[tools].target, 16, 1.0)
        for _ in range(5):
            for tools, path in paths.items():
                seen[tools].append((await slice_of(path, 16, 1.0)).cpu_ms_per_call)
        resident = {tools: round(rss_mb(path.pid), 1) for tools, path in paths.items()}
    middle = {tools: sorted(figures)[2] for tools, figures in seen.items()}
    said = f"bascule-full at C=16: {middle[FEW]:.3f} ms CPU per call with {FEW} tools, {middle[MANY]:.3f} with {MANY:,}"
    return {"cpu_ms_per_call": middle, "rss_mb": resident, "said": [said]}
