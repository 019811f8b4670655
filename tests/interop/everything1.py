"""A real client on `mcp` 1.x with the whole of a server: `python everything1.py TOKEN URL`, or `- COMMAND WORD …`.

Prints what it saw, as `everything.py` beside it writes it down for 2.x. In its own environment.
"""

import asyncio
import json
import sys
from typing import Any

import httpx  # type: ignore[import-not-found, unused-ignore]  # of 1.x, not what the gateway installs
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

WATCHED: Any = "test://watched-resource"
TYPES: Any = types
"""Its models are not those of the version that is checked here."""


async def _elicited(context: Any, params: Any) -> Any:
    fields = params.requestedSchema["properties"]
    return TYPES.ElicitResult(action="accept", content=dict.fromkeys(fields, "x"))


async def _sampled(context: Any, params: Any) -> Any:
    return TYPES.CreateMessageResult(role="assistant", content=TYPES.TextContent(type="text", text="Paris"), model="m")


async def _rooted(context: Any) -> Any:
    return TYPES.ListRootsResult(roots=[TYPES.Root(uri="file:///srv/fixture", name="fixture")])


async def _lists(session: Any) -> dict[str, Any]:
    read = await session.read_resource("test://static-text")
    by_template = await session.read_resource("test://template/7/data")
    got = await session.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
    ref = TYPES.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
    completed = await session.complete(ref, {"name": "arg1", "value": "par"})
    return {
        "resources": sorted(str(each.uri) for each in (await session.list_resources()).resources),
        "templates": [each.uriTemplate for each in (await session.list_resource_templates()).resourceTemplates],
        "read": read.contents[0].text,
        "by template": by_template.contents[0].text,
        "prompts": sorted(each.name for each in (await session.list_prompts()).prompts),
        "got": got.messages[0].content.text,
        "completed": completed.completion.values,
    }


async def _asked(session: Any) -> dict[str, Any]:
    reported: list[float] = []

    async def report(done: float, total: float | None, message: str | None) -> None:
        reported.append(done)

    await session.call_tool("test_tool_with_progress", {}, progress_callback=report)
    said = {}
    for key, tool, arguments in (
        ("text", "test_simple_text", {}),
        ("elicited", "test_elicitation", {"message": "Who?"}),
        ("sampled", "test_sampling", {"prompt": "Which?"}),
        ("rooted", "test_input_required_result_list_roots", {}),
    ):
        said[key] = (await session.call_tool(tool, arguments)).content[0].text
    return {"progress": reported, **said}


async def _met(streams: Any) -> dict[str, Any]:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def handle(message: Any) -> None:
        if isinstance(said := getattr(message, "root", None), TYPES.ResourceUpdatedNotification):
            heard.put_nowait(str(said.params.uri))

    asked: dict[str, Any] = {
        "elicitation_callback": _elicited,
        "sampling_callback": _sampled,
        "list_roots_callback": _rooted,
        "message_handler": handle,
    }
    made: Any = ClientSession
    async with streams as opened, made(*opened[:2], **asked) as session:
        await session.initialize()
        seen = await _lists(session) | await _asked(session)
        await session.subscribe_resource(WATCHED)
        await session.call_tool("test_trigger_resource_update", {})
        return {**seen, "updated": await heard.get()}


async def _main(token: str, address: str, *words: str) -> None:
    if token == "-":
        print(json.dumps(await _met(stdio_client(StdioServerParameters(command=address, args=list(words))))))
        return
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60) as http:
        print(json.dumps(await _met(streamable_http_client(address, http_client=http))))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
