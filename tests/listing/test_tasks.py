"""Whose a task is: only who was told of it may ask for it, and after a restart nobody may."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import pipeline
from gateway.channel import Channel
from gateway.listing import tasks
from gateway.model import Endpoint, Outcome, Principal, Proposal, Reply
from gateway.parts import Lists
from gateway.rounds import NotOurs
from tests import nouns
from tests.path import POLICY, DataPath, data_path

RULES = POLICY + 'allow contains "tasks may be asked for" if startswith(input.other.method, "tasks/")\n'
OTHER = Principal("other", roles=("dev",))
SEVERAL = Endpoint("", ("notes", "more"), qualified=True)
UNKNOWN = {
    "code": -32602,
    "message": "taskId names no task of yours that this gateway knows. It would pass with: the call that began it made "
    "again: a restart of the gateway forgets tasks.",
}
METHODS = ("tasks/get", "tasks/update", "tasks/cancel", "tasks/result")


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[DataPath]:
    async with data_path(tmp_path, RULES) as made:
        made.executor.talks = _begins
        yield made


async def _begins(proposal: Proposal, _: Channel) -> Outcome:
    """An upstream that begins a task in place of a tool's result."""
    begun = {"resultType": "task", "taskId": "t-1", "status": "working"}
    told = {"taskId": "t-1", "status": "working"}
    return replace(nouns.outcome(), result=begun if proposal.call.kind == "tool" else told)


async def ask(path: DataPath, method: str = "tasks/get", task: Any = "t-1", **changed: Any) -> Reply:
    call = nouns.call(method, kind="other", arguments={"taskId": task}, **changed)
    return await pipeline.serve(call, path.gw)


async def test_who_began_a_task_may_ask_for_it(path: DataPath) -> None:
    assert (await path.write()).error is None
    for method in METHODS:
        for at in (nouns.NOTES, SEVERAL):
            reply = await ask(path, method, endpoint=at)
            assert reply.result is not None
            assert reply.result["status"] == "working"


@pytest.mark.parametrize("at", [nouns.NOTES, SEVERAL])
@pytest.mark.parametrize("method", METHODS)
async def test_a_task_of_somebody_else_and_one_that_never_was_get_the_same_bytes(
    path: DataPath, method: str, at: Endpoint
) -> None:
    await path.write()
    reached = len(path.executor.calls)
    for task, who in (("t-1", OTHER), ("t-2", OTHER), ("t-2", nouns.AGENT), (1, nouns.AGENT), (None, nouns.AGENT)):
        assert (await ask(path, method, task, principal=who, endpoint=at)).error == UNKNOWN
    assert len(path.executor.calls) == reached
    assert [leaf["code"] for leaf in path.leaves("call.refused")] == ["SCHEMA"] * 5


@pytest.mark.parametrize("at", [nouns.NOTES, SEVERAL])
async def test_after_a_restart_a_task_is_nobodys_and_its_owner_is_told_what_to_do(tmp_path: Path, at: Endpoint) -> None:
    async with data_path(tmp_path, RULES) as before:
        before.executor.talks = _begins
        await before.write()
        assert (await ask(before, endpoint=at)).error is None
    async with data_path(tmp_path, RULES) as after:
        after.executor.talks = _begins
        for who in (nouns.AGENT, OTHER):
            assert (await ask(after, principal=who, endpoint=at)).error == UNKNOWN
        assert after.executor.calls == []
        await after.write()
        assert (await ask(after, endpoint=at)).error is None


async def test_a_task_that_had_to_be_forgotten_is_nobodys(path: DataPath) -> None:
    await path.write()
    path.gw.lists = Lists()
    assert (await ask(path)).error == UNKNOWN


async def test_a_task_that_is_withheld_is_not_remembered(path: DataPath) -> None:
    result = 'package bascule.result\n\ndeny contains "no tasks here" if input.tool.name == "write_note"\n'
    (path.database.path.parent / "policies" / "result.rego").write_text(result)
    path.gw.pdp = path.gw.load_policy()
    await path.write()
    assert path.leaves("call.settled")[0]["ending"] == "withheld"
    assert path.gw.lists.tasks == {}


@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        ("tool", "tasks/get", {"taskId": "t-9"}),
        ("other", "vendor/get", {"taskId": "t-9"}),
        ("other", "tasks/list", {}),
    ],
)
async def test_what_names_no_task_is_left_to_the_policy(
    path: DataPath, kind: str, name: str, arguments: dict[str, Any]
) -> None:
    tasks.refuse_foreign(nouns.call(name, kind=kind, arguments=arguments), path.gw)


@pytest.mark.parametrize(
    "result", [{"taskId": "t-1"}, {"resultType": "complete", "taskId": "t-1"}, {"resultType": "task", "taskId": 1}]
)
async def test_only_a_task_is_remembered(path: DataPath, result: dict[str, Any]) -> None:
    tasks.remember(nouns.proposal(), replace(nouns.outcome(), result=result), path.gw)
    assert path.gw.lists.tasks == {}
    with pytest.raises(NotOurs):
        tasks.refuse_foreign(nouns.call("tasks/get", kind="other", arguments={"taskId": "t-1"}), path.gw)
