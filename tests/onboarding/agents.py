"""Agents before a gateway: what they ask and are told; and a policy that is never in the way."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client

from tests.onboarding.servers import Stock
from tests.onboarding.test_stopwatch import over_http, text
from tests.serving import TOKEN

ALL_ALLOWED = """
package bascule.call

allow contains "only the sandbox stands between"
"""


@asynccontextmanager
async def agent(base: str, upstream: str, token: str = TOKEN) -> AsyncIterator[Client]:
    """A client of one upstream of the gateway at that address."""
    entry = {"url": f"{base}/mcp/{upstream}", "headers": {"authorization": f"Bearer {token}"}}
    async with over_http(entry) as client:
        yield client


async def told(client: Client, tool: str, arguments: dict[str, Any]) -> tuple[str, str]:
    """The code of a refusal or a failure, empty where the server itself answered; and the text."""
    result = await client.call_tool(tool, arguments)
    decision = (result.meta or {}).get("bascule/decision", {})
    # In shadow a code says what would have been.
    return str(decision.get("code") or "") if result.is_error else "", text(result)


def upstreams(servers: Mapping[str, Stock], folders: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """The servers as a configuration has them, each with the folder it is about."""
    written = {name: {**one.entry} for name, one in servers.items()}
    for name, folder in folders.items():
        written[name]["folders"] = {str(folder): "rw"}
    return written
