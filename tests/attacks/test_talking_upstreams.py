"""Upstreams that talk where they should answer, through a gateway that runs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.executors.exchange import MOST_ASKS
from tests.attacks.talking import (
    HEAD,
    WRITE,
    Place,
    chunk,
    opened,
    raw,
    stated,
    streaming,
    talking,
    written,
)
from tests.executors.hostile import FINAL, Reply, Seen, always, event, http, result, stream, text
from tests.wraps import records, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRAY = "said-by-the-upstream"
STORM = 10_000
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
PROGRESS = "notifications/progress"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with talking(tmp_path_factory.mktemp("talking")) as made:
        yield made


def said(method: str, **params: Any) -> str:
    """A notification as an upstream writes it."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params}).decode().replace('"ID"', "ID")


ANSWER = FINAL.removeprefix("data: ").strip()
OURS = said(PROGRESS, progressToken="ID", progress=1, message=STRAY)
PASSED_OVER = {
    "progress for a token that was never given": [said(PROGRESS, progressToken="made-up", progress=1, message=STRAY)],
    "progress for a number": [said(PROGRESS, progressToken=1, progress=1, message=STRAY)],
    "progress for the client's own token": [said(PROGRESS, progressToken="mine", progress=1, message=STRAY)],
    "progress for nothing": [said(PROGRESS, progress=1, message=STRAY)],
    "progress that is no number": [said(PROGRESS, progressToken="ID", progress=STRAY)],
    "a cancellation of what it never asked": [said("notifications/cancelled", requestId="made-up", reason=STRAY)],
    "a cancellation of the call itself": [said("notifications/cancelled", requestId="ID", reason=STRAY)],
    "a notification that nobody knows": [said(f"notifications/{STRAY}", said=STRAY)],
    "a changed list": [said("notifications/tools/list_changed", said=STRAY)],
}


@pytest.mark.parametrize("what", PASSED_OVER)
async def test_what_belongs_to_no_call_is_passed_over_and_the_call_gets_its_own_answer(place: Place, what: str) -> None:
    place.modern.on["tools/call"] = always(stream(*PASSED_OVER[what], ANSWER))
    status, body = await called(place)
    assert (status, STRAY in body) == (200, False)
    assert '"done"' in body
    settled = place.settled()[-1]
    assert settled["ending"] == "done"


async def test_progress_after_the_answer_is_passed_over(place: Place) -> None:
    place.modern.on["tools/call"] = always(stream(ANSWER, OURS))
    status, body = await called(place)
    assert (status, STRAY in body, '"done"' in body) == (200, False, True)


def stray(ident: str) -> str:
    return ANSWER.replace('"id":ID', f'"id":{ident}').replace("done", STRAY)


BREACHES = {
    f"an answer to {ident}": [stray(ident), ANSWER]
    for ident in ('"made-up"', "1", "-1", "1.5", "1e30", "9" * 30, "null", "true", "[]", "{}")
} | {
    "another answer after the answer": [ANSWER, stray("ID")],
    "an answer to what was never asked, after the answer": [ANSWER, stray("7")],
    "a question on the stream of a modern answer": [
        orjson.dumps({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {"s": STRAY}}).decode(),
        ANSWER,
    ],
}


@pytest.mark.parametrize("what", BREACHES)
async def test_what_answers_or_asks_where_it_must_not_ends_that_call_and_reaches_nobody(
    place: Place, what: str
) -> None:
    """Which of two answers is meant cannot be known: the client is given neither."""
    place.modern.on["tools/call"] = always(stream(*BREACHES[what]))
    _, body = await called(place)
    assert STRAY not in body
    assert '"UPSTREAM_INVALID"' in body
    settled = place.settled()[-1]
    assert (settled["ending"], settled["code"]) == ("unknown", "UPSTREAM_INVALID")
    place.modern.on["tools/call"] = always(text)
    assert '"done"' in (await called(place))[1]


async def called(place: Place) -> tuple[int, str]:
    """All that a client is given for a call with which it wants progress."""
    asked = stated("tools/call", WRITE, "the call", progressToken="mine")
    async with raw(place, written(place, asked, connection="close")) as talk:
        async with asyncio.timeout(60):
            said = await talk.reader.read()
        status, _, body = said.decode().partition("\r\n")
    return int(status.split(" ")[1]), body


async def test_a_cursor_that_does_not_advance_ends_the_list_and_is_no_empty_one(place: Place) -> None:
    page = {"resultType": "complete", "prompts": [{"name": "one"}], "nextCursor": "again"}
    place.modern.on["prompts/list"] = always(lambda seen: result(seen, page))
    async with raw(place) as talk:
        _, _, body = await talk.ask(written(place, stated("prompts/list", {})))
        assert "result" not in orjson.loads(body)
        assert len(place.modern.of("prompts/list")) <= 4
        _, _, body = await talk.ask(written(place, stated("tools/list", {})))
        assert len(orjson.loads(body)["result"]["tools"]) == len(place.tools)


async def test_a_storm_of_changes_reaches_who_subscribed_as_few_and_only_as_it_was_promised(place: Place) -> None:
    storm, again = asyncio.Event(), asyncio.Event()
    changed = [f"notifications/{what}/list_changed" for what in ("tools", "prompts", "resources")]

    async def send(seen: Seen) -> AsyncGenerator[bytes, None]:
        def tell(method: str) -> bytes:
            return chunk(event(method, {"_meta": {SUBSCRIPTION: seen.ident}, "said": STRAY}))

        yield HEAD + chunk(
            event(
                "notifications/subscriptions/acknowledged",
                {"notifications": {"toolsListChanged": True}, "_meta": {SUBSCRIPTION: seen.ident}},
            )
        )
        await storm.wait()
        for _ in range(STORM // 100):
            yield b"".join(tell(method) for method in changed) * 33
        await again.wait()
        yield tell(changed[0])
        await seen.upstream.over.wait()

    place.modern.on["subscriptions/listen"] = streaming(send)
    wants = {"notifications": {"toolsListChanged": True, "promptsListChanged": True}}
    async with raw(place, written(place, stated("subscriptions/listen", wants, "l"))) as talk:
        _, acknowledged = await talk.event()
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        before, memory = len(place.modern.of("tools/list")), place.memory_kb()
        gone = place.tools.pop()
        storm.set()
        heard = [(await talk.event())[1]]
        place.tools.append(gone)
        again.set()
        heard.append((await talk.event())[1])
    assert [one["method"] for one in heard] == [changed[0]] * 2
    assert all(one["params"] == {"_meta": {SUBSCRIPTION: "l"}} for one in heard)
    assert len(place.modern.of("tools/list")) - before <= 8
    assert place.memory_kb() - memory < 40 * 1024


@pytest.mark.promise("asking.bounded")
async def test_an_upstream_that_asks_for_samples_in_a_loop_is_bounded_and_each_question_recorded(place: Place) -> None:
    replies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    got: list[dict[str, Any]] = []

    async def replied(seen: Seen) -> Reply:
        replies.put_nowait(seen.message)
        return http(202, kind="")

    async def send(seen: Seen) -> AsyncGenerator[bytes, None]:
        yield HEAD
        for number in range(2 * MOST_ASKS):
            yield chunk(event("sampling/createMessage", {"messages": [], "maxTokens": 1}, id=number))
            got.append(await replies.get())
        yield chunk(event("sampling/createMessage", {"messages": [], "maxTokens": 1}, id=-1))
        await seen.upstream.over.wait()

    place.legacy.on |= {"tools/call": streaming(send), "POST": replied}
    intents, settled = len(asked(place, "call.intent")), len(place.settled())
    mine = await opened(place, "legacy", sampling={})
    sample = {"role": "assistant", "content": {"type": "text", "text": "s"}, "model": "m"}
    async with raw(place, written(place, request("tools/call", WRITE, "the call"), "legacy", **mine)) as talk:
        put = 0
        async with raw(place) as second:
            while "method" in (message := (await talk.event())[1] or {"method": ""}):
                if message["method"]:
                    put += 1
                    answer = {"jsonrpc": "2.0", "id": message["id"], "result": sample}
                    assert (await second.ask(written(place, answer, "legacy", **mine)))[0] == 202
    assert put == MOST_ASKS
    assert [("result" in one, "error" in one) for one in got] == [(True, False)] * put + [(False, True)] * put
    assert message["result"]["_meta"]["bascule/decision"]["code"] == "UPSTREAM_INVALID"
    assert len(asked(place, "call.intent")) - intents == put
    endings = [record["ending"] for record in place.settled()[settled:]]
    assert (endings.count("done"), len(endings), endings[-1]) == (put, put + 1, "unknown")


def asked(place: Place, kind: str) -> list[dict[str, Any]]:
    return [record for record in records(place.folder, kind) if record.get("about") == "sampling"]
