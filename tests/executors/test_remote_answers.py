import gzip
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.errors import Failed
from tests.executors.hostile import (
    DONE,
    INVALID,
    LIMITS,
    SSE,
    Reply,
    Seen,
    always,
    http,
    legacy,
    modern,
    proposal,
    remote,
    result,
    said,
    text,
    upstream,
)

PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("kind", ["application/json", SSE])
@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("server_of", [modern, legacy])
async def test_an_answer_that_is_right_but_compressed_is_refused_and_never_unpacked(
    server_of: Any, coding: str, kind: str
) -> None:
    def packed(seen: Seen) -> bytes:
        plain = DONE.replace("ID", seen.text)
        return http(200, PACK[coding]((plain if kind != SSE else f"data: {plain}\n\n").encode()), kind, **named)

    named = {"content_encoding": coding}
    async with upstream(server_of(always(packed))) as server, remote(server.url) as client:
        with pytest.raises(Failed) as failed:
            await client.execute(proposal(), LIMITS)
        assert (failed.value.code, failed.value.unknown) == (INVALID, True)
        assert {seen.headers["accept-encoding"] for seen in server.seen} == {"identity"}
        server.on["tools/call"] = always(text)
        assert said(await client.execute(proposal(), LIMITS)) == "done"


WRITTEN: dict[str, Any] = {
    "content": [
        {"type": "resource_link", "uri": "ui://panel/%7Ea?b=C#d", "name": "x", "annotations": {"audience": []}},
        {"type": "resource", "resource": {"uri": "opaque:A%2fB", "blob": "AA==", "vendorField": False}},
        {"type": "image", "data": "AA==", "mimeType": "image/png"},
        {"type": "vendor/new", "value": None, "flag": False},
    ],
    "structuredContent": {"flag": False, "none": None, "empty": {}},
    "isError": False,
    "vendorField": {"x": [False, None, ""]},
}


@pytest.mark.parametrize("server_of", [modern, legacy])
async def test_a_result_comes_as_the_upstream_wrote_it(server_of: Any) -> None:
    on = server_of(always(lambda seen: result(seen, WRITTEN)))
    async with upstream(on) as server, remote(server.url) as client:
        given = (await client.execute(proposal(), LIMITS)).result
    assert orjson.dumps({name: given[name] for name in WRITTEN}) == orjson.dumps(WRITTEN)


@pytest.mark.parametrize("server_of", [modern, legacy])
async def test_more_than_a_thousand_tools_come_whole_over_many_pages(server_of: Any) -> None:
    names = [f"tool_{number}" for number in range(1_203)]

    async def listed(seen: Seen) -> Reply:
        start = int(seen.message["params"].get("cursor", 0))
        page = [{"name": name, "inputSchema": {"type": "object"}} for name in names[start : start + 100]]
        more = {"nextCursor": str(start + 100)} if start + 100 < len(names) else {}
        return result(seen, {"tools": page} | more)

    async with upstream(server_of() | {"tools/list": listed}) as server:
        async with remote(server.url) as client:
            assert [tool["name"] for tool in await client.tools()] == names
        assert len(server.of("tools/list")) == 13
