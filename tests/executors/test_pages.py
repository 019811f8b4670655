from typing import Any

import pytest

from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.pages import MOST_TOOLS, every, every_tool
from gateway.kinds import Listed
from gateway.model import Code, JsonObject


async def listed(*pages: Any, limit: int = 1_000) -> tuple[list[JsonObject], list[tuple[JsonObject, int]]]:
    asked: list[tuple[JsonObject, int]] = []

    async def ask(params: JsonObject, left: int) -> Answer:
        asked.append((params, left))
        return Answer(200, {"result": pages[min(len(asked), len(pages)) - 1]}, 100)

    return await every_tool(ask, limit, str), asked


async def test_every_page_is_fetched_within_one_limit() -> None:
    tools, asked = await listed({"tools": [{"name": "a"}], "nextCursor": "2"}, {"tools": [{"name": "b", "x": 1}]})
    assert tools == [{"name": "a"}, {"name": "b", "x": 1}]
    assert asked == [({}, 1_000), ({"cursor": "2"}, 900)]


async def test_an_empty_cursor_ends_the_list() -> None:
    assert await listed({"tools": [], "nextCursor": ""}) == ([], [({}, 1_000)])


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"tools": 7},
        {"tools": [7]},
        {"tools": [{}]},
        {"tools": [{"name": 7}]},
        {"tools": [], "nextCursor": 7},
        {"tools": [], "nextCursor": "same"},
        {"tools": [{"name": "a"}] * (MOST_TOOLS + 1)},
    ],
)
async def test_what_is_no_whole_list_is_no_list(page: JsonObject) -> None:
    with pytest.raises(Failed) as caught:
        await listed(page)
    assert caught.value.code is Code.UPSTREAM_INVALID
    assert not caught.value.unknown


@pytest.mark.parametrize(
    ("what", "entry", "other"),
    [
        (Listed.TOOLS, {"name": "a"}, {"uri": "a://b"}),
        (Listed.RESOURCES, {"uri": "a://b"}, {"name": "a"}),
        (Listed.TEMPLATES, {"uriTemplate": "a://{b}"}, {"uri": "a://b"}),
        (Listed.PROMPTS, {"name": "a", "vendor": 1}, {"name": 7}),
    ],
)
async def test_each_list_is_under_its_own_name_and_its_entries_have_theirs(
    what: Listed, entry: JsonObject, other: JsonObject
) -> None:
    def ask_with(value: JsonObject) -> Any:
        async def ask(_params: JsonObject, _left: int) -> Answer:
            return Answer(200, {"result": value})

        return ask

    assert await every(what, ask_with({what.value: [entry]}), 1_000, str) == [entry]
    for page in ({what.value: [other]}, {"else": [entry]}, {what.value: [entry], "nextCursor": "same"}):
        with pytest.raises(Failed):
            await every(what, ask_with(page), 1_000, str)
