"""Somebody without a token, or with another's name in his hand: he learns nothing, and fills no log."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from gateway.storage.sqlite import SqliteReader
from tests.attacks.clients import META, Client, client, decision
from tests.attacks.upstreams import Upstream, upstream
from tests.serving import MODERN, TOKEN, Folder, Served, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER_TOKEN = "test-token-of-somebody-else"
LEGACY = "2025-11-25"
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
ADDRESSES = ["/mcp", "/mcp/kept", "/mcp/no-such-upstream", "/mcp/view/both", "/mcp/view/no-such-view"]
CALL = orjson.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "write_note", "arguments": {"path": "notes/a", "text": "of-a-stranger"}, "_meta": META},
    }
)
CALLING = JSON | {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "write_note"}


class Shared(Folder):
    """A gateway that two principals use."""

    def write(self) -> None:
        Folder.write(self)
        digest = hashlib.sha256(OTHER_TOKEN.encode()).hexdigest()
        both = f'principals: {{other: {{token_sha256: "{digest}", roles: [dev]}}, '
        self.config.write_text(self.config.read_text().replace("principals: {", both))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reached() -> AsyncIterator[Upstream]:
    async with upstream() as kept:
        yield kept


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def folder(reached: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("strangers") / "gateway"
    return Shared(path, {"kept": {"url": reached.url}}, more="views: {both: [kept]}\n")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(folder: Folder) -> AsyncIterator[Served]:
    """A gateway that has seen its upstream, so that it has nothing more to record of its own."""
    async with serving(folder) as gateway, client(gateway.url("kept")) as talking:
        assert decision(await talking.call("write_note", {"path": "notes/a", "text": "own"}))["effect"] == "allow"
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32)) as session:
        yield session


def records(folder: Folder) -> int:
    reader = SqliteReader(folder.state / "bascule.db")
    try:
        return reader.count()
    finally:
        reader.close()


STRANGERS: list[tuple[dict[str, str], int]] = [
    ({}, 401),
    ({"authorization": "Bearer guessed"}, 401),
    ({"authorization": f"Basic {TOKEN}"}, 401),
    ({"authorization": f"Bearer {TOKEN}x"}, 401),
    ({"authorization": f"Bearer {TOKEN}", "host": "rebound.example"}, 421),
    ({"authorization": f"Bearer {TOKEN}", "origin": "https://evil.example"}, 403),
]


@pytest.mark.promise("strangers.leave-no-record")
async def test_thousands_of_strangers_leave_no_record_and_reach_no_upstream(
    served: Served, folder: Folder, reached: Upstream, http: aiohttp.ClientSession
) -> None:
    async def knock(number: int) -> int:
        headers, _ = STRANGERS[number % len(STRANGERS)]
        async with http.post(served.url("kept"), data=CALL, headers=CALLING | headers) as response:
            await response.read()
            return response.status

    before = records(folder)
    statuses = Counter(await asyncio.gather(*map(knock, range(3000))))
    assert statuses == {401: 2000, 421: 500, 403: 500}
    assert records(folder) == before
    assert b"of-a-stranger" not in b"".join(reached.bodies)


@pytest.mark.promise("strangers.learn-nothing")
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "PUT", "OPTIONS"])
@pytest.mark.parametrize("stated", [{}, {"authorization": "Bearer guessed"}], ids=["no token", "wrong token"])
async def test_without_a_token_no_address_tells_whether_something_is_there(
    served: Served, http: aiohttp.ClientSession, method: str, stated: Mapping[str, str]
) -> None:
    answers: list[tuple[int, Any, bytes]] = []
    for address in ADDRESSES:
        async with http.request(method, served.base + address, data=CALL, headers=CALLING | dict(stated)) as response:
            headers = {name.lower(): value for name, value in response.headers.items() if name.lower() != "date"}
            answers.append((response.status, headers, await response.read()))
    status, headers, body = answers[0]
    assert status == 401
    assert headers["www-authenticate"].startswith("Bearer")
    assert answers[1:] == answers[:-1], "one address answers otherwise"
    assert b"kept" not in body


@pytest.mark.promise("strangers.learn-nothing")
@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/docs", "/console", "/mcp/", "/mcp/kept/x", "/mcp/view", "/healthz/"]
)
async def test_beside_the_two_health_checks_nothing_answers_without_a_token(
    served: Served, http: aiohttp.ClientSession, path: str
) -> None:
    async with http.get(served.base + path) as response:
        assert response.status in (401, 404)
        assert b"bascule" not in (await response.read()).lower()
    for health in ("/healthz", "/readyz"):
        async with http.get(served.base + health) as response:
            assert (response.status, len(await response.read()) < 10) == (200, True)


async def ask(
    http: aiohttp.ClientSession, url: str, token: str, method: str, params: Any, session: str = ""
) -> tuple[int, Any, Mapping[str, str]]:
    """One request of a handshake revision."""
    headers = JSON | {"authorization": f"Bearer {token}"} | ({"mcp-session-id": session} if session else {})
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    async with http.post(url, data=body, headers=headers) as response:
        return response.status, orjson.loads(await response.read()), response.headers


@pytest.mark.promise("strangers.sessions")
async def test_a_session_is_of_no_use_to_another_principal_or_at_another_address(
    served: Served, http: aiohttp.ClientSession
) -> None:
    url = served.url("kept")
    hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    status, _, headers = await ask(http, url, TOKEN, "initialize", hello)
    session = headers["mcp-session-id"]
    assert (status, len(session) >= 32) == (200, True)
    made_up = await ask(http, url, OTHER_TOKEN, "tools/list", {}, "0" * len(session))
    foreign = await ask(http, url, OTHER_TOKEN, "tools/list", {}, session)
    assert (foreign[0], foreign[1]) == (404, made_up[1])
    assert (await ask(http, served.url(), TOKEN, "tools/list", {}, session))[0] == 404
    ending = {"authorization": f"Bearer {OTHER_TOKEN}", "mcp-session-id": session}
    async with http.delete(url, headers=ending) as response:
        assert response.status == 404
    status, body, _ = await ask(http, url, TOKEN, "tools/list", {}, session)
    assert (status, len(body["result"]["tools"])) == (200, 2)


@pytest.mark.promise("strangers.sessions")
async def test_a_client_cannot_name_itself_into_anothers_session(served: Served, folder: Folder) -> None:
    """A name a client gives its session stands under its own principal."""
    async with client(served.url("kept")) as talking:
        named = {"bascule/session": "shared", "bascule/task": "shared"}
        for token in (TOKEN, OTHER_TOKEN):
            result = await _named(talking, token, named)
            assert decision(result)["effect"] == "allow"
    reader = SqliteReader(folder.state / "bascule.db")
    tasks = {row.task for row in reader.runs(limit=2)}
    reader.close()
    assert tasks == {"named:agent:shared", "named:other:shared"}


async def _named(talking: Client, token: str, meta: Mapping[str, str]) -> Any:
    params = {"name": "write_note", "arguments": {"path": "notes/a", "text": "x"}, "_meta": META | dict(meta)}
    _, body = await talking.request("tools/call", params, token)
    return body["result"]
