"""`policy …`: what is asked, what is shown, and when it fails."""

import json
from pathlib import Path

import pytest

from gateway.model import JsonObject
from tests.cli.commandline import Admin, Run

PASSED: JsonObject = {"package": "bascule.call_test", "name": "test_read", "status": "pass"}
FAILED: JsonObject = {
    "package": "bascule.call_test",
    "name": "test_write",
    "status": "fail",
    "file": "call_test.rego",
    "line": 7,
    "detail": "deny was empty",
}
ERROR: JsonObject = {"package": "bascule.call_test", "name": "test_x", "status": "error"}


@pytest.fixture
def policies(here: Path) -> Path:
    folder = here / "policies"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("tests", "passed", "failed", "status", "said"),
    [
        ([PASSED], 1, 0, 0, "PASS: 1/1\n"),
        ([], 0, 0, 1, "no test was found: rules named test_* are tests\n"),
        (
            [PASSED, FAILED],
            1,
            1,
            1,
            "FAIL: bascule.call_test.test_write (call_test.rego:7)\n  deny was empty\nPASS: 1/2\nFAIL: 1/2\n",
        ),
        ([ERROR], 0, 1, 1, "ERROR: bascule.call_test.test_x\nPASS: 0/1\nFAIL: 1/1\n"),
    ],
)
def test_tests_are_told_as_opa_does_and_fail_when_one_does(
    policies: Path, run: Run, admin: Admin, tests: list[JsonObject], passed: int, failed: int, status: int, said: str
) -> None:
    admin.answer = {"tests": tests, "passed": passed, "failed": failed}
    ended = run("policy", "test")
    assert (ended.status, ended.out) == (status, said)
    assert admin.asked == [("policy_test", {"directory": str(policies), "coverage": False})]
    again = run("policy", "test", "--json")
    assert (again.status, json.loads(again.out)) == (status, admin.answer)


def test_coverage_names_the_lines_that_no_test_reached(policies: Path, run: Run, admin: Admin) -> None:
    admin.answer = {"tests": [PASSED], "passed": 1, "failed": 0, "coverage": {"call.rego": [3, 4], "list.rego": []}}
    assert "not reached: call.rego: 3, 4\nnot reached: list.rego: nothing\n" in run("policy", "test", "--coverage").out
    assert admin.asked == [("policy_test", {"directory": str(policies), "coverage": True})]


@pytest.mark.parametrize(
    ("findings", "status", "said"),
    [
        ([], 0, "nothing found\n"),
        (
            [{"file": "a.rego", "line": 3, "column": 2, "severity": "warning", "problem": "slow", "fix": "no glob"}],
            0,
            "a.rego:3:2: warning: slow; no glob\n1 finding(s)\n",
        ),
        ([{"file": "a.rego", "severity": "error", "problem": "unsafe"}], 1, "a.rego: error: unsafe\n1 finding(s)\n"),
    ],
)
def test_a_check_fails_on_errors_only(
    policies: Path, run: Run, admin: Admin, findings: list[JsonObject], status: int, said: str
) -> None:
    admin.answer = {"findings": findings}
    ended = run("policy", "check", "policies")
    assert (ended.status, ended.out) == (status, said)
    assert json.loads(run("policy", "check", "--json").out) == admin.answer
    assert admin.asked == [("policy_check", {"directory": str(policies)})] * 2


@pytest.mark.parametrize("command", ["test", "check"])
def test_a_folder_given_needs_no_configuration(here: Path, run: Run, admin: Admin, command: str) -> None:
    (here / "bascule.yaml").unlink()
    (here / "rules").mkdir()
    admin.answer = {"tests": [PASSED], "passed": 1, "failed": 0, "findings": []}
    assert run("policy", command, "rules").status == 0
    assert run("policy", command).status == 2
    ended = run("policy", command, "none")
    assert ended.status == 2
    assert "no policies at none" in ended.err


def test_a_record_is_decided_again(here: Path, run: Run, admin: Admin) -> None:
    admin.answer = {"index": 17, "same": True}
    assert json.loads(run("policy", "eval", "--record", "17").out) == admin.answer
    admin.answer = {"index": 17, "same": False}
    assert run("policy", "eval", "--record", "17").status == 1
    assert admin.asked == [("policy_eval", {"record": "17", "input": None})] * 2


def test_an_input_is_decided_now(here: Path, run: Run, admin: Admin) -> None:
    (here / "input.json").write_text('{"v": 1, "point": "call"}')
    admin.answer = {"point": "call"}
    assert run("policy", "eval", "--input", "input.json").status == 0
    assert admin.asked == [("policy_eval", {"record": None, "input": {"v": 1, "point": "call"}})]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "either --record ID or --input FILE"),
        (("--record", "1", "--input", "x"), "either --record ID or --input FILE"),
        (("--input", "none.json"), "cannot be read"),
        (("--input", "list.json"), "should be a JSON object"),
    ],
)
def test_an_eval_of_nothing_ends_with_2(here: Path, run: Run, admin: Admin, words: tuple[str, ...], why: str) -> None:
    (here / "list.json").write_text("[]")
    ended = run("policy", "eval", *words)
    assert ended.status == 2
    assert why in ended.err
    assert admin.asked == []


def test_a_reload_says_what_is_in_force(here: Path, run: Run, admin: Admin) -> None:
    admin.answer = {"bundle": "sha256:2", "was": "sha256:1"}
    assert run("policy", "reload").out == "in force: sha256:2\nbefore:   sha256:1\n"
    assert json.loads(run("policy", "reload", "--json").out) == admin.answer


SUGGESTED: JsonObject = {
    "calls": 3, "looked": 5, "not_kept": 0, "still": [], "left": [],
    "grants": [{"grant": "suggested: x", "calls": 3}],
    "files": {"suggested.rego": "package bascule.call\n", "suggested_test.rego": "package suggested_test\n"},
}  # fmt: skip
LEFT = {"principal": "ann\x1b[0m", "upstream": "files", "tool": "drop", "calls": 2, "why": "a rule refuses it"}
STILL = {"principal": "ann", "upstream": "files", "tool": "read", "calls": 1}


def test_a_suggestion_is_shown_and_nothing_is_written(here: Path, run: Run, admin: Admin) -> None:
    admin.answer = SUGGESTED
    ended = run("policy", "suggest", "--since", "24h", "--upstream", "files")
    assert (ended.status, ended.out, ended.err) == (0, "package bascule.call\n\n", "")
    asked = {"since": "24h", "upstream": "files", "principal": "", "refused": False, "everything": False}
    assert admin.asked == [("policy_suggest", asked | {"by": "principal"})]
    assert json.loads(run("policy", "suggest", "--json").out) == SUGGESTED
    assert sorted(path.name for path in here.iterdir()) == ["bascule.yaml"]


def test_a_suggestion_is_written_and_never_over_what_is_there_unless_forced(here: Path, run: Run, admin: Admin) -> None:
    admin.answer = SUGGESTED
    assert "policies/suggested.rego: written" in run("policy", "suggest", "--write", "policies").out
    file = here / "policies" / "suggested.rego"
    assert (here / "policies" / "suggested_test.rego").read_text() == "package suggested_test\n"
    file.write_text("mine")
    ended = run("policy", "suggest", "--write", "policies")
    assert (ended.status, file.read_text()) == (2, "mine")
    assert "already there" in ended.err
    assert run("policy", "suggest", "--write", "policies", "--force").status == 0
    assert file.read_text() == "package bascule.call\n"
    (here / "file").write_text("")
    assert run("policy", "suggest", "--write", "file/in").status == 2


def test_what_a_suggestion_leaves_out_is_said_apart_from_it(here: Path, run: Run, admin: Admin) -> None:
    admin.answer = SUGGESTED | {"left": [LEFT], "still": [STILL], "not_kept": 2}
    ended = run("policy", "suggest")
    assert (ended.status, ended.out) == (0, "package bascule.call\n\n")
    assert ended.err.splitlines() == [
        "left to you: ann\\u001b[0m, files/drop, 2 calls: a rule refuses it",
        "still not allowed: ann, files/read, 1 calls",
        "payload not kept: 2 calls, so nothing is suggested for them",
    ]
    admin.answer = SUGGESTED | {"still": None}
    assert "not tried" in run("policy", "suggest").err


@pytest.mark.parametrize(("not_kept", "status"), [(0, 0), (4, 1)])
def test_without_payloads_it_fails_and_without_calls_it_does_not(
    here: Path, run: Run, admin: Admin, not_kept: int, status: int
) -> None:
    admin.answer = SUGGESTED | {"calls": 0, "grants": [], "files": {}, "not_kept": not_kept}
    ended = run("policy", "suggest", "--write", "policies")
    assert (ended.status, ended.out) == (status, "")
    assert ("payload not kept" in ended.err) is bool(not_kept)
    assert "nothing to suggest" in ended.err
