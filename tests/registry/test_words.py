"""Tools found by words."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry.words import Entry, Words

ENTRIES = (
    Entry("files", "readFile", "Read", "Reads a file from a folder"),
    Entry("files", "list_folder", "", "Lists what a folder holds"),
    Entry("git", "commit-all", "Commit", "Commits all files"),
    Entry("mail", "send", "", "Sends a message; see readFile"),
)


@pytest.fixture(scope="module")
def words() -> Words:
    return Words(ENTRIES)


def names(words: Words, query: str) -> list[str]:
    return [entry.name for entry in words.find(query)]


@pytest.mark.parametrize(
    ("query", "first", "more"),
    [
        ("readFile", "readFile", {"send"}),
        ("read file", "readFile", {"send", "commit-all"}),
        ("folder", "list_folder", {"readFile"}),
        ("committing", "commit-all", set()),
        ("git", "commit-all", set()),
        ("MESSAGES", "send", set()),
        ("mess", "send", set()),
    ],
)
def test_the_best_fit_comes_first(words: Words, query: str, first: str, more: set[str]) -> None:
    found = names(words, query)
    assert found[0] == first
    assert more <= set(found)


@pytest.mark.parametrize("query", ["", " ", "!?", "_", '"', "zzz", "me", "name:send NOT x" * 0])
def test_what_holds_no_word_or_an_unknown_one_finds_nothing(words: Words, query: str) -> None:
    assert names(words, query) == []


@given(st.text(max_size=200))
def test_no_query_is_an_error(query: str) -> None:
    Words(ENTRIES[:1]).find(query)


@pytest.mark.parametrize("odd", ["\ud800", "a\0b", "x" * 100_000, ""])
def test_no_description_is_an_error(odd: str) -> None:
    assert names(Words([Entry("a", "tool", odd, odd)]), "tool") == ["tool"]


def test_a_query_of_very_many_words_is_cut() -> None:
    assert names(Words(ENTRIES), "nothing " + " ".join(f"w{number}" for number in range(40)) + " send") == []


def test_an_index_may_be_asked_from_another_thread(words: Words) -> None:
    found: list[list[str]] = []
    asking = threading.Thread(target=lambda: found.append(names(words, "commit")))
    asking.start()
    asking.join()
    assert found == [["commit-all"]]
