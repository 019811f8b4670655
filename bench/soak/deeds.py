"""What clients ask for: one request each, with what its answer must be. The same for both eras but for a few."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.reading import Json
from bench.servers.content import uri

STEPS, CHARACTERS = 20, 20_000


def anything(_result: Json) -> bool:
    """Every result will do."""
    return True


@dataclass(frozen=True, slots=True)
class Deed:
    """One request."""

    name: str
    method: str
    params: Json = field(default_factory=dict)
    progress: bool = False
    right: Callable[[Json], bool] = anything
    asks: bool = False
    """Whether the upstream asks the client before it answers."""


def says(text: str) -> Callable[[Json], bool]:
    """Whether a tool said this."""
    return lambda result: bool(result["content"][0]["text"] == text)


def deeds(upstream: str, *, merged: bool, modern: bool) -> list[Deed]:
    """All there is to ask of one upstream, at its own address or among others."""
    prefix = f"{upstream}__" if merged else ""
    text = f"text {random.random()}"
    call, note = "tools/call", uri(upstream)
    stream: Json = {"name": f"{prefix}stream", "arguments": {"steps": STEPS, "characters": CHARACTERS}}
    greet: Json = {"name": f"{prefix}greet", "arguments": {"whom": text}}
    argument: Json = {
        "ref": {"type": "ref/prompt", "name": f"{prefix}greet"},
        "argument": {"name": "whom", "value": "A"},
    }
    echo: Json = {"name": f"{prefix}echo", "arguments": {"text": text}}
    failing: Json = {"name": f"{prefix}fail", "arguments": {}}
    common = [
        Deed("call", call, echo, right=says(text)),
        Deed(
            "stream", call, stream, progress=True, right=lambda result: len(result["content"][0]["text"]) == CHARACTERS
        ),
        Deed("ask", call, {"name": f"{prefix}ask", "arguments": {}}, right=says("the client answered"), asks=True),
        Deed("change", call, {"name": f"{prefix}change", "arguments": {}}, right=says("changed")),
        Deed("fail", call, failing, right=lambda result: result["isError"] is True),
        Deed("tools", "tools/list", right=lambda result: bool(result["tools"])),
        Deed("resources", "resources/list", right=lambda result: bool(result["resources"])),
        Deed("templates", "resources/templates/list", right=lambda result: bool(result["resourceTemplates"])),
        Deed("prompts", "prompts/list", right=lambda result: bool(result["prompts"])),
        Deed("read", "resources/read", {"uri": note}, right=lambda result: result["contents"][0]["text"] == "noted"),
        Deed("get", "prompts/get", greet, right=lambda result: f"greet {text}" in str(result["messages"])),
        Deed("complete", "completion/complete", argument, right=lambda result: "Ada" in result["completion"]["values"]),
    ]
    return common + (_modern() if modern else _legacy(note))


def _modern() -> list[Deed]:
    return [Deed("discover", "server/discover", right=lambda result: "capabilities" in result)]


def _legacy(note: str) -> list[Deed]:
    return [
        Deed("ping", "ping"),
        Deed("level", "logging/setLevel", {"level": "info"}),
        Deed("subscribe", "resources/subscribe", {"uri": note}),
        Deed("unsubscribe", "resources/unsubscribe", {"uri": note}),
    ]
