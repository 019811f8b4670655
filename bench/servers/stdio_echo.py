"""A stdio server of one tool that gives back what it got: the least there is to measure a way to it by."""

import json
import sys
from typing import Any

TOOL = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}
ABOUT = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "stdio-echo", "version": "1"},
}


def result(message: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request."""
    match message["method"]:
        case "initialize":
            return {"result": ABOUT}
        case "tools/list":
            return {"result": {"tools": [TOOL]}}
        case "tools/call":
            return {"result": {"content": [{"type": "text", "text": message["params"]["arguments"]["text"]}]}}
        case _:
            return {"error": {"code": -32601, "message": "unknown method"}}


def main() -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" in message:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **result(message)}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
