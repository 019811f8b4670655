"""`call`, `tools`: a real MCP client to a running gateway."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

import json as text_of_json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from gateway.cli import options
from gateway.cli.terminal import Status, printable, say, status_of_code, table, tell, working
from gateway.errors import JSONRPC_NUMBER, BasculeError, ConfigError, Refused
from gateway.model import Code, JsonObject

if TYPE_CHECKING:
    from mcp import Client, MCPError

DECISION = "bascule/decision"
PAGES = 1000
_CODE_OF_NUMBER = {number: code for code, number in JSONRPC_NUMBER.items()}


def call(  # noqa: PLR0913 - one argument per option of the command
    tool: Annotated[str, typer.Argument(metavar="TOOL")],
    values: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", show_default=False)] = None,
    *,
    args: Annotated[str | None, typer.Option(metavar="JSON", help="All arguments as one JSON object.")] = None,
    upstream: options.Upstream = None,
    view: options.View = None,
    url: options.Url = None,
    token: options.Token = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Call a tool through the gateway. Status 3: refused, 4: waits for approval, 5: the tool reported an error.

    Example: bascule call read_note path=notes/a.md --upstream notes
    """
    if values and args is not None:
        raise ConfigError("give either KEY=VALUE or --args")
    pairs = dict(map(_pair, values or []))
    whole = None if args is None else _object(args)
    where = address(url, upstream, view, config)

    async def ask(client: "Client") -> JsonObject:
        arguments = whole if whole is not None else await _typed(client, tool, pairs)
        result = await client.call_tool(tool, arguments)
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)

    with working(f"calling {tool}"):
        result = _run(where, token, ask)
    status = outcome(result)
    if json:
        tell(result)
    else:
        show(result, status)
    if status:
        raise typer.Exit(status)


def tools(
    *,
    upstream: options.Upstream = None,
    view: options.View = None,
    url: options.Url = None,
    token: options.Token = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List the tools that this token may see.

    Example: bascule tools --upstream notes
    """
    where = address(url, upstream, view, config)

    async def ask(client: "Client") -> JsonObject:
        return {"tools": await _listed(client)}

    with working("listing tools"):
        found = _run(where, token, ask)
    if json:
        tell(found)
        return
    rows = [{"name": tool["name"], "description": _first_line(tool.get("description", ""))} for tool in found["tools"]]
    table(rows, ("name", "description"), none="no tools for this token")


def address(url: str | None, upstream: str | None, view: str | None, config: Path | None) -> str:
    """The endpoint meant: all upstreams, one, or a view; an address with a path of its own is taken as it is."""
    if upstream and view:
        raise ConfigError("give either --upstream or --view")
    path = f"/mcp/{upstream}" if upstream else f"/mcp/view/{view}" if view else "/mcp"
    if url is not None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ConfigError("--url should be an http or https address, such as http://127.0.0.1:8484")
        return url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}{path}"
    from gateway.config import find, outline

    listen = outline(find(config)).listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - where to reach it
    return f"http://{f'[{host}]' if ':' in host else host}:{listen.port}{path}"


def outcome(result: JsonObject) -> Status:
    """The status a tool result ends the command with."""
    if not result.get("isError"):
        return Status.DONE
    decision = result.get("_meta", {}).get(DECISION)
    if not isinstance(decision, dict) or decision.get("effect") == "allow":
        return Status.TOOL_ERROR
    return status_of_code(str(decision.get("code", "")))


def show(result: JsonObject, status: Status) -> None:
    """The result for a person: what the tool said, or why not and what would pass."""
    if status not in {Status.DONE, Status.TOOL_ERROR}:
        _refused(result["_meta"][DECISION])
        return
    for block in result.get("content", []):
        text = block.get("text") if block.get("type") == "text" else f"[{block.get('type')}]"
        say(printable(str(text)))
    if not result.get("content") and "structuredContent" in result:
        tell(result["structuredContent"])


def _refused(decision: JsonObject) -> None:
    say(f"{decision.get('code', 'REFUSED')}: {printable('; '.join(map(str, decision.get('reasons', []))))}")
    if decision.get("would_pass"):
        say(f"would pass: {printable(str(decision['would_pass']))}")
    if decision.get("run"):
        say(f"run {decision['run']}: bascule audit show {decision['run']}")


def _run(where: str, token: str | None, ask: Callable[["Client"], Awaitable[JsonObject]]) -> JsonObject:
    import asyncio

    import httpx2
    from mcp import MCPError

    statuses = [200]

    async def conversation() -> JsonObject:
        async with _connected(where, token, statuses) as client:
            return await ask(client)

    problem: BasculeError
    try:
        return asyncio.run(conversation())
    except* MCPError as problems:
        problem = _told(_first(problems), statuses[-1], where)
    except* (httpx2.TransportError, OSError):
        problem = BasculeError(f"no gateway answers at {where}: is `bascule serve` running?")
    # Not raised above: what an `except*` raises comes out in a group.
    raise problem


@asynccontextmanager
async def _connected(where: str, token: str | None, statuses: list[int]) -> AsyncIterator["Client"]:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    local = (urlsplit(where).hostname or "").removesuffix(".") in {"127.0.0.1", "::1", "localhost"}
    patient = httpx2.Timeout(30, read=3600)

    async def note(response: httpx2.Response) -> None:
        statuses.append(response.status_code)

    async with (
        httpx2.AsyncClient(
            headers=headers, timeout=patient, trust_env=not local, event_hooks={"response": [note]}
        ) as http,
        Client(streamable_http_client(where, http_client=http)) as client,
    ):
        yield client


async def _listed(client: "Client") -> list[JsonObject]:
    found: list[JsonObject] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
        cursor = page.next_cursor
        if not cursor:
            break
    return found


async def _typed(client: "Client", tool: str, pairs: dict[str, str]) -> JsonObject:
    """KEY=VALUE as the tool's schema wants it: text where it wants text, JSON where it wants anything else."""
    if not pairs:
        return {}
    schema: JsonObject = next((one["inputSchema"] for one in await _listed(client) if one["name"] == tool), {})
    properties = schema.get("properties", {})
    return {key: _value(value, properties.get(key)) for key, value in pairs.items()}


def _value(text: str, schema: Any) -> Any:
    wanted = schema.get("type", "string") if isinstance(schema, dict) else "string"
    if wanted == "string" or (isinstance(wanted, list) and "string" in wanted):
        return text
    try:
        return text_of_json.loads(text)
    except ValueError:
        return text


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"arguments are KEY=VALUE or --args JSON, not '{text}'")
    return key, value


def _object(text: str) -> JsonObject:
    try:
        value = text_of_json.loads(text)
    except ValueError as problem:
        raise ConfigError(f"--args is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise ConfigError("--args should be a JSON object")
    return value


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _first(problems: BaseExceptionGroup[Any]) -> Any:
    found = problems.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _told(problem: "MCPError", status: int, where: str) -> BasculeError:
    """What went wrong as an error of ours: HTTP's word where the client library only says that there was one."""
    if status == 401:
        return ConfigError("the token is missing or not known here: give --token or set BASCULE_TOKEN")
    if status == 403:
        return Refused(Code.FORBIDDEN, "FORBIDDEN: this token, host or origin may not be used there")
    if status >= 400 and problem.code in {-32601, -32603}:
        return BasculeError(f"{where} answered HTTP {status}")
    message = printable(str(problem.message))
    code = Code.TOOL_UNKNOWN if problem.code == -32602 else _CODE_OF_NUMBER.get(problem.code)
    if code is None:
        return BasculeError(f"{message} (JSON-RPC {problem.code})")
    data = problem.data if isinstance(problem.data, dict) else {}
    return Refused(code, f"{code}: {message}", would_pass=printable(str(data.get("would_pass", ""))))
