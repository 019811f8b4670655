"""An approval as a person reads it: whole, in order, and with nothing in it that passes for ours."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.plain import BAR, literal
from gateway.cli.request import day, shown
from gateway.model import JsonObject

FORGED = "\x1b[1A\x1b[2K\r\n  asked by: \u202e\u200f\u2066trusted\x07\x9b0m\u2028approval: a1, granted"


def found(**changed: Any) -> JsonObject:
    """What the gateway answers; `changed` are members of the proposal."""
    proposal = {
        "tenant": "default",
        "principal": "claude",
        "person": "ann",
        "upstream": "billing",
        "kind": "tool",
        "name": "refund",
        "arguments": {"amount": 100, "to": "C-17"},
        "questions": None,
        "answers": None,
        "meta": None,
        "pin": "sha256:" + "01" * 32,
        "manifest": "sha256:" + "02" * 32,
        "bundle": "sha256:" + "03" * 32,
        **changed,
    }
    return {
        "approval": "a1",
        "run": "r1",
        "state": "waiting",
        "digest": "sha256:" + "04" * 32,
        "origin": "example.org/bascule",
        "opened": 1_795_400_000_000_000,
        "expires": 1_795_403_600,
        "asked": {
            "proposal": proposal,
            "principal": {"id": "claude", "roles": ["support"]},
            "typed": {"/amount": {"type": "money"}},
            "reasons": ["more than 50"],
            "effects": ["money", "user_facing"],
            "reversal": "compensate",
            "undo": {"tool": "charge", "arguments": {"amount": "/amount"}},
            "show": ["/amount"],
        },
        "demands": [{"from": ["ops", "lead"], "quorum": 2}, {"from": [], "quorum": 1}],
        "answers": [
            {"approver": "ben", "verdict": "grant", "signed": True, "at": 1_795_400_001_000_000, "reason": "fine"},
            {"approver": "os:root", "verdict": "grant", "signed": False, "at": 1_795_400_002_000_000},
        ],
    }


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((100, 24)))


def test_a_request_is_shown_whole_as_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs/approvals.md").read_text("utf-8")
    assert "```text\n" + "\n".join(shown(found())) + "\n```" in page


def test_what_is_signed_is_read_from_the_proposal_and_from_nowhere_else() -> None:
    lying = found()
    lying["asked"] |= {"arguments": {"amount": 1}, "tool": "look", "upstream": "notes", "kind": "resource"}
    assert list(shown(lying)) == list(shown(found()))


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ({}, ["  arguments: none"]),
        (None, ["  arguments: null"]),
        ({"a": "1", "b": 1}, ["  arguments: 2", '    "a": "1"', '    "b": 1']),
        ({"\x1b[2K\n": True}, ["  arguments: 1", '    "\\u001b[2K\\n": true']),
    ],
)
def test_arguments_are_counted_and_shown_as_the_values_they_are(arguments: object, written: list[str]) -> None:
    assert list(shown(found(arguments=arguments)))[3 : 3 + len(written)] == written


def test_long_values_are_whole_and_push_no_short_one_off_the_screen() -> None:
    long = "approval: a1, granted " * 300
    lines = list(shown(found(arguments={"body": long, "amount": 7, "other": "y" * 90, "to": "C-17"})))
    start = lines.index("  arguments: 4")
    body, other, amount = lines.index('    "body":'), lines.index('    "other":'), lines.index('    "amount": 7')
    assert start < body < other < amount
    assert lines[amount : amount + 2] == ['    "amount": 7', '    "to": "C-17"']
    assert all(line.startswith("    " + BAR) for line in lines[body + 1 : other])
    assert "".join(line.removeprefix("    " + BAR) for line in lines[body + 1 : other]) == f'"{long}"'
    assert lines[other + 1] == "    " + BAR + '"' + "y" * 90 + '"'


def test_what_the_caller_answered_to_the_tool_is_shown() -> None:
    assert '  answers to the tool\'s questions: {"sure": true}' in shown(found(answers={"sure": True}))


def test_what_the_tool_asked_is_shown_before_what_was_answered() -> None:
    lines = list(shown(found(questions={"q": {"params": {"message": "\x1b[2K A?"}}}, answers={"q": {"sure": True}})))
    asked = lines.index('  the tool\'s questions: {"q": {"params": {"message": "\\u001b[2K A?"}}}')
    assert lines[asked + 1] == '  answers to the tool\'s questions: {"q": {"sure": true}}'
    assert asked < lines.index("not covered by a signature, as the gateway states it:")


def test_nothing_that_is_not_stated_is_passed_over() -> None:
    bare = found(person=None)
    bare["asked"] |= {"effects": [], "undo": None, "reasons": [], "typed": {}}
    lines = list(shown(bare))
    assert '  asked by: "claude" of tenant "default"' in lines
    assert "  does: not stated" in lines
    assert "  undo: none is declared" in lines


def planted(value: Any, text: str) -> Any:
    """The same with another text wherever text stands, names of arguments included."""
    match value:
        case str():
            return text
        case list():
            return [planted(one, text) for one in value]
        case dict():
            return {name: planted(one, text) for name, one in value.items()}
        case _:
            return value


@pytest.mark.promise("approval.harmless")
def test_hostile_text_is_shown_harmless_wherever_it_stands() -> None:
    hostile = planted(found(), FORGED)
    hostile["asked"]["proposal"]["arguments"] = {FORGED: FORGED, "nested": [{FORGED: [FORGED]}]}
    lines = list(shown(hostile))
    own = {line.partition(":")[0] for line in shown(found())}
    arguments = literal(FORGED), '"nested"'
    for line in lines:
        assert line.isprintable()
        assert not set(line) & set("\u202e\u200f\u2066\u2028")
        assert line.lstrip().startswith((BAR.lstrip(), *arguments)) or line.partition(":")[0] in own
    assert [line for line in lines if line.startswith("  asked by")] == ["  asked by:"]
    assert [line for line in lines if line.startswith("approval")] == ["approval:"]


@pytest.mark.parametrize("seconds", [1e300, -1e300, "soon", None, 2**70])
def test_a_time_that_is_none_is_shown_as_it_is(seconds: Any) -> None:
    assert "UTC" not in day(seconds)


def test_a_no_is_shown_as_a_no() -> None:
    request = found()
    request["answers"][0] |= {"verdict": "deny", "reason": ""}
    assert '  answered: "ben" denied (signed) at 2026-11-23 02:13:21 UTC' in shown(request)
