"""`python -m bench [--short]`: all rows in one interleaved run, a table, and bench/results/latest.json."""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
from pathlib import Path as Folder
from typing import Any

import uvloop

from bench.longer import flatness, memory
from bench.machine import machine
from bench.measure import rotate
from bench.onboarding import onboarding
from bench.paths import started
from bench.processes import LOAD, ROOT, UNDER_TEST
from bench.report import table, verdicts
from bench.streams import streams

RESULTS = ROOT / "bench" / "results"
CLIENTS = (1, 16, 64)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="at most a minute: fewer, shorter slices, no long rows")
    parser.add_argument("--rows", default="", help="only these rows, by name, with commas between them (and direct)")
    parser.add_argument("--clients", default="", help="only these numbers of clients, such as 1,16")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"  {text}", flush=True)


async def run(chosen: argparse.Namespace, state: Folder) -> dict[str, Any]:
    """One run of the bench: everything it saw, in the shape of latest.json."""
    begun = time.monotonic()
    rounds, seconds = (2, 0.6) if chosen.short else (4, 1.0)
    wanted = tuple(filter(None, chosen.rows.split(",")))
    clients = [int(number) for number in chosen.clients.split(",") if number] or list(CLIENTS)
    seen: dict[str, Any] = {"machine": machine(state)}
    async with started(state, say, wanted) as paths:
        seen["rows"] = await rotate(paths, clients, rounds, seconds, say)
        if not chosen.short:
            seen["memory"] = await memory(paths, say)
    if not chosen.short:
        seen["flatness"] = await flatness(state, say, wanted)
    if not wanted:
        seen["onboarding"] = await onboarding(state, say, short=chosen.short)
        seen["streams"] = await streams(state, say, short=chosen.short)
    seen["method"] = method(rounds, seconds, round(time.monotonic() - begun, 1))
    return seen


def method(rounds: int, seconds: float, took: float) -> dict[str, Any]:
    """How the figures came about, kept beside them."""
    return {
        "command": "python -m bench",
        "slices": rounds,
        "slice_s": seconds,
        "core_of_the_path": UNDER_TEST,
        "core_of_load_and_echo": LOAD,
        "arguments_bytes": 1024,
        "figures": "medians over slices; cpu_spread is the least and the most of a slice",
        "took_s": took,
    }


def show(seen: dict[str, Any]) -> None:
    """The run as text."""
    host = seen["machine"]
    print(f"\n{host['cpu']}, {host['cores']} cores, kernel {host['kernel']}, Python {host['python']}")
    print(f"write made durable (4 KB, fdatasync): p50 {host['fsync_ms']} ms, p99 {host['fsync_p99_ms']} ms")
    how = seen["method"]
    print(f"path on core {how['core_of_the_path']}; load generator and echo (so all of direct) on core", end=" ")
    print(f"{how['core_of_load_and_echo']}; {how['slices']} slices of {how['slice_s']} s, medians\n")
    print(table(seen["rows"]))
    for name in ("memory", "flatness", "onboarding", "streams"):
        for line in seen.get(name, {}).get("said", []):
            print(f"\n{line}", end="")
    print("\n" + "\n".join(["", *verdicts(seen["rows"], host["fsync_ms"])]))


def main() -> None:
    chosen = options()
    RESULTS.mkdir(exist_ok=True)
    state = Folder(tempfile.mkdtemp(prefix="state-", dir=RESULTS))  # the checkout's disk: /tmp may be memory
    os.sched_setaffinity(0, {LOAD})
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seen = runner.run(run(chosen, state))
    finally:
        shutil.rmtree(state, ignore_errors=True)
    show(seen)
    (RESULTS / "latest.json").write_text(json.dumps(seen, indent=1) + "\n")


if __name__ == "__main__":
    main()
