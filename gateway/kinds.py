"""What a message between a client and a server can be about: the kinds of proposals, and the lists an upstream keeps.

A kind is `call.kind` of the policy input (policy.md). Lists, discovery, handshakes, cancellation, ping, progress and
log messages are no proposals.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What one proposal asks for."""

    TOOL = "tool"
    RESOURCE = "resource"
    PROMPT = "prompt"
    COMPLETION = "completion"
    SUBSCRIPTION = "subscription"
    SAMPLING = "sampling"
    ELICITATION = "elicitation"
    ROOTS = "roots"
    OTHER = "other"


class Listed(StrEnum):
    """A list that an upstream keeps; the value is the member of the result that holds it."""

    TOOLS = "tools"
    RESOURCES = "resources"
    TEMPLATES = "resourceTemplates"
    PROMPTS = "prompts"


METHODS: Final[Mapping[Kind, str]] = {
    Kind.TOOL: "tools/call",
    Kind.RESOURCE: "resources/read",
    Kind.PROMPT: "prompts/get",
    Kind.COMPLETION: "completion/complete",
    Kind.SUBSCRIPTION: "resources/subscribe",
    Kind.SAMPLING: "sampling/createMessage",
    Kind.ELICITATION: "elicitation/create",
    Kind.ROOTS: "roots/list",
}
"""The method that carries each kind; what is `other` is named by its method."""

ASKED_OF_CLIENTS: Final[Mapping[str, Kind]] = {
    METHODS[kind]: kind for kind in (Kind.SAMPLING, Kind.ELICITATION, Kind.ROOTS)
}
"""What an upstream may ask of the client: method to kind."""

LIST_METHODS: Final[Mapping[Listed, str]] = {
    Listed.TOOLS: "tools/list",
    Listed.RESOURCES: "resources/list",
    Listed.TEMPLATES: "resources/templates/list",
    Listed.PROMPTS: "prompts/list",
}
LIST_CHANGED: Final[Mapping[str, tuple[Listed, ...]]] = {
    "notifications/tools/list_changed": (Listed.TOOLS,),
    "notifications/resources/list_changed": (Listed.RESOURCES, Listed.TEMPLATES),
    "notifications/prompts/list_changed": (Listed.PROMPTS,),
}
"""A notification to the lists it speaks of."""
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
UPDATED: Final = "notifications/resources/updated"
PROGRESS: Final = "notifications/progress"
LOGGED: Final = "notifications/message"
CANCELLED: Final = "notifications/cancelled"
ROOTS_CHANGED: Final = "notifications/roots/list_changed"
