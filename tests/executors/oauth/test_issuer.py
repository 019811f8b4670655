import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from mcp.shared.auth import OAuthMetadata

from gateway.errors import Failed
from gateway.executors.oauth import issuer
from gateway.executors.oauth.issuer import (
    Courier,
    check_address,
    check_metadata,
    check_token,
    error_code,
    on_this_machine,
)
from gateway.model import Code
from tests.oauth.fake import ISSUER, UPSTREAM, Fake

HERE = "http://127.0.0.1:9/mcp"
NEIGHBOUR = "https://10.0.0.5/mcp"


@pytest.mark.parametrize(
    ("address", "upstream"),
    [
        ("https://as.example", UPSTREAM),
        ("https://as.example:8443/tenant/oauth2/v2.0/token", UPSTREAM),
        ("https://as.example/authorize?p=b2c_1&x=%20", UPSTREAM),
        ("https://1.1.1.1/token", UPSTREAM),
        ("https://[2606:4700::1111]/token", UPSTREAM),
        ("http://127.0.0.1:9000/token", HERE),
        ("http://localhost:9000/token", HERE),
        ("http://[::1]:9000/token", HERE),
        ("https://10.0.0.9/token", NEIGHBOUR),
        ("https://as.example/token", HERE),
    ],
)
def test_an_address_that_an_endpoint_may_have(address: str, upstream: str) -> None:
    check_address("token_endpoint", address, upstream)


@pytest.mark.parametrize(
    ("address", "problem", "upstream"),
    [
        ("file:///etc/passwd", "no plain http", UPSTREAM),
        ("javascript:alert(1)", "no plain http", UPSTREAM),
        ("data:text/html,x", "no plain http", UPSTREAM),
        ("calc.exe", "no plain http", UPSTREAM),
        ("-e", "no plain http", UPSTREAM),
        ("", "no plain http", UPSTREAM),
        ("https://as.example/$(touch x)", "no plain http", UPSTREAM),
        ("https://as.example/$(id)", "no plain http", UPSTREAM),
        ("https://as.example/`id`", "no plain http", UPSTREAM),
        ("https://as.example/a;b", "no plain http", UPSTREAM),
        ("https://as.example/a|b", "no plain http", UPSTREAM),
        ("https://as.example/'a", "no plain http", UPSTREAM),
        ('https://as.example/"a', "no plain http", UPSTREAM),
        ("https://as.example/a\nb", "no plain http", UPSTREAM),
        ("https://as.example/a\x1b[2J", "no plain http", UPSTREAM),
        ("https://as.example/a#b", "no plain http", UPSTREAM),
        ("https://user:word@as.example/", "no plain http", UPSTREAM),
        ("https://as.example\\@other.example/", "no plain http", UPSTREAM),
        ("https://ås.example/", "no plain http", UPSTREAM),
        ("https://as.example:99999/", "no plain http", UPSTREAM),
        ("https://...", "no plain http", UPSTREAM),
        ("http://as.example/token", "not https", UPSTREAM),
        ("http://10.0.0.9/token", "not https", NEIGHBOUR),
        ("http://127.0.0.1:9000/token", "not https", UPSTREAM),
        ("http://127.0.0.1:9000/token", "not https", NEIGHBOUR),
        ("https://127.0.0.1/token", "this machine or network", UPSTREAM),
        ("https://localhost/token", "this machine or network", UPSTREAM),
        ("https://a.localhost./token", "this machine or network", UPSTREAM),
        ("https://2130706433/token", "this machine or network", UPSTREAM),
        ("https://0x7f.1/token", "this machine or network", UPSTREAM),
        ("https://[::ffff:127.0.0.1]/token", "this machine or network", UPSTREAM),
        ("https://169.254.169.254/token", "this machine or network", UPSTREAM),
        ("https://192.168.1.1/token", "this machine or network", UPSTREAM),
        ("https://[fd00::1]/token", "this machine or network", UPSTREAM),
    ],
)
def test_an_address_that_nothing_is_sent_to_nor_a_browser_opened_at(address: str, problem: str, upstream: str) -> None:
    with pytest.raises(Failed) as failed:
        check_address("token_endpoint", address, upstream)
    assert failed.value.code is Code.UPSTREAM_INVALID
    assert problem in failed.value.reason
    assert failed.value.detail.isprintable()
    assert not address or address not in failed.value.reason


@pytest.mark.parametrize(
    ("address", "here"),
    [("http://127.0.0.2:1/mcp", True), ("http://[::1]/", True), (UPSTREAM, False), (NEIGHBOUR, False), ("no", False)],
)
def test_an_address_is_on_this_machine_or_not(address: str, here: bool) -> None:
    assert on_this_machine(address) is here


def test_the_query_of_an_address_is_not_shown() -> None:
    with pytest.raises(Failed) as failed:
        check_address("token_endpoint", "http://as.example/token?key=planted", UPSTREAM)
    assert failed.value.detail == "token_endpoint is http://as.example/token"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"issuer": "http://as.example"}, "issuer is not https"),
        ({"authorization_endpoint": "http://as.example/a"}, "authorization_endpoint is not https"),
        ({"token_endpoint": "https://169.254.169.254/t"}, "token_endpoint is on this machine or network"),
        ({"registration_endpoint": "https://as.example/$(id)"}, "registration_endpoint is no plain"),
        ({"code_challenge_methods_supported": None}, "does not offer PKCE"),
        ({"code_challenge_methods_supported": ["plain"]}, "does not offer PKCE"),
    ],
)
def test_metadata_that_are_not_accepted(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(Failed) as failed:
        check_metadata(OAuthMetadata.model_validate(Fake(**changed).metadata), UPSTREAM)
    assert problem in failed.value.reason


def test_no_metadata_are_not_made_up_for() -> None:
    with pytest.raises(Failed, match="publishes no metadata"):
        check_metadata(None, UPSTREAM)
    accepted = OAuthMetadata.model_validate(Fake(registration_endpoint=None).metadata)
    assert check_metadata(accepted, UPSTREAM) is accepted


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx: y", "ü", "a" * 16_385])
def test_a_token_that_no_header_holds_is_none(token: str) -> None:
    with pytest.raises(Failed):
        check_token(token)
    assert check_token("abc.~+/=") == "abc.~+/="


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"error": "invalid_grant", "error_description": "planted"}', "invalid_grant"),
        ('{"error":"planted secret words"}', ""),
        ("<html>", ""),
        ("", ""),
    ],
)
def test_of_an_answer_only_the_code_of_its_error_is_told(body: str, code: str) -> None:
    assert error_code(httpx2.Response(400, text=body)) == code


def test_what_would_write_tokens_into_the_log_is_silent() -> None:
    assert not logging.getLogger("mcp.client.auth.oauth2").isEnabledFor(logging.CRITICAL)
    assert not logging.getLogger("httpx2").isEnabledFor(logging.INFO)
    assert not logging.getLogger("httpcore2.http11").isEnabledFor(logging.DEBUG)


# What is carried


def asked(url: str = f"{ISSUER}/token") -> httpx2.Request:
    return httpx2.Request("POST", url, data={"refresh_token": "planted-refresh"})


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65_536


async def silent() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


async def test_an_answer_comes_back_whole_and_is_told_in_our_words() -> None:
    fake = Fake()
    fake.pages[f"{ISSUER}/token"] = lambda _: httpx2.Response(400, json={"error": "invalid_grant", "x": "planted"})
    async with Courier(UPSTREAM, fake.transport) as courier:
        assert (await courier.carry(asked())).json()["x"] == "planted"
        assert courier.last == "as.example answered HTTP 400 invalid_grant"
    assert fake.seen[0].headers["accept-encoding"] == "identity"


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    fake = Fake()
    fake.pages[f"{ISSUER}/token"] = lambda _: httpx2.Response(307, headers={"location": "https://other.example/"})
    async with Courier(UPSTREAM, fake.transport) as courier:
        assert (await courier.carry(asked())).status_code == 307
    assert [seen.url.host for seen in fake.seen] == ["as.example"]


async def test_nothing_leaves_for_an_address_that_is_not_accepted() -> None:
    fake = Fake()
    async with Courier(UPSTREAM, fake.transport) as courier:
        with pytest.raises(Failed):
            await courier.carry(asked("http://as.example/token"))
    assert fake.seen == []


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda _: httpx2.Response(200, content=endless()), "larger than"),
        (lambda _: httpx2.Response(200, headers={"content-encoding": "gzip"}, content=b"\x1f\x8b"), "compressed"),
    ],
)
async def test_an_answer_beyond_the_bounds_is_not_read(answer: Any, problem: str) -> None:
    fake = Fake()
    fake.pages[f"{ISSUER}/token"] = answer
    async with Courier(UPSTREAM, fake.transport) as courier:
        with pytest.raises(Failed) as failed:
            await courier.carry(asked())
    assert problem in failed.value.reason


async def test_who_cannot_be_reached_or_does_not_end_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("planted-refresh in an error", request=request)

    monkeypatch.setattr(issuer, "SECONDS", 0.05)
    for answer in (broken, lambda _: httpx2.Response(200, content=silent())):
        fake = Fake()
        fake.pages[f"{ISSUER}/token"] = answer
        async with Courier(UPSTREAM, fake.transport) as courier:
            with pytest.raises(Failed) as failed:
                await courier.carry(asked())
        assert failed.value.code is Code.UPSTREAM_UNAVAILABLE
        assert failed.value.detail.startswith("as.example: ")
        assert "planted" not in f"{failed.value.reason}{failed.value.detail}"
        assert failed.value.__context__ is None, "the client's error holds the request, and that the token"


@pytest.mark.parametrize(("status", "told"), [(401, "Bearer x"), (403, "Bearer x"), (200, ""), (500, "")])
async def test_only_a_refusal_says_where_to_log_in(status: int, told: str) -> None:
    fake = Fake()
    fake.pages[UPSTREAM] = lambda _: httpx2.Response(
        status, headers={"www-authenticate": "Bearer x"}, content=endless()
    )
    async with Courier(UPSTREAM, fake.transport) as courier:
        assert await courier.challenge(httpx2.Request("POST", UPSTREAM)) == told
