"""Every string of a result with its pointer, and what is passed over."""

from typing import Any

import pytest

from gateway.screening.strings import BINARY, Finding, escaped, findings, is_binary

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
