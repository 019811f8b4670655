"""`python -m bench.soak [--minutes N]`: prints what it saw as it goes, then the verdict, which is the exit code too."""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import uvloop

from bench.ground import ground, raise_files
from bench.processes import LOAD, ROOT, UNDER_TEST
from bench.soak import gauge
from bench.soak.gauge import Sample, Verdict
from bench.soak.tally import Tally
from bench.soak.traffic import PRINCIPALS, Traffic
from bench.soak.upstreams import Upstreams, passed, upstreams

RESULTS = ROOT / "bench" / "results"
IMPATIENT = "bench.servers.bascule_impatient"
LOOK_S, SAY_S = 2.0, 10.0
LONG_MINUTES = 10.0
"""From here on memory must be flat within 5 % from the fifth minute; in less within 10 % from a third of it."""
LEAST_ANSWERED = 0.75
HEARD = frozenset(
    {
        "elicitation/create",
        "notifications/message",
        "notifications/progress",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
    }
)
"""What must have come to some client besides answers."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--partial", action="store_true", help="accept a gateway that does not serve all of it")
    return parser.parse_args()


async def run(chosen: argparse.Namespace, state: Path) -> bool:
    """One soak; whether all that must hold held."""
    raise_files()
    print(f"{chosen.minutes:g} minutes, seed {chosen.seed}", flush=True)
    tally, rolled = Tally(), random.Random(chosen.seed)
    async with (
        upstreams() as behind,
        ground(state / "gateway", behind.settings(), PRINCIPALS, core=UNDER_TEST, module=IMPATIENT) as made,
        _http() as http,
    ):
        traffic = Traffic(made, http, tally, rolled)
        await traffic.each_once()
        before = await gauge.rest(made.pid)
        say(before, tally, 0.0)
        samples = await soaked(traffic, behind, chosen.minutes * 60)
        await http.close()
        after = await gauge.rest(made.pid, before)
        verdicts = judged(tally, samples, chosen) + gauge.back(before, after, made.pid)
    print("\n" + "\n".join([*tally.said(), f"upstreams killed and started again {behind.restarts}"]))
    print("\n" + "\n".join(f"{'holds' if one.holds else 'FAILS':<6}{one.said}" for one in verdicts), flush=True)
    return all(one.holds for one in verdicts)


async def soaked(traffic: Traffic, behind: Upstreams, seconds: float) -> list[Sample]:
    """Let it all go on for so long; what was seen of the gateway meanwhile."""
    over, pid = asyncio.Event(), traffic.ground.pid
    begun = said = time.monotonic()
    samples: list[Sample] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.flow(over))
        tasks.create_task(behind.trouble(pid, traffic.rolled, over))
        while (now := time.monotonic()) - begun < seconds:
            samples.append(gauge.sample(pid))
            if now - said >= SAY_S:
                said = now
                say(samples[-1], traffic.tally, now - begun)
            await passed(over, LOOK_S)
        over.set()
    return samples


def judged(tally: Tally, samples: list[Sample], chosen: argparse.Namespace) -> list[Verdict]:
    """What must hold of the answers, and of memory."""
    seconds = chosen.minutes * 60
    long = chosen.minutes >= LONG_MINUTES
    share = sum(tally.answered.values()) / max(1, tally.asked)
    silent = ", ".join(sorted(HEARD - tally.heard.keys()))
    left_out = "; ".join(f"{what} ({why})" for what, why in sorted(tally.left_out.items()))
    return [
        Verdict(not tally.unanswered, f"every request was answered: {len(tally.unanswered)} were not"),
        Verdict(not tally.strange, f"every answer is what the upstream said: {len(tally.strange)} were not"),
        Verdict(share >= LEAST_ANSWERED, f"answered with a result: {share:.1%} (bound {LEAST_ANSWERED:.0%})"),
        Verdict(chosen.partial or not tally.left_out, f"everything is served, left out: {left_out or 'nothing'}"),
        Verdict(chosen.partial or not silent, f"everything is heard of, but for: {silent or 'nothing'}"),
        gauge.flat(samples, 300.0 if long else seconds / 3, 0.05 if long else 0.10),
    ]


def say(seen: Sample, tally: Tally, seconds: float) -> None:
    """One line on the way."""
    failed, wrong = sum(tally.failed.values()), len(tally.strange) + len(tally.unanswered)
    print(
        f"{seconds:6.0f} s  asked {tally.asked:>8,}  failed {failed:>6,}  wrong {wrong:>4,}"
        f"  vanished {tally.vanished:>6,}  {seen.rss_mb:7.1f} MB  {seen.files:>4} files  {seen.children:>3} children",
        flush=True,
    )


def _http() -> aiohttp.ClientSession:
    """Connections are kept for a moment only, so that those that vanish are not what is used next."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))


def main() -> None:
    chosen = options()
    RESULTS.mkdir(exist_ok=True)
    state = Path(tempfile.mkdtemp(prefix="state-", dir=RESULTS))  # the checkout's disk: /tmp may be memory
    os.sched_setaffinity(0, {LOAD})
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            held = runner.run(run(chosen, state))
    finally:
        shutil.rmtree(state, ignore_errors=True)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
