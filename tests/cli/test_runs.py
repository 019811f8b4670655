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


def test_a_run_is_shown_with_its_records_its_approval_and_what_is_next(run: Run, admin: Admin) -> None:
    decision = {"effect": "require_approval", "action": "require_approval", "code": "APPROVAL_REQUIRED"}
    asked = {"index": 7, "time": "t", "record": "approval.requested", "decision": decision, "approval": "a1"}
    said = {"approver": "ann\x1b[2J", "verdict": "grant", "signed": True}
    admin.answer = {
        **dict.fromkeys(("ending", "code", "tenant", "task", "upstream", "tool"), ""),
        "run": "r1", "state": "waiting", "principal": "agent", "links": {"within": "r0"}, "records": [asked],
        "approval": {"approval": "a1", "state": "waiting", "expires": 0, "needed": 2, "answers": [said]},
        "next": "people are asked",
    }  # fmt: skip
    assert run("runs", "show", "r1").out.splitlines() == [
        "run: r1",
        "state: waiting",
        "principal: agent",
        "within: r0",
        "index\ttime\trecord\teffect\taction\tcode\tending\tapproval",
        "7\tt\tapproval.requested\trequire_approval\trequire_approval\tAPPROVAL_REQUIRED\t-\ta1",
        "approval a1: waiting, until 1970-01-01 00:00:00 UTC, needs 2; ann\\u001b[2J: grant",
        "next: people are asked",
    ]
    assert admin.asked == [("runs_show", {"run": "r1"})]
    assert json.loads(run("runs", "show", "r1", "--json").out) == admin.answer


def test_what_a_frozen_run_came_to_is_said_with_a_reason(admin: Admin, run: Run) -> None:
    admin.answer = {"run": "r1", "state": "ended", "ending": "failed"}
    ended = run("runs", "resolve", "r1", "--as", "failed", "--reason", "the order is still open")
    assert ended.out == "run r1 is ended: failed\n"
    assert json.loads(run("runs", "resolve", "r1", "--as", "done", "--reason", "x", "--json").out) == admin.answer
    given = {"run": "r1", "came_to": "failed", "reason": "the order is still open"}
    assert admin.asked[0] == ("runs_resolve", given)
