"""The screen: counts for policy, cheap where nothing is to be found."""

from typing import Any

import pytest

from gateway.model import Digest, Manifest, Pin, PinState
from gateway.screening import screen
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
