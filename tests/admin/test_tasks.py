"""Tasks as their runs tell of them."""

import pytest

from gateway.admin import tasks, tasks_list, tasks_show
from gateway.errors import ConfigError
from tests.path import DataPath

WHO = "os:tester"


async def test_tasks_are_listed_with_the_newest_call_first(path: DataPath) -> None:
    for task in ("one", "two", "one"):
        await path.call(task=task)
    listed = (await tasks_list(path.gw.archive, operator=WHO))["tasks"]
    assert [(one["task"], one["runs"], one["unfinished"], one["principal"]) for one in listed] == [
        ("one", 2, 0, "agent"),
        ("two", 1, 0, "agent"),
    ]
    assert listed[0]["first"] < listed[1]["first"] < listed[0]["last"]
    assert len((await tasks_list(path.gw.archive, operator=WHO, limit=1))["tasks"]) == 1


async def test_only_the_newest_runs_are_looked_through(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    for task in ("one", "two"):
        await path.call(task=task)
    monkeypatch.setattr(tasks, "AMONG", 1)
    assert [one["task"] for one in (await tasks_list(path.gw.archive, operator=WHO))["tasks"]] == ["two"]


async def test_a_task_is_shown_in_order_with_how_each_run_ended(path: DataPath) -> None:
    await path.call(task="one", arguments={"path": "private/a", "text": "x"})
    await path.call(task="two")
    await path.call(task="one")
    found = await tasks_show(path.gw.archive, operator=WHO, task="one")
    assert [run["ending"] for run in found["runs"]] == ["refused", "done"]
    assert found["endings"] == {"refused": 1, "done": 1}
    with pytest.raises(ConfigError, match="there is no task x: see `bascule tasks list`"):
        await tasks_show(path.gw.archive, operator=WHO, task="x")
