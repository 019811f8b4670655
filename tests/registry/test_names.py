"""Names: charset, hidden code points, lookalikes, and what an aggregated endpoint can show."""

import pytest

from gateway.registry import names


@pytest.mark.parametrize("name", ["read_file", "Read.File-2", "a", "a/b", "x" * 128])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert names.tool_problem(name) is None


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("", "1 to 128"),
        ("x" * 129, "1 to 128"),
        (None, "not a string"),
        (7, "not a string"),
        ("read file", "U+0020 (SPACE)"),
        ("re\u200bad", "hidden code point U+200B (ZERO WIDTH SPACE)"),
        ("re\u202ead", "hidden code point U+202E"),
        ("read\U000e0041", "hidden code point U+E0041"),
        ("re\x1bad", "hidden code point U+001B (unnamed)"),
        ("re\u0430d", "U+0430 (CYRILLIC SMALL LETTER A)"),
        ("\uff52ead", "another spelling of read"),
        ("read\n", "U+000A"),
    ],
)
def test_any_other_name_is_refused_and_the_odd_character_named(name: object, word: str) -> None:
    problem = names.tool_problem(name)
    assert problem is not None
    assert word in problem


@pytest.mark.parametrize("name", ["files", "crm-2", "a", "a_b"])
def test_an_upstream_may_have_a_plain_name(name: str) -> None:
    assert names.upstream_problem(name) is None


@pytest.mark.parametrize("name", ["", "a__b", "bascule", "Bascule", "a_", "_a", "a.b", "a/b", "a b", "é"])
def test_an_upstream_may_not_have_a_name_that_is_reserved_or_splits_badly(name: str) -> None:
    assert names.upstream_problem(name)


@pytest.mark.parametrize(
    ("upstream", "name", "full"),
    [
        ("files", "read", "files__read"),
        ("files", "a__b", "files__a__b"),
        ("f", "x" * 57, "f__" + "x" * 57),
        ("f", "x" * 58, None),
        ("files", "read.file", None),
        ("files", "read/file", None),
    ],
)
def test_a_qualified_name_is_short_and_plain_or_there_is_none(upstream: str, name: str, full: str | None) -> None:
    assert names.qualified(upstream, name) == full


@pytest.mark.parametrize(
    ("own", "elsewhere", "found"),
    [
        (["read", "write"], [], set()),
        (["read", "Read", "write"], [], {"read", "Read"}),
        (["getItem", "getltem"], [], {"getItem", "getltem"}),
        (["run1", "runl"], [], {"run1", "runl"}),
        (["form", "fomn"], [], set()),
        (["c0py", "cOpy"], [], {"c0py", "cOpy"}),
        (["barn", "bam"], [], {"barn", "bam"}),
        (["read"], [("crm", "read")], set()),
        (["get_file"], [("crm", "get-file"), ("crm", "Get_File")], set()),
        (["getltem"], [("crm", "getItem")], {"getltem"}),
    ],
)
def test_names_that_can_be_taken_for_another_are_found(
    own: list[str], elsewhere: list[tuple[str, str]], found: set[str]
) -> None:
    looks: dict[str, list[tuple[str, str]]] = {}
    for upstream, name in elsewhere:
        looks.setdefault(names.glyphs(name), []).append((upstream, name))
    assert names.lookalikes(own, looks).keys() == found


def test_a_name_is_displayed_as_printable_ascii() -> None:
    assert names.visible("a\x1b[31m\u202eé") == "a\\x1b[31m\\u202e\\xe9"


@pytest.mark.parametrize(
    ("text", "hides"), [("plain", False), ("ünï\u2764\ufe0f", False), ("a\nb", False), ("a\u200b", True)]
)
def test_hidden_code_points_are_seen(text: str, hides: bool) -> None:
    assert names.hidden(text) is hides


@pytest.mark.parametrize(
    ("text", "rest"),
    [("a\u200bb\u202ec", "abc"), ("line\n\ttab", "line\n\ttab"), ("\x1b[2Jx", "[2Jx"), ("é 漢", "é 漢")],
)
def test_what_a_reader_does_not_see_can_be_taken_out(text: str, rest: str) -> None:
    assert names.without_hidden(text) == rest
    assert not names.hidden(rest)
