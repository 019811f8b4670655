"""Three minutes of `make soak`: what its verdict is made of, and that it holds."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

import pytest

from bench.processes import ALLOWED
from bench.reading import Refusal, Unanswered
from bench.soak.__main__ import HEARD, judged
from bench.soak.gauge import Sample, children, command, flat, sample
from bench.soak.tally import Strange, Tally
from tests.serving import PATIENCE, ROOT

CHOSEN = argparse.Namespace(minutes=3.0, partial=False)


def samples(*rss: float) -> list[Sample]:
    """One each two seconds."""
    return [Sample(2.0 * place, mb, 10, 1) for place, mb in enumerate(rss)]


STEADY = samples(*[60.0] * 5, *[100.0, 101.0] * 45)


@pytest.mark.parametrize(
    ("rss", "holds"),
    [
        ([50.0] * 5 + [100.0] * 85, True),
        ([100.0] * 45 + [109.0] * 45, True),
        ([100.0] * 45 + [112.0] * 45, False),
        ([100.0 + place for place in range(90)], False),
        ([100.0] * 89 + [900.0], True),
        ([100.0] * 3, False),
    ],
    ids=["grows before it counts", "within", "beyond", "a leak", "one look at a bad moment", "too short"],
)
def test_memory_is_flat_by_the_middle_of_what_was_seen(rss: Sequence[float], holds: bool) -> None:
    assert flat(samples(*rss), 60.0, 0.10).holds is holds


async def _answer() -> None: ...


async def _raises(problem: Exception) -> None:
    raise problem


async def test_each_way_to_end_is_counted_as_what_it_is() -> None:
    tally = Tally()
    assert await tally.one("a", _answer())
    for problem in (
        Refusal(0, "", "UPSTREAM_UNAVAILABLE"),
        Refusal(0, "", "POLICY_DENIED"),
        Strange("x"),
        Unanswered("y"),
        TimeoutError(),
        ConnectionResetError(),
    ):
        assert not await tally.one("a", _raises(problem))
    assert not await tally.one("a", asyncio.Event().wait(), within_s=0.001)
    assert (dict(tally.answered), dict(tally.failed)) == ({"a": 1}, {"a: UPSTREAM_UNAVAILABLE": 1})
    assert (len(tally.strange), len(tally.unanswered), tally.asked) == (2, 4, 8)


def whole() -> Tally:
    """A run in which all went well."""
    tally = Tally()
    tally.answered["a"] = 100
    tally.heard.update(HEARD)
    return tally


def test_a_run_in_which_all_went_well_holds() -> None:
    assert [one.said for one in judged(whole(), STEADY, CHOSEN) if not one.holds] == []


@pytest.mark.parametrize("fault", ["unanswered", "strange", "failed", "left out", "silent"])
def test_each_fault_fails_the_verdict_by_itself(fault: str) -> None:
    tally = whole()
    match fault:
        case "unanswered" | "strange":
            getattr(tally, fault).append("x")
        case "failed":
            tally.failed["a: UPSTREAM_UNAVAILABLE"] = 40
        case "left out":
            tally.left_out["modern read"] = "unknown method"
        case "silent":
            del tally.heard["notifications/progress"]
    assert sum(not one.holds for one in judged(tally, STEADY, CHOSEN)) == 1


async def test_children_are_found_below_children() -> None:
    below = (
        "import subprocess; subprocess.Popen(['sh', '-c', 'echo $$; read line; exit'], stdin=subprocess.PIPE).wait()"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", below, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    grandchild = int(await child.stdout.readline())
    try:
        assert {child.pid, grandchild} <= set(children(os.getpid()))
        assert command(grandchild).startswith(b"sh\x00-c\x00")  # it has spoken, so it is no longer a copy of its parent
        assert sample(child.pid).children == 1
    finally:
        os.kill(grandchild, 9)
        await child.communicate()
    assert command(child.pid) == b""


@pytest.mark.slow
async def test_three_minutes_of_mixed_traffic_leave_nothing_behind() -> None:
    minutes = os.environ.get("MINUTES", "3")
    os.sched_setaffinity(0, set(ALLOWED))  # the bench pins its processes itself
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.soak", "--minutes", minutes, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    async with asyncio.timeout(float(minutes) * 60 + 3 * PATIENCE):
        said, _ = await child.communicate()
    print(said.decode())
    assert child.returncode == 0
