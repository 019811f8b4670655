"""What a real client on `mcp` 2.x does with the whole of a server: it lists, reads, subscribes and is asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mcp import Client
from mcp.types import ResourceUpdatedNotification

from tests.conformance.client import elicited, rooted, sampled
from tests.conformance.fixture_changes import WATCHED
from tests.serving import MODERN, PATIENCE

EXPECTED: dict[str, Any] = {
    "text": "This is a simple text response for testing.",
    "resources": ["test://static-binary", "test://static-text", WATCHED],
    "templates": ["test://template/{id}/data"],
    "read": "This is the content of the static text resource.",
    "by template": '{"id": "7", "templateTest": true, "data": "Data for ID: 7"}',
    "prompts": [
        "comes_and_goes",
        "test_input_required_result_prompt",
        "test_prompt_with_arguments",
        "test_prompt_with_embedded_resource",
        "test_prompt_with_image",
        "test_simple_prompt",
    ],
    "got": "Prompt with arguments: arg1='a', arg2='b'",
    "completed": ["paris", "park", "party"],
    "progress": [0, 50, 100],
    "elicited": "User response: action=accept, content={'username': 'x', 'email': 'x'}",
    "sampled": "LLM response: Paris",
    "rooted": "Answered: file:///srv/fixture",
    "updated": WATCHED,
}


def first_text(result: Any) -> str:
    return str(result.content[0].text)


@asynccontextmanager
async def updates(client: Client, heard: asyncio.Queue[str]) -> AsyncIterator[None]:
    """Hear of changes of the watched resource, as the client's era has it."""
    if client.protocol_version != MODERN:
        await client.subscribe_resource(WATCHED)
        yield
        return
    async with client.listen(resource_subscriptions=[WATCHED]) as listening:

        async def hear() -> None:
            async for event in listening:
                heard.put_nowait(str(getattr(event, "uri", event)))

        hearing = asyncio.ensure_future(hear())
        yield
        hearing.cancel()


async def lists(client: Client) -> dict[str, Any]:
    """What it finds, and what stands there."""
    read = await client.read_resource("test://static-text")
    by_template = await client.read_resource("test://template/7/data")
    got = await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
    ref = {"type": "ref/prompt", "name": "test_prompt_with_arguments"}
    completed = await client.complete(ref, {"name": "arg1", "value": "par"})  # type: ignore[arg-type]  # validated there
    return {
        "resources": sorted(str(each.uri) for each in (await client.list_resources()).resources),
        "templates": [each.uri_template for each in (await client.list_resource_templates()).resource_templates],
        "read": getattr(read.contents[0], "text", None),
        "by template": getattr(by_template.contents[0], "text", None),
        "prompts": sorted(each.name for each in (await client.list_prompts()).prompts),
        "got": getattr(got.messages[0].content, "text", None),
        "completed": list(completed.completion.values),
    }


async def asked(client: Client) -> dict[str, Any]:
    """What it says when the server asks it, and hears meanwhile."""
    reported: list[float] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reported.append(progress)

    await client.call_tool("test_tool_with_progress", {}, progress_callback=report)
    return {
        "progress": reported,
        "elicited": first_text(await client.call_tool("test_elicitation", {"message": "Who?"})),
        "sampled": first_text(await client.call_tool("test_sampling", {"prompt": "Which?"})),
        "rooted": first_text(await client.call_tool("test_input_required_result_list_roots", {})),
    }


async def met(server: Any, mode: str) -> dict[str, Any]:
    """All of it, over this transport."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def handle(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            heard.put_nowait(str(message.params.uri))

    answering: dict[str, Any] = {
        "elicitation_callback": elicited,
        "sampling_callback": sampled,
        "list_roots_callback": rooted,
        "message_handler": handle,
    }
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as open_:
        client = await open_.enter_async_context(Client(server, mode=mode, **answering))
        assert "test_simple_text" in [tool.name for tool in (await client.list_tools()).tools]
        seen = {"text": first_text(await client.call_tool("test_simple_text", {}))}
        seen |= await lists(client) | await asked(client)
        await open_.enter_async_context(updates(client, heard))
        await client.call_tool("test_trigger_resource_update", {})
        return seen | {"updated": await heard.get()}
