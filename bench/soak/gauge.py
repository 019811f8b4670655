"""A process watched from outside: memory, open files, child processes; and what is said of them in the end."""

import asyncio
import contextlib
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import rss_mb
from bench.servers.bascule_impatient import IDLE_S, UPKEEP_S

QUIET_S, PATIENCE_S = IDLE_S + UPKEEP_S + 8.0, 150.0
"""How long the numbers must stay to be those at rest, longer than anything idle does; and how long until they are."""

SPARE_FILES = 8
"""Connections that pools keep for a moment, and the streams of a process that is ending: what leaks with each of
a thousand clients that vanish is more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look saw."""

    at: float
    rss_mb: float
    files: int
    children: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that must hold."""

    holds: bool
    said: str


def sample(pid: int) -> Sample:
    """Look once."""
    return Sample(time.monotonic(), rss_mb(pid), len(os.listdir(f"/proc/{pid}/fd")), len(children(pid)))


def children(pid: int) -> list[int]:
    """All that descend from a process and are not reaped yet."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    left = [pid]
    while left:
        under = parents.get(left.pop(), [])
        found += under
        left += under
    return found


def command(pid: int) -> bytes:
    """Its argument list; nothing where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def files(pid: int) -> Counter[str]:
    """What its open files are, by kind."""
    kinds: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            kinds[target.split(":")[0] if ":[" in target else Path(target).name] += 1
    return kinds


async def rest(pid: int, most: Sample | None = None) -> Sample:
    """Wait for files and children to stay as they are, and to be at most as many as `most` has; the last look."""
    begun = since = time.monotonic()
    before = sample(pid)
    while (now := sample(pid)).at - since < QUIET_S or _beyond(now, most):
        if (now.files, now.children) != (before.files, before.children):
            since, before = now.at, now
        if now.at - begun > PATIENCE_S:
            break
        await asyncio.sleep(0.5)
    return now


def _beyond(now: Sample, most: Sample | None) -> bool:
    return most is not None and (now.files > most.files or now.children > most.children)


def flat(samples: Sequence[Sample], warm_s: float, bound: float) -> Verdict:
    """Whether memory at the end is what it was once everything had been there: medians of windows, as it swings."""
    begun, ended = samples[0].at + warm_s, samples[-1].at
    window = min(120.0, (ended - begun) / 3)
    first = [one.rss_mb for one in samples if begun <= one.at <= begun + window]
    last = [one.rss_mb for one in samples if one.at >= ended - window]
    if not first or window <= 0:
        return Verdict(holds=False, said="memory: the run was too short to say anything")
    before, after = statistics.median(first), statistics.median(last)
    grown = after / before - 1
    most = max(one.rss_mb for one in samples)
    said = f"memory: {before:.1f} MB after {warm_s:.0f} s, {after:.1f} at the end: {grown:+.1%}, at most {most:.1f}"
    return Verdict(grown <= bound, f"{said} (bound {bound:.0%})")


def back(before: Sample, after: Sample, pid: int) -> list[Verdict]:
    """Whether files and children are as many as at rest."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(files(pid).items()))
    processes = b" ".join(command(child).replace(b"\0", b" ") for child in children(pid)).decode(errors="replace")
    return [
        Verdict(
            after.files <= before.files + SPARE_FILES,
            f"files: {before.files} at rest, {after.files} afterwards ({kinds})",
        ),
        Verdict(
            after.children <= before.children,
            f"children: {before.children} at rest, {after.children} afterwards ({processes})",
        ),
    ]
