from typing import Any

import pytest

from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.pages import MOST_TOOLS, every_tool
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
