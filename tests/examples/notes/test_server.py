"""The notes server, as a client of each era sees it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from examples.notes.server import HIDDEN, server


@pytest.fixture(params=["auto", "legacy"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    return Client(server(tmp_path / "notes.db"), mode=request.param)


def text_of(result: CallToolResult) -> str:
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


async def test_it_lists_its_five_tools(client: Client) -> None:
    async with client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["list_notes", "read_note", "write_note", "delete_note", "import_page"]


async def test_a_note_that_was_written_is_read_and_listed(client: Client) -> None:
    async with client:
        await client.call_tool("write_note", {"path": "shared/a.md", "text": "one"})
        await client.call_tool("write_note", {"path": "shared/a.md", "text": "two"})
        read = await client.call_tool("read_note", {"path": "shared/a.md"})
        assert read.structured_content == {"path": "shared/a.md", "text": "two"}
        listed = (await client.call_tool("list_notes", {})).structured_content
        assert listed is not None
        assert "shared/a.md" in listed["result"]


async def test_a_note_that_was_deleted_is_gone(client: Client) -> None:
    async with client:
        assert not (await client.call_tool("delete_note", {"path": "shared/trip.md"})).is_error
        assert (await client.call_tool("read_note", {"path": "shared/trip.md"})).is_error


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("read_note", {"path": "nowhere.md"}),
        ("delete_note", {"path": "nowhere.md"}),
        ("import_page", {"url": "https://nowhere.example/"}),
        ("write_note", {"path": "shared/a.md"}),
    ],
)
async def test_what_is_not_there_or_not_whole_is_an_error(client: Client, tool: str, arguments: dict[str, str]) -> None:
    async with client:
        assert (await client.call_tool(tool, arguments)).is_error


async def test_a_page_comes_as_text_and_without_the_network(client: Client) -> None:
    async with client:
        page = await client.call_tool("import_page", {"url": "https://example.org/garden"})
        assert text_of(page).startswith("Plant garlic")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("read_note", {"path": "shared/pancakes.md"}), ("import_page", {"url": "https://example.org/news"})],
)
async def test_the_poisoned_texts_hide_an_instruction_that_no_screen_shows(
    client: Client, tool: str, arguments: dict[str, str]
) -> None:
    async with client:
        result = await client.call_tool(tool, arguments)
        assert HIDDEN in (result.structured_content or {}).get("text", "") + text_of(result)
        assert not any(letter.isprintable() for letter in HIDDEN)


async def test_notes_outlive_the_server(tmp_path: Path) -> None:
    async with Client(server(tmp_path / "notes.db")) as client:
        await client.call_tool("write_note", {"path": "shared/trip.md", "text": "changed"})
    server(tmp_path / "notes.db")
    with closing(sqlite3.connect(tmp_path / "notes.db")) as database:
        kept = database.execute("SELECT text FROM notes WHERE path = 'shared/trip.md'").fetchone()
    assert kept == ("changed",)
