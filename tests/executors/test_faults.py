import asyncio
import gzip
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from gateway.errors import Failed
from gateway.model import Code, Limits
from tests.executors.hostile import (
    ASKING,
    DONE,
    INVALID,
    LIMITS,
    MEGABYTE,
    PROGRESS,
    SOON,
    SSE,
    UNAVAILABLE,
    WITHHELD,
    Answer,
    Reply,
    Seen,
    always,
    chunked,
    cut,
    error,
    http,
    legacy,
    modern,
    never,
    proposal,
    raw,
    remote,
    said,
    stream,
    text,
    upstream,
    value,
)


async def failure(on: dict[str, Answer], limits: Limits = LIMITS, **changed: Any) -> Failed:
    async with upstream(on) as server, remote(server.url) as client:
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(**changed), limits)
    return failed.value


HOSTILE: dict[str, tuple[Answer, Code, bool]] = {
    "dies before it answers": (always(lambda seen: None), UNAVAILABLE, True),
    "dies in the headers": (always(lambda seen: cut(b"HTTP/1.1 200 OK\r\ncontent-ty")), UNAVAILABLE, True),
    "dies in the body": (always(lambda seen: cut(text(seen)[:-5])), UNAVAILABLE, True),
    "dies in the stream": (always(lambda seen: cut(http(200, b"data: {" + b" " * 99, SSE)[:-50])), UNAVAILABLE, True),
    "answers twice in a stream": (always(stream(DONE, DONE)), INVALID, True),
    "answers another id": (raw(DONE.replace("ID", '"other"')), INVALID, True),
    "answers with a null id": (raw(DONE.replace("ID", "null")), INVALID, True),
    "answers another id in a stream": (always(stream(DONE.replace("ID", '"other"'))), INVALID, True),
    "answers another id after ours": (always(stream(DONE, DONE.replace("ID", '"other"'))), INVALID, True),
    "ends the stream without an answer": (always(stream(PROGRESS)), INVALID, True),
    "sends invalid JSON": (raw('{"jsonrpc":'), INVALID, True),
    "sends invalid JSON in a stream": (always(stream("{")), INVALID, True),
    "sends two documents": (raw(DONE + DONE), INVALID, True),
    "sends nothing": (raw(""), INVALID, True),
    "repeats a key": (raw('{"jsonrpc":"2.0","id":ID,"result":{"a":1,"a":2}}'), INVALID, True),
    "sends a batch": (raw(f"[{DONE}]"), INVALID, True),
    "sends a scalar": (raw("7"), INVALID, True),
    "sends no UTF-8": (always(lambda seen: text(seen).replace(b"done", b"\xff\xfe\xff\xfe")), INVALID, True),
    "sends half a surrogate": (raw(DONE.replace("done", "\\ud800")), INVALID, True),
    "sends an infinity": (raw('{"jsonrpc":"2.0","id":ID,"result":{"structuredContent":[1e400]}}'), INVALID, True),
    "sends NaN": (raw('{"jsonrpc":"2.0","id":ID,"result":{"structuredContent":NaN}}'), INVALID, True),
    "nests deeply": (raw('{"jsonrpc":"2.0","id":ID,"result":{"a":' + "[" * 5000 + "]" * 5000 + "}}"), INVALID, True),
    "sends another JSON-RPC": (raw(DONE.replace("2.0", "1.0")), INVALID, True),
    "sends a request as the answer": (raw(ASKING), INVALID, True),
    "sends result and error": (raw('{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1}}'), INVALID, True),
    "sends neither": (raw('{"jsonrpc":"2.0","id":ID}'), INVALID, True),
    "sends a result that is no object": (value([]), INVALID, True),
    "asks for input": (value({"resultType": "input_required", "inputRequests": {}}), INVALID, True),
    "asks on the stream of an answer": (always(stream(ASKING, DONE)), INVALID, True),
    "sends an unknown type of result": (value({"resultType": "else"}), INVALID, True),
    "sends a type of result that is no string": (value({"resultType": ["complete"]}), INVALID, True),
    "sends a _meta that is no object": (value({"content": [], "_meta": "x"}), INVALID, True),
    "sends content that is no list": (value({"content": "x"}), INVALID, True),
    "sends content that holds no objects": (value({"content": ["x"]}), INVALID, True),
    "sends isError as text": (value({"content": [], "isError": "false"}), INVALID, True),
    "sends HTML": (raw("<html>", kind="text/html"), INVALID, True),
    "names no media type": (raw(DONE, kind=""), INVALID, True),
    "accepts without an answer": (always(lambda seen: http(202)), INVALID, True),
    "has no content": (always(lambda seen: b"HTTP/1.1 204 No\r\n\r\n"), INVALID, True),
    "speaks no HTTP": (always(lambda seen: b"hello\r\n\r\n"), INVALID, True),
    "sends huge headers": (always(lambda seen: http(200, x=10_000_000 * "x")), INVALID, True),
    "sends many headers": (always(lambda seen: http(200, x="x\r\nx: x" * 5000)), INVALID, True),
    "says two lengths": (always(lambda seen: http(200, b"{}", content_length="7")), INVALID, True),
    "compresses": (always(lambda seen: http(200, gzip.compress(bytes(10**7)), content_encoding="gzip")), INVALID, True),
    "compresses with something new": (always(lambda seen: http(200, b"x", content_encoding="br, zstd")), INVALID, True),
    "redirects": (always(lambda seen: http(302, location="http://127.0.0.1:1/")), INVALID, True),
    "redirects and keeps the method": (always(lambda seen: http(307, location="http://127.0.0.1:1/")), INVALID, False),
    "announces too much": (always(lambda seen: http(200, b"{").replace(b": 1\r", b": 104857600\r")), WITHHELD, False),
    "sends 100 MB": (chunked(*[MEGABYTE] * 100), WITHHELD, False),
    "sends 100 MB in one event": (chunked(*[MEGABYTE] * 100, kind=SSE), WITHHELD, False),
    "sends 100 MB of comments": (chunked(*[b": x\n" * 2**18] * 100, kind=SSE), WITHHELD, False),
    "refuses our credentials": (always(lambda seen: http(401)), UNAVAILABLE, False),
    "forbids": (always(lambda seen: http(403)), UNAVAILABLE, False),
    "fails": (always(lambda seen: http(500)), UNAVAILABLE, True),
    "is behind something that fails": (always(lambda seen: http(502, b"<html>", "text/html")), UNAVAILABLE, True),
    "has too many callers": (always(lambda seen: http(429)), UNAVAILABLE, False),
    "refuses the request": (always(lambda seen: http(400)), INVALID, False),
    "refuses the arguments": (always(lambda seen: error(seen, -32602, status=400)), INVALID, False),
    "knows no such tool": (always(lambda seen: error(seen, -32602)), INVALID, False),
    "sees other headers": (always(lambda seen: error(seen, -32020, status=400)), INVALID, False),
    "answers with an error": (always(lambda seen: error(seen, -32603)), INVALID, False),
    "answers with an error without a code": (raw('{"jsonrpc":"2.0","id":ID,"error":{"message":"x"}}'), INVALID, True),
    "answers with an error that is no object": (raw('{"jsonrpc":"2.0","id":ID,"error":"x"}'), INVALID, True),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
async def test_an_upstream_that(what: str) -> None:
    answer, code, unknown = HOSTILE[what]
    async with upstream(modern(answer)) as server, remote(server.url) as client:
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
        assert (failed.value.code, failed.value.unknown) == (code, unknown), failed.value.reason
        assert len(server.of("tools/call")) == 1, "the call was repeated"
        assert server.sent < 10_000_000, "far more than the limit was read"
        server.on["tools/call"] = always(text)
        assert said(await client.execute(proposal(), LIMITS)) == "done", "one failure poisoned the client"


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\n", text(Seen("POST", {}, b"", None, 0))[:-9]],  # type: ignore[arg-type]
)
async def test_an_upstream_that_never_answers_ends_unknown(head: bytes) -> None:
    failed = await failure(modern(never(head)), SOON)
    assert (failed.code, failed.unknown) == (Code.UPSTREAM_TIMEOUT, True)


async def test_a_slow_drip_does_not_outlive_the_deadline() -> None:
    async def drip(seen: Seen) -> AsyncGenerator[bytes, None]:
        yield f"HTTP/1.1 200 OK\r\ncontent-type: {SSE}\r\n\r\n".encode()
        while not seen.upstream.over.is_set():
            yield b":\n"
            await asyncio.sleep(0.01)

    async def answer(seen: Seen) -> Reply:
        return drip(seen)

    failed = await failure(modern(answer), SOON)
    assert (failed.code, failed.unknown) == (Code.UPSTREAM_TIMEOUT, True)


@pytest.mark.parametrize("silent", ["server/discover", "initialize"])
async def test_a_deadline_that_passes_before_the_call_was_sent_leaves_nothing_unknown(silent: str) -> None:
    failed = await failure(legacy() | {silent: never()}, SOON)
    assert (failed.code, failed.unknown) == (Code.UPSTREAM_TIMEOUT, False)


async def test_what_breaks_before_the_call_was_sent_leaves_nothing_unknown() -> None:
    failed = await failure(legacy() | {"initialize": always(lambda seen: None)})
    assert (failed.code, failed.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)


async def test_a_legacy_upstream_is_told_that_nobody_waits_any_more() -> None:
    told = asyncio.Event()

    async def cancelled(seen: Seen) -> Reply:
        told.set()
        return http(202, kind="")

    on = legacy(never()) | {"notifications/cancelled": cancelled}
    async with upstream(on) as server, remote(server.url) as client:
        with pytest.raises(Failed):
            await client.execute(proposal(), SOON)
        async with asyncio.timeout(5):
            await told.wait()
        [call_seen], [seen] = server.of("tools/call"), server.of("notifications/cancelled")
    assert seen.message["params"]["requestId"] == call_seen.ident
    assert seen.headers["mcp-session-id"] == "s-1"


async def test_an_upstream_that_ignores_the_withdrawal_changes_nothing() -> None:
    failed = await failure(legacy(never()) | {"notifications/cancelled": never()}, SOON)
    assert (failed.code, failed.unknown) == (Code.UPSTREAM_TIMEOUT, True)


async def test_a_closed_stream_tells_a_modern_upstream_that_nobody_waits() -> None:
    gone = asyncio.Event()

    async def watched(seen: Seen) -> AsyncGenerator[bytes, None]:
        yield f"HTTP/1.1 200 OK\r\ncontent-type: {SSE}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        try:
            while not seen.upstream.over.is_set():
                yield b"2\r\n:\n\r\n"
                await asyncio.sleep(0.01)
        finally:
            gone.set()

    async def answer(seen: Seen) -> Reply:
        return watched(seen)

    async with upstream(modern(answer)) as server, remote(server.url) as client:
        with pytest.raises(Failed):
            await client.execute(proposal(), SOON)
        async with asyncio.timeout(5):
            await gone.wait()  # the stream notices with its next write


async def test_a_second_http_response_is_not_taken_for_the_next_callers() -> None:
    async with upstream(modern()) as server, remote(server.url) as client:
        await client.execute(proposal(), LIMITS)
        server.on["tools/call"] = always(lambda seen: text(seen, "first") + text(seen, "smuggled"))
        assert said(await client.execute(proposal(), LIMITS)) == "first"
        server.on["tools/call"] = always(lambda seen: text(seen, "own"))
        assert said(await client.execute(proposal(), LIMITS)) == "own"


async def test_a_secret_in_an_upstreams_error_reaches_nobody() -> None:
    key = "hunter2-hunter2"
    answer = always(
        lambda seen: error(seen, -32000, f"bad token {seen.headers['authorization']} for {seen.upstream.url}")
    )
    async with (
        upstream(modern(answer)) as server,
        remote(f"{server.url}?api_key=topsecret1", headers={"authorization": f"Bearer {key}"}) as client,
    ):
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
    assert failed.value.reason == "the upstream answered with error -32000"
    assert "bad token" in failed.value.detail
    for told in (failed.value.reason, failed.value.detail, str(failed.value), repr(failed.value), repr(client)):
        assert key not in told
        assert "topsecret1" not in told


async def test_an_upstream_that_is_down_is_left_alone_for_a_while_and_comes_back() -> None:
    now = [1000.0]
    async with upstream(modern()) as server:
        url = server.url
    async with remote(url, clock=lambda: now[0], jitter=lambda: 1.0) as client:
        details = []
        for _ in range(2):
            with pytest.raises(Failed) as failed:
                await client.execute(proposal(), LIMITS)
            assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)
            details.append(failed.value.detail)
        assert "refused" in details[0]
        assert "next attempt in 0.2 s" in details[1] or "next attempt in 0.3 s" in details[1]
        port = int(url.split(":")[2].split("/")[0])
        revived = await asyncio.start_server(_revived, "127.0.0.1", port)
        now[0] += 1
        try:
            assert said(await client.execute(proposal(), LIMITS)) == "back"
            assert said(await client.execute(proposal(), LIMITS)) == "back"
        finally:
            revived.close()


async def _revived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    body = await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
    seen = Seen("POST", {}, body, None, 0)  # type: ignore[arg-type]
    reply = await modern(always(lambda _: text(seen, "back")))[seen.method](seen)
    assert isinstance(reply, bytes)
    writer.write(reply)
    await writer.drain()
    writer.close()


async def test_an_upstream_whose_tls_fails_was_not_called() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(400))
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, remote(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp") as client:
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
    assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)


async def test_a_name_that_does_not_resolve_was_not_called() -> None:
    async with remote("http://nobody.invalid/mcp") as client:
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
    assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)


async def test_a_fault_of_our_own_still_gives_an_ending() -> None:
    async with upstream(modern()) as server, remote(server.url) as client:
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(arguments={"path": object()}), LIMITS)
    assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_INVALID, False)
