"""An upstream's whole lists, page by page, whatever carries the pages."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from gateway.executors.answer import Answer, invalid
from gateway.executors.results import result_of
from gateway.kinds import Listed
from gateway.model import JsonObject

MOST_PAGES = 1_000
MOST_ENTRIES: Final = 10_000
MOST_TOOLS: Final = MOST_ENTRIES
NAMED_BY: Final = {
    Listed.TOOLS: "name",
    Listed.RESOURCES: "uri",
    Listed.TEMPLATES: "uriTemplate",
    Listed.PROMPTS: "name",
}
"""The member of an entry that tells it from others."""

Ask = Callable[[JsonObject, int], Awaitable[Answer]]


async def every_tool(ask: Ask, limit: int, scrubbed: Callable[[str], str]) -> list[JsonObject]:
    """`every` of the tools."""
    return await every(Listed.TOOLS, ask, limit, scrubbed)


async def every(what: Listed, ask: Ask, limit: int, scrubbed: Callable[[str], str]) -> list[JsonObject]:
    """The entries as the upstream wrote them. `ask` asks for the list with these params, within so many bytes.

    Raises:
        Failed: the list could not be had whole.
    """
    entries: list[JsonObject] = []
    cursors: set[str] = set()
    params: JsonObject = {}
    left = limit
    for _ in range(MOST_PAGES):
        answer = await ask(params, left)
        left = max(0, left - answer.size)
        result = result_of(answer, scrubbed)
        entries += _entries(what, result.get(what.value))
        if len(entries) > MOST_ENTRIES:
            raise invalid(f"it lists more than {MOST_ENTRIES} {what.value}", unknown=False)
        cursor = result.get("nextCursor")
        if cursor is None or cursor == "":
            return entries
        if type(cursor) is not str or cursor in cursors:
            break
        cursors.add(cursor)
        params = {"cursor": cursor}
    raise invalid(f"its list of {what.value} does not end", unknown=False)


def _entries(what: Listed, value: Any) -> list[JsonObject]:
    if type(value) is not list:
        raise invalid(f"it lists no {what.value}", unknown=False)
    named = NAMED_BY[what]
    if not all(type(entry) is dict and type(entry.get(named)) is str for entry in value):
        raise invalid(f"an entry of its {what.value} has no {named}", unknown=False)
    return value
