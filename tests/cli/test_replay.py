"""What a replay shows: differences first, nothing that steers a terminal, and a status a program can act on."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.model import JsonObject
from tests.cli.commandline import Admin, Run

ALLOWED: JsonObject = {"effect": "allow", "code": None, "reasons": ["notes"], "obligations": [], "demands": None}
DENIED: JsonObject = {"effect": "deny", "code": "NO_RULE", "reasons": [], "obligations": [], "demands": None}


def step(number: int, verdict: str, **changed: Any) -> JsonObject:
    made = {
        "step": number, "index": 10 + number, "point": "call", "principal": "agent", "upstream": "kept",
        "tool": "write_note", "recorded": ALLOWED, "now": ALLOWED, "verdict": verdict, "changed": [], "why": "",
    }  # fmt: skip
    return made | changed


def answer(*steps: JsonObject, **changed: Any) -> JsonObject:
    counts = {verdict: sum(one["verdict"] == verdict for one in steps) for verdict in ("changed", "undecided", "equal")}
    made = {"against": None, "decisions": len(steps), **counts, "without": 0, "steps": list(steps), "rules": []}
    return made | changed


CHANGED = step(2, "changed", now=DENIED, changed=["effect", "code", "reasons"])
ERASED = step(3, "undecided", now=None, why="payload not kept")
SAME = answer(step(1, "equal"))


@pytest.mark.parametrize("words", [("runs", "replay", "r1"), ("tasks", "replay", "t1")])
def test_where_nothing_differs_it_ends_with_0(run: Run, admin: Admin, words: tuple[str, ...]) -> None:
    admin.answer = SAME
    ended = run(*words)
    assert ended.status == 0
    assert ended.out.splitlines() == [
        "step\trecord\tpoint\tprincipal\tupstream\ttool\trecorded\tnow\tverdict",
        "1\t11\tcall\tagent\tkept\twrite_note\tallow\tallow\tequal",
        "1 decision(s) made again: 0 changed, 0 undecided, 1 equal",
        "decided by: the policies that decided then",
    ]
    assert admin.asked == [(f"{words[0]}_replay", {words[0][:-1]: words[2], "against": None})]


def test_differences_are_told_in_full_and_end_with_1(run: Run, admin: Admin, tmp_path: Path) -> None:
    rules = [
        {"point": "call", "rule": "notes", "recorded": 2, "now": 1},
        {"point": "call", "rule": "reads", "recorded": 1, "now": 1},
    ]
    admin.answer = answer(CHANGED, step(1, "equal"), rules=rules, against="sha256:1", without=3)
    ended = run("tasks", "replay", "t1", "--against", str(tmp_path))
    assert ended.status == 1
    assert ended.out.splitlines()[1:] == [
        "2\t12\tcall\tagent\tkept\twrite_note\tallow\tdeny NO_RULE\tchanged",
        "1\t11\tcall\tagent\tkept\twrite_note\tallow\tallow\tequal",
        'step 2 (record 12), reasons: ["notes"] -> []',
        "",
        "point\trule\trecorded\tnow",
        "call\tnotes\t2\t1",
        "2 decision(s) made again: 1 changed, 0 undecided, 1 equal",
        "3 record(s) hold no decision",
        "decided by: sha256:1",
    ]
    assert admin.asked == [("tasks_replay", {"task": "t1", "against": str(tmp_path)})]


def test_what_is_not_kept_is_said_and_ends_with_1(run: Run, admin: Admin) -> None:
    unsaid = ALLOWED | {"reasons": None}
    admin.answer = answer(ERASED, step(4, "changed", recorded=unsaid, changed=["effect"]))
    ended = run("runs", "replay", "r1")
    assert ended.status == 1
    assert "payload not kept: 1 decision(s) could not be made again" in ended.out
    assert 'step 4 (record 14), reasons: not kept -> ["notes"]' in ended.out


def test_nothing_recorded_steers_the_terminal(run: Run, admin: Admin) -> None:
    reasons = {"reasons": ["a\x1b[2J\u202eb"]}
    sly = step(1, "changed", tool="x\x1b[2J", now=ALLOWED | reasons, changed=["reasons"])
    rules = [{"point": "call", "rule": "a\x1b[2J", "recorded": 0, "now": 1}]
    admin.answer = answer(sly, ERASED | {"why": "\x1b[2J"}, rules=rules)
    ended = run("runs", "replay", "r1")
    assert not {"\x1b", "\u202e"} & set(ended.out)
    assert "a\\u001b[2J" in ended.out


@pytest.mark.parametrize(("given", "status"), [(SAME, 0), (answer(CHANGED), 1), (answer(ERASED), 1)])
def test_as_json_it_is_whole_and_the_status_is_the_same(run: Run, admin: Admin, given: JsonObject, status: int) -> None:
    admin.answer = given
    ended = run("runs", "replay", "r1", "--json")
    assert (ended.status, json.loads(ended.out)) == (status, given)


def test_past_decisions_are_asked_for_by_time_and_number(run: Run, admin: Admin, tmp_path: Path) -> None:
    admin.answer = answer(CHANGED, more=True, changed=2)
    ended = run("policy", "replay", "--against", str(tmp_path), "--since", "7d", "--limit", "5")
    assert ended.status == 1
    assert "only the first 1 are shown" in ended.out
    assert admin.asked == [("policy_replay", {"against": str(tmp_path), "since": "7d", "limit": 5})]


def test_a_folder_that_is_not_there_is_said_before_anybody_is_asked(run: Run, admin: Admin, tmp_path: Path) -> None:
    for words in (("runs", "replay", "r1"), ("tasks", "replay", "t1"), ("policy", "replay")):
        ended = run(*words, "--against", str(tmp_path / "none"))
        assert (ended.status, "no policies at" in ended.err) == (2, True)
    assert run("policy", "replay").status == 2
    assert admin.asked == []
