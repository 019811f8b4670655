import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from gateway.errors import Failed
from gateway.executors import Executor
from gateway.executors.remote import Remote
from gateway.model import Code, Limits, Proposal
from gateway.settings import UpstreamSettings
from tests.executors.hostile import (
    ASKING,
    DONE,
    INVALID,
    LIMITS,
    MODERN,
    PROGRESS,
    SSE,
    UNAVAILABLE,
    WITHHELD,
    Answer,
    Reply,
    Seen,
    always,
    body,
    error,
    http,
    legacy,
    modern,
    never,
    proposal,
    remote,
    result,
    said,
    stream,
    text,
    upstream,
)
from tests.nouns import call, pin


def test_a_remote_is_an_executor_and_shows_no_secret() -> None:
    made: Executor = Remote("crm", UpstreamSettings(url="https://crm.example/mcp", headers={"x-key": "hunter2hunter2"}))
    assert repr(made) == "Remote('crm')"


# What goes upstream


async def test_a_modern_request_is_our_own_and_mirrors_what_was_judged() -> None:
    schema = {"type": "object", "properties": {"path": {"type": "string", "x-mcp-header": "Path"}}}
    async with upstream(modern()) as server, remote(server.url, headers={"authorization": "Bearer up"}) as client:
        wanted = proposal(
            arguments={"path": "ünï", "text": "x"},
            definition={"name": "write_note", "inputSchema": schema},
            meta={
                "bascule/task": "t",
                "io.modelcontextprotocol/protocolVersion": "1999-01-01",
                "io.modelcontextprotocol/clientInfo": {"name": "agent"},
                "example.com/kept": 1,
                "progressToken": 5,
                "baggage": "k=v",
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            },
        )
        outcome = await client.execute(wanted, LIMITS)
        [seen] = server.of("tools/call")
    assert said(outcome) == "done"
    assert outcome.evidence == {"era": MODERN}
    assert outcome.size > 0
    assert not outcome.tool_error
    params = seen.message["params"]
    assert params["name"] == "write_note"
    assert params["arguments"] == {"path": "ünï", "text": "x"}
    assert params["_meta"] == {
        "example.com/kept": 1,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "bascule", "version": "0.1.0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    assert seen.headers["mcp-protocol-version"] == MODERN
    assert seen.headers["mcp-method"] == "tools/call"
    assert seen.headers["mcp-name"] == "write_note"
    assert seen.headers["mcp-param-path"] == "=?base64?w7xuw68=?="
    assert seen.headers["authorization"] == "Bearer up"
    assert seen.headers["accept-encoding"] == "identity"
    assert "cookie" not in seen.headers


async def test_the_tool_is_called_by_its_pinned_name_not_by_the_name_the_client_used() -> None:
    async with upstream(modern()) as server, remote(server.url) as client:
        await client.execute(Proposal(call("notes__write_note"), pin("write_note")), LIMITS)
        [seen] = server.of("tools/call")
    assert seen.message["params"]["name"] == seen.headers["mcp-name"] == "write_note"


async def test_no_two_calls_share_an_id_and_connections_are_kept() -> None:
    async with upstream(modern()) as server, remote(server.url) as client:
        for _ in range(5):
            await client.execute(proposal(), LIMITS)
        idents = [seen.ident for seen in server.seen]
    assert len(set(idents)) == len(idents) == 6
    assert server.connections == 1


async def test_a_cookie_that_an_upstream_sets_is_not_sent_back() -> None:
    on = modern(always(lambda seen: result(seen, {"content": []}, set_cookie="session=1")))
    async with upstream(on) as server, remote(server.url) as client:
        await client.execute(proposal(), LIMITS)
        await client.execute(proposal(), LIMITS)
        assert all("cookie" not in seen.headers for seen in server.seen)


async def test_a_proxy_named_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with upstream(modern()) as server, remote(server.url) as client:
        assert said(await client.execute(proposal(), LIMITS)) == "done"


# With a login of the gateway's own


class Renewing:
    """Stands in for the authorisation: every renewal gives the next token."""

    def __init__(self) -> None:
        self.bearer, self.due, self.renewals, self.closed = "Bearer token-0", 1e18, 0, False

    async def renew(self, refused: str = "") -> None:
        self.renewals += 1
        self.bearer = f"Bearer token-{self.renewals}"

    def scrubbed(self, text: str) -> str:
        return re.sub("token-[0-9]+", "***", text)

    async def close(self) -> None:
        self.closed = True


def behind(bearer: str, on: dict[str, Answer]) -> dict[str, Answer]:
    """A server that turns away whoever brings another token."""

    def guarded(answer: Answer) -> Answer:
        async def checked(seen: Seen) -> Reply:
            return await answer(seen) if seen.headers.get("authorization") == bearer else http(401)

        return checked

    return {method: guarded(answer) for method, answer in on.items()}


@pytest.mark.parametrize("server_of", [modern, legacy])
async def test_a_login_is_renewed_when_it_is_refused_in_either_era(
    server_of: Callable[[], dict[str, Answer]],
) -> None:
    login: Any = Renewing()
    async with upstream(behind("Bearer token-1", server_of())) as server:
        async with remote(server.url, authorization=login) as client:
            assert said(await client.execute(proposal(), LIMITS)) == "done"
            assert login.renewals == 1
            server.on = behind("Bearer token-2", server_of())
            assert said(await client.execute(proposal(), LIMITS)) == "done"
            assert login.renewals == 2
            ran = [seen for seen in server.of("tools/call") if seen.headers["authorization"] == "Bearer token-2"]
            assert len(ran) == 1, "what a 401 turned away did not run"
        assert login.closed


async def test_a_login_refused_for_good_is_a_known_ending_and_loops_nowhere() -> None:
    login: Any = Renewing()
    on = behind("Bearer other", modern())
    async with upstream(on) as server, remote(server.url, authorization=login) as client:
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
        assert (failed.value.code, failed.value.unknown) == (UNAVAILABLE, False)
        assert failed.value.reason == "the upstream refused the gateway's credentials"
        assert (len(server.seen), login.renewals) == (2, 1)


async def test_an_upstream_that_repeats_our_token_in_an_error_does_not_tell_the_operator() -> None:
    login: Any = Renewing()
    on = modern(always(lambda seen: error(seen, -32000, f"bad header {seen.headers['authorization']}")))
    async with upstream(on) as server, remote(server.url, authorization=login) as client:
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
    assert failed.value.detail == "bad header Bearer ***"


# Answers


@pytest.mark.parametrize(
    ("answer", "passed_over"),
    [
        (stream(DONE), None),
        (stream(PROGRESS, DONE, PROGRESS, ASKING), 3),
        (body("\ufeffid: 1\ndata:\n\n: hi\r\n\r\nevent: message\rdata: DONE\r\r", SSE), None),
        (body("event: other\ndata: x\n\ndata: DONE\n\n", SSE + "; charset=utf-8"), 1),
        (body("data: DONE\n\n".replace("DONE", DONE.replace(",", ",\ndata: ")), SSE), None),
        (body("DONE", "Application/JSON; charset=utf-8"), None),
        (body("DONE", content_encoding="identity"), None),
    ],
)
async def test_answers_of_every_form_are_read(answer: Callable[[Seen], bytes], passed_over: int | None) -> None:
    async with upstream(modern(always(answer))) as server, remote(server.url) as client:
        outcome = await client.execute(proposal(), LIMITS)
    assert said(outcome) == "done"
    assert outcome.evidence.get("passed_over") == passed_over


async def test_a_stream_kept_open_after_the_response_does_not_keep_the_caller() -> None:
    async def open_stream(seen: Seen) -> AsyncGenerator[bytes, None]:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {SSE}\r\ntransfer-encoding: chunked\r\n\r\n"
        event = f"data: {DONE.replace('ID', seen.text)}\n\n"
        yield f"{head}{len(event):x}\r\n{event}\r\n".encode()
        await seen.upstream.over.wait()

    async def answer(seen: Seen) -> Reply:
        return open_stream(seen)

    async with upstream(modern(answer)) as server, remote(server.url) as client:
        assert said(await client.execute(proposal(), LIMITS)) == "done"


async def test_a_tool_that_reports_an_error_is_an_outcome() -> None:
    answer = always(lambda seen: result(seen, {"content": [], "isError": True}))
    async with upstream(modern(answer)) as server, remote(server.url) as client:
        assert (await client.execute(proposal(), LIMITS)).tool_error


async def test_integers_beyond_64_bits_pass_both_ways() -> None:
    answer = always(
        lambda seen: http(
            200, b'{"jsonrpc":"2.0","id":%s,"result":{"structuredContent":%d}}' % (seen.text.encode(), 2**90)
        )
    )
    async with upstream(modern(answer)) as server, remote(server.url) as client:
        assert (await client.execute(proposal(), LIMITS)).result["structuredContent"] == 2**90


async def test_a_closed_remote_lets_calls_end_and_takes_no_more() -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def answer(seen: Seen) -> Reply:
        started.set()
        await finish.wait()
        return text(seen)

    async with upstream(modern(answer)) as server, remote(server.url) as client, asyncio.TaskGroup() as tasks:
        under_way = tasks.create_task(client.execute(proposal(), LIMITS))
        await started.wait()
        closing = tasks.create_task(client.close())
        await asyncio.sleep(0)
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
        assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)
        finish.set()
        assert said(await under_way) == "done"
        await closing


async def test_the_templates_of_tools_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.remote._MOST_TEMPLATES", 2)
    async with upstream(modern()) as server, remote(server.url) as client:
        for name in "abcabc":
            await client.execute(proposal(name), LIMITS)
            assert len(client._templates) <= 2
        assert [seen.headers["mcp-name"] for seen in server.of("tools/call")] == list("abcabc")


# Lists


def pages(*given: Any) -> Answer:
    """A list whose cursor is the number of the page."""

    async def answer(seen: Seen) -> Reply:
        return result(seen, given[int(seen.message["params"].get("cursor", 0))])

    return answer


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


@pytest.mark.parametrize("server_of", [modern, legacy])
async def test_a_list_is_whole_and_as_the_upstream_wrote_it(server_of: Callable[[], dict[str, Answer]]) -> None:
    written = tool("b", annotations={"readOnlyHint": False}, vendorField={"x": 1})
    listed = pages({"tools": [tool("a")], "nextCursor": "1"}, {"tools": [written], "nextCursor": "2"}, {"tools": []})
    async with upstream(server_of() | {"tools/list": listed}) as server, remote(server.url) as client:
        assert await client.tools() == [tool("a"), written]
        assert await client.tools() == [tool("a"), written]


async def test_an_upstream_without_tools_has_an_empty_list() -> None:
    async with upstream(modern() | {"tools/list": pages({"tools": []})}) as server, remote(server.url) as client:
        assert await client.tools() == []


@pytest.mark.parametrize(
    ("listed", "code"),
    [
        (always(lambda seen: result(seen, {"tools": [tool("a")], "nextCursor": "same"})), INVALID),
        (always(lambda seen: result(seen, {"tools": [], "nextCursor": seen.text})), INVALID),
        (pages({"tools": [], "nextCursor": 7}), INVALID),
        (pages({}), INVALID),
        (pages({"tools": {}}), INVALID),
        (pages({"tools": ["a"]}), INVALID),
        (pages({"tools": [{"name": 7}]}), INVALID),
        (pages({"tools": [{"title": "a"}]}), INVALID),
        (always(lambda seen: error(seen, -32603)), INVALID),
        (always(lambda seen: http(503)), UNAVAILABLE),
        (always(lambda seen: None), UNAVAILABLE),
        (never(), Code.UPSTREAM_TIMEOUT),
        (pages({"tools": [tool("x" * 60_000)], "nextCursor": "1"}, {"tools": [tool("x" * 60_000)]}), WITHHELD),
    ],
)
async def test_a_list_that_is_not_to_be_had_whole_is_an_error(listed: Answer, code: Code) -> None:
    limits = Limits(timeout_s=2, result_bytes=100_000)
    async with upstream(modern() | {"tools/list": listed}) as server, remote(server.url, limits) as client:
        with pytest.raises(Failed) as failed:
            await client.tools()
        assert (failed.value.code, failed.value.unknown) == (code, False)
        server.on["tools/list"] = pages({"tools": [tool("a")]})
        assert await client.tools() == [tool("a")]


@pytest.mark.parametrize(("count", "whole"), [(10_000, True), (10_001, False)])
async def test_a_list_holds_at_most_ten_thousand_tools(count: int, whole: bool) -> None:
    listed = pages({"tools": [{"name": f"t{number}"} for number in range(count)]})
    limits = Limits(timeout_s=5, result_bytes=10_000_000)
    async with upstream(modern() | {"tools/list": listed}) as server, remote(server.url, limits) as client:
        if whole:
            assert len(await client.tools()) == count
        else:
            with pytest.raises(Failed):
                await client.tools()


async def test_a_tool_whose_headers_cannot_be_mirrored_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    bad = tool("bad") | {"inputSchema": {"properties": {"n": {"type": "number", "x-mcp-header": "N"}}}}
    listed = pages({"tools": [tool("good"), bad]})
    async with upstream(modern() | {"tools/list": listed}) as server, remote(server.url) as client:
        with caplog.at_level(logging.WARNING):
            assert await client.tools() == [tool("good")]
    assert client.dropped == ("bad",)
    assert "'bad' is left out" in caplog.text


async def test_a_legacy_list_keeps_what_only_the_modern_era_forbids() -> None:
    odd = tool("odd") | {"inputSchema": {"properties": {"n": {"type": "number", "x-mcp-header": "N"}}}}
    async with upstream(legacy() | {"tools/list": pages({"tools": [odd]})}) as server, remote(server.url) as client:
        assert await client.tools() == [odd]
