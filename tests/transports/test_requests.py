"""A request's way to its client: what may be told on it, under which token, and what a wrap's message says."""

from typing import Any

import orjson
import pytest

from gateway.errors import Malformed
from gateway.model import JsonObject, Principal
from gateway.transports.client import Client
from gateway.transports.requests import NAME_LIMIT, Way, own_headers, own_name
from gateway.wire import jsonrpc, mcp

PROGRESS = ("notifications/progress", {"progress": 1})
WHO = Principal("agent")


def told(token: str | int | None, least: str, *notes: tuple[str, JsonObject], legacy: bool = False) -> list[Any]:
    sent: list[Any] = []

    def send(message: bytes) -> bool:
        sent.append(orjson.loads(message))
        return True

    way = Way(send, token, least, Client("2025-11-25") if legacy else None)
    for method, params in notes:
        way.tell(method, params)
    return [(one["method"], one["params"]) for one in sent]


@pytest.mark.parametrize("token", [0, "", "t", 7])
def test_progress_goes_under_the_clients_own_token(token: str | int) -> None:
    assert told(token, "", PROGRESS) == [(PROGRESS[0], {"progress": 1, "progressToken": token})]


def test_progress_that_nobody_asked_for_and_anything_else_is_not_told() -> None:
    assert told(None, "debug", PROGRESS, ("notifications/tools/list_changed", {}), ("x", {})) == []


@pytest.mark.parametrize(
    ("least", "level", "legacy", "goes"),
    [
        ("warning", "error", False, True),
        ("warning", "warning", False, True),
        ("warning", "info", False, False),
        ("warning", "loud", False, False),
        ("warning", None, False, False),
        ("", "emergency", False, False),
        ("", "debug", True, True),
        ("error", "debug", True, False),
    ],
)
def test_log_messages_are_told_from_the_level_that_is_wanted(least: str, level: Any, legacy: bool, goes: bool) -> None:
    assert bool(told(None, least, ("notifications/message", {"level": level, "data": 1}), legacy=legacy)) is goes


def test_a_line_has_the_headers_that_its_body_says() -> None:
    meta = {mcp.META_VERSION: "2026-07-28"}
    message = jsonrpc.Message(1, "tools/call", {"name": "é", "_meta": meta})
    assert own_headers(message) == {
        b"mcp-method": b"tools/call",
        b"mcp-protocol-version": b"2026-07-28",
        b"mcp-name": mcp.encode_header("é").encode(),
    }


@pytest.mark.parametrize(
    "message",
    [
        jsonrpc.Message(1, "é", {}),
        jsonrpc.Message(1, "x", {"_meta": {mcp.META_VERSION: "é"}}),
        jsonrpc.Message(1, "x", {"_meta": {mcp.META_VERSION: 1}}),
        jsonrpc.Message(1, "tools/call", {"name": 1}),
    ],
)
def test_a_line_that_could_have_no_headers_is_refused(message: jsonrpc.Message) -> None:
    with pytest.raises(Malformed):
        own_headers(message)


def test_a_name_of_a_session_stands_under_its_principal() -> None:
    assert own_name(WHO, {"bascule/session": "s"}, "bascule/session") == "named:agent:s"
    assert own_name(WHO, {}, "bascule/session") is None


@pytest.mark.parametrize("name", ["", "a" * (NAME_LIMIT + 1), "a\n", 1, None])
def test_a_name_that_is_none_is_refused(name: object) -> None:
    with pytest.raises(Malformed):
        own_name(WHO, {"bascule/session": name}, "bascule/session")
