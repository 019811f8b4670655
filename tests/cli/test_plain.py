"""What somebody else wrote cannot hide, steer the terminal, or pass for a line of ours."""

import json
import os
import random
import shutil
import unicodedata
from typing import Any

import pytest

from gateway.cli import plain as module
from gateway.cli.plain import BAR, fits, lines, literal, plain

NARROW = 60


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((NARROW, 24)))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain text, as it is", '"plain text, as it is"'),
        ("100", '"100"'),
        (100, "100"),
        (None, "null"),
        ({"a": [1, True, 0.5]}, '{"a": [1, true, 0.5]}'),
        ('a "quote" and a \\ backslash', '"a \\"quote\\" and a \\\\ backslash"'),
        ("\x1b[2J\x1b]0;title\x07", '"\\u001b[2J\\u001b]0;title\\u0007"'),
        ("\x9b31m\x7f", '"\\u009b31m\\u007f"'),
        ("one\ntwo\r\n\tthree", '"one\\ntwo\\r\\n\\tthree"'),
        ("\u2028\u2029\x85", '"\\u2028\\u2029\\u0085"'),
        ("\u202egpj.exe\u202c", '"\\u202egpj.exe\\u202c"'),
        ("\u2066a\u2069\u200e\u200f\u061c", '"\\u2066a\\u2069\\u200e\\u200f\\u061c"'),
        ("zero\u200bwidth\u2060\ufeff\xad", '"zero\\u200bwidth\\u2060\\ufeff\\u00ad"'),
        ("\u3164\u115f\u2800\xa0", '"\\u3164\\u115f\\u2800\\u00a0"'),
        ("\U000e0041\U000e0042", '"\\udb40\\udc41\\udb40\\udc42"'),
        ("a\ufe0f\ufe0e\U000e0100\u180b", '"a\\ufe0f\\ufe0e\\udb40\\udd00\\u180b"'),
        ("\ud800", '"\\ud800"'),
        ("[\u05d0, 5, \u05d1]", '"[\\u05d0, 5, \\u05d1]"'),
        ("caf\u00e9, cafe\u0301, \u65e5\u672c\u8a9e, \u0939\u093f\u0928\u094d\u0926\u0940", None),
        ("\U0001f600", '"\U0001f600"'),
    ],
)
def test_what_has_no_glyph_or_moves_others_is_written_as_its_escape(value: Any, written: str | None) -> None:
    assert literal(value) == (f'"{value}"' if written is None else written)
    assert json.loads(literal(value)) == value


@pytest.mark.parametrize("text", ["1\u0338", '"\u0338', "\u0338", "a\u20dd", "a" + "\u0301" * 3, " \u0301\u0302"])
def test_a_mark_that_no_spelling_needs_is_drawn_over_nothing(text: str) -> None:
    assert "\\u" in literal(text)
    assert json.loads(literal(text)) == text


def test_every_character_there_is_is_read_back_as_it_was() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    pick = random.Random(seed)
    for _ in range(300):
        text = "".join(chr(pick.choice((pick.randrange(0x110000), pick.randrange(0x3000)))) for _ in range(40))
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        written = literal(text)
        assert json.loads(written) == text
        assert written.isprintable()
        assert not {unicodedata.bidirectional(char) for char in written} & {"R", "AL", "AN", "RLO", "LRO", "RLI"}


def test_a_sentence_stays_on_its_line() -> None:
    assert plain('no "rule"\nallows\x1b[m it') == 'no "rule"\\nallows\\u001b[m it'


def test_a_short_line_stays_as_it_is() -> None:
    assert list(lines("name", "short", "    ")) == ["    name: short"]


@pytest.mark.parametrize(
    "text",
    [
        " " * 200 + "approval: 1, granted",
        "x" * 500,
        "\u65e5\u672c" * 90,
        literal("\x1b\n\\" * 50),
        literal("\U000e0041" * 30),
    ],
)
def test_a_long_text_is_whole_and_every_piece_of_it_stands_behind_a_bar(text: str) -> None:
    first, *cut = lines("name", text, "  ")
    assert first == "  name:"
    assert all(line.startswith("  " + BAR) and fits(line) for line in cut)
    assert "".join(line.removeprefix("  " + BAR) for line in cut) == text


def test_a_name_that_fits_no_line_stands_behind_the_bar_as_well() -> None:
    cut = list(lines("n" * 100, "short", "  "))
    assert all(line.startswith("  " + BAR) and fits(line) for line in cut)
    assert "".join(line.removeprefix("  " + BAR) for line in cut) == "n" * 100 + ":short"


def test_an_escape_is_never_cut_in_two() -> None:
    text = literal("\x00" * 100)
    _, *cut = lines("name", text)
    assert all(line.count("\\u0000") * 6 == len(line.strip(' |"')) for line in cut)


@pytest.mark.parametrize(("columns", "used"), [(3, module.NARROWEST), (80, 80), (1000, module.WIDEST)])
def test_a_line_is_as_wide_as_the_terminal_within_reason(
    columns: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((columns, 24)))
    assert module.width() == used
