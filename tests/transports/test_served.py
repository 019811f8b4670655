"""What each method of each era comes to, and how its result is written."""

from typing import Any

import pytest
from mcp_types import methods as validators

from gateway.kinds import Kind, Listed
from gateway.model import JsonObject, Reply, Round
from gateway.wire import mcp
from tests.transports.exchange import MODERN, Exchange, request

ERAS = (*mcp.LEGACY, MODERN)


async def asked(exchange: Exchange, era: str, method: str, params: JsonObject) -> Any:
    """One request of this era; the whole answer."""
    if era == MODERN:
        return await exchange.modern(method, params)
    session = await exchange.initialize(era)
    return await exchange.post(request(method, params), mcp_session_id=session)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("method", "params", "kind", "name"),
    [
        ("resources/read", {"uri": "a:b"}, Kind.RESOURCE, "a:b"),
        ("prompts/get", {"name": "p", "arguments": {"a": "x"}}, Kind.PROMPT, "p"),
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}},
            Kind.COMPLETION,
            "p",
        ),
        ("tasks/get", {"taskId": "1"}, Kind.OTHER, "tasks/get"),
        ("custom/do", {"x": 1}, Kind.OTHER, "custom/do"),
    ],
)
async def test_every_method_is_a_call_of_its_kind(
    era: str, method: str, params: JsonObject, kind: Kind, name: str
) -> None:
    exchange = Exchange()
    answer = await asked(exchange, era, method, params)
    [call] = exchange.calls
    assert (call.kind, call.name, call.era) == (kind, name, era)
    result = answer.json["result"]
    assert ("resultType" in result, "ttlMs" in result) == (era == MODERN, (era, kind) == (MODERN, Kind.RESOURCE))
    if kind is not Kind.OTHER:
        validators.validate_server_result(method, era, result)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("method", "what", "pages"),
    [
        ("tools/list", Listed.TOOLS, 1),
        ("resources/list", Listed.RESOURCES, 1),
        ("resources/templates/list", Listed.TEMPLATES, 1),
        ("prompts/list", Listed.PROMPTS, 2),
    ],
)
async def test_every_list_is_served_by_the_page(era: str, method: str, what: Listed, pages: int) -> None:
    exchange = Exchange()
    first = (await asked(exchange, era, method, {})).json["result"]
    assert (len(first[what.value]), first.get("nextCursor")) == (1, "2" if pages == 2 else None)
    assert (first.get("ttlMs"), first.get("cacheScope")) == ((0, "private") if era == MODERN else (None, None))
    if pages == 2:
        second = (await asked(exchange, era, method, {"cursor": "2"})).json["result"]
        assert "nextCursor" not in second
    assert exchange.pages == [(what, None), (what, "2")][:pages]
    refused = await asked(exchange, era, method, {"requestState": "x"})
    assert refused.error["code"] == -32602


@pytest.mark.parametrize(("stated", "ttl_ms"), [(None, 0), (-1, 0), (1.5, 0), (True, 0), (700, 700), (90_000, 5000)])
async def test_a_resource_is_kept_as_long_as_its_server_says_but_not_for_long(stated: object, ttl_ms: int) -> None:
    result = {"contents": [], "cacheScope": "public"} | ({} if stated is None else {"ttlMs": stated})
    exchange = Exchange(reply=lambda _call: Reply(result=result))
    told = (await exchange.modern("resources/read", {"uri": "a:b"})).json["result"]
    assert (told["ttlMs"], told["cacheScope"]) == (ttl_ms, "private")
    later = (await exchange.modern("resources/read", {"uri": "a:b", "requestState": "s"})).json["result"]
    assert (later["ttlMs"], later["cacheScope"]) == (0, "private")


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
async def test_a_later_round_belongs_to_its_call(method: str) -> None:
    exchange = Exchange()
    params = {"name": "hidden", "uri": "a:b", "inputResponses": {"k": {"action": "accept"}}, "requestState": "s"}
    assert (await exchange.modern(method, params)).status == 200
    assert exchange.calls[0].round == Round({"k": {"action": "accept"}}, "s")


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read", "completion/complete"])
async def test_a_legacy_client_has_no_rounds(method: str) -> None:
    exchange = Exchange()
    answer = await asked(exchange, "2025-11-25", method, {"name": "t", "uri": "a:b", "requestState": "s"})
    assert (answer.error["code"], exchange.calls) == (-32602, [])


async def test_what_asks_the_client_is_not_kept_and_never_reaches_a_legacy_one() -> None:
    result = {"resultType": "input_required", "inputRequests": {}, "requestState": "s", "ttlMs": 5}
    exchange = Exchange(reply=lambda _call: Reply(result=result))
    modern = (await exchange.modern("resources/read", {"uri": "a:b"})).json["result"]
    assert {"ttlMs", "cacheScope"}.isdisjoint(modern)
    legacy = await asked(exchange, "2025-11-25", "resources/read", {"uri": "a:b"})
    assert legacy.error["code"] == -32603
    assert "requestState" not in legacy.body.decode()


@pytest.mark.parametrize("era", ERAS)
async def test_a_resource_that_is_missing_has_the_number_of_its_era(era: str) -> None:
    error = {"code": -32602, "message": "gone", "data": {"uri": "a:b"}}
    exchange = Exchange(reply=lambda _call: Reply(error=error))
    missing = await asked(exchange, era, "resources/read", {"uri": "a:b"})
    assert missing.error == error | {"code": -32602 if era == MODERN else -32002}
    other = await asked(exchange, era, "prompts/get", {"name": "p"})
    assert other.error["code"] == -32602


@pytest.mark.parametrize("era", ERAS)
async def test_an_address_to_visit_first_is_told_only_in_the_revision_that_has_it(era: str) -> None:
    error = {"code": -32042, "message": "visit", "data": {"elicitations": []}}
    exchange = Exchange(reply=lambda _call: Reply(error=error))
    told = (await asked(exchange, era, "tools/call", {"name": "hidden"})).error
    assert told == (error if era == "2025-11-25" else {"code": -32603, "message": "visit"})


@pytest.mark.parametrize("value", [[], "x", 1, None])
async def test_capabilities_of_another_shape_are_refused(value: object) -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", {"name": "hidden"}, meta={mcp.META_CAPABILITIES: value})
    assert (answer.status, answer.error["code"], exchange.calls) == (400, -32602, [])


@pytest.mark.parametrize("token", [1.5, [], {}, True])
async def test_a_progress_token_of_another_shape_is_refused(token: object) -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", {"name": "hidden"}, meta={"progressToken": token})
    assert (answer.status, answer.error["code"], exchange.calls) == (400, -32602, [])


async def test_a_call_knows_what_its_client_can_be_asked() -> None:
    exchange = Exchange()
    await exchange.modern("tools/call", {"name": "hidden"}, meta={mcp.META_CAPABILITIES: {"roots": {}}})
    assert (exchange.channels[0].capabilities, exchange.channels[0].ask) == ({"roots": {}}, None)


async def test_a_task_is_named_in_the_header_too() -> None:
    exchange = Exchange()
    refused = await exchange.modern("tasks/get", {"taskId": "1"}, mcp_name="2")
    assert (refused.status, refused.error["code"], exchange.calls) == (400, mcp.HEADER_MISMATCH, [])
