"""The tools of the fixture server that ask nothing: what the official suite calls by name."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)
from pydantic import Field

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
AUDIO = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
RICH_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def embedded(uri: str, mime: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=mime, text=text))


def image() -> ImageContent:
    return ImageContent(data=IMAGE, mime_type="image/png")


def _contents() -> dict[str, tuple[str, list[ContentBlock]]]:
    """What a tool says that does nothing but say it: by name, its description and its content."""
    mixed = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return {
        "test_simple_text": ("Says a text.", [TextContent(text="This is a simple text response for testing.")]),
        "test_image_content": ("Shows an image.", [image()]),
        "test_audio_content": ("Plays a sound.", [AudioContent(data=AUDIO, mime_type="audio/wav")]),
        "test_embedded_resource": (
            "Gives a resource with its text.",
            [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")],
        ),
        "test_multiple_content_types": (
            "Gives a text, an image and a resource.",
            [TextContent(text="Multiple content types test:"), image(), mixed],
        ),
    }


def _say(server: MCPServer, name: str, description: str, content: list[ContentBlock]) -> None:
    def say() -> CallToolResult:
        return CallToolResult(content=content)

    server.tool(name, description=description)(say)


def _error() -> str:
    """Always an error of the tool."""
    raise ToolError("This tool intentionally returns an error for testing")


async def _log(ctx: Context) -> str:
    """Logs while it runs."""
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.request_context.session.send_log_message("info", said, related_request_id=ctx.request_id)
        await asyncio.sleep(0.05)
    return "Logged three times."


async def _progress(ctx: Context) -> str:
    """Reports progress while it runs."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return "Reported progress three times."


async def _reconnect(ctx: Context) -> str:
    """Closes the stream of its own call; what follows waits for whoever resumes it."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.2)
    return "Reconnection test completed successfully."


def _header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "") -> str:
    """Has a parameter that travels in a header too."""
    return f"Region: {region}"


def _rich(name: str = "", phone: str = "", email: str = "") -> str:
    """Tool with JSON Schema 2020-12 features"""
    return f"{name} {phone} {email}"


def offer_tools(server: MCPServer) -> None:
    """Register them all."""
    for name, (description, content) in _contents().items():
        _say(server, name, description, content)
    spoken: dict[str, Callable[..., Any]] = {
        "test_error_handling": _error,
        "test_tool_with_logging": _log,
        "test_logging_tool": _log,
        "test_tool_with_progress": _progress,
        "test_reconnection": _reconnect,
        "test_header": _header,
        "json_schema_2020_12_tool": _rich,
    }
    for name, tool in spoken.items():
        server.tool(name, structured_output=False)(tool)
    rich = server._tool_manager.get_tool("json_schema_2020_12_tool")
    assert rich is not None
    rich.parameters = RICH_SCHEMA
