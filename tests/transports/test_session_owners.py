import hashlib

import pytest

from gateway.identity.tokens import Authenticator
from gateway.model import JsonObject
from tests.transports.exchange import TOKENS, Exchange, handshake, request, settings, standard

CALL: JsonObject = {"name": "read_file", "arguments": {"path": "/a"}}
LOST = {"code": -32600, "message": "there is no such session"}


def hashed(token: str) -> dict[str, str]:
    return {"token_sha256": hashlib.sha256(token.encode()).hexdigest()}


async def test_a_session_is_bound_to_who_its_principal_is_and_not_to_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = Exchange()
    session = await exchange.initialize()
    principals = {"agent": hashed("the-agents-next-token"), "other": hashed(TOKENS["agent"])}
    given = settings(principals=principals)
    exchange.app.configure(given, Authenticator(given))
    call = request("tools/call", CALL)
    moved = await exchange.post(call, mcp_session_id=session)
    assert (moved.status, moved.error) == (404, LOST), "the old token is somebody else's now"
    monkeypatch.setitem(TOKENS, "agent", "the-agents-next-token")
    assert (await exchange.post(call, mcp_session_id=session)).status == 200
    assert [(one.principal.id, one.session) for one in exchange.calls] == [("agent", f"mcp:{session}")]


@pytest.mark.parametrize("ident", [1, 0, -7, 2**53 - 1, "", "x", "\u00fc"])
async def test_another_process_says_under_the_id_of_the_request_that_it_knows_no_session(ident: int | str) -> None:
    here, there = Exchange(), Exchange()
    session = await here.initialize()
    lost = await there.post(request("tools/call", CALL, ident), mcp_session_id=session)
    assert (lost.status, lost.json) == (404, {"jsonrpc": "2.0", "id": ident, "error": LOST})
    assert there.calls == []
    again = await there.post(request("initialize", handshake("2025-11-25")), mcp_session_id=session)
    renewed = again.headers["mcp-session-id"]
    assert renewed != session
    assert (await there.post(request("tools/call", CALL, ident), mcp_session_id=renewed)).status == 200


async def test_any_process_serves_a_modern_client_and_one_that_only_names_its_session() -> None:
    for exchange in (Exchange(), Exchange()):
        answer = await exchange.modern("tools/call", CALL, meta={"bascule/session": "s"}, mcp_session_id="elsewhere")
        assert answer.status == 200
        assert "mcp-session-id" not in answer.headers
        assert [one.session for one in exchange.calls] == ["named:agent:s"]


@pytest.mark.parametrize("sent", ["a b", "a\tb", "\x7f", "\u00e9", "a" * 100_000, "{}", "../../x", "eyJhIjoxfQ=="])
async def test_no_session_id_but_one_that_was_given_finds_anything(sent: str) -> None:
    exchange = Exchange()
    await exchange.initialize()
    lines = (standard() | {"mcp-session-id": sent}).items()
    answer = await exchange.request(headers=lines, parts=[b'{"jsonrpc":"2.0","id":3,"method":"ping"}'])
    assert (answer.status, answer.json["id"], answer.error) == (404, 3, LOST)
    assert sent not in answer.body.decode()
