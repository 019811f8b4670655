"""How the fixture server tells of changes: every session of the older revisions, and whoever listens since."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.session import ServerSession
from mcp.types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from tests.conformance.fixture_asking import MODERN

WATCHED = "test://watched-resource"
TOOL, PROMPT = "comes_and_goes", "comes_and_goes"
"""A list that is said to have changed has changed: the gateway tells of nothing else."""
_SESSIONS: dict[int, ServerSession] = {}
_WATCHING: set[int] = set()


def _key(session: ServerSession) -> int:
    return id(session._connection)


async def knowing(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """A middleware that keeps the sessions that can be told something later."""
    if ctx.protocol_version != MODERN:
        _SESSIONS[_key(ctx.session)] = ctx.session
    return await call_next(ctx)


async def _tell(told: Callable[[ServerSession], Awaitable[None]], only: set[int] | None = None) -> None:
    for key, session in list(_SESSIONS.items()):
        if only is None or key in only:
            # A session that has ended cannot be told; nobody says when one does.
            with suppress(Exception):
                await told(session)


def _tool() -> str:
    """Is there, or is not."""
    return "There."


def _prompt() -> str:
    return "There."


async def _tools_change(ctx: Context) -> str:
    """Takes a tool out of the list, or puts it there again, and says so."""
    if any(tool.name == TOOL for tool in await ctx.mcp_server.list_tools()):
        ctx.mcp_server.remove_tool(TOOL)
    else:
        ctx.mcp_server.tool(TOOL)(_tool)
    await ctx.notify_tools_changed()
    await _tell(ServerSession.send_tool_list_changed)
    return "Told."


async def _prompts_change(ctx: Context) -> str:
    """Takes a prompt out of the list, or puts it there again, and says so."""
    if any(prompt.name == PROMPT for prompt in await ctx.mcp_server.list_prompts()):
        ctx.mcp_server.remove_prompt(PROMPT)
    else:
        ctx.mcp_server.prompt(PROMPT, description="Is there, or is not.")(_prompt)
    await ctx.notify_prompts_changed()
    await _tell(ServerSession.send_prompt_list_changed)
    return "Told."


async def _resource_changes(ctx: Context) -> str:
    """Says that the watched resource is another."""
    await ctx.notify_resource_updated(WATCHED)
    await _tell(lambda session: session.send_resource_updated(WATCHED), _WATCHING)
    return "Told."


async def _subscribe(ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
    if str(params.uri) == WATCHED:
        _WATCHING.add(_key(ctx.session))
    return EmptyResult()


async def _unsubscribe(ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
    if str(params.uri) == WATCHED:
        _WATCHING.discard(_key(ctx.session))
    return EmptyResult()


def offer_changes(server: MCPServer) -> None:
    """Register what tells of changes, and how a client of the older revisions asks to be told."""
    changes = {"tool_change": _tools_change, "prompt_change": _prompts_change, "resource_update": _resource_changes}
    for name, tool in changes.items():
        server.tool(f"test_trigger_{name}", structured_output=False)(tool)
    server.tool(TOOL)(_tool)
    server.prompt(PROMPT, description="Is there, or is not.")(_prompt)
    low = server._lowlevel_server
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, _subscribe)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, _unsubscribe)
