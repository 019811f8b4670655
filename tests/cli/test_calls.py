"""`call` and `tools`: a real client, against real MCP servers in this process and an HTTP server that says no."""

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.server import MCPServer
from mcp.types import CallToolResult, TextContent

from gateway.cli import calls
from gateway.cli.calls import address
from gateway.errors import JSONRPC_NUMBER, ConfigError
from gateway.model import Code, JsonObject
from tests.cli.commandline import Run

NO_RULE = {
    "code": "NO_RULE",
    "effect": "deny",
    "run": "0199-run",
    "reasons": ["no rule allows this"],
    "would_pass": "a path under notes/",
}


def refusal(decision: JsonObject) -> CallToolResult:
    text = TextContent(type="text", text="NO_RULE: no rule allows this.")
    return CallToolResult(content=[text], is_error=True, _meta={"bascule/decision": decision})


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> MCPServer:
    """A server that answers as a gateway does, reached without a socket."""
    server = MCPServer("gateway")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers.
        Second line."""
        return a + b

    @server.tool()
    def echo(text: str) -> CallToolResult:
        return CallToolResult(content=[TextContent(type="text", text=text)])

    @server.tool()
    def broken() -> CallToolResult:
        return CallToolResult(content=[TextContent(type="text", text="it broke")], is_error=True)

    @server.tool()
    def allowed_and_broken() -> CallToolResult:
        return refusal({"effect": "allow", "id": "d", "run": "r"})

    @server.tool()
    def refused(code: str = "NO_RULE") -> CallToolResult:
        return refusal(NO_RULE | {"code": code})

    @server.tool()
    def structured() -> CallToolResult:
        return CallToolResult(content=[], structured_content={"n": 1})

    @server.tool()
    def erring(number: int) -> str:
        raise MCPError(number, "no such thing", {"would_pass": "another"})

    @asynccontextmanager
    async def connected(where: str, token: str | None, statuses: list[int]) -> AsyncIterator[Client]:
        async with Client(server) as client:
            yield client

    monkeypatch.setattr(calls, "_connected", connected)
    return server


AT = ("--url", "http://gateway.example")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("add", "a=1", "b=2"), 0, "3\n"),
        (("add", "--args", '{"a": 1, "b": 2}'), 0, "3\n"),
        (("echo", "text=42"), 0, "42\n"),
        (("echo", "text=a=b"), 0, "a=b\n"),
        (("echo", "text=\x1b[2J"), 0, "\\u001b[2J\n"),
        (("structured",), 0, '{\n  "n": 1\n}\n'),
        (("broken",), 5, "it broke\n"),
        (("allowed_and_broken",), 5, "NO_RULE: no rule allows this.\n"),
        (("refused", "code=APPROVAL_REQUIRED"), 4, "APPROVAL_REQUIRED: no rule allows this\n"),
        (("refused", "code=UPSTREAM_TIMEOUT"), 1, "UPSTREAM_TIMEOUT: no rule allows this\n"),
        (
            ("refused",),
            3,
            "NO_RULE: no rule allows this\nwould pass: a path under notes/\n"
            "run 0199-run: bascule audit show 0199-run\n",
        ),
    ],
)
def test_a_call_ends_with_what_became_of_it(
    gateway: MCPServer, here: Path, run: Run, words: tuple[str, ...], status: int, said: str
) -> None:
    ended = run("call", *words, *AT)
    assert ended.status == status, ended.err
    assert ended.out.startswith(said)


def test_a_call_as_json_is_the_whole_result_and_has_the_same_status(gateway: MCPServer, here: Path, run: Run) -> None:
    ended = run("call", "refused", "--json", *AT)
    assert ended.status == 3
    assert json.loads(ended.out)["_meta"]["bascule/decision"] == NO_RULE


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (-32602, 3, "bascule: TOOL_UNKNOWN: no such thing"),
        (JSONRPC_NUMBER[Code.NO_RULE], 3, "bascule: NO_RULE: no such thing"),
        (JSONRPC_NUMBER[Code.APPROVAL_REQUIRED], 4, "would pass: another"),
        (JSONRPC_NUMBER[Code.LOG_UNAVAILABLE], 1, "LOG_UNAVAILABLE"),
        (-32099, 1, "bascule: no such thing (JSON-RPC -32099)"),
    ],
)
def test_a_json_rpc_error_ends_with_its_code(
    gateway: MCPServer, here: Path, run: Run, monkeypatch: pytest.MonkeyPatch, number: int, status: int, said: str
) -> None:
    ended = run("call", "erring", f"number={number}", *AT)
    assert ended.status == status
    assert said in ended.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("call", "add", "a"), "KEY=VALUE"),
        (("call", "add", "=1"), "KEY=VALUE"),
        (("call", "add", "--args", "{"), "--args is not JSON"),
        (("call", "add", "--args", "[]"), "JSON object"),
        (("call", "add", "a=1", "--args", "{}"), "either"),
        (("tools", "--upstream", "a", "--view", "b"), "either"),
        (("tools", "--url", "gateway"), "--url should be"),
    ],
)
def test_wrong_arguments_end_with_2(gateway: MCPServer, here: Path, run: Run, words: tuple[str, ...], why: str) -> None:
    ended = run(*words)
    assert ended.status == 2
    assert why in ended.err


def test_tools_are_listed_with_one_line_each(gateway: MCPServer, here: Path, run: Run) -> None:
    ended = run("tools", *AT)
    assert ended.status == 0
    assert "add\tAdd two numbers." in ended.out.splitlines()
    assert json.loads(run("tools", "--json", *AT).out)["tools"][0]["name"] == "add"


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("1", {"type": "integer"}, 1),
        ("x", {"type": "integer"}, "x"),
        ("1", {"type": "string"}, "1"),
        ("1", {"type": ["string", "null"]}, "1"),
        ("[1]", {"type": "array"}, [1]),
        ("true", {"type": "boolean"}, True),
        ("1", {}, "1"),
        ("1", None, "1"),
    ],
)
def test_a_value_is_what_the_schema_wants(text: str, schema: Any, value: object) -> None:
    assert calls._value(text, schema) == value


@pytest.mark.parametrize(
    ("listen", "more", "where"),
    [
        ("{}", {}, "http://127.0.0.1:8484/mcp"),
        ("{port: 9}", {"upstream": "crm"}, "http://127.0.0.1:9/mcp/crm"),
        ("{}", {"view": "support"}, "http://127.0.0.1:8484/mcp/view/support"),
        ("{host: '::1'}", {}, "http://[::1]:8484/mcp"),
        ("{}", {"url": "https://gw.example/"}, "https://gw.example/mcp"),
        ("{}", {"url": "https://gw.example:1", "upstream": "crm"}, "https://gw.example:1/mcp/crm"),
        ("{}", {"url": "https://gw.example/mcp/crm"}, "https://gw.example/mcp/crm"),
    ],
)
def test_the_endpoint_comes_from_the_configuration_or_the_url(
    here: Path, listen: str, more: dict[str, str], where: str
) -> None:
    with (here / "bascule.yaml").open("a") as file:
        file.write(f"listen: {listen}\n")
    asked: dict[str, str | None] = {"url": None, "upstream": None, "view": None, **more}
    assert address(asked["url"], asked["upstream"], asked["view"], None) == where


def test_a_gateway_on_all_addresses_is_reached_on_loopback(here: Path) -> None:
    with (here / "bascule.yaml").open("a") as file:
        file.write(f"listen: {{host: 0.0.0.0}}\nprincipals: {{a: {{token_sha256: '{'ab' * 32}'}}}}\n")
    assert address(None, None, None, None) == "http://127.0.0.1:8484/mcp"


Answering = Callable[[int], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """An HTTP server that answers every POST with one status."""
    servers: list[HTTPServer] = []

    def start(status: int) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                assert self.headers["Authorization"] == "Bearer s3cr3t"
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        server = HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "ends", "why"),
    [
        (401, 2, "BASCULE_TOKEN"),
        (403, 3, "FORBIDDEN"),
        (404, 1, "HTTP 404"),
        (500, 1, "HTTP 500"),
    ],
)
def test_an_http_refusal_is_said_in_words(
    here: Path, run: Run, answering: Answering, monkeypatch: pytest.MonkeyPatch, status: int, ends: int, why: str
) -> None:
    monkeypatch.setenv("BASCULE_TOKEN", "s3cr3t")
    ended = run("tools", "--url", answering(status))
    assert (ended.status, "Traceback" in ended.err) == (ends, False), ended.err
    assert why in ended.err
    assert "s3cr3t" not in ended.err


def test_a_gateway_that_does_not_run_is_said(here: Path, run: Run) -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    ended = run("tools", "--url", f"http://127.0.0.1:{server.server_port}")
    assert ended.status == 1
    assert "is `bascule serve` running?" in ended.err


def test_view_and_upstream_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="either"):
        address(None, "a", "b", None)
