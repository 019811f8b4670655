"""The shape of a manifest file: every key an operator may write, each with its closed list or its bounds."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints

Pointer = Annotated[str, StringConstraints(pattern=r"^(/([^/~]|~[01])*)+$", max_length=512)]
"""A JSON pointer (RFC 6901) into the arguments; a `*` stands for every element of an array."""
Folder = Annotated[str, StringConstraints(pattern=r"^/([^/\x00]+(/[^/\x00]+)*)?$", max_length=4096)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.:-]*$", max_length=64)]
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Host = Annotated[
    str, StringConstraints(pattern=r"^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$|^\[[0-9a-f:.]+\]$", max_length=253)
]
Seconds = Annotated[float, Field(gt=0, le=86_400, strict=False)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class PathType(_Part):
    """A path of a POSIX file system, judged by its text alone."""

    type: Literal["path"]
    roots: list[Folder] = []
    """Folders it must lie in. Without any, no path is refused for where it points."""
    relative_to: Folder | None = None
    """The folder from which the server reads a relative path."""


class UrlType(_Part):
    """A url, as the WHATWG standard reads it."""

    type: Literal["url"]
    schemes: list[Literal["https", "http", "wss", "ws", "ftp"]] = Field(default=["https", "http"], min_length=1)
    hosts: list[Host] = []
    """Hosts it may name; `*.example.com` are the names below example.com. Without any, every public host."""
    allow_private: bool = False
    """Whether it may name loopback, private, link-local and metadata addresses."""


class EmailType(_Part):
    """One e-mail address, without a display name."""

    type: Literal["email"]


SemanticType = Annotated[
    Annotated[PathType | UrlType | EmailType, Field(discriminator="type")],
    BeforeValidator(lambda value: {"type": value} if isinstance(value, str) else value),
]
"""A type with its settings, or its name alone."""


class Condition(_Part):
    """A comparison at a JSON pointer, or a Rego rule by name."""

    pointer: Pointer | None = None
    equals: JsonValue = None
    not_equals: JsonValue = None
    less_than: float | None = None
    greater_than: float | None = None
    one_of: list[JsonValue] | None = None
    exists: bool | None = None
    rule: Annotated[str, StringConstraints(pattern=r"^data(\.[A-Za-z_][A-Za-z0-9_]*)+$")] | None = None


class ToolCall(_Part):
    """Another call Bascule makes for this one."""

    tool: ToolName
    args: dict[str, JsonValue] = {}


class Reading(ToolCall):
    """A fact read before the decision."""

    pointer: Pointer | None = None


class Undo(ToolCall):
    """How the effect is taken back."""

    args_from: Literal["arguments", "result", "snapshot"] | None = None
    verify: Literal["digest_equals", "probe"] = "probe"


class Probe(ToolCall):
    """How to find out whether the effect happened."""

    done_when: Condition


class Severity(_Part):
    pointer: Pointer


class Health(ToolCall):
    """What must not get worse."""

    severity: Severity
    require: Literal["not_worse", "improve"] = "not_worse"
    max_age_s: Seconds = 30.0
    settle_s: Seconds = 60.0
    samples: int = Field(default=3, ge=1, le=100)
    tolerance: float = Field(default=0.0, ge=0, strict=False)


class ToolLimits(_Part):
    max_seconds: Seconds | None = None
    max_retries: int = Field(default=0, ge=0, le=100)


Effect = Literal["read", "write", "delete", "execute", "egress", "user_facing", "money", "config", "unknown"]


class Tool(_Part):
    """What the operator states about one tool. `effects`, `reversal`, `types`, `trust` and `labels` act today."""

    effects: list[Effect] = Field(default=["unknown"], min_length=1)
    """What a call does to the world."""
    reversal: Literal["none", "undo", "compensate", "unknown"] = "unknown"
    """Whether the effect can be taken back."""
    idempotent: bool | None = None
    """Whether a second equal call changes nothing more."""
    types: dict[Pointer, SemanticType] = {}
    """JSON pointer into the arguments to the semantic type there; `*` stands for every element of an array."""
    destinations: list[Pointer] = []
    """The arguments that say where something goes."""
    trust: Literal["trusted", "untrusted"] = "untrusted"
    """Of its results."""
    labels: list[Name] = []
    """What its results add to the session."""
    inferred: bool = False
    """Drafted from the server's own annotations and not looked at by a person yet."""
    store: Name | None = None
    """The store of data it works on."""
    state: dict[Name, Reading] = {}
    """Facts read before the decision, by the name under which policy finds them."""
    scope: list[str] = []
    """What it locks: one writer at a time for each."""
    snapshot: ToolCall | None = None
    undo: Undo | None = None
    probe: Probe | None = None
    health: Health | None = None
    limits: ToolLimits | None = None


class ManifestFile(_Part):
    """One upstream's manifest: `manifests/<upstream>.yaml`."""

    tools: dict[ToolName, Tool]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) editors use, kept in `manifests/schema.json`."""
    schema = ManifestFile.model_json_schema()
    types = schema["$defs"]["Tool"]["properties"]["types"]
    ((pattern, whole),) = types.pop("patternProperties").items()
    names = sorted(whole["discriminator"]["mapping"])
    types["additionalProperties"] = {"anyOf": [{"enum": names}, {"oneOf": whole["oneOf"]}]}
    types["propertyNames"]["pattern"] = pattern
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def schema_text() -> str:
    """`manifests/schema.json`, byte for byte."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"
