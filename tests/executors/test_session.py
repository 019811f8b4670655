"""What is said in a session of the legacy era while a call runs, and beside the calls."""

import asyncio
from typing import Any

import pytest

from gateway.channel import About, Channel
from gateway.errors import Failed
from gateway.executors.exchange import Exchange
from gateway.executors.session import Session
from gateway.kinds import ROOTS_CHANGED
from gateway.model import Code, JsonObject, Limits
from tests.executors.hostile import (
    FINAL,
    HELD,
    INVALID,
    LEGACY,
    LIMITS,
    SOON,
    Answer,
    Reply,
    Seen,
    always,
    error,
    event,
    http,
    legacy,
    live,
    modern,
    never,
    noted,
    proposal,
    remote,
    result,
    said,
    text,
    upstream,
)

CAPABLE: JsonObject = {"sampling": {}, "elicitation": {}, "roots": {"listChanged": True}, "x": {}}
REFUSED = always(lambda seen: http(405))


def able(capabilities: JsonObject, call: Answer | None = None) -> dict[str, Answer]:
    """A legacy server that offers this."""
    info = {"protocolVersion": LEGACY, "capabilities": capabilities, "instructions": "be kind"}
    on = legacy(call) | {"GET": REFUSED, "POST": always(lambda seen: http(202, kind=""))}
    return on | {"initialize": always(lambda seen: result(seen, info, mcp_session_id="s-1"))}


class Client:
    """A client that keeps what it is told, and answers what it is asked."""

    def __init__(self, capabilities: JsonObject = CAPABLE, **more: Any) -> None:
        self.told: list[tuple[str, JsonObject]] = []
        self.asked: list[tuple[str, JsonObject]] = []
        self.heard = asyncio.Event()
        self.channel = Channel(capabilities=capabilities, tell=self._tell, ask=self._ask, **more)

    def _tell(self, method: str, params: JsonObject) -> None:
        self.told.append((method, params))
        self.heard.set()

    async def _ask(self, method: str, params: JsonObject) -> JsonObject:
        self.asked.append((method, params))
        return {"action": "accept"}


@pytest.mark.parametrize("server_of", [modern, legacy])
async def test_progress_and_log_messages_are_told_at_once_in_either_era(server_of: Any) -> None:
    client = Client({}, progress=True)
    on = server_of(
        live(
            event("notifications/progress", {"progressToken": "TOKEN", "progress": 1}).replace("TOKEN", "x"),
            ': keep-alive\n\nevent: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress",\r\n'
            'data: "params":{"progressToken":ID,"progress":1,"message":"half"}}\n\n',
            event("notifications/message", {"level": "info", "data": "hi"}),
            client.heard,
            FINAL,
        )
    )
    async with upstream(on) as server, remote(server.url) as through:
        outcome = await through.execute(proposal(), LIMITS, client.channel)
        [seen] = server.of("tools/call")
    assert said(outcome) == "done"
    assert client.told == [
        ("notifications/progress", {"progress": 1, "message": "half"}),
        ("notifications/message", {"level": "info", "data": "hi"}),
    ]
    assert outcome.evidence["passed_over"] == 1, "progress for a token never given"
    assert seen.message["params"]["_meta"]["progressToken"] == seen.ident


async def test_a_question_on_the_stream_is_answered_in_the_session_while_the_stream_is_read() -> None:
    client, answered = Client(progress=True), asyncio.Event()
    question = event("elicitation/create", {"message": "?", "_meta": {"progressToken": 1}}, id="q-1")
    on = able({}, live(question, client.heard, FINAL)) | {"POST": noted(answered)}
    on["tools/call"] = live(question, answered, FINAL)
    async with upstream(on) as server, remote(server.url) as through:
        assert said(await through.execute(proposal(), LIMITS, client.channel)) == "done"
        [reply], [hello] = server.of("POST"), server.of("initialize")
    assert client.asked == [("elicitation/create", {"message": "?", "_meta": {}})]
    assert reply.message == {"jsonrpc": "2.0", "id": "q-1", "result": {"action": "accept"}}
    assert (reply.headers["mcp-session-id"], reply.headers["mcp-protocol-version"]) == ("s-1", LEGACY)
    assert hello.message["params"]["capabilities"] == {"sampling": {}, "elicitation": {}, "roots": {}}


@pytest.mark.parametrize("status", [202, 500])
async def test_a_session_hears_of_other_roots_before_the_call_in_which_it_may_ask_for_them(status: int) -> None:
    client, answered = Client(roots_changed=True), asyncio.Event()
    on = able({}, live(event("roots/list", {}, id="q-1"), answered, FINAL)) | {"POST": noted(answered)}
    on[ROOTS_CHANGED] = always(lambda seen: http(status, kind=""))
    async with upstream(on) as server, remote(server.url) as through:
        assert said(await through.execute(proposal(era=LEGACY), LIMITS, client.channel)) == "done"
        methods = [seen.method for seen in server.seen]
        [hello], [changed] = server.of("initialize"), server.of(ROOTS_CHANGED)
    assert methods.index(ROOTS_CHANGED) == methods.index("tools/call") - 1
    assert (changed.headers["mcp-session-id"], changed.message) == (
        "s-1",
        {"jsonrpc": "2.0", "method": ROOTS_CHANGED, "params": {}},
    )
    assert not client.channel.roots_changed
    assert client.asked == [("roots/list", {})]
    assert hello.message["params"]["capabilities"]["roots"] == {"listChanged": True}


async def test_a_modern_upstream_hears_of_no_roots() -> None:
    client = Client(roots_changed=True)
    async with upstream(modern()) as server, remote(server.url) as through:
        await through.execute(proposal(era=LEGACY), LIMITS, client.channel)
        [call] = server.of("tools/call")
        assert server.of(ROOTS_CHANGED) == []
    declared = call.message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
    assert declared["roots"] == {}
    assert client.channel.roots_changed


async def test_clients_that_can_be_asked_different_things_share_no_session() -> None:
    numbers = iter(range(9))
    info = {"protocolVersion": LEGACY, "capabilities": {}}
    numbered = always(lambda seen: result(seen, info, mcp_session_id=f"s-{next(numbers)}"))
    async with upstream(able({}) | {"initialize": numbered}) as server, remote(server.url) as through:
        several: list[JsonObject] = [{}, {"sampling": {}}, {"roots": {}}, {"sampling": {}}, {"x": {}}]
        for capabilities in several:
            await through.execute(proposal(), LIMITS, Channel(capabilities=capabilities))
        used = [seen.headers["mcp-session-id"] for seen in server.of("tools/call")]
    assert used == ["s-0", "s-1", "s-2", "s-1", "s-0"]


async def test_the_clock_stands_still_while_the_client_is_asked() -> None:
    asked, answer, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def ask(_method: str, _params: JsonObject) -> JsonObject:
        asked.set()
        await answer.wait()
        return {}

    on = able({}, live(event("roots/list", id=1), answered, FINAL)) | {"POST": noted(answered)}
    async with upstream(on) as server, remote(server.url) as through, asyncio.TaskGroup() as tasks:
        call = tasks.create_task(
            through.execute(proposal(), Limits(0.5, 100_000), Channel(capabilities=CAPABLE, ask=ask))
        )
        await asked.wait()
        done, _ = await asyncio.wait({call}, timeout=0.8)
        assert not done, "the wait for the client counted as the upstream's silence"
        answer.set()
        assert said(await call) == "done"


async def test_what_the_client_wants_logged_is_said_once_and_only_where_it_is_served() -> None:
    levels = always(lambda seen: result(seen, {}))
    async with upstream(able({"logging": {}}) | {"logging/setLevel": levels}) as server, remote(server.url) as through:
        for level in ("", "info", "info", "error"):
            await through.execute(proposal(), LIMITS, Channel(log_level=level))
        assert [seen.message["params"] for seen in server.of("logging/setLevel")] == [
            {"level": "info"},
            {"level": "error"},
        ]
    async with upstream(able({})) as server, remote(server.url) as through:
        await through.execute(proposal(), LIMITS, Channel(log_level="info"))
        assert not server.of("logging/setLevel")


async def test_an_upstream_that_cannot_set_its_level_runs_the_call_all_the_same() -> None:
    on = able({"logging": {}}) | {"logging/setLevel": always(lambda seen: error(seen, -32603))}
    async with upstream(on) as server, remote(server.url) as through:
        assert said(await through.execute(proposal(), LIMITS, Channel(log_level="info"))) == "done"


async def test_a_call_that_is_cancelled_is_withdrawn() -> None:
    arrived, told = asyncio.Event(), asyncio.Event()
    silent = never()

    async def answer(seen: Seen) -> Reply:
        arrived.set()
        return await silent(seen)

    on = able({}, answer) | {"notifications/cancelled": noted(told)}
    async with upstream(on) as server, remote(server.url) as through:
        call = asyncio.ensure_future(through.execute(proposal(), LIMITS))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(20):
            await told.wait()
        [asked], [seen] = server.of("tools/call"), server.of("notifications/cancelled")
    assert seen.message["params"]["requestId"] == asked.ident
    assert seen.headers["mcp-session-id"] == "s-1"


# Coming back for an answer


def polled(*streams: Answer) -> Answer:
    """Each GET gives the next stream."""
    left = list(streams)

    async def answer(seen: Seen) -> Reply:
        return await left.pop(0)(seen)

    return answer


PRIMED = "id: 1\nretry: 100\ndata:\n\n"


async def test_a_stream_that_ends_before_its_answer_is_come_back_to_and_nothing_is_sent_again() -> None:
    client = Client({}, progress=True)
    idents: list[str] = []

    async def call(seen: Seen) -> Reply:
        idents.append(seen.text)
        return await live(PRIMED)(seen)

    async def later(seen: Seen) -> Reply:
        report = event("notifications/progress", {"progressToken": "TOKEN", "progress": 2}).replace('"TOKEN"', "ID")
        part = f"id: 2\n{report}" if len(server.of("GET")) == 1 else FINAL
        return await live(part, ident=idents[0])(seen)

    async with upstream(able({}, call) | {"GET": later}) as server, remote(server.url) as through:
        outcome = await through.execute(proposal(), LIMITS, client.channel)
        assert len(server.of("tools/call")) == 1
        gets = server.of("GET")
    assert said(outcome) == "done"
    assert [seen.headers["last-event-id"] for seen in gets] == ["1", "2"]
    assert {seen.headers["mcp-session-id"] for seen in gets} == {"s-1"}
    assert {seen.headers["accept"] for seen in gets} == {"text/event-stream"}
    assert client.told == [("notifications/progress", {"progress": 2})]


@pytest.mark.parametrize(
    ("call", "back", "code"),
    [
        (live(PRIMED), REFUSED, INVALID),
        (live(PRIMED), live(FINAL.replace("ID", '"other"')), INVALID),
        (live(PRIMED), live(": nothing\n\n"), INVALID),
        (live(PRIMED), live(PRIMED.replace("1", "2", 1), PRIMED), Code.UPSTREAM_TIMEOUT),
        (live("id: \u00e9\ndata:\n\n"), live(FINAL), INVALID),
        (live("id: \x01\ndata:\n\n"), live(FINAL), INVALID),
        (live("data:\n\n"), live(FINAL), INVALID),
    ],
)
async def test_an_answer_that_cannot_be_come_back_for_leaves_the_ending_unknown(
    call: Answer, back: Answer, code: Code
) -> None:
    async with upstream(able({}, call) | {"GET": back}) as server, remote(server.url) as through:
        with pytest.raises(Failed) as failed:
            await through.execute(proposal(), SOON)
        assert len(server.of("tools/call")) == 1
    assert (failed.value.code, failed.value.unknown) == (code, True)


async def test_a_modern_upstream_has_no_streams_to_come_back_to() -> None:
    async with upstream(modern(live(PRIMED)) | {"GET": live(FINAL)}) as server, remote(server.url) as through:
        with pytest.raises(Failed) as failed:
            await through.execute(proposal(), LIMITS)
        assert not server.of("GET")
    assert (failed.value.code, failed.value.unknown) == (INVALID, True)


# The stream of a session


async def test_a_question_beside_the_calls_is_the_only_calls() -> None:
    client, asked, answered = Client(), asyncio.Event(), asyncio.Event()

    async def call(seen: Seen) -> Reply:
        asked.set()
        await answered.wait()
        return text(seen)

    stream = live(asked, event("sampling/createMessage", {"a": 1}, id=5), HELD)
    on = able({}, call) | {"GET": stream, "POST": noted(answered)}
    async with upstream(on) as server, remote(server.url) as through:
        assert said(await through.execute(proposal(), LIMITS, client.channel)) == "done"
        [get], [reply] = server.of("GET"), server.of("POST")
    assert get.headers["mcp-session-id"] == "s-1"
    assert client.asked == [("sampling/createMessage", {"a": 1})]
    assert reply.message["result"] == {"action": "accept"}


class Pool:
    """Stands in for the connections: keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[bytes] = []
        self.arrived = asyncio.Event()

    async def tell(self, _verb: str, body: bytes, _headers: Any) -> int:
        self.posted.append(body)
        self.arrived.set()
        return 202


def session(**channels: Channel) -> tuple[Session, Any]:
    pool: Any = Pool()
    made = Session(pool, About(era=LEGACY), "s", 0.0)
    for ident, channel in channels.items():
        exchange = Exchange(LIMITS, channel, made.beside)
        exchange.ident, exchange.reply = ident, made.reply
        made.calls[ident] = exchange
    return made, pool


def said_beside(method: str, params: Any = None, **more: Any) -> JsonObject:
    return {"jsonrpc": "2.0", "method": method, "params": {} if params is None else params, **more}


async def test_beside_several_calls_a_question_is_nobodys_and_is_refused() -> None:
    clients = [Client(), Client()]
    made, pool = session(a=clients[0].channel, b=clients[1].channel)
    assert not made.hear(said_beside("roots/list", id=1))
    await pool.arrived.wait()
    assert b"-32601" in pool.posted[0]
    assert not clients[0].asked
    assert not clients[1].asked
    await made.leave()


async def test_progress_beside_the_calls_finds_its_call_by_its_token() -> None:
    clients = [Client({}, progress=True), Client({}, progress=True)]
    made, _ = session(a=clients[0].channel, b=clients[1].channel)
    assert made.hear(said_beside("notifications/progress", {"progressToken": "b", "progress": 1}))
    assert not made.hear(said_beside("notifications/progress", {"progressToken": "c", "progress": 1}))
    assert not made.hear(said_beside("notifications/progress", {"progressToken": ["b"], "progress": 1}))
    assert [len(client.told) for client in clients] == [0, 1]


async def test_log_messages_beside_several_calls_are_nobodys() -> None:
    clients = [Client({}), Client({})]
    made, _ = session(a=clients[0].channel, b=clients[1].channel)
    assert not made.hear(said_beside("notifications/message", {"level": "info"}))
    alone, _ = session(a=clients[0].channel)
    assert alone.hear(said_beside("notifications/message", {"level": "info"}))
    assert [len(client.told) for client in clients] == [1, 0]


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "method": 7},
        said_beside("notifications/message", [1]),
        said_beside("notifications/unheard-of"),
        said_beside("roots/list", id=None),
    ],
)
async def test_what_is_nobodys_is_passed_over(message: JsonObject) -> None:
    made, pool = session()
    assert not made.hear(message)
    await made.leave()
    assert not pool.posted


async def test_refusals_that_are_not_taken_are_bounded_and_end_with_the_session() -> None:
    made, pool = session()
    blocked = asyncio.Event()

    async def tell(*_: Any) -> int:
        await blocked.wait()
        return 202

    pool.tell = tell
    for ident in range(1_000):
        made.hear(said_beside("ping", id=ident))
    assert len(made._replies) == 100
    await made.leave()
    assert not made._replies
