"""The resources, prompts and completions of the fixture server."""

import base64
import json

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    EmptyResult,
    PromptReference,
    ResourceTemplateReference,
    SetLevelRequestParams,
    TextContent,
)

from tests.conformance.fixture_changes import WATCHED
from tests.conformance.fixture_tools import IMAGE, embedded, image

CITIES = ("paris", "park", "party")


def _text() -> str:
    return "This is the content of the static text resource."


def _binary() -> bytes:
    return base64.b64decode(IMAGE)


def _watched() -> str:
    return "Watched resource content"


def _template(id: str) -> str:  # noqa: A002 - the name in the template
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _simple() -> list[UserMessage]:
    return [UserMessage(TextContent(text="This is a simple prompt for testing."))]


def _with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    return [UserMessage(TextContent(text=f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]


def _with_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the name of the prompt's argument
    given = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [UserMessage(given), UserMessage(TextContent(text="Please process the embedded resource above."))]


def _with_image() -> list[UserMessage]:
    return [UserMessage(image()), UserMessage(TextContent(text="Please analyze the image above."))]


async def _complete(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: CompletionContext | None
) -> Completion:
    found = [city for city in CITIES if city.startswith(argument.value)]
    return Completion(values=found, total=len(found), has_more=False)


async def _set_level(ctx: object, params: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()


def offer_contents(server: MCPServer) -> None:
    """Register them all, and what the older revisions ask beside them."""
    server.resource("test://static-text", name="text", mime_type="text/plain", description="A text.")(_text)
    server.resource("test://static-binary", name="image", mime_type="image/png", description="An image.")(_binary)
    server.resource(WATCHED, name="watched", mime_type="text/plain", description="Can be watched.")(_watched)
    server.resource("test://template/{id}/data", name="by id", mime_type="application/json")(_template)
    server.prompt("test_simple_prompt", description="Without arguments.")(_simple)
    server.prompt("test_prompt_with_arguments", description="With two arguments.")(_with_arguments)
    server.prompt("test_prompt_with_embedded_resource", description="With a resource.")(_with_resource)
    server.prompt("test_prompt_with_image", description="With an image.")(_with_image)
    server.completion()(_complete)  # type: ignore[no-untyped-call]
    low = server._lowlevel_server
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, _set_level)
