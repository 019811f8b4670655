"""What is left of a redacted result is one of its method: the protocol's own models read it."""

from typing import Any

import pytest
from mcp_types.methods import validate_server_result

from gateway.kinds import METHODS, Kind
from gateway.model import JsonObject, Redaction
from gateway.screening import Finding, redact, screen
from gateway.screening.shapes import NOWHERE, REDACTED, mended, whole
from tests import nouns

SECRET = "AK" + "IAQ3EGRZ2XJ7LMNOPQ"
BLOCK = {"type": "text", "text": REDACTED}
TEXT = {"type": "text", "text": "one", "annotations": {"priority": 1}}
IMAGE = {"type": "image", "data": "QUJD", "mimeType": "image/png"}
INSIDE = {"type": "resource", "resource": {"uri": "file:///b", "blob": "QUJD", "mimeType": "image/png"}}
LINK = {"type": "resource_link", "uri": "file:///a", "name": "a", "size": 3}
RESULTS: dict[Kind, JsonObject] = {
    Kind.TOOL: {"content": [TEXT, IMAGE, LINK, INSIDE], "structuredContent": {"a": 1}, "isError": False, "_meta": {}},
    Kind.RESOURCE: {
        "contents": [
            {"uri": "file:///a", "text": "one", "mimeType": "text/plain"},
            {"uri": "file:///b", "blob": "QUJD", "mimeType": "image/png"},
        ],
        "_meta": {},
        "ttlMs": 0,
        "cacheScope": "private",
    },
    Kind.PROMPT: {
        "description": "two words",
        "messages": [{"role": "assistant", "content": TEXT}, {"role": "user", "content": IMAGE}],
        "_meta": {},
    },
    Kind.COMPLETION: {"completion": {"values": ["one", "two"], "total": 2, "hasMore": False}, "_meta": {}},
}
ALL: dict[Kind, JsonObject] = {
    Kind.TOOL: {"content": [BLOCK]},
    Kind.RESOURCE: {"contents": [{"uri": NOWHERE, "text": REDACTED}]},
    Kind.PROMPT: {"messages": [{"role": "user", "content": BLOCK}]},
    Kind.COMPLETION: {"completion": {"values": []}},
    Kind.OTHER: {},
}


def redacted(kind: Kind, *pointers: str) -> JsonObject:
    return redact(RESULTS[kind], Redaction(pointers), (), kind=kind)


def pointers(value: Any, at: str = "") -> list[str]:
    """A pointer to everything in a result, and one with a `*` for each step."""
    if isinstance(value, dict):
        parts = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list):
        parts = [(str(place), part) for place, part in enumerate(value)]
    else:
        parts = []
    below = [pointer for step, part in parts for pointer in pointers(part, f"{at}/{step}")]
    return [at or "/", *([f"{at}/*"] if parts else []), *below]


def read(kind: Kind, result: JsonObject) -> None:
    """Raises where the models of a revision cannot read it."""
    for version in ("2025-06-18", "2026-07-28"):
        shared = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if version == "2026-07-28" else {}
        validate_server_result(METHODS[kind], version, {**shared, **result})


@pytest.mark.parametrize("pointer", ["", "/", "content"])
@pytest.mark.parametrize("kind", ALL)
def test_of_a_result_that_was_taken_out_whole_its_method_is_left(kind: Kind, pointer: str) -> None:
    result = RESULTS.get(kind, {"status": "working"})
    assert redact(result, Redaction((pointer,)), (), kind=kind) == whole(kind) == ALL[kind]


@pytest.mark.parametrize("kind", RESULTS)
def test_whatever_a_pointer_takes_out_the_protocols_models_read_what_is_left(kind: Kind) -> None:
    read(kind, RESULTS[kind])
    read(kind, ALL[kind])
    tried = pointers(RESULTS[kind])
    assert len(tried) > 8
    for pointer in tried:
        read(kind, redacted(kind, pointer))


@pytest.mark.parametrize(
    ("kind", "pointer", "member", "left"),
    [
        (Kind.TOOL, "/content/1/data", "content", [TEXT, BLOCK, LINK, INSIDE]),
        (
            Kind.TOOL,
            "/content/2/size",
            "content",
            [TEXT, IMAGE, {k: v for k, v in LINK.items() if k != "size"}, INSIDE],
        ),
        (Kind.TOOL, "/content/*", "content", [BLOCK] * 4),
        (Kind.TOOL, "/*", "content", [BLOCK]),
        (Kind.RESOURCE, "/contents", "contents", ALL[Kind.RESOURCE]["contents"]),
        (Kind.RESOURCE, "/contents/*", "contents", ALL[Kind.RESOURCE]["contents"] * 2),
        (Kind.PROMPT, "/messages", "messages", ALL[Kind.PROMPT]["messages"]),
        (Kind.PROMPT, "/messages/*/role", "messages", [{"role": "user", "content": part} for part in (TEXT, IMAGE)]),
        (Kind.COMPLETION, "/completion", "completion", {"values": []}),
        (
            Kind.COMPLETION,
            "/completion/values/0",
            "completion",
            {"values": [REDACTED, "two"], "total": 2, "hasMore": False},
        ),
    ],
)
def test_what_stands_for_what_was_taken_out(kind: Kind, pointer: str, member: str, left: Any) -> None:
    assert redacted(kind, pointer)[member] == left


def test_a_picture_that_was_taken_out_leaves_a_text() -> None:
    after = redacted(Kind.RESOURCE, "/contents/1/blob")["contents"]
    assert after == [
        RESULTS[Kind.RESOURCE]["contents"][0],
        {"uri": "file:///b", "mimeType": "image/png", "text": REDACTED},
    ]


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        (Kind.RESOURCE, {"contents": [{"uri": SECRET, "text": SECRET}]}),
        (
            Kind.PROMPT,
            {"description": SECRET, "messages": [{"role": "user", "content": {"type": "text", "text": SECRET}}]},
        ),
        (Kind.COMPLETION, {"completion": {"values": [SECRET]}}),
        (Kind.TOOL, {"content": [{"type": "text", "text": SECRET}]}),
    ],
)
def test_a_result_that_is_all_secret_is_still_one_of_its_method(kind: Kind, result: JsonObject) -> None:
    found: tuple[Finding, ...] = screen(nouns.pin(), result).findings
    after = redact(result, Redaction(kinds=("*",)), found, kind=kind)
    assert SECRET not in str(after)
    assert NOWHERE in str(after) or kind is not Kind.RESOURCE
    read(kind, after)


def test_what_is_no_object_is_left_as_the_upstream_sent_it() -> None:
    for kind, member in ((Kind.TOOL, "content"), (Kind.RESOURCE, "contents"), (Kind.PROMPT, "messages")):
        assert mended({member: [1, "x"]}, kind) == {member: [1, "x"]}
    assert mended({"x": 1, "_meta": REDACTED}, Kind.OTHER) == {"x": 1}
