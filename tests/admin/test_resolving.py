"""The operator action that ends a frozen run."""

from typing import Any

import pytest

from gateway.admin.resolving import runs_resolve
from gateway.allowances import BudgetSettings
from gateway.audit.verify import verify
from gateway.errors import ConfigError, Failed
from gateway.keyed import META
from gateway.model import Code, JsonObject, Limits, Outcome, Proposal
from tests.agreeing import OPERATOR
from tests.path import DataPath

ARGUMENTS = {"path": "notes/a.md", "text": "hello"}
SEEN = {"operator": OPERATOR, "reason": "the note is there"}


async def lost(_proposal: Proposal, _limits: Limits) -> Outcome:
    raise Failed(Code.UPSTREAM_TIMEOUT, "the upstream did not answer in time", unknown=True)


async def write(path: DataPath) -> JsonObject:
    reply = await path.call(arguments=ARGUMENTS, meta={META: "k"})
    assert reply.result is not None
    told: JsonObject = reply.result["_meta"]["bascule/decision"]
    return told


async def frozen(path: DataPath) -> str:
    path.executor.answer = lost
    run: str = (await write(path))["run"]
    path.executor.answer = None
    return run


@pytest.mark.promise("runs.resolved")
@pytest.mark.parametrize("came_to", ["done", "failed"])
async def test_a_person_says_what_a_frozen_run_came_to_and_the_record_has_who_and_why(
    path: DataPath, came_to: str
) -> None:
    run = await frozen(path)
    assert await runs_resolve(path.gw, run=run, came_to=came_to, **SEEN) == {
        "run": run,
        "state": "ended",
        "ending": came_to,
    }
    row = path.gw.archive.reader.run(run)
    assert row is not None
    assert (row.state, row.ending) == ("ended", came_to)
    (resolved,) = path.leaves("run.resolved")
    assert (resolved["run"], resolved["ending"], resolved["sealed"]) == (run, came_to, SEEN)
    assert len(path.leaves("call.settled")) == 1
    report = verify(path.gw.archive.reader, path.gw.archive.vkey, sealing=path.sealing)
    assert [one for one in report.findings if not one.where.startswith("bundle")] == []


@pytest.mark.promise("key.doubt")
async def test_of_what_was_done_the_key_says_so_and_what_was_not_done_may_be_tried_again(path: DataPath) -> None:
    run = await frozen(path)
    assert (await write(path))["code"] == "OUTCOME_UNKNOWN"
    await runs_resolve(path.gw, run=run, came_to="done", **SEEN)
    assert ((await write(path))["run"], len(path.executor.calls)) == (run, 1)


async def test_the_key_of_what_was_not_done_is_free(path: DataPath) -> None:
    run = await frozen(path)
    await runs_resolve(path.gw, run=run, came_to="failed", **SEEN)
    assert (await write(path))["run"] != run
    assert len(path.executor.calls) == 2


@pytest.mark.parametrize(
    ("came_to", "used"), [("done", {"calls": 1, "units": 3}), ("failed", {"calls": 1, "units": 0})]
)
async def test_what_it_reserved_is_spent_or_free(path: DataPath, came_to: str, used: dict[str, int]) -> None:
    path.gw.budgets.declared = {
        "calls": BudgetSettings.model_validate({"of": "calls", "limit": 9}),
        "units": BudgetSettings.model_validate({"of": "units", "limit": 9, "cost": {"fixed": 3}}),
    }
    run = await frozen(path)
    assert {row.budget: row.reserved for row, _ in path.gw.budgets.rows()} == {"calls": 1, "units": 3}
    await runs_resolve(path.gw, run=run, came_to=came_to, **SEEN)
    assert {row.budget: row.used for row, _ in path.gw.budgets.rows()} == used
    assert {row.reserved for row, _ in path.gw.budgets.rows()} == {0}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"run": "01990000-0000-7000-8000-000000000001"}, "there is no run 01990000"),
        ({"came_to": "unknown"}, "a run came to one of: done, failed"),
        ({"reason": " "}, "say how you know"),
        ({"reason": "x" * 1001}, "at most 1000 letters"),
    ],
)
async def test_what_cannot_be_said_is_refused_and_changes_nothing(
    path: DataPath, wrong: dict[str, Any], said: str
) -> None:
    run = await frozen(path)
    with pytest.raises(ConfigError, match=said):
        await runs_resolve(path.gw, **{"run": run, "came_to": "done", **SEEN, **wrong})
    row = path.gw.archive.reader.run(run)
    assert row is not None
    assert row.state == "frozen"
    assert path.leaves("run.resolved") == []


async def test_nothing_but_a_frozen_run_is_resolved_and_that_only_once(path: DataPath) -> None:
    done = (await write(path))["run"]
    with pytest.raises(ConfigError, match="is ended: only a frozen run waits for a person"):
        await runs_resolve(path.gw, run=done, came_to="failed", **SEEN)
    path.executor.answer = lost
    reply = await path.write("notes/b.md")
    assert reply.result is not None
    run = reply.result["_meta"]["bascule/decision"]["run"]
    await runs_resolve(path.gw, run=run, came_to="done", **SEEN)
    with pytest.raises(ConfigError, match="only a frozen run"):
        await runs_resolve(path.gw, run=run, came_to="failed", **SEEN)
