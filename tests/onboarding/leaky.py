"""A server that tells its secrets wherever it can: `python leaky.py [dies]`. Standard library only."""

import hashlib
import json
import os
import sys
from typing import Any

TOOLS = ("fingerprints", "returns", "errs", "mumbles", "breaks", "dies", "refused")


def secrets() -> dict[str, str]:
    """What it was given."""
    return {name: value for name, value in os.environ.items() if name.startswith("GIVEN_")}


def send(ident: Any, **said: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": ident, **said}), flush=True)


def done(ident: Any, text: str) -> None:
    send(ident, result={"content": [{"type": "text", "text": text}]})


def call(ident: Any, tool: str) -> None:
    told = json.dumps(secrets())
    print("called", tool, "with", told, file=sys.stderr, flush=True)
    if tool == "fingerprints":
        done(ident, json.dumps({name: hashlib.sha256(value.encode()).hexdigest() for name, value in secrets().items()}))
    elif tool == "returns":
        done(ident, told)
    elif tool == "errs":
        send(ident, error={"code": -32000, "message": f"no: {told}", "data": secrets()})
    elif tool == "mumbles":
        print("about to answer with", told, flush=True)
        done(ident, "done")
    elif tool == "breaks":
        send(ident, result={told: told, "content": told})
    else:
        sys.exit(f"ending with {told}")


def answer(message: dict[str, Any]) -> None:
    ident, method = message.get("id"), message.get("method")
    if method == "initialize":
        version = message["params"]["protocolVersion"]
        send(
            ident,
            result={
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "leaky", "version": "1"},
            },
        )
    elif method == "tools/list":
        send(ident, result={"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]})
    elif method == "tools/call":
        call(ident, message["params"]["name"])
    elif ident is not None:
        send(ident, error={"code": -32601, "message": f"no {method}: {secrets()}"})


if __name__ == "__main__":
    print("started with", secrets(), file=sys.stderr, flush=True)
    if "dies" in sys.argv:
        sys.exit(f"no: {secrets()}")
    for line in sys.stdin:
        answer(json.loads(line))
