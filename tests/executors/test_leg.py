"""Which way a proposal of each kind goes, and what is asked of an upstream besides."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.channel import About, Channel
from gateway.errors import Failed
from gateway.kinds import Listed
from gateway.model import Code, JsonObject, Proposal, Round
from tests.executors.hostile import (
    INVALID,
    LEGACY,
    LIMITS,
    MODERN,
    UNAVAILABLE,
    Answer,
    always,
    error,
    http,
    legacy,
    modern,
    proposal,
    remote,
    result,
    upstream,
)
from tests.nouns import call, pin

OFFERED: JsonObject = {"tools": {}, "resources": {}, "prompts": {}, "logging": {}}


def offering(capabilities: JsonObject, **on: Answer) -> dict[str, Answer]:
    discovered = {
        "resultType": "complete",
        "supportedVersions": [MODERN],
        "capabilities": capabilities,
        "instructions": "be kind",
    }
    return modern() | {"server/discover": always(lambda seen: result(seen, discovered))} | on


def old(capabilities: JsonObject, **on: Answer) -> dict[str, Answer]:
    info = {"protocolVersion": LEGACY, "capabilities": capabilities, "instructions": "be kind"}
    return legacy() | {"initialize": always(lambda seen: result(seen, info, mcp_session_id="s-1"))} | on


ASKED = {"resultType": "input_required", "inputRequests": {"k": {"method": "roots/list"}}, "requestState": "up"}


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "method", "answer", "named"),
    [
        ("resource", "a://ü", {}, "resources/read", {"contents": []}, "=?base64?YTovL8O8?="),
        ("prompt", "p", {"a": "b"}, "prompts/get", {"messages": []}, "p"),
        ("completion", "c", {"ref": {}}, "completion/complete", {"completion": {"values": []}}, None),
        ("other", "tasks/get", {"taskId": "t-1"}, "tasks/get", {"status": "working"}, "t-1"),
        ("other", "tasks/cancel", {"taskId": 7}, "tasks/cancel", {}, None),
        ("other", "vendor/x", {"name": "n"}, "vendor/x", {"unknown": {"kept": 1}}, None),
        ("tool", "t", {}, "tools/call", {"resultType": "task", "taskId": "1"}, "t"),
        ("tool", "t", {}, "tools/call", ASKED, "t"),
    ],
)
async def test_every_kind_goes_by_its_method_with_its_headers_and_its_result_is_whole(
    kind: str, name: str, arguments: JsonObject, method: str, answer: JsonObject, named: str | None
) -> None:
    on = offering(OFFERED) | {method: always(lambda seen: result(seen, answer))}
    asked = Proposal(call(name, kind=kind, arguments=arguments), pin(name))
    async with upstream(on) as server, remote(server.url) as through:
        outcome = await through.execute(asked, LIMITS)
        [seen] = server.of(method)
    assert outcome.result == answer
    assert seen.headers["mcp-method"] == method
    assert seen.headers.get("mcp-name") == named


@pytest.mark.parametrize(
    ("kind", "method", "answer"),
    [
        ("resource", "resources/read", {"contents": "x"}),
        ("prompt", "prompts/get", {}),
        ("completion", "completion/complete", {}),
        ("tool", "tools/call", {"resultType": "input_required"}),
    ],
)
async def test_a_result_that_is_not_of_its_kind_is_invalid(kind: str, method: str, answer: JsonObject) -> None:
    on = offering(OFFERED) | {method: always(lambda seen: result(seen, answer))}
    async with upstream(on) as server, remote(server.url) as through:
        with pytest.raises(Failed) as failed:
            await through.execute(Proposal(call("n", kind=kind), pin("n")), LIMITS)
    assert (failed.value.code, failed.value.unknown) == (INVALID, True)


async def test_a_later_round_brings_the_answers_and_the_upstreams_own_state_to_the_modern_side() -> None:
    # The server speaks both eras: what one of them asked only that one can be told.
    info = {"protocolVersion": LEGACY, "capabilities": {}}
    on = offering(OFFERED) | {"initialize": always(lambda seen: result(seen, info))}
    given = proposal(era=LEGACY, round=Round({"k": {"roots": []}}, "up"))
    async with upstream(on) as server, remote(server.url) as through:
        await through.execute(given, LIMITS)
        [seen] = server.of("tools/call")
    assert seen.message["params"]["inputResponses"] == {"k": {"roots": []}}
    assert seen.message["params"]["requestState"] == "up"
    assert seen.headers["mcp-protocol-version"] == MODERN


async def test_what_the_client_can_be_asked_goes_along_with_each_modern_request() -> None:
    channel = Channel(capabilities={"sampling": {}, "x": {}}, log_level="warning", progress=True)
    async with upstream(offering(OFFERED)) as server, remote(server.url) as through:
        await through.execute(proposal(), LIMITS, channel)
        [seen] = server.of("tools/call")
    meta = seen.message["params"]["_meta"]
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {"sampling": {}}
    assert meta["io.modelcontextprotocol/logLevel"] == "warning"
    assert meta["progressToken"] == seen.ident


async def test_headers_that_an_upstream_does_not_find_right_are_a_clear_error_and_nothing_is_sent_again() -> None:
    on = offering(OFFERED) | {"tools/call": always(lambda seen: error(seen, -32020, status=400))}
    async with upstream(on) as server, remote(server.url) as through:
        with pytest.raises(Failed) as failed:
            await through.execute(proposal(), LIMITS)
        assert len(server.of("tools/call")) == len(server.of("server/discover")) == 1
    assert failed.value.fault == {"code": -32020}
    assert not failed.value.unknown


@pytest.mark.parametrize(("server_of", "era"), [(offering, MODERN), (old, LEGACY)])
async def test_an_upstream_is_asked_once_what_it_is(server_of: Callable[[JsonObject], Any], era: str) -> None:
    async with upstream(server_of(OFFERED)) as server, remote(server.url) as through:
        for _ in range(3):
            assert await through.about() == About(OFFERED, "be kind", era)
        assert len(server.of("server/discover")) == 1
        assert len(server.of("initialize")) == (era == LEGACY)


async def test_a_modern_upstream_without_discovery_says_nothing_of_itself() -> None:
    on = modern() | {"server/discover": always(lambda seen: error(seen, -32601, status=404))}
    async with upstream(on) as server, remote(server.url) as through:
        assert await through.about() == About(era=MODERN)
        assert await through.listed(Listed.PROMPTS) == []


async def test_an_upstream_that_cannot_be_asked_what_it_is_fails_and_is_asked_again() -> None:
    async with upstream({"server/discover": always(lambda seen: http(503))}) as server, remote(server.url) as through:
        with pytest.raises(Failed) as failed:
            await through.about()
        assert (failed.value.code, failed.value.unknown) == (UNAVAILABLE, False)
        server.on = offering(OFFERED)
        assert (await through.about()).capabilities == OFFERED


LISTS: list[tuple[Listed, str, JsonObject]] = [
    (Listed.TOOLS, "tools/list", {"name": "t"}),
    (Listed.RESOURCES, "resources/list", {"uri": "a://b"}),
    (Listed.TEMPLATES, "resources/templates/list", {"uriTemplate": "a://{b}"}),
    (Listed.PROMPTS, "prompts/list", {"name": "p"}),
]


@pytest.mark.parametrize("server_of", [offering, old])
@pytest.mark.parametrize(("what", "method", "entry"), LISTS)
async def test_each_list_is_had_whole_in_either_era(
    what: Listed, method: str, entry: JsonObject, server_of: Callable[[JsonObject], Any]
) -> None:
    async def page(seen: Any) -> Any:
        first = "cursor" not in seen.message["params"]
        return result(seen, {what.value: [entry], **({"nextCursor": "2"} if first else {})})

    async with upstream(server_of(OFFERED) | {method: page}) as server, remote(server.url) as through:
        assert await through.listed(what) == [entry, entry]


@pytest.mark.parametrize(("what", "method", "entry"), LISTS[1:])
async def test_a_list_that_is_not_offered_is_empty_without_asking(what: Listed, method: str, entry: JsonObject) -> None:
    async with upstream(offering({"tools": {}})) as server, remote(server.url) as through:
        assert await through.listed(what) == []
        assert not server.of(method)


async def test_resources_need_no_templates_but_every_other_list_that_is_offered_is_there_or_an_error() -> None:
    async with upstream(offering(OFFERED)) as server, remote(server.url) as through:
        assert await through.listed(Listed.TEMPLATES) == []
        for what in (Listed.RESOURCES, Listed.PROMPTS):
            with pytest.raises(Failed) as failed:
                await through.listed(what)
            assert not failed.value.unknown


async def test_a_new_list_of_tools_is_one_that_nothing_changed_since() -> None:
    on = offering(OFFERED) | {"tools/list": always(lambda seen: result(seen, {"tools": []}))}
    async with upstream(on) as server, remote(server.url) as through:
        through.changed = True
        await through.listed(Listed.TOOLS)
        assert not through.changed


async def test_a_call_that_is_cancelled_before_it_is_sent_withdraws_nothing() -> None:
    arrived = asyncio.Event()

    async def silent(seen: Any) -> Any:
        arrived.set()
        await seen.upstream.over.wait()
        return http(400)

    async with upstream(legacy() | {"initialize": silent}) as server, remote(server.url) as through:
        running = asyncio.ensure_future(through.execute(proposal(), LIMITS))
        await arrived.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not server.of("notifications/cancelled")


async def test_a_session_that_ends_while_calls_run_loses_none_of_their_endings() -> None:
    answers = iter([http(404), None])

    async def answer(seen: Any) -> Any:
        given = next(answers, b"")
        if given == b"":
            return result(seen, {"content": []})
        return given

    async with upstream(legacy(answer)) as server, remote(server.url) as through:
        with pytest.raises(Failed) as failed:
            await through.execute(proposal(), LIMITS)
        assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_UNAVAILABLE, True)
        assert len(server.of("tools/call")) == 2, "the 404 proves that the first did not run"
        assert orjson.loads(server.of("tools/call")[0].body)["method"] == "tools/call"
