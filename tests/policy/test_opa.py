"""The engine outside, before servers on raw sockets that have the faults a real one cannot be made to have."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from gateway.errors import ConfigError, Refused
from gateway.model import Code, JsonObject, Point
from gateway.policy import Pdp
from gateway.policy.bundle import Bundle
from gateway.policy.decide import decide, hidden
from gateway.policy.opa import AT_ONCE, LARGEST_ANSWER, NoAnswer, Opa

BUNDLE = Bundle.of({"bascule/call.rego": "package bascule.call"}, {})
NEXT = Bundle.of({"bascule/call.rego": "package bascule.call\n"}, {})
ALLOW: JsonObject = {"effect": "allow", "reasons": ["because"], "obligations": []}
HIDE: JsonObject = ALLOW | {"hide": ["delete", {"name": "write"}]}
DOCUMENT: JsonObject = {"point": "call", "args": {"path": "é"}}
LONG = 30.0
"""A time-out that no test waits for."""
SHORT = 0.05


class Last(bytes):
    """Bytes after which the connection is closed."""


Reply = bytes | None
Answer = Callable[["Asked"], Reply]


@dataclass(slots=True)
class Asked:
    """One question as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Server:
    """Answers with the bytes that the test makes; None closes the connection without any."""

    answer: Answer
    holds: bool = False
    """Answers nothing until `over` is set, and then the answer."""
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    serving: set[asyncio.Task[None] | None] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        self.serving.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            while (reply := await self._one(reader)) is not None:
                writer.write(reply)
                await writer.drain()
                if isinstance(reply, Last):
                    break
        writer.close()

    async def _one(self, reader: asyncio.StreamReader) -> Reply:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        asked = Asked(head[0], headers, await reader.readexactly(int(headers.get("content-length", 0))))
        self.asked.append(asked)
        self.reached.set()
        if self.holds:
            await self.over.wait()
        return self.answer(asked)


@asynccontextmanager
async def listening(answer: Answer, *, port: int = 0, holds: bool = False) -> AsyncIterator[Server]:
    made = Server(answer, holds)
    server = await asyncio.start_server(made.connected, "127.0.0.1", port)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.over.set()
        server.close()
        for writer in made.writers:
            writer.transport.abort()
        await asyncio.gather(*filter(None, made.serving))


@asynccontextmanager
async def engine(server: Server, timeout_s: float = LONG) -> AsyncIterator[Opa]:
    opa = Opa(BUNDLE, server.url, timeout_s=timeout_s)
    try:
        yield opa
    finally:
        await opa.close()


def http(body: bytes, status: int = 200, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", "content-type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def said(result: Any = ALLOW, revision: Any = BUNDLE.digest, version: Any = "1.22.2") -> bytes:
    provenance = {"version": version, "bundles": {"bundle.tar.gz": {"revision": revision}}}
    return http(orjson.dumps({"provenance": provenance, "result": result}))


def always(reply: Reply) -> Answer:
    return lambda _: reply


async def refusal(opa: Pdp) -> Refused:
    """How both ways in refuse: neither lets anything but POLICY_ENGINE out."""
    with pytest.raises(Refused) as listed:
        await hidden(opa, DOCUMENT)
    assert listed.value.code is Code.POLICY_ENGINE
    with pytest.raises(Refused) as called:
        await decide(opa, Point.CALL, DOCUMENT, id="d-1")
    assert called.value.code is Code.POLICY_ENGINE
    return called.value


async def test_a_decision_under_our_revision_is_handed_over() -> None:
    async with listening(always(said())) as server, engine(server) as opa:
        decision = await decide(opa, Point.CALL, DOCUMENT, id="d-1")
    assert (decision.effect, decision.reasons) == ("allow", ("because",))
    assert (decision.bundle, decision.engine) == (BUNDLE.digest, "opa/1.22.2")
    [asked] = server.asked
    assert asked.line.startswith("POST /v1/data/bascule/call/decision?")
    assert orjson.loads(asked.body) == {"input": DOCUMENT}
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["accept-encoding"] == "identity"


async def test_the_names_that_list_hides_are_handed_over() -> None:
    async with listening(always(said(HIDE))) as server, engine(server) as opa:
        assert await hidden(opa, {"point": "list"}) == {"delete", "write"}
    assert server.asked[0].line.startswith("POST /v1/data/bascule/list/decision?")


async def test_it_asks_for_the_provenance_and_for_errors_of_builtins() -> None:
    async with listening(always(said())) as server, engine(server) as opa:
        await opa.evaluate(Point.RESULT, DOCUMENT)
    query = server.asked[0].line.split()[1].partition("?")[2]
    assert query.split("&") == ["provenance=true", "strict-builtin-errors=true"]


async def test_the_connection_is_kept() -> None:
    async with listening(always(said())) as server, engine(server) as opa:
        for _ in range(3):
            await opa.evaluate(Point.CALL, DOCUMENT)
    assert (len(server.asked), server.connections) == (3, 1)


@pytest.mark.parametrize(
    ("version", "name"),
    [("1.22.2", "opa/1.22.2"), ("1.23.0-dev+ab", "opa/1.23.0-dev+ab"), (None, "opa"), ("", "opa"), ("1\n2", "opa")],
)
async def test_the_engine_is_named_with_the_version_that_answered(version: Any, name: str) -> None:
    async with listening(always(said(version=version))) as server, engine(server) as opa:
        assert opa.engine == "opa"
        assert (await decide(opa, Point.CALL, DOCUMENT, id="d-1")).engine == name


def provenance(value: Any) -> bytes:
    return http(orjson.dumps({"provenance": value, "result": ALLOW}))


ERROR = {
    "code": "internal_error",
    "message": "error(s) occurred while evaluating query",
    "errors": [
        {
            "code": "eval_builtin_error",
            "message": "to_number: invalid syntax",
            "location": {"file": "policies/a.rego", "row": 5, "col": 24},
        }
    ],
}
TWO = {"a": {"revision": BUNDLE.digest}, "b": {"revision": "theirs"}}


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        pytest.param(said(revision=NEXT.digest), f"serves revision '{NEXT.digest}'", id="another revision"),
        pytest.param(said(revision=""), "serves revision ''", id="an empty revision"),
        pytest.param(said(revision=None), "serves revision None", id="a null revision"),
        pytest.param(said(revision=[BUNDLE.digest]), "serves revision [", id="a revision that is no text"),
        pytest.param(provenance({"version": "1", "bundles": {"b": {}}}), "serves revision None", id="no revision"),
        pytest.param(provenance({"version": "1", "bundles": {"b": None}}), "serves revision None", id="a null bundle"),
        pytest.param(provenance({"bundles": TWO}), "serves 2 bundles", id="a second bundle"),
        pytest.param(provenance({"bundles": {}}), "did not say", id="no bundle"),
        pytest.param(provenance({"bundles": [BUNDLE.digest]}), "did not say", id="bundles that are no object"),
        pytest.param(provenance({"revision": BUNDLE.digest}), "did not say", id="a revision of no bundle"),
        pytest.param(provenance(None), "did not say", id="null provenance"),
        pytest.param(http(orjson.dumps({"result": ALLOW})), "did not say", id="no provenance"),
        pytest.param(said(None), "undefined", id="a null result"),
        pytest.param(said(True), "undefined", id="a result that is true"),
        pytest.param(said([ALLOW]), "undefined", id="a list of results"),
        pytest.param(said().replace(b'"result"', b'"tluser"'), "undefined", id="an undefined result"),
        pytest.param(said({}), "KeyError", id="an empty decision"),
        pytest.param(said(ALLOW | {"effect": "ALLOW"}), "unknown effect", id="an unknown effect"),
        pytest.param(said(ALLOW | {"reasons": {}}), "should be lists", id="reasons that are no list"),
        pytest.param(http(b""), "no JSON", id="nothing"),
        pytest.param(http(b"<html>"), "no JSON", id="a page"),
        pytest.param(http(b'{"result": NaN}'), "no JSON", id="a number that is none"),
        pytest.param(http(b"[]"), "no JSON object", id="a list"),
        pytest.param(http(b'"allow"'), "no JSON object", id="a text"),
        pytest.param(http(b"\xff"), "no JSON", id="what is not UTF-8"),
        pytest.param(http(orjson.dumps(ERROR), 500), "policies/a.rego:5:24: eval_builtin_error: to_n", id="500"),
        pytest.param(http(b'{"code": "x", "message": "y", "errors": []}', 400), "400: x: y", id="400"),
        pytest.param(http(b'{"errors": [7]}', 404), "OPA answered 404", id="404"),
        pytest.param(http(b"no", 503), "OPA answered 503", id="503 without JSON"),
        pytest.param(said().replace(b"200", b"202", 1), "OPA answered 202", id="202"),
        pytest.param(b"SMTP ready\r\n\r\n", "could not be asked", id="what is not HTTP"),
        pytest.param(Last(said()[:-9]), "could not be asked", id="half an answer"),
        pytest.param(None, "could not be asked", id="a closed connection"),
        pytest.param(http(b" " * LARGEST_ANSWER + b"{}"), "more than 4 MB", id="too much"),
    ],
)
async def test_any_other_answer_is_a_refusal_by_the_engine(reply: Reply, why: str) -> None:
    async with listening(always(reply)) as server, engine(server) as opa:
        refused = await refusal(opa)
    assert why in refused.detail
    assert refused.reason == "the policy could not be evaluated for this call"


async def test_a_redirect_is_not_followed() -> None:
    async with listening(always(said())) as other:
        moved = http(b"{}", 307, location=f"{other.url}/v1/data/bascule/call/decision")
        async with listening(always(moved)) as server, engine(server) as opa:
            assert "answered 307" in (await refusal(opa)).detail
    assert other.asked == []


async def test_no_proxy_of_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(always(said())) as proxy, listening(always(said())) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with engine(server) as opa:
            await opa.evaluate(Point.CALL, DOCUMENT)
    assert (len(proxy.asked), len(server.asked)) == (0, 1)


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    async with listening(always(said()), holds=True) as server, engine(server, SHORT) as opa:
        assert f"did not answer within {SHORT} s" in (await refusal(opa)).detail


async def test_an_answer_that_never_ends_is_given_up() -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"
    async with listening(always(endless)) as server, engine(server, SHORT) as opa:
        assert f"did not answer within {SHORT} s" in (await refusal(opa)).detail


async def test_a_crowd_shares_few_connections_and_one_time_out() -> None:
    async with listening(always(said()), holds=True) as server, engine(server, 0.5) as opa:
        crowd = [opa.evaluate(Point.CALL, DOCUMENT) for _ in range(3 * AT_ONCE)]
        answers = await asyncio.gather(*crowd, return_exceptions=True)
        assert {type(answer) for answer in answers} == {NoAnswer}
    # A question that is given up closes its connection, so that the next one opens another.
    assert server.connections < 3 * AT_ONCE


async def test_what_waited_for_a_connection_is_answered() -> None:
    async with listening(always(said()), holds=True) as server, engine(server) as opa:
        crowd = asyncio.gather(*(opa.evaluate(Point.CALL, DOCUMENT) for _ in range(2 * AT_ONCE)))
        await server.reached.wait()
        server.over.set()
        assert await crowd == [ALLOW] * 2 * AT_ONCE
    assert server.connections < 2 * AT_ONCE  # one that closes may be seen beside its successor, not all of them


async def test_a_server_that_dies_between_calls_refuses_until_it_is_back() -> None:
    async with listening(always(said())) as server:
        opa = Opa(BUNDLE, server.url, timeout_s=LONG)
        assert (await decide(opa, Point.CALL, DOCUMENT, id="d-1")).effect == "allow"
    assert "could not be asked" in (await refusal(opa)).detail
    async with listening(always(said()), port=server.port):
        assert (await decide(opa, Point.CALL, DOCUMENT, id="d-2")).effect == "allow"
        await opa.close()


async def test_nobody_there_is_a_refusal_that_says_so_without_the_address() -> None:
    async with listening(always(said())) as server:
        pass
    async with engine(server) as opa:
        detail = (await refusal(opa)).detail
    assert "ConnectError" in detail
    assert "refused" in detail
    assert "/v1/data" not in detail


async def test_after_a_swap_only_the_new_revision_answers() -> None:
    async with listening(always(said())) as server, engine(server) as opa:
        await opa.evaluate(Point.CALL, DOCUMENT)
        opa.reload(NEXT)
        assert "policy build" in (await refusal(opa)).detail
        server.answer = always(said(revision=NEXT.digest))
        assert (await decide(opa, Point.CALL, DOCUMENT, id="d-1")).bundle == NEXT.digest


async def test_what_was_asked_before_a_swap_is_answered_under_the_bundle_it_was_asked_of() -> None:
    async with listening(always(said()), holds=True) as server, engine(server) as opa:
        asking = asyncio.ensure_future(decide(opa, Point.CALL, DOCUMENT, id="d-1"))
        await server.reached.wait()
        opa.reload(NEXT)
        server.over.set()
        assert (await asking).bundle == BUNDLE.digest


async def test_what_is_given_up_by_its_caller_leaves_the_engine_in_order() -> None:
    async with listening(always(said()), holds=True) as server, engine(server) as opa:
        asking = asyncio.ensure_future(decide(opa, Point.CALL, DOCUMENT, id="d-1"))
        await server.reached.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.over.set()
        assert await opa.evaluate(Point.CALL, DOCUMENT) == ALLOW


async def test_what_cannot_be_said_in_json_is_not_asked() -> None:
    async with listening(always(said())) as server, engine(server) as opa:
        with pytest.raises(Refused) as refused:
            await decide(opa, Point.CALL, {"args": {"x": object()}}, id="d-1")
    assert refused.value.code is Code.POLICY_ENGINE
    assert server.asked == []


async def test_after_the_close_nothing_is_asked() -> None:
    async with listening(always(said())) as server:
        opa = Opa(BUNDLE, server.url, timeout_s=LONG)
        await opa.close()
        await refusal(opa)
    assert server.asked == []


@pytest.mark.parametrize("path", ["", "/", "/opa", "/opa/"])
async def test_the_server_may_stand_below_a_path(path: str) -> None:
    async with listening(always(said())) as server:
        opa = Opa(BUNDLE, server.url + path, timeout_s=LONG)
        await opa.evaluate(Point.CALL, DOCUMENT)
        await opa.close()
    assert server.asked[0].line.startswith(f"POST {path.rstrip('/')}/v1/data/bascule/call/decision?")


def test_an_address_with_a_query_is_refused() -> None:
    with pytest.raises(ConfigError, match="without a query"):
        Opa(BUNDLE, "http://127.0.0.1:8181/?pretty=true")
