"""Clients that read nothing, vanish, or come for what is another's, through a gateway that runs."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tests.attacks.talking import (
    HEAD,
    LAST,
    OTHER_TOKEN,
    WRITE,
    Place,
    chunk,
    deaf,
    opened,
    raw,
    stated,
    streaming,
    talking,
    until,
    watched,
    written,
)
from tests.executors.hostile import FINAL, Answer, Seen, always, event, live, text
from tests.wraps import records, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRESS, LOGGED = "notifications/progress", "notifications/message"
LEVEL = "io.modelcontextprotocol/logLevel"
PIECE = "x y " * 8_192
PIECES = 2048
"""64 MB of them."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with talking(tmp_path_factory.mktemp("talking")) as made:
        yield made


def flood(method: str) -> Answer:
    """64 MB of notifications, then the answer."""

    async def send(seen: Seen) -> AsyncGenerator[bytes, None]:
        yield HEAD
        for number in range(PIECES):
            params: dict[str, Any] = {"level": "error", "data": PIECE}
            if method == PROGRESS:
                params = {"progressToken": seen.ident, "progress": number, "message": PIECE}
            yield chunk(event(method, params))
        yield chunk(FINAL.replace("ID", seen.text))
        yield LAST

    return streaming(send)


def rest(client: socket.socket) -> tuple[int, bool]:
    """How many bytes a client that begins to read now is given before the end, and whether its answer ends whole."""
    client.settimeout(60)
    got, last = 0, b""
    try:
        while data := client.recv(1 << 16):
            got, last = got + len(data), (last + data)[-5:]
            if last == LAST:
                break
    except ConnectionResetError:
        pass
    return got, last == LAST


@pytest.mark.parametrize(
    ("era", "method", "code"),
    [
        ("modern", LOGGED, "CANCELLED"),
        ("modern", PROGRESS, "CANCELLED"),
        ("legacy", LOGGED, "UPSTREAM_INVALID"),
        ("legacy", PROGRESS, "UPSTREAM_INVALID"),
    ],
)
async def test_a_client_that_reads_nothing_is_cut_at_little_cost_and_its_run_is_settled(
    place: Place, era: str, method: str, code: str
) -> None:
    """For a modern client that is the end of its call; a legacy one may come back, so the upstream is heard out until
    it has said far too much.
    """
    place.modern.on["tools/call"] = always(text)
    async with raw(place, written(place, stated("tools/call", WRITE))) as talk:
        assert (await talk.whole())[0] == 200
    place.modern.on["tools/call"], place.modern.sent = flood(method), 0
    settled, before = len(place.settled()), place.memory_kb()
    if era == "modern":
        data = written(place, stated("tools/call", WRITE, progressToken="mine", **{LEVEL: "debug"}))
    else:
        asked = request("tools/call", WRITE | {"_meta": {"progressToken": "mine"}})
        data = written(place, asked, **await opened(place))
    with deaf(place, data) as client:
        await until(lambda: len(place.settled()) > settled)
        [record] = place.settled()[settled:]
        assert (record["code"], record["ending"]) == (code, "unknown")
        got, whole = await asyncio.to_thread(rest, client)
    assert not whole, "it was not cut"
    assert got < 16 * 2**20
    assert place.modern.sent < 40 * 2**20, "the upstream was read to its end"
    assert place.memory_kb("VmHWM") - before < 40 * 1024
    place.modern.on["tools/call"] = always(text)
    async with raw(place, written(place, stated("tools/call", WRITE))) as talk:
        assert b'"done"' in (await talk.whole())[2]


@pytest.mark.promise("cancel.recorded")
@pytest.mark.parametrize("meta", [{}, {"progressToken": 1}], ids=["answered whole", "answered by events"])
async def test_a_modern_client_that_vanishes_withdraws_its_call_and_the_run_is_settled(
    place: Place, meta: dict[str, Any]
) -> None:
    there, gone = asyncio.Event(), asyncio.Event()
    place.modern.on["tools/call"] = watched(there, gone)
    settled = len(place.settled())
    async with raw(place, written(place, stated("tools/call", WRITE, **meta))) as talk, asyncio.timeout(60):
        await there.wait()
        assert not gone.is_set()
        talk.vanish()
        await gone.wait()
    await until(lambda: len(place.settled()) > settled)
    [record] = place.settled()[settled:]
    assert (record["ending"], record["code"]) == ("unknown", "CANCELLED")


async def test_a_legacy_client_that_vanishes_finds_its_answer_and_nobody_else_does(place: Place) -> None:
    go, settled = asyncio.Event(), len(place.settled())
    told = event(PROGRESS, {"progressToken": "ID", "progress": 1}).replace('"ID"', "ID")
    later = event(PROGRESS, {"progressToken": "ID", "progress": 2}).replace('"ID"', "ID")
    place.modern.on["tools/call"] = live(told, go, later, FINAL)
    mine, second, other = await opened(place), await opened(place), {"authorization": f"Bearer {OTHER_TOKEN}"}
    asked = request("tools/call", WRITE | {"_meta": {"progressToken": "mine"}}, "the call")
    async with raw(place, written(place, asked, **mine)) as talk:
        (prime, nothing), (last, progress) = await talk.event(), await talk.event()
        assert (nothing, progress["params"]) == (None, {"progressToken": "mine", "progress": 1})
        talk.vanish()
    go.set()
    await until(lambda: len(place.settled()) > settled)
    assert [record["ending"] for record in place.settled()[settled:]] == ["done"]
    async with raw(place) as talk:
        foreign = await talk.ask(written(place, None, verb="GET", last_event_id=last, **mine, **other))
        unknown = mine | {"mcp_session_id": "0" * len(mine["mcp_session_id"])}
        assert foreign == await talk.ask(written(place, None, verb="GET", last_event_id=last, **unknown, **other))
        assert foreign[0] == 404
        assert (await talk.ask(written(place, None, verb="GET", last_event_id=last, **second)))[0] == 400
    for since, numbers in ((last, [2]), (prime, [1, 2])):
        async with raw(place, written(place, None, verb="GET", last_event_id=since, **mine)) as talk:
            before, answer = await talk.answer("the call")
        assert [one["params"]["progress"] for one in before if one is not None] == numbers
        assert answer["result"]["content"][0]["text"] == "done"
    assert len(place.settled()) == settled + 1


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
async def test_the_session_of_somebody_else_is_answered_like_none_whatever_is_done_with_it(
    place: Place, verb: str
) -> None:
    mine, other = await opened(place), {"authorization": f"Bearer {OTHER_TOKEN}"}
    unknown = mine | {"mcp_session_id": "0" * len(mine["mcp_session_id"])}
    refused = len(records(place.folder, "call.refused"))
    async with raw(place) as talk:
        foreign = await talk.ask(written(place, None, verb=verb, **mine, **other))
        assert foreign == await talk.ask(written(place, None, verb=verb, **unknown, **other))
        assert foreign[0] == 404
        status, _, body = await talk.ask(written(place, request("ping", {}), **mine))
    assert (status, orjson.loads(body)["result"]) == (200, {})
    assert len(records(place.folder, "call.refused")) == refused
