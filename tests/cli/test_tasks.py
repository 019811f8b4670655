"""`tasks …`: what is asked and what is shown. What a replay shows is in test_replay.py."""

import json

from tests.cli.commandline import Admin, Run

RUN = {
    "run": "r1", "state": "ended", "ending": "done", "code": "", "principal": "agent", "upstream": "kept",
    "tool": "write_note", "opened": 1_600_000_000_000_000,
}  # fmt: skip


def test_tasks_are_listed(run: Run, admin: Admin) -> None:
    one = {"task": "named:agent:\x1b[2J", "principal": "agent", "runs": 2, "unfinished": 1, "first": 0, "last": 10**12}
    admin.answer = {"tasks": [one]}
    assert run("tasks", "list", "-n", "3").out.splitlines() == [
        "task\tprincipal\truns\tunfinished\tfirst\tlast",
        "named:agent:\\u001b[2J\tagent\t2\t1\t1970-01-01 00:00:00 UTC\t1970-01-12 13:46:40 UTC",
    ]
    assert admin.asked == [("tasks_list", {"limit": 3})]
    assert json.loads(run("tasks", "list", "--json").out) == admin.answer
    admin.answer = {"tasks": []}
    assert run("tasks", "list").out == "no tasks\n"


def test_a_task_is_shown_with_its_runs_in_order(run: Run, admin: Admin) -> None:
    admin.answer = {"task": "t1", "endings": {"done": 1}, "runs": [RUN]}
    assert run("tasks", "show", "t1").out.splitlines() == [
        "run\topened\tstate\tending\tcode\tprincipal\tupstream\ttool",
        "r1\t2020-09-13 12:26:40 UTC\tended\tdone\t\tagent\tkept\twrite_note",
        "1 run(s): 1 done",
    ]
    assert admin.asked == [("tasks_show", {"task": "t1"})]
    assert json.loads(run("tasks", "show", "t1", "--json").out) == admin.answer
