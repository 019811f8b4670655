import asyncio
import socket
from typing import Any, cast

import pytest

from gateway.errors import Failed
from gateway.executors.pool import AuthorizedPool, Pool
from gateway.model import Code
from tests.executors.hostile import (
    Answer,
    Reply,
    Seen,
    Upstream,
    always,
    http,
    never,
    text,
    upstream,
)

ASKED = b'{"jsonrpc":"2.0","id":"i","method":"tools/call"}'


async def asked(pool: Pool) -> Failed:
    with pytest.raises(Failed) as failed:
        await pool.ask(ASKED, {}, "i", 1000, 5)
    return failed.value


async def test_a_connection_that_closes_after_the_request_is_not_taken_for_one_that_failed() -> None:
    # The client raises its ConnectError for both: only its causes tell whether a byte left.
    async with upstream({"tools/call": always(lambda seen: None)}) as server:
        pool = Pool(server.url, {})
        broken = await asked(pool)
        assert (broken.code, broken.unknown) == (Code.UPSTREAM_UNAVAILABLE, True)
        assert broken.detail.startswith("ConnectError: ")
        assert (await asked(pool)).reason == broken.reason, "an answerer that breaks off is not left alone"
        await pool.close()


async def test_a_request_never_goes_out_twice_when_a_kept_connection_turns_out_dead() -> None:
    async with upstream({"tools/call": always(text)}) as server:
        pool = Pool(server.url, {})
        await pool.ask(ASKED, {}, "i", 1000, 5)
        server.on["tools/call"] = always(lambda seen: None)
        await asked(pool)
        assert len(server.seen) == 2
        await pool.close()


async def test_a_connect_that_nobody_answers_is_not_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.pool.CONNECT_SECONDS", 0.2)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        pool = Pool(f"http://127.0.0.1:{full.getsockname()[1]}/mcp", {})
        failed = await asked(pool)
        await pool.close()
    assert (failed.code, failed.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)


async def test_a_closed_pool_sends_nothing() -> None:
    async with upstream({}) as server:
        pool = Pool(server.url, {})
        await pool.close()
        failed = await asked(pool)
        assert (failed.code, failed.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)
        assert not server.seen


async def test_a_drain_waits_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.pool.DRAIN_SECONDS", 0.05)
    arrived = asyncio.Event()
    silent = never()

    async def answer(seen: Seen) -> Reply:
        arrived.set()
        return await silent(seen)

    async with upstream({"tools/call": answer}) as server, asyncio.TaskGroup() as tasks:
        pool = Pool(server.url, {})
        await pool.drain()
        waiting = tasks.create_task(asked(pool))
        await arrived.wait()
        await pool.drain()
        await pool.close()
        failed = await waiting
    assert failed.unknown


async def test_a_header_that_no_request_can_hold_is_refused_before_it_is_sent() -> None:
    async with upstream({}) as server:
        pool = Pool(server.url, {})
        with pytest.raises(Failed) as failed:
            await pool.ask(ASKED, {"mcp-name": "a\nb"}, "i", 1000, 5)
        assert not failed.value.unknown
        assert not server.seen
        await pool.close()


def test_what_is_secret_is_scrubbed_from_every_text() -> None:
    pool = Pool(
        "http://h.example/mcp?api_key=abcdef123&x=1", {"authorization": "Bearer tok-123456", "x-key": "long key"}
    )
    said = "got 'Bearer tok-123456', tok-123456, long key, abcdef123 x=1"
    assert pool.scrubbed(said) == "got '***', ***, ***, *** x=1"
    assert len(pool.scrubbed("x" * 10_000)) == 2000


async def test_a_message_without_an_answer_gives_its_status() -> None:
    async with upstream({"n": always(lambda seen: http(202, kind=""))}) as server:
        pool = Pool(server.url, {})
        assert await pool.tell("POST", b'{"method":"n"}', {}) == 202
        server.on["n"] = always(lambda seen: None)
        with pytest.raises(Failed):
            await pool.tell("POST", b'{"method":"n"}', {})
        await pool.close()


async def test_a_header_that_is_no_text_is_not_valid() -> None:
    async with upstream({"tools/call": always(lambda seen: http(200, b"{}", "application/jsön"))}) as server:
        pool = Pool(server.url, {})
        failed = await asked(pool)
        assert (failed.code, failed.unknown) == (Code.UPSTREAM_INVALID, True)
        assert "not ASCII" in failed.reason
        await pool.close()


# With a login of the gateway's own


class Login:
    """Stands in for the authorisation: `bearers` are what renewals give, an error among them is raised."""

    def __init__(self, bearer: str = "Bearer first-token", due: float = 1e9, bearers: tuple[Any, ...] = ()) -> None:
        self.bearer, self.due, self.bearers = bearer, due, list(bearers)
        self.renewed: list[str] = []
        self.closed = False

    async def renew(self, refused: str = "") -> None:
        self.renewed.append(refused)
        given: Any = self.bearers.pop(0) if self.bearers else None
        if isinstance(given, Failed):
            raise given
        if given is None:
            await asyncio.Event().wait()
        self.bearer, self.due = given, 1e9

    def scrubbed(self, text: str) -> str:
        return text.replace("first-token", "***")

    async def close(self) -> None:
        self.closed = True


def authorized(url: str, login: Login, **headers: str) -> AuthorizedPool:
    return AuthorizedPool(url, headers, cast(Any, login), clock=lambda: 1000.0)


def admits(*bearers: str) -> Answer:
    """Answers whoever brings one of these, and turns all others away."""
    return always(lambda seen: text(seen) if seen.headers.get("authorization") in bearers else http(401))


def brought(server: Upstream) -> list[str | None]:
    return [seen.headers.get("authorization") for seen in server.seen]


async def test_a_login_goes_with_each_request_beside_the_headers_and_waits_for_nothing() -> None:
    async with upstream({"tools/call": admits("Bearer first-token"), "n": always(lambda seen: http(202))}) as server:
        login = Login()
        pool = authorized(server.url, login, x_key="k")
        for _ in range(2):
            answer = await pool.ask(ASKED, {"mcp-name": "n"}, "i", 1000, 5)
            assert answer.status == 200
        assert await pool.tell("POST", b'{"method":"n"}', {}) == 202
        assert brought(server) == ["Bearer first-token"] * 3
        assert server.seen[0].headers["x_key"] == "k"
        assert server.seen[0].headers["mcp-name"] == "n"
        login.bearer = ""
        assert await pool.tell("POST", b'{"method":"n"}', {}) == 202
        assert brought(server)[-1] is None
        assert login.renewed == []
        await pool.close()
        assert login.closed


async def test_a_login_that_is_due_is_renewed_before_anything_is_sent() -> None:
    async with upstream({"tools/call": admits("Bearer second")}) as server:
        login = Login(due=1000.0, bearers=("Bearer second",))
        pool = authorized(server.url, login)
        assert (await pool.ask(ASKED, {}, "i", 1000, 5)).status == 200
        assert (login.renewed, brought(server)) == ([""], ["Bearer second"])
        await pool.close()


async def test_a_login_that_is_refused_is_renewed_and_the_request_sent_once_more() -> None:
    async with upstream({"tools/call": admits("Bearer second")}) as server:
        login = Login(bearers=("Bearer second",))
        pool = authorized(server.url, login)
        answer = await pool.ask(ASKED, {}, "i", 1000, 5)
        assert answer.message is not None
        assert login.renewed == ["Bearer first-token"]
        assert brought(server) == ["Bearer first-token", "Bearer second"]
        assert [seen.body for seen in server.seen] == [ASKED, ASKED]
        await pool.close()


async def test_a_request_turned_away_twice_is_not_sent_a_third_time() -> None:
    async with upstream({"tools/call": admits()}) as server:
        pool = authorized(server.url, Login(bearers=("Bearer second", "Bearer third")))
        assert (await pool.ask(ASKED, {}, "i", 1000, 5)).status == 401
        assert len(server.seen) == 2
        await pool.close()


@pytest.mark.parametrize("status", [400, 403, 404, 408, 429, 500, 503])
async def test_only_a_refusal_of_the_login_proves_that_a_request_did_not_run(status: int) -> None:
    async with upstream({"tools/call": always(lambda seen: http(status))}) as server:
        login = Login()
        pool = authorized(server.url, login)
        assert (await pool.ask(ASKED, {}, "i", 1000, 5)).status == status
        server.on["tools/call"] = always(lambda seen: None)
        assert (await asked(pool)).unknown
        assert (len(server.seen), login.renewed) == (2, [])
        await pool.close()


async def test_without_a_login_nothing_is_sent() -> None:
    needed = Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream needs a login")
    async with upstream({"tools/call": admits()}) as server:
        pool = authorized(server.url, Login("", due=0.0, bearers=(needed, "Bearer second", needed)))
        assert (await asked(pool)).reason == "the upstream needs a login"
        assert server.seen == []
        failed = await asked(pool)
        assert (failed.reason, failed.unknown) == ("the upstream needs a login", False)
        assert brought(server) == ["Bearer second"]
        await pool.close()


async def test_a_renewal_takes_no_longer_than_the_call_may() -> None:
    async with upstream({"tools/call": admits()}) as server:
        for login in (Login(), Login(due=0.0)):
            pool = authorized(server.url, login)
            with pytest.raises(Failed) as failed:
                await pool.ask(ASKED, {}, "i", 1000, 0.2)
            assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_TIMEOUT, False)
            await pool.close()
        assert len(server.seen) == 1


async def test_a_closed_pool_renews_nothing() -> None:
    login = Login(due=0.0)
    pool = authorized("http://127.0.0.1:1/mcp", login)
    await pool.close()
    assert (await asked(pool)).reason == "the gateway no longer serves this upstream"
    assert login.renewed == []


async def test_a_redirect_takes_the_login_nowhere() -> None:
    async with upstream({}) as other:
        moved = always(lambda seen: http(307, location=other.url))
        async with upstream({"tools/call": moved}) as server:
            pool = authorized(server.url, Login())
            assert (await pool.ask(ASKED, {}, "i", 1000, 5)).status == 307
            await pool.close()
        assert other.seen == []


@pytest.mark.parametrize(
    ("challenge", "detail"),
    [
        ('Bearer error="insufficient_scope", scope="notes admin"', "it needs the scope 'notes admin'; add it to oauth"),
        ("Bearer error=insufficient_scope", "it needs the scope '?'"),
        ('Bearer error="insufficient_scope", scope="a\tb"', "it needs the scope '?'"),
    ],
)
async def test_a_scope_that_is_missing_is_told_to_the_operator_and_not_asked_for_again(
    challenge: str, detail: str
) -> None:
    async with upstream({"tools/call": always(lambda seen: http(403, www_authenticate=challenge))}) as server:
        login = Login()
        pool = authorized(server.url, login)
        failed = await asked(pool)
        assert (failed.code, failed.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)
        assert failed.reason == "the upstream refused the gateway's credentials"
        assert detail in failed.detail
        assert (len(server.seen), login.renewed) == (1, [])
        await pool.close()


async def test_a_refusal_for_another_reason_names_no_scope() -> None:
    for challenge in ('Bearer error="invalid_token", scope="notes"', 'Bearer error="insufficient_scope", x="ü"'):
        given = http(403, www_authenticate=challenge)
        async with upstream({"tools/call": always(lambda seen, given=given: given)}) as server:  # type: ignore[misc]
            pool = authorized(server.url, Login())
            assert (await pool.ask(ASKED, {}, "i", 1000, 5)).status == 403
            await pool.close()


def test_tokens_are_scrubbed_beside_the_headers() -> None:
    pool = authorized("http://h.example/mcp", Login(), x="header-secret")
    assert pool.scrubbed("first-token header-secret") == "*** ***"


@pytest.mark.parametrize(
    ("reference", "mine"),
    [
        ("/messages?s=1", True),
        ("messages", True),
        ("?s=1", True),
        ("HTTP://LOCALHOST:8000/x", True),
        ("http://localhost/x", False),
        ("https://localhost:8000/x", False),
        ("//elsewhere.example/x", False),
        ("\\\\elsewhere.example\\x", False),
        ("http://localhost:8000@elsewhere.example/x", False),
        ("http://user@localhost:8000/x", False),
        ("http://:secret@localhost:8000/x", False),
        ("http://[", False),
        ("file:///etc/passwd", False),
    ],
)
async def test_a_neighbour_is_an_address_of_the_same_origin(reference: str, mine: bool) -> None:
    pool = Pool("http://localhost:8000/sse", {})
    assert (pool.neighbour(reference) is not None) is mine
    await pool.close()


@pytest.mark.parametrize(
    ("answer", "unknown"), [(always(lambda seen: None), True), (always(lambda seen: b"hello\r\n\r\n"), True)]
)
async def test_a_stream_that_cannot_be_opened_says_why(answer: Answer, unknown: bool) -> None:
    async with upstream({"GET": answer}) as server:
        pool = Pool(server.url, {})
        with pytest.raises(Failed) as failed:
            async with pool.open("GET", b"", {}):
                pytest.fail("it is open")
        await pool.close()
    assert failed.value.unknown is unknown


async def test_a_stream_is_opened_with_the_login_of_the_moment_and_a_refused_one_is_renewed_for_the_next() -> None:
    login = Login("Bearer t-0", bearers=("Bearer t-1", "Bearer t-2"))
    on = {"GET": always(lambda seen: http(200 if seen.headers["authorization"] == "Bearer t-1" else 401))}
    async with upstream(on) as server:
        pool = authorized(server.url, login)
        for status in (401, 200):
            async with pool.open("GET", b"", {}) as response:
                assert response.status == status
        assert login.renewed == ["Bearer t-0"]
        login.due = 0.0
        login.bearers = ["Bearer t-1"]
        async with pool.open("GET", b"", {}) as response:
            assert response.status == 200
        assert login.renewed == ["Bearer t-0", ""]
        await pool.close()
