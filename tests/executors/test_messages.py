from typing import Any

import orjson
import pytest

from gateway.channel import SILENT, Channel
from gateway.executors.answer import Answer
from gateway.executors.messages import (
    OUR_META,
    Request,
    asked,
    declared,
    elicited,
    error_code,
    legacy,
    meta_for,
    modern,
)
from gateway.model import JsonObject, Proposal, Round
from tests.nouns import call, pin


def request(meta: JsonObject) -> Request:
    return Request("tools/list", {"cursor": "c"}, meta, {}, ("a", "1"), "2026-07-28", 1)


def test_a_modern_message_carries_its_envelope_and_ours_wins() -> None:
    sent = orjson.loads(modern("i", request({"a": 1, **dict.fromkeys(OUR_META, "theirs")})))
    assert sent == {
        "jsonrpc": "2.0",
        "id": "i",
        "method": "tools/list",
        "params": {"cursor": "c", "_meta": {"a": 1, **OUR_META}},
    }


@pytest.mark.parametrize("meta", [{}, {"a": 1}])
def test_a_legacy_message_carries_only_what_goes_along(meta: JsonObject) -> None:
    sent = orjson.loads(legacy("i", request(meta)))
    assert sent["params"] == {"cursor": "c", **({"_meta": meta} if meta else {})}


def answer(status: int = 200, **message: Any) -> Answer:
    return Answer(status, message or None)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (answer(error={"code": -32602}), -32602),
        (answer(error={"code": "x"}), None),
        (answer(error={"code": True}), None),
        (answer(error=7), None),
        (answer(result={}), None),
        (answer(404), None),
    ],
)
def test_an_error_code_is_an_integer_or_none(given: Answer, code: int | None) -> None:
    assert error_code(given) == code


def test_what_a_client_can_be_asked_is_declared_and_nothing_else_of_it() -> None:
    capabilities = {
        "sampling": {"tools": {}},
        "elicitation": {"form": {}, "url": {}},
        "roots": {"listChanged": True, "more": 1},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
        "experimental": {"x": {}},
        "tasks": {},
    }
    assert declared(capabilities, changes=False) == {
        "sampling": {"tools": {}},
        "elicitation": {"form": {}, "url": {}},
        "roots": {"more": 1},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
        "experimental": {"x": {}},
    }
    assert declared(capabilities, changes=True)["roots"] == capabilities["roots"]
    assert declared({"sampling": True, "roots": {}, "experimental": ["x"]}, changes=False) == {"roots": {}}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"elicitationId": "1", "url": "https://example.org/", "_meta": {"a": 1}}, {"elicitationId": "1"}),
        ({"elicitationId": "x" * 256}, {"elicitationId": "x" * 256}),
        ({"elicitationId": "x" * 257}, None),
        ({"elicitationId": ""}, None),
        ({"elicitationId": 1}, None),
        ({}, None),
    ],
)
def test_of_a_complete_elicitation_its_id_is_passed_on_and_nothing_else(
    params: JsonObject, told: JsonObject | None
) -> None:
    assert elicited(params) == told


@pytest.mark.parametrize(
    ("channel", "is_modern", "token", "meta"),
    [
        (SILENT, True, None, {"a": 1, **OUR_META}),
        (SILENT, False, None, {"a": 1}),
        (SILENT, False, "t", {"a": 1, "progressToken": "t"}),
        (Channel(log_level="info"), False, None, {"a": 1}),
        (
            Channel(capabilities={"sampling": {}, "x": {}}, log_level="info"),
            True,
            7,
            {
                "a": 1,
                **OUR_META,
                "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
                "io.modelcontextprotocol/logLevel": "info",
                "progressToken": 7,
            },
        ),
    ],
)
def test_the_meta_of_a_request_is_what_goes_along_and_what_its_hop_adds(
    channel: Channel, is_modern: bool, token: int | str | None, meta: JsonObject
) -> None:
    assert meta_for(channel, {"a": 1}, modern=is_modern, token=token) == meta


def test_progress_is_asked_for_by_the_id_of_the_request() -> None:
    for sent in (modern("i", request({}), Channel(progress=True)), legacy("i", request({}), Channel(progress=True))):
        assert orjson.loads(sent)["params"]["_meta"]["progressToken"] == "i"


ROUND = Round(answers={"k": {"action": "accept"}}, state="sealed")


@pytest.mark.parametrize(
    ("changed", "method", "params"),
    [
        ({}, "tools/call", {"name": "n", "arguments": {"a": 1}}),
        ({"kind": "resource"}, "resources/read", {"uri": "n"}),
        ({"kind": "prompt"}, "prompts/get", {"name": "n", "arguments": {"a": 1}}),
        ({"kind": "prompt", "arguments": {}}, "prompts/get", {"name": "n"}),
        ({"kind": "completion"}, "completion/complete", {"a": 1}),
        ({"kind": "subscription"}, "resources/subscribe", {"a": 1}),
        ({"kind": "other"}, "n", {"a": 1}),
        (
            {"round": ROUND},
            "tools/call",
            {"name": "n", "arguments": {"a": 1}, "inputResponses": ROUND.answers, "requestState": "sealed"},
        ),
        (
            {"kind": "resource", "round": Round({}, None)},
            "resources/read",
            {"uri": "n", "inputResponses": {}},
        ),
    ],
)
def test_what_is_asked_is_what_was_judged(changed: JsonObject, method: str, params: JsonObject) -> None:
    assert asked(Proposal(call("alias", **{"arguments": {"a": 1}, **changed}), pin("n"))) == (method, params)
