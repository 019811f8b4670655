"""A stdio server of two tools, of the standard library alone: one asks an address, one reads a file."""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("ask", "read")]
ABOUT = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "asking", "version": "1"},
}


def called(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        if name == "ask":
            text = urllib.request.urlopen(arguments["url"], timeout=10).read().decode()
        else:
            text = Path(arguments["path"]).read_text()
    except OSError as problem:
        return {"isError": True, "content": [{"type": "text", "text": str(problem)}]}
    return {"content": [{"type": "text", "text": text}]}


def result(message: dict[str, Any]) -> dict[str, Any]:
    match message["method"]:
        case "initialize":
            return {"result": ABOUT}
        case "tools/list":
            return {"result": {"tools": TOOLS}}
        case "tools/call":
            return {"result": called(message["params"]["name"], message["params"]["arguments"])}
        case _:
            return {"error": {"code": -32601, "message": "unknown method"}}


for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" in message:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **result(message)}) + "\n")
        sys.stdout.flush()
