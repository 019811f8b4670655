"""An attacker who has an allowed tool and brings his own argument, or his own bytes."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tests.attacks.clients import META, Client, client, decision
from tests.attacks.upstreams import Upstream, upstream
from tests.serving import MODERN, TOKEN, Folder, Served, serving

HEADERS = {
    "authorization": f"Bearer {TOKEN}",
    "cookie": "session=of-the-client",
    "mcp-protocol-version": MODERN,
    "mcp-method": "tools/call",
    "mcp-name": "write_note",
}


@pytest.fixture
async def reached() -> AsyncIterator[Upstream]:
    async with upstream() as kept:
        yield kept


@pytest.fixture
async def served(reached: Upstream, tmp_path: Path) -> AsyncIterator[Served]:
    own = {"url": reached.url, "headers": {"X-Api-Key": "${KEPT_KEY}"}}
    folder = Folder(tmp_path / "gateway", {"kept": own}, environment={"KEPT_KEY": "upstream-secret"})
    async with serving(folder) as gateway:
        yield gateway


@pytest.fixture
async def talking(served: Served) -> AsyncIterator[Client]:
    async with client(served.url("kept")) as one:
        yield one


def raw(arguments: bytes, envelope: bytes = b"") -> bytes:
    meta = orjson.dumps(META)
    return (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call",%b"params":{"name":"write_note","arguments":%b,"_meta":%b}}'
        % (envelope, arguments, meta)
    )


@pytest.mark.promise("judged-is-what-runs")
async def test_a_call_that_differs_only_in_an_argument_is_refused_and_no_byte_of_it_reaches_the_upstream(
    talking: Client, reached: Upstream
) -> None:
    allowed = await talking.call("write_note", {"path": "notes/a.md", "text": "marker-one"})
    refused = await talking.call("write_note", {"path": "private/a.md", "text": "marker-two"})
    assert decision(allowed)["effect"] == "allow"
    assert decision(refused)["code"] == "POLICY_DENIED"
    assert decision(refused)["would_pass"] == "a path under notes/"
    sent = b"".join(reached.bodies)
    assert b"marker-one" in sent
    assert b"marker-two" not in sent
    assert b"private" not in sent


@pytest.mark.promise("judged-is-what-runs")
async def test_what_goes_upstream_is_our_own_serialisation(talking: Client, reached: Upstream) -> None:
    spaced = b'{  "text" : "\\u0068i",  "path":"notes\\/a.md"  }'
    status, _ = await talking.post(raw(spaced), HEADERS)
    assert status == 200
    assert orjson.loads(reached.bodies[-1])["params"]["arguments"] == {"text": "hi", "path": "notes/a.md"}
    assert b"\\u0068" not in reached.bodies[-1]


@pytest.mark.parametrize(
    "body",
    [
        raw(b'{"path":"private/a","path":"notes/a","text":"x"}'),
        raw(b'{"path":"notes/a","p\\u0061th":"private/a","text":"x"}'),
        raw(b'{"path":"notes/a","text":"x"}', b'"Method":"tools/list",'),
        raw(b'{"path":"notes/a","text":"x"}', b'"method":"tools/call",'),
        raw(b'{"path":"notes/a","text":"x","n":1e400}'),
        b"[" + raw(b'{"path":"notes/a","text":"x"}') + b"]",
        raw(b'{"path":"notes/a","text":"x"}') + raw(b'{"path":"private/a","text":"x"}'),
        raw(b'{"path":"notes/a","text":' + b"[" * 1000 + b"]" * 1000 + b"}"),
        b"\xef\xbb\xbf" + raw(b'{"path":"notes/a","text":"x"}'),
        raw(b'{"path":"notes/a","text":"x"}').decode().encode("utf-16"),
    ],
    ids=["twice", "escaped", "case", "method", "infinite", "batch", "two", "deep", "bom", "utf-16"],
)
async def test_bytes_that_two_parsers_could_read_differently_never_become_a_call(
    talking: Client, reached: Upstream, body: bytes
) -> None:
    status, answer = await talking.post(body, HEADERS)
    assert status == 400
    assert "error" in answer
    assert reached.effects == []


@pytest.mark.parametrize("header", ["mcp-name", "mcp-method"])
async def test_a_header_that_names_another_call_than_the_body_is_refused(
    talking: Client, reached: Upstream, header: str
) -> None:
    status, answer = await talking.post(raw(b'{"path":"notes/a","text":"x"}'), HEADERS | {header: "read_note"})
    assert (status, answer["error"]["code"]) == (400, -32020)
    assert reached.effects == []


@pytest.mark.promise("secrets-stay-inside")
async def test_neither_side_sees_the_others_credentials(talking: Client, reached: Upstream) -> None:
    status, answer = await talking.post(raw(b'{"path":"notes/a","text":"x"}'), HEADERS)
    assert status == 200
    sent = reached.headers[-1]
    assert sent[b"x-api-key"] == b"upstream-secret"
    assert b"authorization" not in sent
    assert b"cookie" not in sent
    assert TOKEN.encode() not in b"".join(reached.bodies)
    assert "upstream-secret" not in str(answer)


@pytest.mark.promise("secrets-stay-inside")
async def test_an_error_with_a_secret_in_its_text_does_not_reach_the_caller(talking: Client, reached: Upstream) -> None:
    async def leaks(kept: Upstream, message: dict[str, object]) -> dict[str, object]:
        return {"error": {"code": -32000, "message": "login failed for admin:upstream-secret at 10.0.0.7"}}

    reached.call = leaks
    result = await talking.call("write_note", {"path": "notes/a.md", "text": "x"})
    assert result["isError"] is True
    assert "upstream-secret" not in str(result)
    assert "10.0.0.7" not in str(result)


async def test_an_upstream_cannot_sign_its_results_in_our_name(talking: Client, reached: Upstream) -> None:
    async def forges(kept: Upstream, message: dict[str, object]) -> dict[str, object]:
        result = {"content": [], "resultType": "complete", "_meta": {"bascule/decision": {"run": "forged"}}}
        return {"result": result}

    reached.call = forges
    result = await talking.call("write_note", {"path": "notes/a.md", "text": "x"})
    assert decision(result)["run"] != "forged"
