"""A stdio server of the handshake era with all that content.py offers, in one thread: it answers as it reads."""

import json
import sys
from typing import Any

from bench.servers.content import QUESTION, Content, Json, answered, notification, said, steps, streamed, unknown


class Conversation:
    """One client, line by line."""

    def __init__(self, name: str) -> None:
        self._content = Content(name)
        self._asked: dict[str, Any] = {}
        """Questions to the client that are open, each with the call that waits for it."""
        self._subscribed: set[str] = set()

    def take(self, message: Json) -> None:
        """Answer one message."""
        if "method" not in message:
            call = self._asked.pop(message["id"], None)
            if call is not None:
                self._say(answered(call, said("the client answered")))
        elif "id" in message:
            self._request(message["id"], message["method"], message.get("params", {}))

    def _request(self, ident: Any, method: str, params: Json) -> None:
        if method == "initialize":
            self._say(answered(ident, self._content.initialized(params)))
        elif (simple := self._content.simple(method, params)) is not None:
            if method == "resources/subscribe":
                self._subscribed.add(params["uri"])
            self._say(answered(ident, simple))
        elif method == "tools/call":
            self._call(ident, params)
        else:
            self._say(unknown(ident))

    def _call(self, ident: Any, params: Json) -> None:
        match params["name"]:
            case "stream":
                for step in steps(params):
                    self._say(step)
                level = {"level": "info", "data": "streamed"}
                self._say(notification("notifications/message", level))
                self._say(answered(ident, streamed(params)))
            case "ask":
                question = f"question-{ident}"
                self._asked[question] = ident
                self._say({"jsonrpc": "2.0", "id": question, "method": "elicitation/create", "params": QUESTION})
            case "change":
                for change in self._content.changes():
                    if change["params"].get("uri", "") in {"", *self._subscribed}:
                        self._say(change)
                self._say(answered(ident, said("changed")))
            case _:
                self._say(unknown(ident))

    @staticmethod
    def _say(message: Json) -> None:
        sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def main() -> None:
    conversation = Conversation(sys.argv[1])
    for line in sys.stdin.buffer:
        conversation.take(json.loads(line))


if __name__ == "__main__":
    main()
