import random

import pytest

from gateway.executors.stdio.lines import ENDS, Cut, Lines


def test_lines_are_the_same_however_the_bytes_arrive() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    text = b"\n".join(bytes(chance.choices(b"ab\xc3", k=chance.randrange(40))) for _ in range(300)) + b"\n"
    expected = [line for line in text.split(b"\n") if line]
    for _ in range(20):
        lines, found, left = Lines(10_000), [], text
        while left:
            size = chance.randrange(1, 90)
            found += lines.feed(left[:size])
            left = left[size:]
        assert found == expected
        assert lines.rest() == b""


def test_an_unfinished_line_is_the_rest_and_is_told_once() -> None:
    lines = Lines(100)
    assert lines.feed(b"whole\nha") == [b"whole"]
    assert lines.feed(b"lf") == []
    assert lines.rest() == b"half"
    assert lines.rest() == b""


@pytest.mark.parametrize("pieces", [1, 7, 5_000])
def test_a_line_too_long_is_cut_to_its_ends_and_the_next_is_whole(pieces: int) -> None:
    lines, long = Lines(1_000), b"<" + b"x" * 99_998 + b">"
    found: list[bytes | Cut] = []
    size = len(long) // pieces
    for place in range(0, len(long), size):
        found += lines.feed(long[place : place + size])
    states = [lines.over]
    found += lines.feed(b"\nnext\n")
    states.append(lines.over)
    assert states == [True, False]
    cut, following = found
    assert isinstance(cut, Cut)
    assert cut.head[:1] == b"<"
    assert cut.tail[-1:] == b">"
    assert len(cut.head) <= ENDS
    assert len(cut.tail) <= ENDS
    assert following == b"next"


def test_the_limit_itself_is_not_too_long() -> None:
    lines = Lines(5)
    assert lines.feed(b"12345\n") == [b"12345"]
    assert isinstance(lines.feed(b"123456\n")[0], Cut)
    lines.feed(b"123")
    assert lines.feed(b"45\n") == [b"12345"]


def test_no_more_than_the_limit_is_held() -> None:
    lines = Lines(1_000)
    for _ in range(10_000):
        lines.feed(b"y" * 500)
    assert len(lines._held) <= 1_000
