"""Rolls: pages that hold each item once, digests of what is shown, owners of what two upstreams list."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry import rolls
from gateway.registry.rolls import Owners, Page, Place, Roll, page

NAMES = st.lists(st.text(max_size=6), max_size=30, unique=True)


def roll(upstream: str, names: list[str], size: int = 1) -> Roll:
    return Roll.of(upstream, [(name, orjson.dumps([upstream, name, "x" * size])) for name in names])


def read(found: Page | None) -> list[list[str]]:
    assert found is not None
    told: list[list[str]] = orjson.loads(orjson.dumps(found.items))
    return [one[:2] for one in told]


def every(seen: list[tuple[Roll, frozenset[str]]]) -> list[list[str]]:
    found = page(seen, None)
    items = read(found)
    while found is not None and found.end is not None:
        found = page(seen, found.end)
        assert found is not None
        assert found.items
        items += read(found)
    return items


@given(NAMES, NAMES, st.frozensets(st.text(max_size=6)), st.integers(1, 7))
def test_pages_hold_every_item_that_is_not_hidden_once_and_in_order(
    one: list[str], other: list[str], hidden: frozenset[str], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rolls, "MOST_ITEMS", most)
        seen = [(roll("z", one), hidden), (roll("a", other), hidden)]
        expected = [["z", name] for name in sorted(one) if name not in hidden]
        expected += [["a", name] for name in sorted(other) if name not in hidden]
        assert every(seen) == expected


def test_a_page_holds_so_many_bytes_and_a_larger_item_is_a_page_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolls, "MOST_BYTES", 100)
    seen = [(roll("a", ["1", "2", "3"], 30), frozenset[str]()), (roll("b", ["4"], 500), frozenset[str]())]
    first = page(seen, None)
    assert read(first) == [["a", "1"], ["a", "2"]]
    assert every(seen) == [["a", "1"], ["a", "2"], ["a", "3"], ["b", "4"]]


def test_the_last_page_says_that_it_is_the_last_even_where_what_would_follow_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rolls, "MOST_ITEMS", 2)
    found = page([(roll("a", ["1", "2", "3"]), frozenset({"3"}))], None)
    assert found is not None
    assert (len(found.items), found.end) == (2, None)


def test_a_place_is_behind_its_name_whether_or_not_it_is_still_there() -> None:
    seen = [(roll("a", ["b", "d"]), frozenset[str]()), (roll("b", ["a"]), frozenset[str]())]
    assert read(page(seen, Place("a", "c"))) == [["a", "d"], ["b", "a"]]
    assert read(page(seen, Place("a", "x"))) == [["b", "a"]]
    assert read(page(seen, Place("b", "a"))) == []
    assert page(seen, Place("c", "a")) is None


@given(NAMES, NAMES, st.frozensets(st.text(max_size=6)))
def test_digests_are_equal_where_what_is_shown_is(one: list[str], other: list[str], hidden: frozenset[str]) -> None:
    alike = sorted(set(one) - hidden) == sorted(set(other) - hidden)
    assert (roll("a", one).digest(hidden) == roll("a", other).digest(hidden)) is alike


def test_a_digest_knows_where_one_definition_ends() -> None:
    whole, parts = Roll.of("a", [("1", b"[1,2]"), ("2", b"")]), Roll.of("a", [("1", b"[1,"), ("2", b"2]")])
    assert whole.digest(frozenset()) != parts.digest(frozenset())


def test_the_digest_of_an_endpoint_knows_the_upstreams_and_their_order() -> None:
    one, other = (roll("a", ["1"]), b"x"), (roll("b", ["1"]), b"x")
    assert len({rolls.digest(parts) for parts in ([one, other], [other, one], [one], [other], [])}) == 5


def test_the_first_that_lists_a_name_owns_it() -> None:
    owners = Owners.among([("b", ["x", "y"]), ("a", ["y", "z"]), ("c", ["z", "x", "q"])])
    assert owners.of == {"x": "b", "y": "b", "z": "a", "q": "c"}
    assert owners.taken == {"a": frozenset({"y"}), "c": frozenset({"z", "x"})}
