"""Every string of a result with its pointer, and what is passed over."""

from typing import Any

import pytest

from gateway.screening import credentials
from gateway.screening.strings import BINARY, LONGEST, Finding, escaped, findings, is_binary, unescaped

HIDDEN = "a\u200b"
AWS = "AK" + "IAQ3EGRZ2XJ7LMNOPQ"


@pytest.mark.parametrize(
    ("result", "where", "key"),
    [
        ({"content": [{"type": "text", "text": HIDDEN}]}, "/content/0/text", False),
        ({"structuredContent": {"a": {"b": [1, None, HIDDEN]}}}, "/structuredContent/a/b/2", False),
        ({"structuredContent": {HIDDEN: 1}}, f"/structuredContent/{HIDDEN}", True),
        ({"_meta": {"x/y~z": HIDDEN}}, "/_meta/x~1y~0z", False),
        (
            {"content": [{"type": "resource", "resource": {"uri": "a", "text": HIDDEN}}]},
            "/content/0/resource/text",
            False,
        ),
        ({"content": [{"type": "image", "data": HIDDEN}]}, "/content/0/data", False),
    ],
)
def test_every_string_is_read_wherever_it_stands(result: Any, where: str, key: bool) -> None:
    start = 1
    assert list(findings(result)) == [Finding("zero_width", where, start, start + 1, secret=False, key=key)]


def test_what_is_not_asked_for_is_not_looked_for() -> None:
    result = {"content": [{"text": f"{HIDDEN} {AWS}"}]}
    assert [finding.kind for finding in findings(result)] == ["zero_width", "aws_key"]
    assert [finding.kind for finding in findings(result, hides=False)] == ["aws_key"]
    assert [finding.kind for finding in findings(result, forms=frozenset())] == ["zero_width"]


LONG = "QUJD" * (BINARY // 4)


@pytest.mark.parametrize(
    ("item", "key", "binary"),
    [
        ({"type": "image", "data": LONG}, "data", True),
        ({"type": "audio", "data": LONG}, "data", True),
        ({"uri": "a", "blob": LONG}, "blob", True),
        ({"type": "image", "data": LONG[:-1]}, "data", False),
        ({"type": "image", "data": LONG + "\u200b"}, "data", False),
        ({"type": "text", "data": LONG}, "data", False),
        ({"type": "image", "text": LONG}, "text", False),
        ({"blob": LONG}, "blob", False),
        ({"type": "image", "data": 7}, "data", False),
    ],
)
def test_only_long_ascii_data_of_the_protocols_own_places_is_passed_over(item: Any, key: str, binary: bool) -> None:
    assert is_binary(item, key, item[key]) is binary


def test_a_name_is_escaped_as_json_pointers_ask() -> None:
    assert (escaped("a/b~c"), escaped("plain")) == ("a~1b~0c", "plain")
    assert (unescaped("a~1b~0c"), unescaped("~01")) == ("a/b~c", "~1")


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (["k" * (LONGEST - 1)], "/" + "k" * (LONGEST - 1)),
        (["k" * LONGEST], "/" + "k" * (LONGEST - 2) + "…"),
        (["k" * 100_000, "n"], "/" + "k" * (LONGEST - 2) + "…"),
        (["k" * (LONGEST - 1), "n"], "/" + "k" * (LONGEST - 2) + "…"),
        (["/" * 400], ("/" + "~1" * LONGEST)[: LONGEST - 1] + "…"),
        (["ab"] * 190, ("/ab" * 190)[: LONGEST - 1] + "…"),
    ],
)
def test_a_long_pointer_is_cut_and_says_so(names: list[str], where: str) -> None:
    value: Any = HIDDEN
    for name in reversed(names):
        value = {name: value}
    (finding,) = findings(value)
    assert finding.where == where
    assert len(finding.where) <= LONGEST
    assert list(finding.steps()) == names


def test_a_pointer_that_is_not_cut_is_kept_once() -> None:
    (finding,) = findings({"a/b": ["x", {"c": HIDDEN}]})
    assert (finding.where, finding.path, finding.steps()) == ("/a~1b/1/c", (), ["a/b", "1", "c"])


def test_reading_goes_on_after_a_part_that_was_read_to_its_end() -> None:
    result = {"a": [[HIDDEN], {"b": HIDDEN}, 1, HIDDEN], "c": {}, "d": HIDDEN}
    assert [one.where for one in findings(result)] == ["/a/0/0", "/a/1/b", "/a/3", "/d"]


def test_a_name_is_judged_once_however_many_elements_are_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []
    named = credentials.named

    def counted(name: str) -> bool:
        judged.append(name)
        return named(name)

    monkeypatch.setattr(credentials, "named", counted)
    result = {"x" * 100 + "password": ["S3cretPass", ["abcdefgh"] * 5000, "S3cretPass"], "n": 1, "o": {"note": "a"}}
    assert [one.path[-1] for one in findings({"s" * LONGEST: result}) if one.kind == "password"] == ["0", "2"]
    assert judged == ["x" * 100 + "password", "note"]


def test_what_is_under_an_object_in_a_list_under_a_secret_name_has_its_own_name() -> None:
    assert not list(findings({"password": [{"note": "S3cretPass"}]}))


def test_a_long_name_over_many_elements_costs_their_sum() -> None:
    name = "k" * 4_000_000  # its product with the elements is more than any time or memory allows
    result: Any = {"structuredContent": {name: ["abcdefgh"] * 300_000 + [HIDDEN]}}
    assert [one.path for one in findings(result)] == [("structuredContent", name, "300000")]
