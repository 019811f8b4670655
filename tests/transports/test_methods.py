"""What params mean, method by method."""

import pytest

from gateway.errors import Malformed
from gateway.kinds import Kind, Listed
from gateway.model import JsonObject, Round
from gateway.transports import methods
from gateway.transports.methods import Asked

PROMPT_REF: JsonObject = {"type": "ref/prompt", "name": "p"}
ARGUMENT: JsonObject = {"name": "a", "value": "v"}
META: JsonObject = {"_meta": {"x": 1}}


@pytest.mark.parametrize(
    ("method", "params", "asked"),
    [
        ("tools/call", {"name": "t"}, Asked(Kind.TOOL, "t", {})),
        ("tools/call", {"name": "t", "arguments": {"a": [1]}}, Asked(Kind.TOOL, "t", {"a": [1]})),
        ("tools/call", {"name": "t", "requestState": "s"}, Asked(Kind.TOOL, "t", {}, Round({}, "s"))),
        ("resources/read", {"uri": "a:b", **META}, Asked(Kind.RESOURCE, "a:b", {})),
        (
            "resources/read",
            {"uri": "a:b", "inputResponses": {"k": {"roots": []}}},
            Asked(Kind.RESOURCE, "a:b", {}, Round({"k": {"roots": []}}, None)),
        ),
        ("prompts/get", {"name": "p", "arguments": {"a": "x"}}, Asked(Kind.PROMPT, "p", {"a": "x"})),
        ("prompts/get", {"name": "p", "arguments": None}, Asked(Kind.PROMPT, "p", {})),
        (
            "completion/complete",
            {"ref": PROMPT_REF, "argument": ARGUMENT, **META},
            Asked(Kind.COMPLETION, "p", {"ref": PROMPT_REF, "argument": ARGUMENT}),
        ),
        (
            "completion/complete",
            {
                "ref": {"type": "ref/resource", "uri": "a:{b}"},
                "argument": ARGUMENT,
                "context": {"arguments": {"c": "d"}},
            },
            Asked(
                Kind.COMPLETION,
                "a:{b}",
                {
                    "ref": {"type": "ref/resource", "uri": "a:{b}"},
                    "argument": ARGUMENT,
                    "context": {"arguments": {"c": "d"}},
                },
            ),
        ),
    ],
)
def test_params_say_what_is_proposed(method: str, params: JsonObject, asked: Asked) -> None:
    assert methods.CALLS[method](params) == asked


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("resources/read", {}),
        ("resources/read", {"uri": 1}),
        ("prompts/get", {"name": "p", "arguments": {"a": 1}}),
        ("prompts/get", {"name": "p", "arguments": []}),
        ("prompts/get", {"arguments": {}}),
        ("tools/call", {"name": "t", "inputResponses": {"k": 1}}),
        ("tools/call", {"name": "t", "inputResponses": [{}]}),
        ("tools/call", {"name": "t", "requestState": {}}),
        ("tools/call", {"name": "t", "requestState": "x" * (methods.LARGEST_STATE + 1)}),
        ("completion/complete", {"argument": ARGUMENT}),
        ("completion/complete", {"ref": {"type": "ref/tool", "name": "t"}, "argument": ARGUMENT}),
        ("completion/complete", {"ref": {"type": "ref/resource", "name": "t"}, "argument": ARGUMENT}),
        ("completion/complete", {"ref": PROMPT_REF}),
        ("completion/complete", {"ref": PROMPT_REF, "argument": {"name": "a", "value": 1}}),
        ("completion/complete", {"ref": PROMPT_REF, "argument": {"value": "a"}}),
        ("completion/complete", {"ref": PROMPT_REF, "argument": ARGUMENT, "context": []}),
        ("completion/complete", {"ref": PROMPT_REF, "argument": ARGUMENT, "context": {"arguments": []}}),
        ("completion/complete", {"ref": PROMPT_REF, "argument": ARGUMENT, "requestState": "s"}),
    ],
)
def test_params_of_another_shape_are_refused(method: str, params: JsonObject) -> None:
    with pytest.raises(Malformed) as refused:
        methods.CALLS[method](params)
    assert refused.value.jsonrpc == -32602


def test_a_method_nobody_knows_is_proposed_with_its_params_as_arguments() -> None:
    params = {"taskId": "1", "inputResponses": {}, **META}
    assert methods.other("tasks/update", params) == Asked(
        Kind.OTHER, "tasks/update", {"taskId": "1", "inputResponses": {}}
    )


@pytest.mark.parametrize("method", ["", "a b", "ä/b", "a\nb", "x" * 129, "roots/list", "sampling/createMessage"])
def test_what_is_no_method_of_a_server_is_unknown(method: str) -> None:
    with pytest.raises(Malformed) as refused:
        methods.other(method, {})
    assert (refused.value.jsonrpc, refused.value.status) == (-32601, 404)


def test_a_filter_comes_back_as_it_was_accepted() -> None:
    stated = {"resourcesListChanged": True, "toolsListChanged": False, "resourceSubscriptions": ["a:b", "a:b", "c:d"]}
    lists, uris = methods.wanted({"notifications": stated})
    assert (set(lists), list(uris)) == ({Listed.RESOURCES, Listed.TEMPLATES}, ["a:b", "c:d"])
    assert methods.acknowledged(lists, uris) == {
        "resourcesListChanged": True,
        "resourceSubscriptions": ["a:b", "c:d"],
    }
    assert methods.acknowledged(frozenset(), ()) == {}


@pytest.mark.parametrize(
    ("capabilities", "lists"),
    [
        ({}, set()),
        ({"tools": {"listChanged": True}, "prompts": {"listChanged": False}, "resources": True}, {Listed.TOOLS}),
        ({"resources": {"listChanged": True}}, {Listed.RESOURCES, Listed.TEMPLATES}),
        ({"prompts": {"listChanged": 1}}, set()),
    ],
)
def test_only_what_was_promised_is_told(capabilities: JsonObject, lists: set[Listed]) -> None:
    assert methods.promised(capabilities) == lists


@pytest.mark.parametrize("level", ["loud", 1, None, ["info"], "INFO"])
def test_a_level_nobody_knows_is_refused(level: object) -> None:
    with pytest.raises(Malformed):
        methods.level({"level": level})


def test_a_cursor_is_a_text() -> None:
    assert (methods.cursor({}), methods.cursor({"cursor": None}), methods.cursor({"cursor": "2"})) == (None, None, "2")
    with pytest.raises(Malformed):
        methods.cursor({"cursor": 1})
