"""A day in shadow before three real servers, what is suggested from it, and the same day where that decides."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from gateway import config
from gateway.admin.records import DATABASE, opened_log
from gateway.admin.suggestions import policy_suggest
from gateway.audit import keys
from gateway.model import JsonObject
from gateway.parts import Archive
from gateway.policy.bundle import shipped
from tests.executors.test_servers import SERVERS, real
from tests.serving import PATIENCE, TOKEN, Folder, Served, serving

pytestmark = pytest.mark.slow

STARTER = shipped() / "packs" / "starter"
TRAFFIC: list[tuple[str, JsonObject]] = [
    ("echo", {"text": "a text that somebody wrote down", "number": 3}),
    ("echo", {"text": "another text of somebody", "number": 4}),
    ("write_note", {"path": "/srv/notes/a.md", "text": "kept"}),
    ("write_note", {"path": "/srv/notes/b.md", "text": "kept too"}),
    ("read_note", {"id": "1"}),
    ("unicode", {}),
]
CHANGED: list[tuple[str, JsonObject]] = [
    ("echo", {"text": "a text that somebody wrote down", "number": 5}),
    ("write_note", {"path": "/srv/other/a.md", "text": "kept"}),
    ("write_note", {"path": "/srv/notes/../other/a.md", "text": "kept"}),
    ("read_note", {"id": "2"}),
    ("measure", {"text": "kept"}),
]


async def outcomes(served: Served, calls: list[tuple[str, JsonObject]]) -> set[tuple[str, str]]:
    """What became of the calls, at every server: the effect, and the code of a refusal."""
    found: set[tuple[str, str]] = set()
    headers = {"authorization": f"Bearer {TOKEN}"}
    for name in SERVERS:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(PATIENCE), trust_env=False) as http,
            Client(streamable_http_client(served.url(name), http_client=http)) as client,
        ):
            for tool, arguments in calls:
                answer: Any = await client.call_tool(tool, arguments)
                said = answer.meta["bascule/decision"]
                found.add((said["effect"], "" if said["effect"] == "allow" else said["code"]))
    return found


async def suggested(folder: Folder) -> JsonObject:
    settings = config.outline(folder.config)
    reader = opened_log(folder.state / DATABASE)
    try:
        return await policy_suggest(Archive(settings, reader, keys.public_key(folder.state)), operator="os:tester")
    finally:
        reader.close()


async def test_the_traffic_of_three_servers_passes_under_what_is_suggested_and_a_changed_argument_does_not(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as running:
        urls = {name: await running.enter_async_context(real(name)) for name in SERVERS}
        shadow = {name: {"url": url, "mode": "shadow", "until": "2999-01-01"} for name, url in urls.items()}
        folder = Folder(tmp_path / "gateway", shadow, policy=(STARTER / "call.rego").read_text())
        folder.write()
        (folder.path / "policies" / "data.json").write_text((STARTER / "data.json").read_text())
        async with serving(folder) as served:
            assert await outcomes(served, TRAFFIC) == {("allow", "")}
        found = await suggested(folder)
        assert (found["left"], found["still"], len(found["grants"])) == ([], [], 4 * len(SERVERS))
        folder.upstreams = {name: {"url": url} for name, url in urls.items()}
        async with serving(folder) as served:
            assert await outcomes(served, TRAFFIC) == {("deny", "APPROVAL_REQUIRED")}
        for name, text in found["files"].items():
            (folder.path / "policies" / name).write_text(text)
        async with serving(folder) as served:
            assert await outcomes(served, TRAFFIC) == {("allow", "")}
            assert await outcomes(served, CHANGED) == {("deny", "APPROVAL_REQUIRED")}
