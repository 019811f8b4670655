"""What the demonstration prints."""

import pytest

from examples.demo.page import NotShown, Page, expect


def test_without_a_terminal_no_colour_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    page = Page()
    page.scene("First")
    page.passes("seen")
    page.stops("refused")
    assert capsys.readouterr().out == "\n1. First\n     ✓ seen\n     ✗ refused\n"


def test_on_a_terminal_marks_are_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    Page(colours=True).passes("seen")
    assert capsys.readouterr().out == "     \033[32m✓\033[0m seen\n"


def test_a_failure_is_counted_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    page = Page()
    page.fails("nothing happened")
    assert page.failed == 1
    assert "not as it should be: nothing happened" in capsys.readouterr().out


def test_what_was_not_seen_fails_the_scene() -> None:
    expect([1], "never")
    with pytest.raises(NotShown, match="the list is empty"):
        expect([], "the list is empty")
