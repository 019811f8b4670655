"""What the fixture server saw: each request that came, and each that it made of its client, one JSON line each."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from pydantic import BaseModel

_INTO: list[Path] = []


def note_into(file: Path | None) -> None:
    """Write into this file from now on; into none by default."""
    _INTO[:] = [file] if file is not None else []


def note(what: str, method: str) -> None:
    for file in _INTO:
        with file.open("a") as lines:
            lines.write(json.dumps({what: method}) + "\n")


async def noting(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """A middleware that notes each request, and what a result asks of the client."""
    if ctx.request_id is not None:
        note("got", ctx.method)
    result = await call_next(ctx)
    told = result.model_dump(by_alias=True) if isinstance(result, BaseModel) else result or {}
    if told.get("resultType") == "input_required":
        for request in (told.get("inputRequests") or {}).values():
            note("asked", request["method"])
    return result


def seen(file: Path, what: str) -> Counter[str]:
    """How often it `got` or `asked` each method."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return Counter(line[what] for line in lines if what in line)
