"""The five scenes. Each checks with its own eyes that it shows what it says."""

import asyncio
import contextlib
import re
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mcp import Client, MCPError
from mcp.types import CallToolResult

from examples.demo import processes
from examples.demo.connecting import connected
from examples.demo.page import NotShown, Page, expect
from examples.demo.stage import Stage
from examples.demo.tampering import tampered_copy

INTACT, NOT_INTACT = 0, 6  # exit codes of `bascule audit verify`

Scene = Callable[[Stage, Client, Page], Awaitable[None]]


async def a_read_is_allowed(_: Stage, client: Client, page: Page) -> None:
    page.scene("A read that is allowed")
    page.asks('read_note(path="shared/trip.md")')
    result = await client.call_tool("read_note", {"path": "shared/trip.md"})
    expect(not result.is_error, f"the read was refused: {_text(result)}")
    note = result.structured_content or {}
    expect("platform 2" in note.get("text", ""), "the note's text did not arrive")
    page.passes(f"allowed: {note['text']}")


async def one_tool_two_arguments(stage: Stage, client: Client, page: Page) -> None:
    page.scene("The same tool, two arguments")
    mark = secrets.token_hex(4)  # a text that can be in the server's database only if this call put it there
    page.asks('write_note(path="shared/today.md", …)')
    allowed = await client.call_tool("write_note", {"path": "shared/today.md", "text": f"allowed {mark}"})
    expect(not allowed.is_error, f"the allowed write was refused: {_text(allowed)}")
    expect(_kept(stage.notes, f"allowed {mark}"), "the allowed write is not in the server's database")
    page.passes("allowed, and in the server's database")
    page.asks('write_note(path="private/salaries.md", …)')
    refused = await client.call_tool("write_note", {"path": "private/salaries.md", "text": f"refused {mark}"})
    told = _decision(refused)
    expect(refused.is_error and told.get("code") == "POLICY_DENIED", f"the second write was not refused: {told}")
    expect(told.get("reasons") and told.get("would_pass"), "the refusal does not explain itself")
    expect(not _kept(stage.notes, f"refused {mark}"), "the refused write reached the server's database")
    page.stops(f"refused, {told['code']}: {'; '.join(told['reasons'])}")
    page.says(f"what would pass: {told['would_pass']}")
    page.passes("not a byte of it is in the server's database")


async def a_poisoned_result_is_withheld(stage: Stage, client: Client, page: Page) -> None:
    page.scene("A poisoned result")
    hidden = sum(map(_is_tag, _note(stage.notes, "shared/pancakes.md")))
    expect(hidden, "the note in the server's database is not poisoned")
    page.asks(f'read_note(path="shared/pancakes.md")   holds an instruction in {hidden} invisible characters')
    result = await client.call_tool("read_note", {"path": "shared/pancakes.md"})
    told = _decision(result)
    expect(told.get("code") == "RESULT_WITHHELD", f"the result was not withheld: {told}")
    expect(not any(map(_is_tag, result.model_dump_json())), "hidden characters reached the client")
    expect("flour" not in result.model_dump_json(), "the note's text reached the client")
    page.stops(f"withheld, {told['code']}: {'; '.join(told['reasons'])}")


async def a_server_finds_nothing_of_the_host(stage: Stage, _: Client, page: Page) -> None:
    page.scene("A server that reads any file, confined")
    if (missing := await _not_confined(stage)) is not None:
        page.stops(f"refused, {missing}")
        page.says("not shown: without a sandbox no server of this machine is run at all")
        return
    granted, ours = stage.granted / "hello.txt", (stage.config, stage.database, Path("/etc/hostname"))
    expect(all(file.is_file() for file in ours), "what it shall not find is not even there for us")
    async with connected(stage.peek_url, stage.token) as peeking:
        read = {file: await peeking.call_tool("read_file", {"path": str(file)}) for file in (granted, *ours)}
    page.asks(f'read_file(path="{granted}")')
    expect("granted folder" in _text(read[granted]), f"the granted folder cannot be read: {_text(read[granted])}")
    page.passes(f"allowed, and found: {_text(read[granted]).strip()}")
    for file in ours:
        page.asks(f'read_file(path="{file}")')
        told = _text(read[file])
        expect(read[file].is_error and "No such file" in told, f"it was read: {told[:80]}")
        page.stops("allowed too, but inside the sandbox there is no such file")


async def _not_confined(stage: Stage) -> str | None:
    """Why no sandbox can be made here, with its fix; None where one can."""
    told = await processes.output("gateway", "upstream", "show", "peek", "-c", str(stage.config))
    found = re.search(r"SANDBOX_UNAVAILABLE: .*", told[1])
    return found[0] if found else None


async def the_log_tells(stage: Stage, _: Client, page: Page) -> None:
    page.scene("The log")
    page.asks("bascule audit verify")
    code, printed = await processes.output("gateway", "audit", "verify", "-c", str(stage.config))
    expect(code == INTACT, f"the log does not verify (exit code {code}): {printed}")
    page.passes(_first_line(printed))
    changed = tampered_copy(stage.database, stage.folder / "copy.db")
    page.asks(f"one byte of a copy changed, at {changed.offset:,}: {changed.before} is now {changed.after}")
    copy = ("--database", str(changed.file))
    code, printed = await processes.output("gateway", "audit", "verify", "-c", str(stage.config), *copy)
    expect(code == NOT_INTACT, f"the change was not found (exit code {code}): {printed}")
    expect(re.search(rf"\b{changed.record}\b", printed), f"record {changed.record} is not named: {printed}")
    page.stops(_first_line(printed))


SCENES: tuple[Scene, ...] = (
    a_read_is_allowed,
    one_tool_two_arguments,
    a_poisoned_result_is_withheld,
    a_server_finds_nothing_of_the_host,
    the_log_tells,
)


async def play(stage: Stage, client: Client, page: Page) -> None:
    """All scenes; one that fails does not keep the others from being seen."""
    for scene in SCENES:
        try:
            await scene(stage, client, page)
        except (NotShown, MCPError, TimeoutError, LookupError, OSError, sqlite3.Error) as fault:
            page.fails(str(fault) or type(fault).__name__)


async def upstream_seen(client: Client) -> None:
    """Wait until the gateway lists the notes: it may have looked for the server a moment before that listened."""
    async with asyncio.timeout(processes.READY_S):
        while True:
            with contextlib.suppress(MCPError):
                await client.list_tools()
                return
            await asyncio.sleep(0.05)


def _decision(result: CallToolResult) -> dict[str, Any]:
    """What the gateway says of this call, beside the result."""
    told = (result.meta or {}).get("bascule/decision", {})
    return dict(told)


def _text(result: CallToolResult) -> str:
    return " ".join(getattr(part, "text", "") for part in result.content)


def _kept(database: Path, text: str) -> bool:
    """Whether `text` is anywhere in the server's notes, asked of its own database."""
    with contextlib.closing(sqlite3.connect(database)) as notes:
        found = notes.execute("SELECT count(*) FROM notes WHERE instr(text, ?)", (text,)).fetchone()
    return bool(found[0])


def _note(database: Path, path: str) -> str:
    with contextlib.closing(sqlite3.connect(database)) as notes:
        return str(notes.execute("SELECT text FROM notes WHERE path = ?", (path,)).fetchone()[0])


def _is_tag(character: str) -> bool:
    """Unicode's tag characters: shown by nothing, read by models."""
    return 0xE0000 <= ord(character) <= 0xE007F


def _first_line(printed: str) -> str:
    return (printed.strip().splitlines() or [""])[0]
