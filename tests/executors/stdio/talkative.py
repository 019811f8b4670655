"""A server on nothing but the standard library that says much beside its answers: `python talkative.py START`."""

import json
import os
import sys
from typing import Any

MODERN, LEGACY = "2026-07-28", "2025-11-25"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
Message = dict[str, Any]
CAPABILITIES = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "prompts": {},
    "logging": {},
}


def send(message: Message) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(ident: Any, result: Message) -> None:
    send({"id": ident, "result": result})


def notify(method: str, params: Message) -> None:
    send({"method": method, "params": params})


def done(ident: Any, said: Any = "done") -> None:
    answer(ident, {"resultType": "complete", "content": [{"type": "text", "text": json.dumps(said)}]})


class Server:
    """Everything it was told is in `seen`, which the tool of that name answers with."""

    def __init__(self, start: str) -> None:
        self.start = start
        self.modern = start.startswith("modern")
        self.seen: dict[str, Any] = {"pid": os.getpid(), "methods": [], "uris": [], "level": "", "cancelled": []}
        self.asked: dict[str, tuple[Any, Any]] = {}
        self.listening: dict[Any, Message] = {}
        self.rounds: dict[Any, int] = {}

    def take(self, message: Message) -> None:
        method = message.get("method")
        if method is None:
            self.answered(message)
            return
        self.seen["methods"].append(method)
        name = "on_" + method.replace("/", "_")
        if hasattr(self, name):
            getattr(self, name)(message.get("id"), message.get("params", {}))
        elif "id" in message:
            send({"id": message["id"], "error": {"code": -32601, "message": "no"}})

    def on_server_discover(self, ident: Any, params: Message) -> None:
        if self.modern:
            told = {"supportedVersions": [MODERN], "capabilities": CAPABILITIES, "instructions": "Say please."}
            answer(ident, {"resultType": "complete", **told})
        else:
            send({"id": ident, "error": {"code": -32601, "message": "no"}})

    def on_initialize(self, ident: Any, params: Message) -> None:
        self.seen["capabilities"] = params["capabilities"]
        capabilities = {} if self.start == "legacy_bare" else CAPABILITIES
        info = {"name": "talkative", "version": "1"}
        told = {"protocolVersion": LEGACY, "capabilities": capabilities, "instructions": "Say please."}
        answer(ident, {**told, "serverInfo": info})

    def on_tools_list(self, ident: Any, params: Message) -> None:
        answer(ident, {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]})

    def on_resources_list(self, ident: Any, params: Message) -> None:
        answer(ident, {"resources": [{"uri": "note://a", "name": "a"}]})

    def on_prompts_list(self, ident: Any, params: Message) -> None:
        if self.start == "modern_odd":
            send({"id": ident, "error": {"code": -32601, "message": "no"}})
        elif "cursor" in params:
            answer(ident, {"prompts": [{"name": "b"}]})
        else:
            answer(ident, {"prompts": [{"name": "a"}], "nextCursor": "more"})

    def on_resources_read(self, ident: Any, params: Message) -> None:
        answer(ident, {"contents": [{"uri": params["uri"], "text": "read"}]})

    def on_prompts_get(self, ident: Any, params: Message) -> None:
        answer(ident, {"messages": [{"role": "user", "content": {"type": "text", "text": json.dumps(params)}}]})

    def on_completion_complete(self, ident: Any, params: Message) -> None:
        answer(ident, {"completion": {"values": [params["argument"]["value"] + "!"]}})

    def on_example_ask(self, ident: Any, params: Message) -> None:
        answer(ident, {"echoed": params})

    def on_logging_setLevel(self, ident: Any, params: Message) -> None:  # noqa: N802 - the method's own name
        self.seen["level"] = params["level"]
        answer(ident, {})

    def on_resources_subscribe(self, ident: Any, params: Message) -> None:
        if params["uri"] == "note://refused":
            send({"id": ident, "error": {"code": -32602, "message": "no"}})
            return
        if params["uri"] != "note://slow":
            answer(ident, {})
        self.seen["uris"].append(params["uri"])

    def on_resources_unsubscribe(self, ident: Any, params: Message) -> None:
        self.seen["uris"].remove(params["uri"])
        answer(ident, {})

    def on_subscriptions_listen(self, ident: Any, params: Message) -> None:
        self.listening[ident] = wanted = params["notifications"]
        uris = wanted.get("resourceSubscriptions", [])
        if "note://silent" in uris:
            return
        kept = [uri for uri in uris if uri != "note://refused"]
        accepted = {**wanted, "resourceSubscriptions": kept}
        if "note://early" in uris:  # told before it is acknowledged
            self.updated("note://early")
        notify("notifications/subscriptions/acknowledged", {"notifications": accepted, "_meta": {SUBSCRIPTION: ident}})

    def on_notifications_cancelled(self, ident: Any, params: Message) -> None:
        self.seen["cancelled"].append(params["requestId"])
        self.listening.pop(params["requestId"], None)

    def on_tools_call(self, ident: Any, params: Message) -> None:
        self.rounds.setdefault(ident, 0)
        getattr(self, params["name"])(ident, params.get("arguments", {}), params.get("_meta", {}))

    def echo(self, ident: Any, arguments: Message, meta: Message) -> None:
        done(ident)

    def hang(self, ident: Any, arguments: Message, meta: Message) -> None:
        pass

    def report(self, ident: Any, arguments: Message, meta: Message) -> None:
        """Everything it was told so far."""
        done(ident, {**self.seen, "meta": meta, "listening": list(self.listening.values())})

    def progress(self, ident: Any, arguments: Message, meta: Message) -> None:
        token = meta.get("progressToken")
        for step in range(arguments["steps"]):
            params = {"progress": step, "total": arguments["steps"], "message": "on", "other": 1}
            notify("notifications/progress", {"progressToken": token, **params})
        for wrong in (None, "x", 9_999, True, float(ident)):
            notify("notifications/progress", {"progressToken": wrong, "progress": 1})
        done(ident)

    def stall(self, ident: Any, arguments: Message, meta: Message) -> None:
        """One sign of progress, and nothing more."""
        notify("notifications/progress", {"progressToken": meta.get("progressToken"), "progress": 1})

    def log(self, ident: Any, arguments: Message, meta: Message) -> None:
        for level in ("debug", "warning", "odd"):
            notify("notifications/message", {"level": level, "data": level})
        done(ident)

    def ask(self, ident: Any, arguments: Message, meta: Message) -> None:
        """Puts a question to the client, and answers with what came back; `times` of them."""
        self.rounds[ident] += 1
        theirs = f"q-{ident}-{self.rounds[ident]}"
        self.asked[theirs] = (ident, arguments)
        params = {"_meta": {"progressToken": 1}, "round": self.rounds[ident]}
        send({"id": theirs, "method": arguments.get("method", "sampling/createMessage"), "params": params})

    def answered(self, message: Message) -> None:
        if message.get("id") not in self.asked:
            self.seen.setdefault("stray", []).append(message)
            return
        ident, arguments = self.asked.pop(message["id"])
        if self.rounds[ident] < arguments.get("times", 1):
            self.ask(ident, arguments, {})
        else:
            done(ident, {key: message[key] for key in ("result", "error") if key in message})

    def updated(self, uri: str) -> None:
        if not self.modern:
            notify("notifications/resources/updated", {"uri": uri, "title": "secret"})
        for ident, wanted in self.listening.items():
            if any(uri.startswith(each) for each in wanted.get("resourceSubscriptions", [])):
                notify("notifications/resources/updated", {"uri": uri, "_meta": {SUBSCRIPTION: ident}})

    def touch(self, ident: Any, arguments: Message, meta: Message) -> None:
        self.updated(arguments["uri"])
        done(ident)

    def change(self, ident: Any, arguments: Message, meta: Message) -> None:
        method = f"notifications/{arguments['what']}/list_changed"
        if not self.modern:
            notify(method, {})
        for listen, wanted in self.listening.items():
            if "toolsListChanged" in wanted:
                notify(method, {"_meta": {SUBSCRIPTION: listen}})
        done(ident)

    def stop_listening(self, ident: Any, arguments: Message, meta: Message) -> None:
        """Ends every subscription from its own side."""
        for listen in list(self.listening):
            answer(listen, {"resultType": "complete"})
        self.listening.clear()
        done(ident)

    def die(self, ident: Any, arguments: Message, meta: Message) -> None:
        os._exit(3)


if __name__ == "__main__":
    server = Server(sys.argv[1])
    for line in sys.stdin:
        server.take(json.loads(line))
