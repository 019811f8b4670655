"""Redaction: what policy names is gone from what leaves, and the result itself is not changed."""

import copy
from typing import Any

import pytest

from gateway.model import Digest, Manifest, Pin, PinState, Redaction
from gateway.screening import Finding, redact, screen
from gateway.screening.screen import MOST

PIN = Pin("u", "t", Digest("sha256:x"), {"name": "t"}, PinState.ACCEPTED, Manifest())
AWS = "AK" + "IAQ3EGRZ2XJ7LMNOPQ"
OUT = "[redacted]"
BLOCK = {"type": "text", "text": OUT}


def redacted(result: Any, *pointers: str, kinds: tuple[str, ...] = ()) -> Any:
    before = copy.deepcopy(result)
    after = redact(result, Redaction(pointers, kinds), screen(PIN, result).findings)
    assert result == before
    return after


@pytest.mark.parametrize(
    ("pointer", "after"),
    [
        ("/structuredContent/a", {"a": OUT, "b": [{"c": 1}, {"c": 2}], "d/e": 3}),
        ("/structuredContent/b/0/c", {"a": "x", "b": [{"c": OUT}, {"c": 2}], "d/e": 3}),
        ("/structuredContent/b/*/c", {"a": "x", "b": [{"c": OUT}, {"c": OUT}], "d/e": 3}),
        ("/structuredContent/b/1", {"a": "x", "b": [{"c": 1}, OUT], "d/e": 3}),
        ("/structuredContent/d~1e", {"a": "x", "b": [{"c": 1}, {"c": 2}], "d/e": OUT}),
        ("/structuredContent/*", {"a": OUT, "b": OUT, "d/e": OUT}),
    ],
)
def test_what_a_pointer_names_is_replaced(pointer: str, after: Any) -> None:
    result = {"content": [], "structuredContent": {"a": "x", "b": [{"c": 1}, {"c": 2}], "d/e": 3}}
    assert redacted(result, pointer) == {"content": [], "structuredContent": after}


@pytest.mark.parametrize(
    "pointer", ["/missing", "/structuredContent/b/9", "/structuredContent/b/x", "/structuredContent/a/b/c"]
)
def test_a_pointer_to_nothing_changes_nothing(pointer: str) -> None:
    result = {"structuredContent": {"a": "x", "b": [1]}}
    assert redacted(result, pointer) is result


@pytest.mark.parametrize(
    ("pointer", "after"),
    [
        ("/content", {"content": [BLOCK], "structuredContent": {"a": 1}, "_meta": {}}),
        (
            "/content/0",
            {"content": [BLOCK, {"type": "text", "text": "two"}], "structuredContent": {"a": 1}, "_meta": {}},
        ),
        (
            "/structuredContent",
            {"content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "_meta": {}},
        ),
        (
            "/_meta",
            {
                "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
                "structuredContent": {"a": 1},
            },
        ),
        ("", {"content": [BLOCK]}),
        ("content/0", {"content": [BLOCK]}),
    ],
)
def test_what_leaves_is_still_a_result_of_the_protocol(pointer: str, after: Any) -> None:
    result = {
        "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
        "structuredContent": {"a": 1},
        "_meta": {},
    }
    assert redacted(result, pointer) == after


@pytest.mark.parametrize("kinds", [("*",), ("secrets",), ("aws_key",), ("jwt", "aws_key")])
def test_secrets_of_a_kind_are_cut_out_of_text_and_names(kinds: tuple[str, ...]) -> None:
    result: Any = {
        "content": [{"type": "text", "text": f"a {AWS} b {AWS}"}, {"type": "text", "text": "c"}],
        "structuredContent": {AWS: {"x/y": [1, AWS]}},
    }
    after = redacted(result, kinds=kinds)
    assert after == {
        "content": [{"type": "text", "text": f"a {OUT} b {OUT}"}, {"type": "text", "text": "c"}],
        "structuredContent": {OUT: {"x/y": [1, OUT]}},
    }
    assert after["content"][1] is result["content"][1]


@pytest.mark.parametrize(
    ("kinds", "text"), [(("hidden_text",), f"a{OUT}b {AWS}"), (("bidi",), f"a\u200bb {AWS}"), ((), f"a\u200bb {AWS}")]
)
def test_only_the_kinds_named_are_cut_out(kinds: tuple[str, ...], text: str) -> None:
    assert (
        redacted({"content": [{"type": "text", "text": f"a\u200bb {AWS}"}]}, kinds=kinds)["content"][0]["text"] == text
    )


def test_a_clean_result_leaves_as_it_is() -> None:
    result = {"content": [{"type": "text", "text": "fine"}]}
    assert redacted(result, kinds=("*",)) is result


def test_names_that_become_equal_stay_apart() -> None:
    other = "AS" + AWS[2:]
    after = redacted({"structuredContent": {AWS: 1, other: 2, OUT: 3}}, kinds=("*",))
    assert sorted(after["structuredContent"].values()) == [1, 2, 3]
    assert AWS not in str(after)


def test_findings_that_share_characters_leave_none_of_them() -> None:
    found = tuple(Finding("x", "/t", start, end, secret=True) for start, end in ((1, 4), (3, 6), (4, 5)))
    assert redact({"t": "0123456789"}, Redaction(kinds=("x",)), found) == {"t": f"0{OUT}6789"}


def test_overlapping_findings_are_cut_out_once() -> None:
    text = f'password = "{AWS}"'
    assert (
        redacted({"content": [{"type": "text", "text": text}]}, kinds=("*",))["content"][0]["text"]
        == f'password = "{OUT}"'
    )


def test_a_secret_beyond_those_counted_does_not_leave() -> None:
    result = {"content": [{"type": "text", "text": f"{AWS} " * (MOST * 2)}]}
    assert AWS not in str(redacted(result, kinds=("aws_key",)))


def test_pointers_and_kinds_work_together() -> None:
    result = {"content": [{"type": "text", "text": f"{AWS} "}], "structuredContent": {"k": f"{AWS}\u200b", "n": "keep"}}
    assert redacted(result, "/structuredContent/k", kinds=("*",)) == {
        "content": [{"type": "text", "text": f"{OUT} "}],
        "structuredContent": {"k": OUT, "n": "keep"},
    }
    assert redacted(result, "/structuredContent", kinds=("*",)) == {"content": [{"type": "text", "text": f"{OUT} "}]}


@pytest.mark.parametrize("other", ["b", "…"])
def test_a_cut_pointer_still_leads_to_the_one_place_that_was_found(other: str) -> None:
    name = "k" * 1000  # the pointers to both are the same once they are cut
    result = {"structuredContent": {name: {"a": [AWS, "keep"], "x/y": {AWS: 1}}, name + other: [f"{AWS[:-1]}", "keep"]}}
    assert redacted(result, kinds=("*",)) == {
        "structuredContent": {name: {"a": [OUT, "keep"], "x/y": {OUT: 1}}, name + other: [AWS[:-1], "keep"]}
    }


def test_more_findings_than_are_counted_are_cut_out_of_every_kind_of_place() -> None:
    picture = {"type": "image", "data": "QUJD" * 1000, "mimeType": "image/png"}
    result: Any = {
        "content": [picture, {"type": "text", "text": f"a\u200b {AWS}"}],
        "structuredContent": {"gone": AWS, AWS: 1, "password": ["S3cretPass", 7], "many": [AWS] * MOST},
    }
    after = redacted(result, "/structuredContent/gone", kinds=("secrets",))
    assert after == {
        "content": [picture, {"type": "text", "text": f"a\u200b {OUT}"}],
        "structuredContent": {"gone": OUT, OUT: 1, "password": [OUT, 7], "many": [OUT] * MOST},
    }


def test_what_a_pointer_took_away_is_not_cut_again() -> None:
    result = {"content": [{"type": f"xxxxxxxx {AWS}", "text": AWS}, {"type": "text", "text": AWS}]}
    assert redacted(result, "/content/0", kinds=("*",)) == {"content": [BLOCK, BLOCK]}


def test_many_names_that_become_equal_cost_no_more_than_their_number() -> None:
    count = 20_000  # an ending that grew with each would be 200 MB
    names = [
        AWS[:-4] + "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[n >> s & 31] for s in (15, 10, 5, 0))
        for n in range(count)
    ]
    after = redacted({"structuredContent": {name: place for place, name in enumerate(names)}}, kinds=("*",))
    assert list(after["structuredContent"].values()) == list(range(count))
    assert max(map(len, after["structuredContent"])) == len(f"{OUT}_{count}")


def test_findings_that_touch_are_cut_out_each() -> None:
    found = tuple(Finding("x", "/t", start, end, secret=True) for start, end in ((1, 4), (4, 6), (1, 4), (8, 9)))
    assert redact({"t": "0123456789"}, Redaction(kinds=("x",)), found) == {"t": f"0{OUT}{OUT}67{OUT}9"}
