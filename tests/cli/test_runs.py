"""`runs …`: what is asked and what is shown."""

import json

from tests.cli.commandline import Admin, Run


def test_runs_are_listed_newest_first_as_they_were_told(run: Run, admin: Admin) -> None:
    admin.answer = {"runs": [{"run": "r1", "state": "frozen", "ending": "unknown", "upstream": "crm", "tool": "find"}]}
    assert run("runs", "list", "--unfinished", "-n", "3").out.splitlines() == [
        "run\tstate\tending\tcode\tprincipal\tupstream\ttool",
        "r1\tfrozen\tunknown\t-\t-\tcrm\tfind",
    ]
    assert admin.asked == [("runs_list", {"limit": 3, "unfinished": True})]
    assert json.loads(run("runs", "list", "--json").out) == admin.answer


def test_no_runs_are_said(run: Run, admin: Admin) -> None:
    admin.answer = {"runs": []}
    assert run("runs", "list").out == "no runs\n"
