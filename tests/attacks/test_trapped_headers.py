"""Headers that a client brings along, and those that go upstream in their place."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tests.attacks.clients import META, Client, client
from tests.attacks.upstreams import TOOLS, Upstream, upstream
from tests.serving import MODERN, TOKEN, Folder, serving

HEADERS = {
    "authorization": f"Bearer {TOKEN}",
    "mcp-protocol-version": MODERN,
    "mcp-method": "tools/call",
    "mcp-name": "write_note",
}
MIRRORED = {
    "type": "object",
    "properties": {"path": {"type": "string", "x-mcp-header": "Path"}, "text": {"type": "string"}},
    "required": ["path", "text"],
    "additionalProperties": False,
}
STRAY = "said-by-the-client"
BROUGHT = {
    "cookie": f"session={STRAY}",
    "mcp-session-id": STRAY,
    "mcp-param-other": STRAY,
    "last-event-id": STRAY,
    "x-api-key": STRAY,
    "x-forwarded-for": STRAY,
    "x-forwarded-host": STRAY,
    "forwarded": f"for={STRAY}",
    "proxy-authorization": f"Basic {STRAY}",
    "te": STRAY,
    "user-agent": STRAY,
    "accept-language": STRAY,
    "x-anything-else": STRAY,
}


@pytest.fixture
async def reached() -> AsyncIterator[Upstream]:
    async with upstream() as kept:
        kept.tools = [TOOLS[0] | {"inputSchema": MIRRORED}, TOOLS[1]]
        yield kept


@pytest.fixture
async def talking(reached: Upstream, tmp_path: Path) -> AsyncIterator[Client]:
    folder = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}})
    async with serving(folder) as served, client(served.url("kept")) as one:
        yield one


def written(path: str) -> bytes:
    params = {"name": "write_note", "arguments": {"path": path, "text": "x"}, "_meta": META}
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


@pytest.mark.promise("judged-is-what-runs")
async def test_the_headers_of_a_call_are_made_again_from_what_was_judged(talking: Client, reached: Upstream) -> None:
    encoded = HEADERS | {"mcp-name": "=?base64?d3JpdGVfbm90ZQ==?=", "mcp-param-path": "=?base64?bm90ZXMvYQ==?="}
    status, _ = await talking.post(written("notes/a"), encoded)
    assert status == 200
    sent = reached.headers[-1]
    assert (sent[b"mcp-method"], sent[b"mcp-name"], sent[b"mcp-param-path"]) == (
        b"tools/call",
        b"write_note",
        b"notes/a",
    )


@pytest.mark.promise("judged-is-what-runs")
async def test_a_header_that_states_another_argument_than_the_body_ends_the_call(
    talking: Client, reached: Upstream
) -> None:
    for stated in ("notes/b", "private/a", "", "=?base64?!?="):
        status, answer = await talking.post(written("notes/a"), HEADERS | {"mcp-param-path": stated})
        assert (status, answer["error"]["code"]) == (400, -32020), stated
    status, answer = await talking.post(written("notes/a"), HEADERS)
    assert (status, answer["error"]["code"]) == (400, -32020), "none at all"
    assert reached.effects == []


@pytest.mark.promise("secrets-stay-inside")
async def test_nothing_a_client_brings_in_a_header_goes_upstream(talking: Client, reached: Upstream) -> None:
    sent = HEADERS | {"mcp-param-path": "notes/a"} | BROUGHT
    status, _ = await talking.post(written("notes/a"), sent)
    assert (status, len(reached.effects)) == (200, 1)
    assert STRAY not in str(reached.headers)
    assert STRAY.encode() not in b"".join(reached.bodies)
