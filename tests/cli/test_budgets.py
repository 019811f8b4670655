"""`budgets …`: what is asked and what is shown."""

import json

from tests.cli.commandline import Admin, Run

BUDGETS = [
    {
        "name": "refunds",
        "of": "money EUR",
        "limit": 500,
        "window_s": 60,
        "counters": [
            {"scope": {"principal": "a\x1b[2Jb", "tool": "x/y"}, "used": 7, "reserved": 3, "left": 490, "frees_in_s": 9}
        ],
    },
    {"name": "unused", "of": "calls", "limit": 5, "window_s": None, "counters": []},
]


def test_each_counter_is_a_line_and_shown_harmless(run: Run, admin: Admin) -> None:
    admin.answer = {"budgets": BUDGETS}
    said = run("budgets", "list").out
    first, refunds, unused = said.splitlines()
    assert first == "budget\tof\twhose\tlimit\tused\treserved\tleft\tfrees_in_s"
    assert refunds.startswith("refunds\tmoney EUR\tprincipal:a")
    assert refunds.endswith("tool:x/y\t500\t7\t3\t490\t9")
    assert unused.split("\t") == ["unused", "calls", "", "5", "0", "0", "5", ""]
    assert "\x1b" not in said
    assert json.loads(run("budgets", "list", "--json").out) == admin.answer
    assert admin.asked == [("budgets_list", {})] * 2


def test_that_there_is_none_is_said(run: Run, admin: Admin) -> None:
    admin.answer = {"budgets": []}
    assert run("budgets", "list").out == "no budget is declared\n"
