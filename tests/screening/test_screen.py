"""The screen: counts for policy, cheap where nothing is to be found."""

from typing import Any

import orjson
import pytest

from gateway.model import Digest, Manifest, Pin, PinState
from gateway.screening import credentials, screen
from gateway.screening import strings as strings_module
from gateway.screening.screen import MOST

PIN = Pin("u", "t", Digest("sha256:x"), {"name": "t"}, PinState.ACCEPTED, Manifest())
AWS = "AK" + "IAQ3EGRZ2XJ7LMNOPQ"
PICTURE = "QUJD" * 1000


def scores(result: Any) -> dict[str, tuple[str, int]]:
    return {check.name: (check.verdict, check.score) for check in screen(PIN, result).checks}


CLEAN = {"hidden_text": ("pass", 0), "secrets": ("pass", 0)}


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"content": []},
        {"content": "odd"},
        {"content": [1, None, "text", {"type": "text", "text": "fine\n\ttext \U0001f469\u200d\U0001f4bb"}]},
        {"content": [{"type": "image", "data": PICTURE, "mimeType": "image/png"}]},
        {
            "content": [
                {"type": "resource", "resource": {"uri": "a", "blob": PICTURE}},
                {"type": "resource", "resource": 1},
            ]
        },
        {"structuredContent": {"n": 2**70, "s": "fine"}},
        {"structuredContent": {"path": "C:\\base\\file"}},
    ],
)
def test_a_clean_result_has_two_checks_that_pass(result: Any) -> None:
    assert scores(result) == CLEAN
    assert screen(PIN, result).findings == ()


@pytest.mark.parametrize(
    ("result", "hides", "gives"),
    [
        ({"content": [{"type": "text", "text": "a\u200bb\u202e"}]}, 2, 0),
        ({"content": [{"type": "text", "text": f"x {AWS} y"}]}, 0, 1),
        ({"content": [{"type": "text", "text": f"\x1b[0m{AWS}"}], "structuredContent": {"k": AWS}}, 1, 2),
        ({"structuredContent": {"password": "S3cretPass"}}, 0, 1),
        ({"_meta": {AWS: 1}}, 0, 1),
        ({"structuredContent": {"n": 2**70, "k": f"{AWS}\u200b"}}, 1, 1),
        ({"structuredContent": {"s": f"\ud800 {AWS}"}}, 0, 1),
        ({"content": [{"type": "image", "data": AWS}]}, 0, 1),
        ({"content": ["odd", {"type": "image", "data": PICTURE}, {"type": "text", "text": AWS}]}, 0, 1),
        ({"content": [{"type": "resource", "resource": {"uri": AWS, "blob": PICTURE}}]}, 0, 1),
    ],
)
def test_what_is_found_is_counted_by_check(result: Any, hides: int, gives: int) -> None:
    assert scores(result) == {
        "hidden_text": ("fail" if hides else "pass", hides),
        "secrets": ("fail" if gives else "pass", gives),
    }
    details = [check.detail for check in screen(PIN, result).checks]
    assert [bool(detail) for detail in details] == [bool(hides), bool(gives)]


def test_the_number_of_findings_is_bounded() -> None:
    screened = screen(PIN, {"content": [{"type": "text", "text": f"{AWS} " * (MOST * 3)}]})
    assert len(screened.findings) == MOST
    assert screened.checks[1].score == MOST


def test_a_clean_result_is_not_read_string_by_string(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(strings_module, "_strings", never)
    assert screen(PIN, {"content": [{"type": "text", "text": "fine"}]}).findings == ()


def nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = {"k": [value]}
    return value


HINT = 'password="abc12345!x"'
SHAPES: dict[str, Any] = {
    "many strings under a long name": {"k" * 100_000: ["abcdefgh"] * 50_000},
    "many names": {f"name{place}": "abcdefgh" for place in range(50_000)},
    "many strings far down": nested(["abcdefgh"] * 50_000, 95),
    "many beginnings of keys": {"s": ("-----BEGIN PRIVATE" + " KEY-----") * 10_000},
    "marks of direction before one letter from right to left": {"s": "\u200ea" * 100_000 + "\u05d0"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_text_is_searched_once_whatever_the_shape(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    find = credentials.find

    def counted(text: str, under_name: bool, forms: frozenset[int]) -> Any:
        searched.append(len(text))
        return find(text, under_name, forms)

    monkeypatch.setattr(credentials, "find", counted)
    result = {"content": [{"type": "text", "text": HINT + "\u200b"}], "structuredContent": SHAPES[shape]}
    screened = screen(PIN, result)
    assert 2 <= len(screened.findings) <= 3
    assert sum(searched) <= len(orjson.dumps(result))


def test_a_result_with_too_much_to_count_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    strings = strings_module._strings

    def counted(result: Any, path: Any) -> Any:
        nonlocal read
        for one in strings(result, path):
            read += 1
            yield one

    monkeypatch.setattr(strings_module, "_strings", counted)
    screened = screen(PIN, {"structuredContent": {"k" * 100_000: [AWS] * (MOST * 100)}})
    assert len(screened.findings) == MOST
    assert read == MOST + 2  # two names
    assert sum(len(finding.where) for finding in screened.findings) <= MOST * strings_module.LONGEST
