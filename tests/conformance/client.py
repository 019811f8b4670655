"""The fixture client: `python -m tests.conformance.client --mode legacy|auto|MODERN [--token T] URL`.

On the `mcp` SDK. Which scenario of the official suite it plays is told by MCP_CONFORMANCE_SCENARIO, what that scenario
needs by MCP_CONFORMANCE_CONTEXT. It signs in nowhere: the scenarios below `auth/` are expected to fail.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    Root,
    TextContent,
    Tool,
)
from pydantic import FileUrl

Scenario = Callable[[Client], Awaitable[None]]
ARGUMENTS: dict[str, Any] = {"string": "x", "integer": 1, "number": 1, "boolean": True, "object": {}, "array": []}
PATIENT = httpx2.Timeout(60)


def filled(tool: Tool) -> dict[str, Any]:
    """Some value for each argument that a tool requires."""
    schema = tool.input_schema
    return {name: ARGUMENTS[schema["properties"][name]["type"]] for name in schema.get("required", [])}


async def elicited(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    """Accept, with the defaults that the form states."""
    assert isinstance(params, ElicitRequestFormParams)
    fields = params.requested_schema.get("properties", {})
    content = {name: about["default"] for name, about in fields.items() if "default" in about}
    others = {name: True if about["type"] == "boolean" else "x" for name, about in fields.items()}
    return ElicitResult(action="accept", content=others | content)


async def sampled(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(text="Paris"), model="fixture")


async def rooted(context: ClientRequestContext) -> ListRootsResult:
    return ListRootsResult(roots=[Root(uri=FileUrl("file:///srv/fixture"), name="fixture")])


async def lists(client: Client) -> None:
    await client.list_tools()


async def adds(client: Client) -> None:
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


async def reconnects(client: Client) -> None:
    await client.list_tools()
    await client.call_tool("test_reconnection", {})


async def accepts_defaults(client: Client) -> None:
    await client.list_tools()
    await client.call_tool("test_client_elicitation_defaults", {})


async def answers_rounds(client: Client) -> None:
    await client.list_tools()
    await asyncio.gather(client.call_tool("test_mrtr_echo_state", {}), client.call_tool("test_mrtr_unrelated", {}))
    await client.call_tool("test_mrtr_no_state", {})
    # The SDK holds that a result without `resultType` is none; what counts is that it does not call again.
    with suppress(Exception):
        await client.call_tool("test_mrtr_no_result_type", {})


async def calls_every_tool(client: Client) -> None:
    for tool in (await client.list_tools()).tools:
        await client.call_tool(tool.name, filled(tool))


async def asks_everything(client: Client) -> None:
    await calls_every_tool(client)
    for resource in (await client.list_resources()).resources:
        await client.read_resource(str(resource.uri))
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name, {argument.name: "x" for argument in prompt.arguments or []})


async def mirrors_arguments(client: Client) -> None:
    await client.list_tools()
    for call in json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])["toolCalls"]:
        # The suite gives a null to see it left out of the headers; no tool of its own takes one.
        given = {name: value for name, value in call["arguments"].items() if value is not None}
        await client.call_tool(call["name"], given)


async def gives_the_schema_back(client: Client) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    [echo] = tools.keys() - {"json_schema_2020_12_tool"}
    await client.call_tool(echo, {"schema": tools["json_schema_2020_12_tool"].input_schema})


SCENARIOS: dict[str, Scenario] = {
    "initialize": lists,
    "tools_call": adds,
    "sse-retry": reconnects,
    "elicitation-sep1034-client-defaults": accepts_defaults,
    "request-metadata": lists,
    "sep-2322-client-request-state": answers_rounds,
    "http-standard-headers": asks_everything,
    "http-custom-headers": mirrors_arguments,
    "http-invalid-tool-headers": calls_every_tool,
    "json-schema-ref-no-deref": lists,
    "json-schema-2020-12-preservation": gives_the_schema_back,
}


async def played(url: str, mode: str, token: str, scenario: Scenario) -> None:
    """Play a scenario against the server at this address."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    asked: dict[str, Any] = {
        "mode": mode,
        "elicitation_callback": elicited,
        "sampling_callback": sampled,
        "list_roots_callback": rooted,
    }
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENT, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), **asked) as client,
    ):
        with suppress(MCPError):
            await scenario(client)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--mode", required=True)
    options.add_argument("--token", default="")
    options.add_argument("url")
    given = options.parse_args()
    scenario = SCENARIOS.get(os.environ["MCP_CONFORMANCE_SCENARIO"], calls_every_tool)
    asyncio.run(played(given.url, given.mode, given.token, scenario))


if __name__ == "__main__":
    main()
