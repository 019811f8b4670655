"""What of the fixture server asks the client before it answers."""

from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageResult,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    TextContent,
)

from tests.conformance.fixture_asking import Answers, accepted, asked, form, sampling

TEXT = {"type": "string"}
DEFAULTS: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
ONE_OF = [{"const": "value1", "title": "First Option"}, {"const": "value2", "title": "Second Option"}]
ENUMS: dict[str, dict[str, Any]] = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": ONE_OF},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": ONE_OF}},
}
NAME = form("What is your name?", name=TEXT)
ALL: dict[str, InputRequest] = {
    "user_name": NAME,
    "greeting": sampling("Generate a greeting", 50),
    "client_roots": ListRootsRequest(),
}
Round = Callable[[Context], Awaitable[str | InputRequiredResult]]


def _said(answers: Answers, key: str) -> str:
    answer = answers[key]
    content = answer.content if isinstance(answer, CreateMessageResult) else None
    return content.text if isinstance(content, TextContent) else "?"


def _once(key: str, request: InputRequest, *, before: Answers | None = None, greeting: str = "Answered") -> Round:
    """A tool that asks one thing and says what was answered."""

    async def ask(ctx: Context) -> str | InputRequiredResult:
        answers = await asked(ctx, {key: request}, before=before)
        if isinstance(answers, InputRequiredResult):
            return answers
        match answers[key]:
            case CreateMessageResult():
                return f"{greeting}: {_said(answers, key)}"
            case ListRootsResult() as listed:
                return f"{greeting}: {', '.join(str(root.uri) for root in listed.roots)}"
            case ElicitResult(action=action):
                return f"{greeting}: action={action}, content={accepted(answers, key)}"
            case _:
                return f"{greeting}: something else"

    return ask


async def _sampling(prompt: str, ctx: Context) -> str | InputRequiredResult:
    """Asks the client's model."""
    return await _once("prompt", sampling(prompt, 100), greeting="LLM response")(ctx)


async def _elicitation(message: str, ctx: Context) -> str | InputRequiredResult:
    """Asks the user."""
    return await _once("message", form(message, username=TEXT, email=TEXT), greeting="User response")(ctx)


async def _several(ctx: Context) -> str | InputRequiredResult:
    """Asks three things at once."""
    answers = await asked(ctx, ALL, before={})
    return answers if isinstance(answers, InputRequiredResult) else f"All three: {', '.join(answers)}"


async def _rounds(ctx: Context) -> str | InputRequiredResult:
    """Asks twice, one after the other."""
    first = await asked(ctx, {"step1": form("Step 1: What is your name?", name=TEXT)}, before={})
    if isinstance(first, InputRequiredResult):
        return first
    second = await asked(ctx, {"step2": form("Step 2: What is your favorite color?", color=TEXT)}, before=first)
    if isinstance(second, InputRequiredResult):
        return second
    return f"{accepted(first, 'step1').get('name')} likes {accepted(second, 'step2').get('color')}."


async def _capabilities(ctx: Context) -> str | InputRequiredResult:
    """Asks only what the client declared that it can be asked."""
    declared = ctx.client_capabilities
    can = {
        "greeting": declared is not None and declared.sampling is not None,
        "user_name": declared is not None and declared.elicitation is not None,
    }
    answers = await asked(ctx, {key: ALL[key] for key, able in can.items() if able})
    return answers if isinstance(answers, InputRequiredResult) else f"Answered: {', '.join(answers)}"


async def _needs_sampling(ctx: Context) -> str:
    """Refuses a client that declared no sampling."""
    declared = ctx.client_capabilities
    if declared is None or declared.sampling is None:
        data: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs the sampling capability", data)
    return "Sampling was declared."


async def _prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
    """A prompt that asks for its context."""
    question = form("What context should the prompt use?", context=TEXT)
    answers = await asked(ctx, {"user_context": question})
    if isinstance(answers, InputRequiredResult):
        return answers
    return [UserMessage(TextContent(text=f"Use this context: {accepted(answers, 'user_context').get('context')}"))]


def offer_rounds(server: MCPServer) -> None:
    """Register them all."""
    confirm = form("Please confirm", ok={"type": "boolean"})
    capital = sampling("What is the capital of France?", 100)
    name = _once("user_name", NAME, greeting="Hello")
    asking: dict[str, Callable[..., Any]] = {
        "test_sampling": _sampling,
        "test_elicitation": _elicitation,
        "test_elicitation_sep1034_defaults": _once("form", form("Please review the defaults", **DEFAULTS)),
        "test_elicitation_sep1330_enums": _once("form", form("Please choose", **ENUMS)),
        "test_streaming_elicitation": name,
        "test_missing_capability": _needs_sampling,
        "test_input_required_result_elicitation": name,
        "test_input_required_result_sampling": _once("capital_question", capital),
        "test_input_required_result_list_roots": _once("client_roots", ListRootsRequest()),
        "test_input_required_result_request_state": _once("confirm", confirm, before={}, greeting="state-ok"),
        "test_input_required_result_tampered_state": _once("confirm", confirm, before={}),
        "test_input_required_result_multiple_inputs": _several,
        "test_input_required_result_multi_round": _rounds,
        "test_input_required_result_capabilities": _capabilities,
    }
    for tool, function in asking.items():
        server.tool(tool, description=function.__doc__ or "Asks the client.", structured_output=False)(function)
    server.prompt("test_input_required_result_prompt")(_prompt)
