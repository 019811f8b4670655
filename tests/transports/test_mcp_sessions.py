import pytest
from mcp_types import methods as validators

from gateway.model import JsonObject, Reply
from gateway.transports.sessions import Sessions
from gateway.wire import mcp
from tests.transports.exchange import CAPABILITIES, MODERN, SCHEMA, SERVER, Exchange, handshake, request

CALL: JsonObject = {"name": "read_file", "arguments": {"path": "/a"}}
SECRET = "postgres://root:hunter2@db"


async def test_a_named_session_and_task_are_the_principals_own() -> None:
    exchange = Exchange()
    meta = {"bascule/session": "s", "bascule/task": "t"}
    for agent in ("agent", "other"):
        await exchange.modern("tools/call", CALL, meta=meta, agent=agent)
    assert [(call.session, call.task) for call in exchange.calls] == [
        ("named:agent:s", "named:agent:t"),
        ("named:other:s", "named:other:t"),
    ]


async def test_no_name_a_client_gives_is_anothers_session() -> None:
    exchange = Exchange()
    session = await exchange.initialize(agent="other")
    for name in ("other", "other:s", "principal:other", session, f"mcp:{session}", "named:other:s"):
        await exchange.modern("tools/call", CALL, meta={"bascule/session": name})
    taken = {call.session for call in exchange.calls}
    assert len(taken) == 6
    assert taken.isdisjoint({"principal:other", "named:other:s", "named:other:other", f"mcp:{session}"})


@pytest.mark.parametrize("key", ["bascule/session", "bascule/task"])
@pytest.mark.parametrize("value", ["", "x" * 129, 1, None, ["s"], "a\nb", "\u202e"])
async def test_a_name_that_is_no_short_printable_text_is_refused(key: str, value: object) -> None:
    exchange = Exchange()
    answer = await exchange.modern("tools/call", CALL, meta={key: value})
    assert (answer.status, answer.error["code"], exchange.calls) == (400, -32602, [])


async def test_without_a_named_task_the_session_is_the_task() -> None:
    exchange = Exchange()
    await exchange.modern("tools/call", CALL, meta={"bascule/session": "x" * 128})
    assert exchange.calls[0].task == exchange.calls[0].session == "named:agent:" + "x" * 128


@pytest.mark.parametrize(
    ("asked", "given"),
    [(version, version) for version in mcp.LEGACY]
    + [("2024-11-05", "2025-11-25"), (MODERN, "2025-11-25"), ("2099-01-01", "2025-11-25"), ("", "2025-11-25")],
)
async def test_the_handshake_agrees_on_a_version_we_speak(asked: str, given: str) -> None:
    exchange = Exchange()
    answer = await exchange.post(request("initialize", handshake(asked)))
    assert answer.status == 200
    assert answer.json["result"] == {
        "protocolVersion": given,
        "serverInfo": SERVER,
        "capabilities": CAPABILITIES,
        "instructions": "Ask.",
    }
    validators.validate_server_result("initialize", given, answer.json["result"])
    assert len(answer.headers["mcp-session-id"]) == 48


@pytest.mark.parametrize("version", [None, 1, ["2025-11-25"]])
async def test_a_handshake_without_a_version_opens_nothing(version: object) -> None:
    exchange = Exchange()
    answer = await exchange.post(request("initialize", handshake(version)))
    assert (answer.status, answer.error["code"], len(exchange.sessions)) == (400, -32602, 0)


async def test_a_session_id_sent_with_the_handshake_is_not_taken_over() -> None:
    exchange = Exchange()
    first = await exchange.initialize()
    assert await exchange.initialize(mcp_session_id=first) not in ("", first)
    assert await exchange.initialize(mcp_session_id="chosen") != "chosen"


@pytest.mark.parametrize("version", mcp.LEGACY)
async def test_a_legacy_session_lists_calls_and_pings(version: str) -> None:
    exchange = Exchange(reply=lambda call: Reply(result={"resultType": "complete", "content": [], "v": call.era}))
    stated = {} if version == "2025-03-26" else {"mcp_protocol_version": version}
    opened = {"mcp_session_id": await exchange.initialize(version)} | stated
    notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await exchange.post(notice, **opened)).status == 202
    assert (await exchange.post(request("ping"), **opened)).json["result"] == {}
    listed = (await exchange.post(request("tools/list"), **opened)).json["result"]
    assert listed == {"tools": [{"name": "read_file", "inputSchema": SCHEMA}]}
    called = (await exchange.post(request("tools/call", CALL, "x"), **opened)).json
    assert called == {"jsonrpc": "2.0", "id": "x", "result": {"content": [], "v": version}}
    session = f"mcp:{opened['mcp_session_id']}"
    assert (exchange.calls[0].session, exchange.calls[0].task, exchange.calls[0].era) == (session, session, version)
    assert exchange.lists[0][2:] == (version, session)


async def test_a_legacy_client_may_name_its_task_but_not_its_session() -> None:
    exchange = Exchange()
    session = await exchange.initialize()
    meta = {"bascule/session": "other", "bascule/task": "t"}
    await exchange.post(request("tools/call", CALL | {"_meta": meta}), mcp_session_id=session)
    assert (exchange.calls[0].session, exchange.calls[0].task) == (f"mcp:{session}", "named:agent:t")


@pytest.mark.parametrize("meta", [None, [], "x", 1])
async def test_meta_of_another_shape_is_refused(meta: object) -> None:
    exchange = Exchange()
    session = await exchange.initialize()
    answer = await exchange.post(request("tools/call", CALL | {"_meta": meta}), mcp_session_id=session)
    assert (answer.error["code"], exchange.calls) == (-32602, [])


LOST = {"code": -32600, "message": "there is no such session"}


async def test_a_session_id_that_is_missing_unknown_foreign_elsewhere_or_ended_opens_nothing() -> None:
    exchange = Exchange()
    mine, ended = await exchange.initialize(), await exchange.initialize()
    assert (await exchange.request("DELETE", headers=deleting(ended))).status == 204
    call = request("tools/call", CALL)
    missing = await exchange.post(call)
    assert (missing.status, missing.json["id"]) == (400, 1)
    assert "initialize" in missing.error["message"]
    answers = [
        await exchange.post(call, mcp_session_id="unknown"),
        await exchange.post(call, mcp_session_id=ended),
        await exchange.post(call, mcp_session_id=mine, agent="other"),
        await exchange.post(call, mcp_session_id=mine, path="/mcp/crm"),
        await exchange.post(call, mcp_session_id=mine, path="/mcp"),
        await exchange.post(call, mcp_session_id=""),
        await exchange.post(call, mcp_session_id="\xff"),
    ]
    assert {(answer.status, answer.body) for answer in answers} == {(404, answers[0].body)}
    assert answers[0].json == {"jsonrpc": "2.0", "id": 1, "error": LOST}
    assert exchange.calls == []
    assert (await exchange.post(call, mcp_session_id=mine)).status == 200


def deleting(session: str | None, agent: str = "agent", **more: str) -> list[tuple[str, str]]:
    lines = [("host", "localhost"), ("authorization", f"Bearer token-of-the-{agent}"), *more.items()]
    return lines if session is None else [*lines, ("mcp-session-id", session)]


async def test_only_its_owner_can_end_a_session() -> None:
    exchange = Exchange()
    session = await exchange.initialize()
    assert (await exchange.request("DELETE", headers=deleting(session, "other"))).status == 404
    assert (await exchange.request("DELETE", "/mcp/crm", headers=deleting(session))).status == 404
    assert (await exchange.request("DELETE", headers=deleting(None))).status == 400
    assert (
        await exchange.request("DELETE", headers=[*deleting(session), ("mcp-protocol-version", MODERN)])
    ).status == 405
    assert len(exchange.sessions) == 1
    assert (await exchange.request("DELETE", headers=deleting(session))).status == 204
    assert (await exchange.request("DELETE", headers=deleting(session))).status == 404


@pytest.mark.parametrize("version", ["2025-06-18", "2025-03-26"])
async def test_another_version_than_the_one_agreed_on_is_a_mismatch(version: str) -> None:
    exchange = Exchange()
    session = await exchange.initialize("2025-11-25")
    answer = await exchange.post(request("ping"), mcp_session_id=session, mcp_protocol_version=version)
    assert (answer.status, answer.error["code"]) == (400, mcp.HEADER_MISMATCH)


async def test_a_session_that_idled_too_long_is_lost() -> None:
    now = [0.0]
    exchange = Exchange(sessions=Sessions(idle_s=60, clock=lambda: now[0]))
    session = await exchange.initialize()
    now[0] = 61.0
    answer = await exchange.post(request("ping"), mcp_session_id=session)
    assert (answer.status, answer.error) == (404, LOST)


@pytest.mark.parametrize("method", ["subscriptions/listen", "server/discover", "roots/list", "notifications/x", ""])
async def test_an_unknown_method_does_not_look_like_the_end_of_a_legacy_session(method: str) -> None:
    exchange = Exchange()
    session = await exchange.initialize()
    answer = await exchange.post(request(method, ident="z"), mcp_session_id=session)
    assert (answer.status, answer.error["code"], answer.json["id"]) == (200, -32601, "z")


@pytest.mark.parametrize("cursor", ["x", "", 1])
async def test_a_cursor_we_never_gave_is_refused(cursor: object) -> None:
    exchange = Exchange()
    session = await exchange.initialize()
    legacy = await exchange.post(request("tools/list", {"cursor": cursor}), mcp_session_id=session)
    modern = await exchange.modern("tools/list", {"cursor": cursor})
    assert (legacy.status, legacy.error["code"]) == (200, -32602)
    assert (modern.status, modern.error["code"]) == (400, -32602)
    assert exchange.lists == []


@pytest.mark.parametrize("batch", [[], [request("ping")], [request("tools/call", CALL), request("ping", ident=2)]])
async def test_a_batch_is_refused_whole_in_every_revision(batch: list[JsonObject]) -> None:
    exchange = Exchange()
    session = await exchange.initialize("2025-03-26")
    for headers in ({"mcp_session_id": session}, {"mcp_protocol_version": MODERN}, {}):
        answer = await exchange.post(batch, **headers)
        assert (answer.status, answer.error["code"], answer.json["id"]) == (400, -32600, None)
        assert "batches are not served" in answer.error["message"]
    assert exchange.calls == []
