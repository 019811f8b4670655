"""What the params of each method say: the proposal a request makes, the lists and resources it wants to hear of. Pure.

Not what is done with it (mcp.py holds one table of methods for each era).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from gateway.kinds import ASKED_OF_CLIENTS, LIST_METHODS, METHODS, Kind, Listed
from gateway.model import JsonObject, Round
from gateway.transports.answers import bad_params, unknown_method

LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Of log messages, the least severe first."""
LARGEST_STATE: Final = 352 << 10
"""Characters of a `requestState`: ours holds what was asked (MOST_ASKED_BYTES), around what an upstream wants kept."""
LONGEST_METHOD: Final = 128
LISTS: Final[Mapping[str, Listed]] = {method: listed for listed, method in LIST_METHODS.items()}
_WANTED: Final[Mapping[str, tuple[Listed, ...]]] = {
    "toolsListChanged": (Listed.TOOLS,),
    "resourcesListChanged": (Listed.RESOURCES, Listed.TEMPLATES),
    "promptsListChanged": (Listed.PROMPTS,),
}
_PROMISED: Final[Mapping[str, tuple[Listed, ...]]] = {
    "tools": (Listed.TOOLS,),
    "resources": (Listed.RESOURCES, Listed.TEMPLATES),
    "prompts": (Listed.PROMPTS,),
}


class Asked(NamedTuple):
    """What a request proposes."""

    kind: Kind
    name: str
    arguments: JsonObject
    round: Round | None = None


def tool(params: JsonObject) -> Asked:
    """`tools/call`."""
    return Asked(Kind.TOOL, _text(params, "name"), _arguments(params), _round(params))


def resource(params: JsonObject) -> Asked:
    """`resources/read`."""
    return Asked(Kind.RESOURCE, _text(params, "uri"), {}, _round(params))


def prompt(params: JsonObject) -> Asked:
    """`prompts/get`."""
    arguments = _arguments(params)
    if not all(type(value) is str for value in arguments.values()):
        bad_params("the arguments of a prompt must be strings")
    return Asked(Kind.PROMPT, _text(params, "name"), arguments, _round(params))


def completion(params: JsonObject) -> Asked:
    """`completion/complete`. The proposal has the name or address of what is completed."""
    no_round(params)
    ref, argument, context = params.get("ref"), params.get("argument"), params.get("context", {})
    if type(ref) is not dict or ref.get("type") not in ("ref/prompt", "ref/resource"):
        bad_params("ref must be an object of type ref/prompt or ref/resource")
    if type(argument) is not dict or type(argument.get("name")) is not str or type(argument.get("value")) is not str:
        bad_params("argument must be an object with a name and a value, both strings")
    if type(context) is not dict or type(context.get("arguments", {})) is not dict:
        bad_params("context must be an object, and so must its arguments")
    name = _text(ref, "name" if ref["type"] == "ref/prompt" else "uri")
    return Asked(Kind.COMPLETION, name, _without_meta(params))


def other(method: str, params: JsonObject) -> Asked:
    """Any method that no revision we know gives a meaning. Raises Malformed where only servers may send it."""
    if method in ASKED_OF_CLIENTS or not 0 < len(method) <= LONGEST_METHOD or not _is_word(method):
        raise unknown_method()
    return Asked(Kind.OTHER, method, _without_meta(params))


CALLS: Final[Mapping[str, Callable[[JsonObject], Asked]]] = {
    METHODS[Kind.TOOL]: tool,
    METHODS[Kind.RESOURCE]: resource,
    METHODS[Kind.PROMPT]: prompt,
    METHODS[Kind.COMPLETION]: completion,
}
"""Method to what its params propose; any further one is `other`."""


def cursor(params: JsonObject) -> str | None:
    """Where a list goes on."""
    value = params.get("cursor")
    if value is not None and type(value) is not str:
        bad_params("the cursor is not one of ours")
    return value


def uri(params: JsonObject) -> str:
    """The resource that a subscription is about."""
    return _text(params, "uri")


def level(params: JsonObject, member: str = "level") -> str:
    """The least severe log message that is wanted; empty where the member is not there."""
    value = params.get(member, "")
    if value != "" and value not in LEVELS:
        bad_params(f"{member} must be one of {', '.join(LEVELS)}")
    return str(value)


def wanted(params: JsonObject) -> tuple[frozenset[Listed], tuple[str, ...]]:
    """The lists and the resources of `subscriptions/listen`."""
    filter_ = params.get("notifications")
    if type(filter_) is not dict:
        bad_params("notifications must be an object")
    for name in _WANTED:
        if type(filter_.get(name, False)) is not bool:
            bad_params(f"notifications.{name} must be a boolean")
    uris = filter_.get("resourceSubscriptions") or []
    if type(uris) is not list or not all(type(one) is str for one in uris):
        bad_params("notifications.resourceSubscriptions must be a list of strings")
    lists = (listed for name, several in _WANTED.items() if filter_.get(name) for listed in several)
    return frozenset(lists), tuple(dict.fromkeys(uris))


def acknowledged(lists: frozenset[Listed], uris: tuple[str, ...]) -> JsonObject:
    """The filter that was accepted, as a client writes one."""
    told: JsonObject = {name: True for name, several in _WANTED.items() if lists.issuperset(several)}
    return told | {"resourceSubscriptions": list(uris)} if uris else told


def promised(capabilities: JsonObject) -> frozenset[Listed]:
    """The lists whose changes a server with these capabilities tells of."""
    return frozenset(
        listed
        for name, several in _PROMISED.items()
        if type(said := capabilities.get(name)) is dict and said.get("listChanged") is True
        for listed in several
    )


def _text(within: JsonObject, member: str) -> str:
    if type(value := within.get(member)) is not str:
        bad_params(f"{member} must be a string")
    return value


def _arguments(params: JsonObject) -> JsonObject:
    arguments = params.get("arguments")
    if arguments is None:
        return {}
    if type(arguments) is not dict:
        bad_params("arguments must be an object")
    return arguments


def _round(params: JsonObject) -> Round | None:
    if "inputResponses" not in params and "requestState" not in params:
        return None
    answers, state = params.get("inputResponses", {}), params.get("requestState")
    if type(answers) is not dict or not all(type(answer) is dict for answer in answers.values()):
        bad_params("inputResponses must be an object of objects")
    if state is not None and (type(state) is not str or len(state) > LARGEST_STATE):
        bad_params(f"requestState must be a string of at most {LARGEST_STATE >> 10} KB")
    return Round(answers, state)


def no_round(params: JsonObject) -> None:
    """Refuse answers where nothing can have been asked."""
    if "inputResponses" in params or "requestState" in params:
        bad_params("nothing was asked of the client that this request could answer")


def _without_meta(params: JsonObject) -> JsonObject:
    return {name: value for name, value in params.items() if name != "_meta"}


def _is_word(method: str) -> Any:
    return method.isascii() and method.isprintable() and " " not in method
