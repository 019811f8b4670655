import asyncio

import pytest

from gateway.executors.stdio.tail import Tail, now, scrubber


def kept(*secrets: str) -> Tail:
    return Tail(scrubber(secrets), lambda: "2026-01-02T03:04:05Z")


async def followed(tail: Tail, *chunks: bytes, pid: int = 7) -> list[str]:
    stream, said = asyncio.StreamReader(limit=2**24), list[str]()
    for chunk in chunks:
        stream.feed_data(chunk)
    stream.feed_eof()
    await tail.follow(pid, stream, said.append)
    return said


def test_the_time_before_a_line_is_utc_in_whole_seconds() -> None:
    assert len(now()) == len("2026-01-02T03:04:05Z")
    assert now().endswith("Z")


async def test_each_line_is_kept_with_its_time_and_process() -> None:
    tail = kept()
    assert await followed(tail, b"one\ntw", b"o\r\nhalf") == ["one", "two", "half"]
    tail.add(8, b"beside", "stdout")
    assert str(tail).splitlines() == [
        "2026-01-02T03:04:05Z 7 stderr: one",
        "2026-01-02T03:04:05Z 7 stderr: two",
        "2026-01-02T03:04:05Z 7 stderr: half",
        "2026-01-02T03:04:05Z 8 stdout: beside",
    ]


async def test_a_flood_keeps_only_the_last_lines() -> None:
    tail = kept()
    await followed(tail, *(b"%d\n" % number * 100 for number in range(20_000)))
    assert 60_000 < len(str(tail)) <= 65_536
    assert str(tail).endswith("stderr: 19999\n")
    assert sum(map(len, tail._lines)) + len(tail._lines) == tail._size


async def test_a_flood_without_lines_keeps_nothing_of_it() -> None:
    tail = kept()
    await followed(tail, *[b"x" * 60_000] * 50, b"\nlast\n")
    assert [line.partition(": ")[2] for line in str(tail).splitlines()] == ["(a line of more than 8192 bytes)", "last"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"key=hunter2hunter2!", "key=***!"),
        (b"-----END-OF-KEY-----", "***"),
        (b"\xff hunter2hunter2", "\ufffd ***"),
        (b"x" * 1_995 + b"hunter2hunter2", "x" * 1_995 + "***"),
        (b"abc stays", "abc stays"),
    ],
)
async def test_secrets_stand_in_no_line(written: bytes, shown: str) -> None:
    tail = kept("hunter2hunter2", "first-line\n-----END-OF-KEY-----", "abc")
    assert await followed(tail, written[:9], written[9:] + b"\n") == [shown]
    assert str(tail).endswith(f": {shown}\n")
