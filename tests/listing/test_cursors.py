"""A cursor is ours or refused."""

import base64
from typing import Any

import orjson
import pytest

from gateway.errors import Malformed
from gateway.kinds import Listed
from gateway.listing import cursors
from gateway.registry.rolls import Place


def raw(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


@pytest.mark.parametrize("name", ["a", "ä/ü?", "x" * 4000, "", "a\tb"])
def test_a_cursor_names_the_place_it_was_written_for(name: str) -> None:
    place = Place("files", name)
    assert cursors.read(Listed.TOOLS, cursors.written(Listed.TOOLS, place)) == place


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "ü",
        "%%%",
        7,
        None,
        ["a"],
        "A" * 70_000,
        raw({}),
        raw(["tools", "a"]),
        raw(["tools", "a", 1]),
        raw(["tools", "a", "b", "c"]),
        raw(["prompts", "a", "b"]),
        raw(["tools", "a", "b"]) + "==",
        base64.urlsafe_b64encode(b'["tools", "a", "b"]').decode().rstrip("="),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
    ids=str,
)
def test_what_we_did_not_write_is_refused_as_bad_params(cursor: Any) -> None:
    with pytest.raises(Malformed) as refused:
        cursors.read(Listed.TOOLS, cursor)
    assert (refused.value.jsonrpc, refused.value.status) == (-32602, 400)
    assert str(cursor)[:20] not in refused.value.reason or cursor == ""
