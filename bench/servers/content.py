"""What the upstreams of the streams and of the soak offer, in either era and over either transport: pure data.

Only the standard library: the stdio server starts with nothing else.
"""

from typing import Any

Json = dict[str, Any]

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26")
META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
CACHE: Json = {"ttlMs": 0, "cacheScope": "private"}
CAPABILITIES: Json = {
    "tools": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "prompts": {"listChanged": True},
    "completions": {},
    "logging": {},
}
QUESTION: Json = {
    "mode": "form",
    "message": "May it be written?",
    "requestedSchema": {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]},
}
"""What the tool `ask` asks of the person before the client."""


def tool(name: str, **properties: Json) -> Json:
    """One definition, all of whose arguments are required."""
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"name": name, "description": f"The tool {name} of the bench.", "inputSchema": schema}


def tools(count: int) -> list[Json]:
    """The five that do something, and as many others as make `count`, of which the last is not always there."""
    text, number = {"type": "string"}, {"type": "integer"}
    acting = [tool("echo", text=text), tool("stream", steps=number, characters=number)]
    acting += [tool("ask"), tool("change"), tool("fail"), tool("last")]
    return acting + [tool(f"other_{place:05}", text=text) for place in range(len(acting), count)]


def uri(name: str, number: int = 1) -> str:
    """The address of a note of the upstream called so."""
    return f"notes-{name}://notes/{number}"


class Content:
    """One upstream's lists and what its simple methods answer."""

    def __init__(self, name: str, count: int = 6) -> None:
        self.name = name
        notes = [{"uri": uri(name, number), "name": f"note {number}", "mimeType": "text/plain"} for number in (1, 2, 3)]
        template = {"uriTemplate": f"notes-{name}://notes/{{number}}", "name": "a note"}
        prompt = {"name": "greet", "arguments": [{"name": "whom", "required": True}]}
        self._lists: dict[str, Json] = {
            "tools/list": {"tools": tools(count)},
            "resources/list": {"resources": notes},
            "resources/templates/list": {"resourceTemplates": [template]},
            "prompts/list": {"prompts": [prompt, {"name": "part"}]},
        }
        self._short = False

    def about(self) -> Json:
        """The part that `initialize` and `server/discover` share."""
        return {"capabilities": CAPABILITIES, "instructions": f"The upstream {self.name} of the bench."}

    def initialized(self, params: Json) -> Json:
        """What `initialize` comes to."""
        asked = params.get("protocolVersion")
        version = asked if asked in LEGACY else LEGACY[0]
        return {"protocolVersion": version, "serverInfo": self.server(), **self.about()}

    def server(self) -> Json:
        """Its name, as it gives it."""
        return {"name": self.name, "version": "1"}

    def simple(self, method: str, params: Json) -> Json | None:
        """What needs neither a stream nor the client; None where it is something else."""
        if method in self._lists:
            return {**self._list(method), **CACHE}
        match method:
            case "resources/read":
                return {"contents": [{"uri": params["uri"], "mimeType": "text/plain", "text": "noted"}], **CACHE}
            case "prompts/get":
                whom = params.get("arguments", {}).get("whom", "")
                return {"messages": [{"role": "user", "content": {"type": "text", "text": f"greet {whom}"}}]}
            case "completion/complete":
                return {"completion": {"values": ["Ada", "Alan"], "total": 2, "hasMore": False}}
            case "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe":
                return {}
            case "tools/call":
                return self._called(params)
        return None

    def _list(self, method: str) -> Json:
        """A list; every other time that it changed it is without its last entry."""
        if not self._short:
            return self._lists[method]
        return {member: entries[:-1] or entries for member, entries in self._lists[method].items()}

    @staticmethod
    def _called(params: Json) -> Json | None:
        arguments = params.get("arguments", {})
        match params["name"]:
            case "echo":
                return said(str(arguments["text"]))
            case "fail":
                return {**said("it failed"), "isError": True}
        return None

    def changes(self) -> list[Json]:
        """Change every list; what is notified of then."""
        self._short = not self._short
        lists = [f"notifications/{what}/list_changed" for what in ("tools", "resources", "prompts")]
        updated = notification("notifications/resources/updated", {"uri": uri(self.name)})
        return [*(notification(method, {}) for method in lists), updated]


def said(text: str) -> Json:
    """The result of a tool that says this."""
    return {"content": [{"type": "text", "text": text}]}


def notification(method: str, params: Json) -> Json:
    """One notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def answered(ident: Any, result: Json) -> Json:
    """One response."""
    return {"jsonrpc": "2.0", "id": ident, "result": result}


def unknown(ident: Any) -> Json:
    """The response to what is no method here."""
    return {"jsonrpc": "2.0", "id": ident, "error": {"code": -32601, "message": "Method not found"}}


def steps(params: Json) -> list[Json]:
    """What `stream` notifies of before its result: progress where a token was given."""
    token = params.get("_meta", {}).get("progressToken")
    if token is None:
        return []
    total = params["arguments"]["steps"]
    return [
        notification("notifications/progress", {"progressToken": token, "progress": done, "total": total})
        for done in range(1, total + 1)
    ]


def streamed(params: Json) -> Json:
    """The result of `stream`."""
    return said("x" * params["arguments"]["characters"])
