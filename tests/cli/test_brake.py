"""`brake …`: what is asked and what is shown."""

import json

import pytest

from tests.cli.commandline import Admin, Run

STOPPED = {
    "subject": "principal:agent", "level": "stop", "until": None, "seconds": None, "reason": "it \x1b[2J loops",
    "by": "os:ann", "at": 1,
}  # fmt: skip


def test_a_brake_is_set_for_a_time_and_shown_harmless(run: Run, admin: Admin) -> None:
    admin.answer = {"brakes": [STOPPED]}
    ended = run("brake", "set", "principal:agent", "stop", "--for", "2h", "--reason", "it loops")
    assert ended.out.splitlines()[0] == "subject\tlevel\tseconds\tuntil\treason\tby"
    assert "\x1b" not in ended.out
    given = {"subject": "principal:agent", "level": "stop", "seconds": 5, "lasts_s": 7200, "reason": "it loops"}
    assert admin.asked == [("brake_set", given)]


def test_what_is_to_be_noted_stands_beside_the_table(run: Run, admin: Admin) -> None:
    admin.answer = {"brakes": [STOPPED], "note": "principal:\x1bTypo names nothing"}
    ended = run("brake", "set", "principal:Typo", "stop")
    assert ended.err == "note: principal:\\u001bTypo names nothing\n"
    assert "note" not in ended.out


@pytest.mark.parametrize("lasts", ["soon", "0h", "2", "1h30m"])
def test_a_time_that_is_none_is_said(run: Run, admin: Admin, lasts: str) -> None:
    ended = run("brake", "set", "everything", "stop", "--for", lasts)
    assert ended.status == 2
    assert "--for is a time such as 30m, 4h or 2d" in ended.err
    assert admin.asked == []


def test_a_brake_is_released_and_what_is_left_is_told(run: Run, admin: Admin) -> None:
    admin.answer = {"brakes": []}
    assert run("brake", "release", "everything").out == "no brake is set\n"
    assert json.loads(run("brake", "list", "--json").out) == {"brakes": []}
    assert admin.asked == [("brake_release", {"subject": "everything"}), ("brake_list", {})]
