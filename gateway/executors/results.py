"""What an upstream's answer means: a result of its kind, or why there is none. Pure.

The words of an upstream's error are for the operator only; its number and the data that the specification gives that
number travel on in `Failed.fault`.
"""

from collections.abc import Callable
from typing import Any, Final

from gateway.channel import About
from gateway.errors import Failed
from gateway.executors.answer import Answer, invalid
from gateway.kinds import ASKED_OF_CLIENTS, Kind
from gateway.model import Code, JsonObject
from gateway.wire.mcp import MISSING_CAPABILITY

INPUT_REQUIRED: Final = "input_required"
_TYPES: Final = frozenset({"complete", INPUT_REQUIRED, "task"})
"""Results of these types are understood; `task` is that of the official extension `io.modelcontextprotocol/tasks`."""
URL_ELICITATION_REQUIRED: Final = -32042
"""2025-11-25: the request can be repeated once a person has been to the addresses in `data.elicitations`."""
MOST_ADDRESSES: Final = 16
_ADDRESS: Final = ("mode", "message", "url", "elicitationId")
_CAPABILITIES: Final = frozenset({"sampling", "elicitation", "roots", "extensions", "experimental", "tasks"})


def result_of(answer: Answer, scrubbed: Callable[[str], str]) -> JsonObject:
    """The result object.

    Raises:
        Failed: the answer is an error, or a result of an unknown type.
    """
    if answer.status != 200 or answer.message is None:
        raise _refusal(answer, scrubbed)
    if "error" in answer.message:
        raise _error(answer.message["error"], scrubbed)
    result = answer.message["result"]
    if type(result) is not dict:
        raise invalid("the result is no object")
    if type(kind := result.get("resultType", "complete")) is not str or kind not in _TYPES:
        raise invalid("the type of its result is unknown")
    if type(result.get("_meta", {})) is not dict:
        raise invalid("its _meta is no object")
    return result


def about_of(result: JsonObject, era: str) -> About:
    """What the result of a handshake or a discovery says of its sender; what is not as it must be is left out."""
    capabilities, instructions = result.get("capabilities"), result.get("instructions")
    offered = capabilities.items() if type(capabilities) is dict else ()
    kept = {name: value for name, value in offered if type(value) is dict}
    return About(kept, instructions if type(instructions) is str else "", era)


def _address(one: Any) -> JsonObject:
    """One elicitation by address, and nothing beside it."""
    if type(one) is not dict or one.get("mode") != "url":
        raise invalid("it wants a person to visit something that is no address", unknown=False)
    return {name: one[name] for name in _ADDRESS if type(one.get(name)) is str}


def check(kind: str, result: JsonObject) -> bool:
    """Whether a tool itself reported an error, once the parts of a result that everybody reads are what they must be.

    Raises:
        Failed: they are not.
    """
    if (type_ := result.get("resultType")) == INPUT_REQUIRED:
        _check_asked(result)
        return False
    if type_ == "task":
        return False
    if kind == Kind.TOOL:
        return _check_tool(result)
    if kind == Kind.RESOURCE:
        _check_objects(result.get("contents"), "contents")
    elif kind == Kind.PROMPT:
        _check_objects(result.get("messages"), "messages")
    elif kind == Kind.COMPLETION:
        _check_completion(result.get("completion"))
    return False


def _check_tool(result: JsonObject) -> bool:
    _check_objects(result.get("content", []), "content")
    tool_error = result.get("isError")
    if tool_error is not None and type(tool_error) is not bool:
        raise invalid("isError is no boolean")
    return tool_error is True


def _check_objects(value: Any, member: str) -> None:
    if type(value) is not list or not all(type(part) is dict for part in value):
        raise invalid(f"the {member} is no list of objects")


def _check_completion(value: Any) -> None:
    values = value.get("values") if type(value) is dict else None
    if type(values) is not list or not all(type(text) is str for text in values):
        raise invalid("the completion holds no list of texts")


def _check_asked(result: JsonObject) -> None:
    """What an upstream asks before it goes on: only of the client, and only what there is to ask."""
    asked = result.get("inputRequests", {})
    state = result.get("requestState")
    if type(asked) is not dict or (state is not None and type(state) is not str) or not (asked or state is not None):
        raise invalid("it asks for input without saying what")
    for one in asked.values():
        if type(one) is not dict or one.get("method") not in ASKED_OF_CLIENTS:
            raise invalid("it asks the client for something that clients are not asked")
        if type(one.get("params", {})) is not dict:
            raise invalid("the params of what it asks are no object")


def _error(fault: Any, scrubbed: Callable[[str], str], *, unknown: bool = False) -> Failed:
    """The upstream's own error: a definite answer, so the ending is known. Its words are for the operator only."""
    code = fault.get("code") if type(fault) is dict else None
    if type(code) is not int:
        return invalid("its error has no code")
    named = str(code) if abs(code) < 1_000_000 else "of an unknown code"
    detail = scrubbed(str(fault.get("message", "")))
    reason = f"the upstream answered with error {named}"
    return Failed(Code.UPSTREAM_INVALID, reason, detail=detail, unknown=unknown, fault=_fault(code, fault.get("data")))


def _fault(code: int, data: Any) -> JsonObject:
    """The error's number, and of its data what the specification puts there."""
    if type(data) is not dict:
        return {"code": code}
    if code == MISSING_CAPABILITY and type(required := data.get("requiredCapabilities")) is dict:
        named: JsonObject = {name: {} for name in required if name in _CAPABILITIES}
        return {"code": code, "data": {"requiredCapabilities": named}}
    if code == URL_ELICITATION_REQUIRED and type(asked := data.get("elicitations")) is list:
        return {"code": code, "data": {"elicitations": [_address(one) for one in asked[:MOST_ADDRESSES]]}}
    return {"code": code}


def _refusal(answer: Answer, scrubbed: Callable[[str], str]) -> Failed:
    """What a status other than 200 says. 4xx means that the request did not run."""
    status = answer.status
    if status in {401, 403}:
        reason = "the upstream refused the gateway's credentials"
        return Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=f"HTTP {status}")
    if 300 <= status < 400:
        return invalid("it is a redirect, which is not followed", unknown=status not in {307, 308})
    if status >= 500 or status in {408, 429}:
        reason = f"the upstream answered with HTTP status {status}"
        detail = scrubbed(str(answer.message["error"].get("message", ""))) if answer.message else ""
        return Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=detail, unknown=status != 429)
    if status < 400:
        return invalid(f"HTTP status {status} carries no result")
    if answer.message is not None:
        return _error(answer.message["error"], scrubbed)
    return Failed(Code.UPSTREAM_INVALID, f"the upstream answered with HTTP status {status}")
