"""The SDK's client, in either era: the same traffic from somebody who reads the specification for himself."""

from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from bench.reading import Refusal
from bench.soak.deeds import CHARACTERS, STEPS
from bench.soak.tally import LONGEST_S, Strange, Tally


class Official:
    """One client, which connects anew each time."""

    def __init__(self, url: str, prefix: str, token: str, tally: Tally, *, mode: str) -> None:
        self._url, self._prefix, self._tally, self._mode = url, prefix, tally, mode
        self._headers = {"authorization": f"Bearer {token}"}

    async def visit(self, *, whole: bool) -> None:
        """Connect, list, call, stream, and be asked where the gateway serves that; then leave."""
        timeout = httpx2.Timeout(LONGEST_S)
        async with httpx2.AsyncClient(headers=self._headers, timeout=timeout, trust_env=False) as http:
            transport = streamable_http_client(self._url, http_client=http)
            try:
                async with Client(transport, mode=self._mode, elicitation_callback=self._asked) as client:
                    await self._talk(client, whole=whole)
            except* MCPError as problems:
                raise refusal(first(problems)) from None
            except* (Refusal, Strange) as problems:
                raise first(problems) from None

    async def _talk(self, client: Client, *, whole: bool) -> None:
        if not (await client.list_tools()).tools:
            raise Strange("the SDK's client was shown no tools")
        echoed = await self._called(client, "echo", {"text": "official"})
        if echoed != "official":
            raise Strange(f"the SDK's client was told {echoed[:100]}")
        content = await self._called(client, "stream", {"steps": STEPS, "characters": CHARACTERS})
        if len(content) != CHARACTERS:
            raise Strange(f"the SDK's client was told {content[:100]}")
        if whole and await self._called(client, "ask", {}) != "the client answered":
            raise Strange("the SDK's client was not asked")

    async def _called(self, client: Client, tool: str, arguments: dict[str, Any]) -> str:
        result = await client.call_tool(f"{self._prefix}{tool}", arguments, progress_callback=self._progress)
        decision = (result.meta or {}).get("bascule/decision", {})
        if result.is_error and "code" in decision:
            raise Refusal(0, str(decision.get("reason", "")), str(decision["code"]))
        return str(getattr(result.content[0], "text", ""))

    async def _progress(self, progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG002
        self._tally.heard["notifications/progress"] += 1

    async def _asked(self, context: Any, params: Any) -> ElicitResult:  # noqa: ARG002
        self._tally.heard["elicitation/create"] += 1
        return ElicitResult(action="accept", content={"sure": True})


def first(problems: BaseExceptionGroup[Any]) -> Any:
    """The innermost of what was raised together."""
    one = problems.exceptions[0]
    return first(one) if isinstance(one, BaseExceptionGroup) else one


def refusal(problem: MCPError) -> Refusal:
    """An error of the SDK, as ours."""
    data = problem.error.data
    word = str(data.get("code", "")) if isinstance(data, dict) else ""
    return Refusal(problem.error.code, problem.error.message, word)
