"""An upstream's whole list of tools, page by page, whatever carries the pages."""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.executors.answer import Answer, invalid
from gateway.executors.messages import result_of
from gateway.model import JsonObject

MOST_PAGES = 1_000
MOST_TOOLS = 10_000


async def every_tool(
    ask: Callable[[JsonObject, int], Awaitable[Answer]], limit: int, scrubbed: Callable[[str], str]
) -> list[JsonObject]:
    """The definitions as the upstream wrote them. `ask` sends `tools/list` with these params, within so many bytes.

    Raises:
        Failed: the list could not be had whole.
    """
    tools: list[JsonObject] = []
    cursors: set[str] = set()
    params: JsonObject = {}
    left = limit
    for _ in range(MOST_PAGES):
        answer = await ask(params, left)
        left = max(0, left - answer.size)
        result = result_of(answer, scrubbed)
        tools += _definitions(result.get("tools"))
        if len(tools) > MOST_TOOLS:
            raise invalid(f"it lists more than {MOST_TOOLS} tools", unknown=False)
        cursor = result.get("nextCursor")
        if cursor is None or cursor == "":
            return tools
        if type(cursor) is not str or cursor in cursors:
            break
        cursors.add(cursor)
        params = {"cursor": cursor}
    raise invalid("its list of tools does not end", unknown=False)


def _definitions(value: Any) -> list[JsonObject]:
    if type(value) is not list:
        raise invalid("it lists no tools", unknown=False)
    if not all(type(tool) is dict and type(tool.get("name")) is str for tool in value):
        raise invalid("a tool in its list has no name", unknown=False)
    return value
