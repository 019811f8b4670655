"""Hidden text: every kind is found, ordinary writing is left alone, and the quick look misses nothing."""

import orjson
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening import hidden

QUICK = re2.compile(hidden.QUICK)
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    ("text", "kind", "start", "end"),
    [
        ("a\x1b[31mred", "ansi", 1, 6),
        ("a\x1b]0;title\x07b", "ansi", 1, 11),
        ("\x1b]8;;http://x\x1b\\y", "ansi", 0, 15),
        ("a\x1bc", "ansi", 1, 3),
        ("a\x1b", "ansi", 1, 2),
        ("a\x9b2Jb", "ansi", 1, 4),
        ("abc\x08\x08\x08xyz", "control", 3, 6),
        ("a\x00", "control", 1, 2),
        ("a\x7f", "control", 1, 2),
        ("a\x85", "control", 1, 2),
        ("hi\U000e0041\U000e0042", "tag", 2, 4),
        ("\U0001f3f4\U000e0041\U000e0042", "tag", 1, 3),
        ("\U000e0001", "tag", 0, 1),
        ("x\u202ecod.exe", "bidi", 1, 2),
        ("x\u2066y\u2069", "bidi", 1, 2),
        ("a\u200fb", "bidi", 1, 2),
        ("a\u200bb", "zero_width", 1, 2),
        ("a\u2060\u2063", "zero_width", 1, 3),
        ("a\ufeff", "zero_width", 1, 2),
        ("\ufeff\u200b", "zero_width", 0, 2),
        ("a\u200db", "zero_width", 1, 2),
        ("\u200d\u65e5", "zero_width", 0, 1),
        ("\u65e5\u200d.", "zero_width", 1, 2),
        ("\u65e5\u200c\u200d\u200c\u65e5", "zero_width", 1, 4),
        ("\u2764\ufe0f\ufe0e", "variation", 1, 3),
        ("x\U000e0100\U000e0101\U000e0102", "variation", 1, 4),
        ("a\xadb", "format", 1, 2),
        ("a\u3164", "format", 1, 2),
        ("a\u034f", "format", 1, 2),
        ("a\U0001d173", "format", 1, 2),
    ],
)
def test_every_kind_of_hidden_text_is_found_with_its_place(text: str, kind: str, start: int, end: int) -> None:
    assert next(hidden.find(text)) == (kind, start, end)
    assert QUICK.search(orjson.dumps(text))


@pytest.mark.parametrize(
    "text",
    [
        "plain\ttext\r\nwith lines",
        "na\u00efve caf\u00e9 \u2014 \u201cquotes\u201d \u65e5\u672c\u8a9e \u0440\u0443\u0441",
        "\u2764\ufe0f 1\ufe0f\u20e3 \U0001f469\u200d\U0001f4bb \U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u845b\U000e0100",
        ENGLAND,
        "\ufeffa byte order mark in front",
        "\u0645\u06cc\u200c\u0631\u0648\u0645",
        "\u05e9\u05dc\u05d5\u05dd\u200f! \u200eabc",
    ],
)
def test_ordinary_writing_is_left_alone(text: str) -> None:
    assert list(hidden.find(text)) == []


def test_everything_hidden_is_found_and_not_only_the_first() -> None:
    found = list(hidden.find("\u200ba\x1b[0m" + ENGLAND + "\u202e\u65e5\ufe00b\u200b"))
    assert [kind for kind, _, _ in found] == ["zero_width", "ansi", "bidi", "zero_width"]


@pytest.mark.parametrize(("last", "found"), [("\u05d0", 0), ("z", 1000)])
def test_right_to_left_writing_is_looked_for_once_in_a_text(
    last: str, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Looked:
        times = 0

        def search(self, text: str) -> object:
            Looked.times += 1
            return looked.search(text)

    looked = hidden._RIGHT_TO_LEFT
    monkeypatch.setattr(hidden, "_RIGHT_TO_LEFT", Looked())
    assert len(list(hidden.find("\u200ea" * 1000 + last))) == found
    assert Looked.times == 1


_ODD = st.sampled_from(
    "a1\u65e5\u05d0\U0001f3f4\x1b\x00\x08\x9b\xad\u200b\u200d\u200e\u202e\u2066\u3164\ufe0f\ufeff\U000e0041\U000e0100[m\n\\"
)


@given(st.text(_ODD | st.characters(exclude_categories=["Cs"])))
def test_the_quick_look_misses_nothing(text: str) -> None:
    if list(hidden.find(text)):
        assert QUICK.search(orjson.dumps({"text": text}))
