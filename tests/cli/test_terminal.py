"""What is printed where, and statuses."""

import sys
import threading

import pytest

from gateway.cli import terminal
from gateway.cli.terminal import Status, printable, status_of_code, table, working
from gateway.model import Code, JsonObject

ROWS: list[JsonObject] = [
    {"name": "notes", "tools": {"accepted": 3, "waiting": 1}, "until": None},
    {"name": "a\tb\nc\x1b[31m"},
]
COLUMNS = ("name", "tools", "until")


def test_a_pipe_gets_lines_with_tabs_and_nothing_that_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table(ROWS, COLUMNS, none="none")
    assert capsys.readouterr().out.splitlines() == [
        "name\ttools\tuntil",
        "notes\t3 accepted, 1 waiting\t-",
        "a b c\\u001b[31m\t-\t-",
    ]


def test_a_terminal_gets_a_table_in_which_names_are_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    table([{"name": "[bold]x[/bold]", "tools": []}], COLUMNS, none="none")
    said = capsys.readouterr().out
    assert "[bold]x[/bold]" in said
    assert "─" in said


def test_no_rows_are_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    table([], COLUMNS, none="no upstreams")
    assert capsys.readouterr().out == "no upstreams\n"


@pytest.mark.parametrize("code", Code)
def test_each_code_has_a_status(code: Code) -> None:
    expected = {Code.APPROVAL_REQUIRED: Status.WAITING, Code.UNAUTHENTICATED: Status.USAGE}
    expected |= dict.fromkeys(terminal.FAILURES, Status.FAILED)
    assert status_of_code(code) is expected.get(code, Status.REFUSED)


def test_what_takes_longer_than_a_second_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = threading.Event()
    monkeypatch.setattr(terminal, "QUIET_S", 0)
    monkeypatch.setattr("builtins.print", lambda *_, **__: said.set())
    with working("verifying"):
        assert said.wait(60)


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "QUIET_S", 3600)
    with working("verifying"):
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "shown"), [("plain ü\n", "plain ü\n"), ("\x1b[2J", "\\u001b[2J"), ("a\u202eb", "a\\u202eb")]
)
def test_what_could_steer_a_terminal_is_made_visible(text: str, shown: str) -> None:
    assert printable(text) == shown
