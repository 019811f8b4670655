"""Rounds, ids, sessions and lists through a gateway that runs: what is not the caller's own gets him nowhere."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from tests.attacks.clients import META, Client, client
from tests.conformance.fixture_seen import seen
from tests.conformance.running import POLICY, fixture
from tests.serving import MODERN, PATIENCE, TOKEN, Folder, Served, serving
from tests.wraps import modern, records, request, wrapping

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER_TOKEN = "test-token-of-somebody-else"
LEGACY = "2025-11-25"
ERAS = ("modern", "legacy")
ASKABLE = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
HIDING = """
package bascule.list

hide contains tool.name if {
	input.principal.id == "other"
	some tool in input.tools
}

hide contains resource.uri if {
	input.principal.id == "other"
	some resource in input.resources
}

hide contains template.uriTemplate if {
	input.principal.id == "other"
	some template in input.templates
}

hide contains prompt.name if {
	input.principal.id == "other"
	some prompt in input.prompts
}
"""
DENYING = """
deny contains {"reason": "not the image", "would_pass": "the text"} if {
	input.call.kind == "resource"
	input.resource.uri == "test://static-binary"
}
"""
DENIED = ("test_error_handling", "test_prompt_with_image")
"""A tool and a prompt that the server has and no rule allows."""


class Shared(Folder):
    """A gateway that two principals use, one of whom is shown nothing."""

    def write(self) -> None:
        Folder.write(self)
        digest = hashlib.sha256(OTHER_TOKEN.encode()).hexdigest()
        both = f'principals: {{other: {{token_sha256: "{digest}", roles: [dev]}}, '
        self.config.write_text(self.config.read_text().replace("principals: {", both))
        (self.path / "policies" / "hiding.rego").write_text(HIDING)


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway before a server of each era, and what each of them saw."""

    served: Served
    folder: Folder
    seen: dict[str, Path]

    def calls(self, era: str) -> int:
        return seen(self.seen[era], "got")["tools/call"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    path = tmp_path_factory.mktemp("rounds")
    files = {era: path / f"seen-{era}" for era in ERAS}
    policy = POLICY + DENYING
    for name in DENIED:
        policy = policy.replace(f'\t"{name}",\n', "")
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(fixture(era, files[era])) for era in ERAS]
        upstreams = {era: {"url": url} for era, url in zip(ERAS, urls, strict=True)}
        folder = Shared(path / "gateway", upstreams, policy)
        yield Place(await stack.enter_async_context(serving(folder)), folder, files)


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        yield session


# What a client sends back to go on with a call.

ASKING: tuple[str, dict[str, Any]] = ("test_elicitation", {"message": "Who?"})
NAMING: tuple[str, dict[str, Any]] = ("test_input_required_result_elicitation", {})
FORM = {"username": "u", "email": "e", "name": "n"}


def _as_it_is(state: str) -> str:
    return state


def _one_character_else(state: str) -> str:
    middle = len(state) // 2
    return state[:middle] + ("A" if state[middle] != "A" else "B") + state[middle + 1 :]


@dataclass(frozen=True, slots=True)
class Attack:
    """A retry that is not the one the state was made for."""

    began: tuple[str, dict[str, Any]] = ASKING
    retried: tuple[str, dict[str, Any]] = ASKING
    change: Callable[[str], str] = _as_it_is
    token: str = TOKEN


ATTACKS = {
    "changed by a character": Attack(change=_one_character_else),
    "cut short": Attack(change=lambda state: state[:-8]),
    "made up": Attack(change=lambda _: "bWFkZSB1cA=="),
    "empty": Attack(change=lambda _: ""),
    "by somebody else": Attack(token=OTHER_TOKEN),
    "for another tool": Attack(NAMING, ("test_streaming_elicitation", {})),
    "for other arguments": Attack(retried=("test_elicitation", {"message": "Who else?"})),
}


async def begin(talking: Client, what: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The first round, which ends with a question."""
    _, body = await talking.request("tools/call", {"name": what[0], "arguments": what[1], "_meta": ASKABLE})
    result: dict[str, Any] = body["result"]
    assert result["resultType"] == "input_required", body
    return result


async def retry(
    talking: Client, what: tuple[str, dict[str, Any]], asked: dict[str, Any], state: str, token: str = TOKEN
) -> Any:
    """The next round, with an answer to each question."""
    answers = {key: {"action": "accept", "content": FORM} for key in asked["inputRequests"]}
    params = {"name": what[0], "arguments": what[1], "_meta": ASKABLE}
    _, body = await talking.request(
        "tools/call", params | {"inputResponses": answers, "requestState": state}, token=token
    )
    return body


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", ATTACKS)
async def test_a_state_that_is_not_this_calls_is_refused_recorded_and_reaches_nobody(
    place: Place, era: str, name: str
) -> None:
    attack = ATTACKS[name]
    async with client(place.served.url(era)) as talking:
        asked = await begin(talking, attack.began)
        state = asked["requestState"]
        calls, refused = place.calls(era), len(records(place.folder, "call.refused"))
        body = await retry(talking, attack.retried, asked, attack.change(state), attack.token)
        assert body["error"]["code"] == -32602
        assert place.calls(era) == calls
        told = records(place.folder, "call.refused")[refused:]
        assert [record["code"] for record in told] == ["SCHEMA"]
        honest = await retry(talking, attack.began, asked, state)
        assert verdict(honest) == "allow"
        assert not honest["result"].get("isError")
        assert "action=accept" in honest["result"]["content"][0]["text"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_state_is_good_once_also_for_two_who_come_at_once(place: Place, era: str) -> None:
    async with client(place.served.url(era)) as talking:
        asked = await begin(talking, ASKING)
        state, calls = asked["requestState"], place.calls(era)
        both = await asyncio.gather(*(retry(talking, ASKING, asked, state) for _ in range(2)))
        assert sorted(str(verdict(body)) for body in both) == ["-32602", "allow"]
        passed = place.calls(era)
        assert passed - calls <= 1
        refused = len(records(place.folder, "call.refused"))
        assert (await retry(talking, ASKING, asked, state))["error"]["code"] == -32602
        assert place.calls(era) == passed
        assert len(records(place.folder, "call.refused")) == refused + 1


# Ids and sessions.


async def opened(http: aiohttp.ClientSession, url: str, token: str = TOKEN) -> dict[str, str]:
    """The headers of a session of a handshake revision."""
    hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    headers = JSON | {"authorization": f"Bearer {token}"}
    async with http.post(url, data=orjson.dumps(request("initialize", hello)), headers=headers) as response:
        assert response.status == 200, await response.text()
        return headers | {"mcp-session-id": response.headers["mcp-session-id"]}


def stated(method: str, params: dict[str, Any], token: str = TOKEN) -> dict[str, str]:
    """The headers of a modern request."""
    said = {"mcp-protocol-version": MODERN, "mcp-method": method, "authorization": f"Bearer {token}"}
    name = params.get("name", params.get("uri"))
    return JSON | said | ({"mcp-name": name} if name else {})


async def post(http: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    async with http.post(url, data=body, headers=headers) as response:
        return response.status, await response.read()


IDS: tuple[Any, ...] = (0, 1, "1", -1, 2**53 - 1, -(2**53 - 1), "", "é\u2028", "i" * 4000)
NO_IDS = ("1.5", "1.0", "1e3", str(2**53), str(-(2**53)), str(10**30), "true", "null", "[1]", "{}")


async def speaking(
    http: aiohttp.ClientSession, place: Place, era: str
) -> tuple[dict[str, str], Callable[..., dict[str, Any]]]:
    """The headers and the form of a request for a list of tools, in an era."""
    if era == "legacy":
        return await opened(http, place.served.url("modern")), request
    return stated("tools/list", {}), modern


@pytest.mark.parametrize("era", ERAS)
async def test_requests_at_once_are_each_answered_under_their_own_id(
    place: Place, http: aiohttp.ClientSession, era: str
) -> None:
    headers, form = await speaking(http, place, era)
    url, ids = place.served.url("modern"), [*IDS, *IDS]
    bodies = [orjson.dumps(form("tools/list", {}, ident)) for ident in ids]
    answers = await asyncio.gather(*(post(http, url, body, headers) for body in bodies))
    told = [orjson.loads(body) for _, body in answers]
    assert [(type(one["id"]), one["id"]) for one in told] == [(type(ident), ident) for ident in ids]
    assert all(one["result"]["tools"] for one in told)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("ident", NO_IDS)
async def test_what_is_no_id_or_could_be_read_as_another_is_refused(
    place: Place, http: aiohttp.ClientSession, era: str, ident: str
) -> None:
    headers, form = await speaking(http, place, era)
    body = orjson.dumps(form("tools/list", {}, "the id")).replace(b'"the id"', ident.encode())
    status, told = await post(http, place.served.url("modern"), body, headers)
    assert status == 400
    assert (orjson.loads(told)["error"]["code"], orjson.loads(told).get("id")) == (-32600, None)


async def test_a_session_of_somebody_else_and_one_that_never_was_get_the_same_bytes(
    place: Place, http: aiohttp.ClientSession
) -> None:
    url = place.served.url("modern")
    mine = await opened(http, url)
    bearer = {"authorization": f"Bearer {OTHER_TOKEN}"}
    foreign, unknown = mine | bearer, mine | bearer | {"mcp-session-id": "0" * len(mine["mcp-session-id"])}
    for body in (request("tools/list", {}, 7), {"jsonrpc": "2.0", "id": 7, "result": {}}):
        told = [await post(http, url, orjson.dumps(body), headers) for headers in (foreign, unknown)]
        assert told[0] == told[1]
        assert told[0][0] == 404
    one, two = [await post(http, url, orjson.dumps(request("ping", {}, ident)), foreign) for ident in (7, 8)]
    assert two == (404, one[1].replace(b'"id":7', b'"id":8'))


async def test_an_answer_to_what_was_never_asked_is_taken_and_nothing_happens(
    place: Place, http: aiohttp.ClientSession
) -> None:
    url = place.served.url("legacy")
    session = await opened(http, url)
    kinds = ("call.intent", "call.refused", "call.outcome")
    before = [len(records(place.folder, kind)) for kind in kinds], place.calls("legacy")
    answers: list[dict[str, Any]] = [{"result": {"roots": []}}, {"error": {"code": -1, "message": "no"}}]
    for ident in (1, "1", "made-up"):
        for answer in answers:
            body = orjson.dumps({"jsonrpc": "2.0", "id": ident} | answer)
            assert await post(http, url, body, session) == (202, b"")
    assert ([len(records(place.folder, kind)) for kind in kinds], place.calls("legacy")) == before
    status, _ = await post(http, url, orjson.dumps(request("ping", {})), session)
    assert status == 200


# One policy, whatever the transport; and lists.

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
PROPOSALS: tuple[tuple[str, dict[str, Any], object], ...] = (
    ("tools/call", {"name": "test_simple_text", "arguments": {}}, "allow"),
    ("tools/call", {"name": "test_error_handling", "arguments": {}}, "NO_RULE"),
    ("tools/call", {"name": "no_such_tool", "arguments": {}}, -32602),
    ("resources/read", {"uri": "test://static-text"}, "allow"),
    ("resources/read", {"uri": "test://static-binary"}, "POLICY_DENIED"),
    ("resources/read", {"uri": "file:///etc/passwd"}, "NO_RULE"),
    ("prompts/get", {"name": "test_simple_prompt"}, "allow"),
    ("prompts/get", {"name": "test_prompt_with_image"}, "NO_RULE"),
    ("no/such_method", {}, -32601),
)


def verdict(answer: Any) -> object:
    """What was decided: `allow`, the code of a refusal, or that of the error where nothing else is told."""
    if "error" in answer:
        return answer["error"].get("data", {}).get("code", answer["error"]["code"])
    told = answer["result"]["_meta"]["bascule/decision"]
    return told["code"] if told["effect"] != "allow" else "allow"


async def verdicts(ask: Ask) -> list[object]:
    return [verdict(await ask(method, params)) for method, params, _ in PROPOSALS]


async def test_one_policy_on_every_transport(place: Place, http: aiohttp.ClientSession) -> None:
    url = place.served.url("modern")
    session = await opened(http, url)

    async def by_modern_http(method: str, params: dict[str, Any]) -> Any:
        _, told = await post(http, url, orjson.dumps(modern(method, params)), stated(method, params))
        return orjson.loads(told)

    async def by_legacy_http(method: str, params: dict[str, Any]) -> Any:
        _, told = await post(http, url, orjson.dumps(request(method, params)), session)
        return orjson.loads(told)

    expected = [told for _, _, told in PROPOSALS]
    assert await verdicts(by_modern_http) == expected
    assert await verdicts(by_legacy_http) == expected
    async with wrapping(place.folder, "--name", "modern", "--as", "agent") as wrap:
        await wrap.shake()
        assert await verdicts(wrap.ask) == expected
        assert await wrap.leave() == 0
    async with wrapping(place.folder, "--name", "modern", "--as", "agent") as wrap:

        async def by_modern_wrap(method: str, params: dict[str, Any]) -> Any:
            wrap.send(modern(method, params))
            return await wrap.answer(1)

        assert await verdicts(by_modern_wrap) == expected
        assert await wrap.leave() == 0


LISTS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}


@pytest.mark.parametrize("method", LISTS)
async def test_a_list_that_policy_empties_stays_empty(place: Place, http: aiohttp.ClientSession, method: str) -> None:
    url, what = place.served.url("modern"), LISTS[method]
    shown: dict[str, list[Any]] = {}
    for token in (OTHER_TOKEN, TOKEN, OTHER_TOKEN):
        session = await opened(http, url, token)
        for form, headers in ((modern, stated(method, {}, token)), (request, session)):
            _, told = await post(http, url, orjson.dumps(form(method, {})), headers)
            shown.setdefault(token, []).append(orjson.loads(told)["result"][what])
    assert shown[OTHER_TOKEN] == [[]] * 4
    assert all(shown[TOKEN])
