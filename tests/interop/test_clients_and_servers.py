"""Real clients before real servers, through one gateway: whoever speaks MCP over HTTP finds what the server offers."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.commands import ran
from tests.executors.test_servers import SERVERS, real
from tests.serving import MODERN, PATIENCE, ROOT, TOKEN, Folder, Served, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEGACY = "2025-11-25"
TOOLS = ["echo", "fail", "measure", "read_note", "unicode", "write_note"]
PATIENT = httpx2.Timeout(PATIENCE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One gateway before all three servers."""
    async with AsyncExitStack() as running:
        upstreams = {name: {"url": await running.enter_async_context(real(name))} for name in SERVERS}
        folder = Folder(tmp_path_factory.mktemp("interop") / "gateway", upstreams)
        yield await running.enter_async_context(serving(folder))


def addresses(served: Served) -> list[tuple[str, str]]:
    """Every server under its own address, and as one of several; each with what its tools' names begin with."""
    return [(served.url(name), "") for name in SERVERS] + [(served.url(), f"{name}__") for name in SERVERS]


def expected(prefix: str, version: str) -> dict[str, Any]:
    return {
        "version": version,
        "tools": [f"{prefix}{name}" for name in TOOLS],
        "echo": "ä b 7",
        "unicode": "Grüße, 世界 🌉",
        "structured": {"length": 3, "words": ["a", "b"]},
        "failed": True,
        "refused": [True, "POLICY_DENIED"],
        "unknown": -32602,
    }


async def unknown(client: Client, name: str) -> int:
    try:
        await client.call_tool(name, {})
    except MCPError as problem:
        return problem.code
    return 0


def first_text(result: Any) -> str:
    return str(result.content[0].text)


async def seen(client: Client, prefix: str) -> dict[str, Any]:
    """What a client sees of one server."""
    tools = [tool.name for tool in (await client.list_tools()).tools]
    echoed = await client.call_tool(f"{prefix}echo", {"text": "ä b", "number": 7})
    said = await client.call_tool(f"{prefix}unicode", {})
    measured = await client.call_tool(f"{prefix}measure", {"text": "a b"})
    failed = await client.call_tool(f"{prefix}fail", {"reason": "no"})
    refused = await client.call_tool(f"{prefix}write_note", {"path": "private/a", "text": "t"})
    assert refused.meta is not None
    return {
        "version": client.protocol_version,
        "tools": sorted(name for name in tools if name.startswith(prefix)),
        "echo": first_text(echoed),
        "unicode": first_text(said),
        "structured": measured.structured_content,
        "failed": failed.is_error,
        "refused": [refused.is_error, refused.meta["bascule/decision"]["code"]],
        "unknown": await unknown(client, f"{prefix}no_such_tool"),
    }


@pytest.mark.promise("interop.clients", "interop.servers")
@pytest.mark.parametrize(("mode", "version"), [("auto", MODERN), (MODERN, MODERN), ("legacy", LEGACY)])
async def test_a_client_on_mcp_2_works_with_every_server(served: Served, mode: str, version: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    for url, prefix in addresses(served):
        async with (
            httpx2.AsyncClient(headers=headers, timeout=PATIENT, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            assert await seen(client, prefix) == expected(prefix, version), url


@pytest.mark.promise("interop.clients", "interop.servers")
async def test_a_client_on_mcp_1_works_with_every_server(served: Served) -> None:
    own = ROOT / ".venv-mcp1" / "bin" / "python"
    assert own.exists(), "no environment for mcp 1.x: run `make test`"
    script = Path(__file__).with_name("client1.py")
    asked = addresses(served)
    ended = await ran([str(own), str(script), TOKEN, *(word for pair in asked for word in pair)])
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == [expected(prefix, LEGACY) for _, prefix in asked]


@pytest.mark.promise("interop.clients")
async def test_what_is_refused_is_told_in_words_the_model_can_act_on(served: Served) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENT, trust_env=False) as http,
        Client(streamable_http_client(served.url("sdk2"), http_client=http)) as client,
    ):
        refused = await client.call_tool("write_note", {"path": "private/a", "text": "t"})
        note = await client.call_tool("write_note", {"path": "notes/a", "text": "kept"})
    assert refused.meta is not None
    assert "only notes/ may be written" in first_text(refused)
    assert refused.meta["bascule/decision"]["would_pass"] == "a path under notes/"
    assert first_text(note) == "wrote notes/a"
