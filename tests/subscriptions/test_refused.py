"""A resource that policy or its upstream refuses to tell of, over each way to a gateway, in each era of a client."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.executors.stdio import talkative
from tests.serving import MODERN, TOKEN, Folder, Served, serving
from tests.wraps import LEGACY, modern, records, request, wrapping

SERVER = Path(talkative.__file__)
POLICY = """
package bascule.call

allow contains "updates, but for the secret one" if {
	input.call.kind == "subscription"
	input.subscription.uri != "note://secret"
}
"""
ACCEPTED, REFUSED, FORBIDDEN = "note://a", "note://refused", "note://secret"
LISTEN = "subscriptions/listen"
UPSTREAMS = pytest.mark.parametrize("start", ["modern", "legacy"])


@asynccontextmanager
async def served(tmp_path: Path, start: str) -> AsyncIterator[tuple[Folder, Served]]:
    command = {"command": sys.executable, "args": [str(SERVER), start], "sandbox": "none"}
    folder = Folder(tmp_path / "gateway", {"kept": command}, POLICY)
    async with serving(folder) as running:
        yield folder, running


def failed(said: dict[str, Any]) -> str:
    """The code of the decision, once it is sure that no words of the upstream's came along."""
    assert "result" not in said
    assert set(said["error"]["data"]) <= {"code", "effect", "reasons", "would_pass"}
    assert "no" not in [said["error"]["message"], *said["error"]["data"]["reasons"]]
    code: str = said["error"]["data"]["code"]
    return code


@asynccontextmanager
async def posted(running: Served, message: dict[str, Any], **more: str) -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {TOKEN}"} | more
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as http,
        http.post(running.url("kept"), json=message, headers=headers) as response,
    ):
        yield response


async def answered(running: Served, message: dict[str, Any], **headers: str) -> Any:
    async with posted(running, message, **headers) as response:
        return await response.json()


async def shaken(running: Served) -> dict[str, str]:
    said = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    async with posted(running, request("initialize", said)) as response:
        return {"mcp-session-id": response.headers["mcp-session-id"]}


@UPSTREAMS
async def test_a_legacy_client_is_answered_with_an_error_over_both_ways(tmp_path: Path, start: str) -> None:
    async with served(tmp_path, start) as (folder, running), wrapping(folder) as wrap:
        await wrap.shake()
        opened = await shaken(running)

        async def subscribed(number: int, uri: str) -> list[Any]:
            asked = request("resources/subscribe", {"uri": uri}, number)
            wrap.send(asked)
            return [await wrap.answer(number), await answered(running, asked, **opened)]

        for number, uri, code in ((1, ACCEPTED, ""), (2, REFUSED, "UPSTREAM_INVALID"), (3, FORBIDDEN, "NO_RULE")):
            for said in await subscribed(number, uri):
                assert (failed(said) if code else said["result"]) == (code or {})
    judged = [record["call"]["transport"] for record in records(folder, "call.intent")]
    assert sorted(judged) == ["http"] * 2 + ["stdio"] * 2
    assert [record["code"] for record in records(folder, "call.refused")].count("NO_RULE") == 2


@UPSTREAMS
async def test_a_modern_client_is_told_what_is_left_out_or_refused_over_both_ways(tmp_path: Path, start: str) -> None:
    headers = {"mcp-protocol-version": MODERN, "mcp-method": LISTEN}
    async with served(tmp_path, start) as (folder, running), wrapping(folder) as wrap:
        for number, uris, accepted in ((1, (ACCEPTED, REFUSED), [ACCEPTED]), (2, (REFUSED,), None)):
            asked = modern(LISTEN, {"notifications": {"resourceSubscriptions": uris}}, number)
            wrap.send(asked)
            assert acknowledged(await wrap.told()) == accepted
            async with posted(running, asked, **headers) as response:
                assert acknowledged(await first_event(response)) == accepted
        asked = modern(LISTEN, {"notifications": {"resourceSubscriptions": [ACCEPTED, FORBIDDEN]}}, 3)
        wrap.send(asked)
        assert failed(await wrap.answer(3)) == failed(await answered(running, asked, **headers)) == "NO_RULE"


def acknowledged(said: Any) -> Any:
    """The resources that an acknowledgement names."""
    assert said["method"] == "notifications/subscriptions/acknowledged"
    return said["params"]["notifications"].get("resourceSubscriptions")


async def first_event(response: aiohttp.ClientResponse) -> Any:
    async for line in response.content:
        if line.startswith(b"data: "):
            return orjson.loads(line[6:])
    return None
