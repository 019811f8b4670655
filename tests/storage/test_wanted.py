"""Which runs are wanted, as a condition: every value bound, and a span of time a range of the key."""

import sqlite3

import pytest

from gateway.storage.wanted import LATEST_MS, Wanted, condition

AT = 1_763_800_000_000_000


def test_nothing_wanted_is_everything() -> None:
    assert condition(Wanted()) == ("run < ?", ["~"])


def test_what_is_wanted_is_bound_and_never_written_into_the_statement() -> None:
    where, values = condition(Wanted(principal="x' OR 1=1 --", tool="t"), before="r")
    assert (where, values) == ("run < ? AND principal = ? AND tool = ?", ["r", "x' OR 1=1 --", "t"])


def test_a_span_of_time_bounds_the_ids_of_its_runs() -> None:
    where, values = condition(Wanted(since=AT, until=AT + 1_000_000))
    assert where == "run < ? AND run >= ? AND opened >= ? AND opened < ?"
    newest, oldest = (f"{AT // 1000 + shift:012x}" for shift in (1001, -LATEST_MS))
    assert values == [f"{newest[:8]}-{newest[8:]}", f"{oldest[:8]}-{oldest[8:]}", AT, AT + 1_000_000]


@pytest.mark.parametrize(("before", "expected"), [("0", "0"), ("~", "019aa9e6-2dd9"), ("", "019aa9e6-2dd9")])
def test_the_lower_of_two_upper_bounds_holds(before: str, expected: str) -> None:
    until = (int(expected.replace("-", ""), 16) - 1) * 1000 if "-" in expected else AT
    assert condition(Wanted(until=until), before)[1][0] == expected


def test_times_beyond_what_an_id_can_say_are_bounds_all_the_same() -> None:
    assert condition(Wanted(since=1))[1][1] == "00000000-0000"
    assert condition(Wanted(until=2**63))[1][0] == "ffffffff-ffff"


def test_the_condition_is_sql() -> None:
    where, values = condition(Wanted("p", "t", "u", "o", "e", "c", "k", 1, 2), "b")
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE runs (run, principal, tenant, upstream, tool, ending, code, task, opened)")
    assert connection.execute(f"SELECT * FROM runs WHERE {where}", values).fetchall() == []
    connection.close()
