import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.errors import ConfigError, Failed
from gateway.executors.oauth import authorization as oauth
from gateway.executors.oauth.authorization import Authorization, account, expiry
from gateway.executors.oauth.tokens import Vault, token_key
from gateway.model import Code
from gateway.settings import OAuthSettings, UpstreamSettings
from tests.executors.oauth.test_tokens import login
from tests.oauth.fake import ISSUER, UPSTREAM, Fake
from tests.oauth.running import account_at

NEEDS_LOGIN = "the upstream needs a login: bascule upstream login notes"


def settings(**more: Any) -> UpstreamSettings:
    return UpstreamSettings(**{"url": UPSTREAM, "auth": "oauth", **more})


# What a login goes with


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"auth": None}, "nothing to log in to"),
        ({"url": "http://crm.example/mcp"}, "auth: oauth needs https"),
        ({"url": "http://10.0.0.5/mcp"}, "auth: oauth needs https"),
        ({"headers": {"authorization": "Bearer planted"}}, "Authorization does not go with auth: oauth"),
        ({"oauth": {"scopes": ('a"b',)}}, "a scope is one word"),
        ({"oauth": {"scopes": ("a b",)}}, "a scope is one word"),
    ],
)
def test_settings_that_do_not_go_with_a_login_are_refused(tmp_path: Path, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as told:
        account("crm", settings(**given), tmp_path)
    assert "planted" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", [UPSTREAM, "http://127.0.0.1:9/mcp", "http://localhost:9/mcp", "http://[::1]:9/mcp"])
def test_an_account_is_made_of_the_settings(tmp_path: Path, url: str) -> None:
    made = account("crm", settings(url=url, headers={"x-key": "k"}), tmp_path)
    assert (made.name, made.url, made.oauth) == ("crm", url, OAuthSettings())
    assert made.client() is None
    assert Vault(tmp_path, "crm", token_key(tmp_path)).path == made.vault.path


@pytest.mark.parametrize(
    ("client_id", "document"),
    [
        (None, None),
        ("own", None),
        ("https://a.example", None),
        ("https://a.example/", None),
        ("http://a.example/client", None),
        ("https://a.example/client", "https://a.example/client"),
    ],
)
def test_only_an_https_address_with_a_path_is_a_document(
    tmp_path: Path, client_id: str | None, document: str | None
) -> None:
    assert account_at(UPSTREAM, tmp_path / "s", client_id=client_id).document == document


@pytest.mark.parametrize(("expires_in", "ends"), [(None, None), (60, 160.0), (0, 100.0), (-5, 100.0)])
def test_a_token_ends_when_the_server_says(expires_in: int | None, ends: float | None) -> None:
    assert expiry(expires_in, 100.0) == ends
    assert expiry(10**400, 100.0) == 100.0 + oauth.LONGEST_LIFE


# Against a server that does what a test says


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Renewing:
    """An authorisation with a login that lies in its vault, before a server that is not there."""

    def __init__(self, state: Path, **given: Any) -> None:
        self.fake, self.time = Fake(), Time()
        self.account = account_at(UPSTREAM, state, **given)
        self.made = Authorization(
            self.account, clock=self.time, wall=self.time, jitter=lambda: 0.0, transport=self.fake.transport
        )

    def lies(self, access: str = "old-token", *, ends: float | None = 1_100.0, refresh: str | None = "r-1") -> None:
        tokens = {"access_token": access, "refresh_token": refresh, "expires_in": 100}
        held = login(expires_at=ends)
        self.account.vault.write(login(expires_at=ends, tokens=held.tokens.model_validate(tokens), client=_public()))

    def answers(self, *answers: httpx2.Response) -> None:
        waiting = list(answers)
        self.fake.pages[f"{ISSUER}/token"] = lambda _: waiting.pop(0)

    def gives(self, access: str, refresh: str | None = None, **more: Any) -> None:
        tokens = {"access_token": access, "token_type": "bearer", "expires_in": 100, **more}
        self.answers(httpx2.Response(200, json=tokens | ({"refresh_token": refresh} if refresh else {})))

    @property
    def asked(self) -> int:
        return len(self.fake.forms())

    async def failed(self, refused: str = "") -> Failed:
        with pytest.raises(Failed) as failed:
            await self.made.renew(refused)
        assert (failed.value.code, failed.value.unknown) == (Code.UPSTREAM_UNAVAILABLE, False)
        return failed.value


def _public() -> Any:
    return login().client.model_copy(update={"client_secret": None, "token_endpoint_auth_method": "none"})


@pytest.fixture
def renewing(tmp_path: Path) -> Renewing:
    return Renewing(tmp_path / "state")


async def test_without_a_login_there_is_nothing_to_send(renewing: Renewing) -> None:
    assert renewing.made.due <= renewing.time(), "whoever looks is told to ask"
    failed = await renewing.failed()
    assert (failed.reason, failed.detail) == (NEEDS_LOGIN, "nobody has logged in yet")


async def test_a_login_is_used_until_shortly_before_its_end_and_asked_for_nothing(renewing: Renewing) -> None:
    renewing.lies()
    await renewing.made.renew()
    assert renewing.made.bearer == "Bearer old-token"
    assert renewing.made.due == 1_080.0
    assert renewing.asked == 0


async def test_a_login_without_an_end_is_never_due(renewing: Renewing) -> None:
    renewing.lies(ends=None)
    await renewing.made.renew()
    renewing.time.now += 10**9
    assert renewing.made.due > renewing.time()


async def test_a_login_is_renewed_ahead_of_its_end_and_kept(renewing: Renewing) -> None:
    renewing.lies()
    renewing.gives("new-token", "r-2")
    await renewing.made.renew()
    renewing.time.now = renewing.made.due
    await renewing.made.renew()
    assert renewing.made.bearer == "Bearer new-token"
    assert renewing.fake.forms() == [
        {"grant_type": "refresh_token", "refresh_token": "r-1", "client_id": "us", "resource": UPSTREAM}
    ]
    found = renewing.account.vault.read()
    assert found is not None
    assert (found[0].tokens.refresh_token, found[0].expires_at) == ("r-2", renewing.time() + 100)
    again = Authorization(renewing.account, clock=renewing.time, wall=renewing.time)
    await again.renew()
    assert again.bearer == "Bearer new-token"


async def test_a_renewal_names_the_upstream_where_the_server_publishes_no_metadata_of_it(renewing: Renewing) -> None:
    renewing.account.vault.write(login(expires_at=0.0, client=_public(), protected=None))
    renewing.gives("new-token")
    await renewing.made.renew()
    assert renewing.fake.forms()[0]["resource"] == UPSTREAM


async def test_a_server_that_does_not_rotate_keeps_its_refresh_token(renewing: Renewing) -> None:
    renewing.lies()
    for number in (1, 2):
        renewing.gives(f"new-{number}")
        renewing.time.now += 100
        await renewing.made.renew()
    assert [form["refresh_token"] for form in renewing.fake.forms()] == ["r-1", "r-1"]


async def test_many_who_wait_share_one_renewal(renewing: Renewing) -> None:
    renewing.lies(ends=0.0)
    renewing.gives("new-token", "r-2")
    await asyncio.gather(*(renewing.made.renew() for _ in range(20)))
    assert (renewing.made.bearer, renewing.asked) == ("Bearer new-token", 1)
    await asyncio.gather(*(renewing.made.renew("Bearer old-token") for _ in range(20)))
    assert renewing.asked == 1, "the refused one had been renewed already"


async def test_a_renewal_ends_though_nobody_waits_any_more(renewing: Renewing) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        arrived.set()
        await go_on.wait()
        yield json.dumps({"access_token": "new-token", "refresh_token": "r-2", "token_type": "Bearer"}).encode()

    renewing.lies(ends=0.0)
    renewing.answers(httpx2.Response(200, content=slow()))
    waiting = asyncio.ensure_future(renewing.made.renew())
    await arrived.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    await renewing.made.close()
    found = renewing.account.vault.read()
    assert found is not None
    assert found[0].tokens.refresh_token == "r-2", "a rotated refresh token is not lost"


TRANSIENT = [
    httpx2.Response(500),
    httpx2.Response(503, json={"error": "temporarily_unavailable"}),
    httpx2.Response(429),
    httpx2.Response(403, text="<html>a proxy says no</html>"),
    httpx2.Response(400, json={"error": "temporarily_unavailable"}),
    httpx2.Response(307, headers={"location": "https://evil.example/"}),
    httpx2.Response(200, text="planted, but no JSON"),
    httpx2.Response(200, json={"planted": 1}),
    httpx2.Response(200, json={"access_token": "planted\r\nx: y"}),
    httpx2.Response(200, content=b"x" * 300_000),
]


@pytest.mark.parametrize("answer", TRANSIENT, ids=lambda answer: str(answer.status_code))
async def test_what_fails_for_now_takes_nothing_back(renewing: Renewing, answer: httpx2.Response) -> None:
    renewing.lies()
    await renewing.made.renew()
    renewing.time.now = renewing.made.due
    renewing.answers(answer)
    await renewing.made.renew()
    assert renewing.made.bearer == "Bearer old-token", "it is good for a while yet"
    assert renewing.time() < renewing.made.due <= 1_100.0
    renewing.time.now = 1_101.0
    renewing.answers(answer)
    failed = await renewing.failed()
    assert failed.reason.startswith("the upstream's authorisation server ")
    assert "planted" not in f"{failed.reason} {failed.detail}"
    before = renewing.asked
    assert "next attempt in" in (await renewing.failed()).detail
    assert renewing.asked == before, "it is left alone for a while"
    renewing.time.now += 60
    renewing.gives("new-token", "r-2")
    await renewing.made.renew()
    assert renewing.made.bearer == "Bearer new-token"


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(400, json={"error": "invalid_grant", "error_description": "planted"}),
        httpx2.Response(401, json={"error": "invalid_client"}),
        httpx2.Response(403, json={"error": "access_denied"}),
        httpx2.Response(400),
        httpx2.Response(404),
    ],
    ids=lambda answer: str(answer.status_code),
)
async def test_a_refresh_token_that_is_refused_needs_a_person_and_is_not_tried_again(
    renewing: Renewing, answer: httpx2.Response
) -> None:
    renewing.lies()
    await renewing.made.renew()
    renewing.time.now = renewing.made.due
    renewing.answers(answer)
    await renewing.made.renew()
    assert renewing.made.bearer == "Bearer old-token", "it is good for a while yet"
    for now, refused in ((1_085.0, "Bearer old-token"), (1_101.0, ""), (9_999.0, "")):
        renewing.time.now = now
        failed = await renewing.failed(refused)
        assert failed.reason == NEEDS_LOGIN
        assert failed.detail == "the server no longer takes its refresh token"
    assert renewing.asked == 1
    renewing.lies("by-a-person", ends=99_999.0)
    await renewing.made.renew()
    assert renewing.made.bearer == "Bearer by-a-person", "the new login is seen without a restart"


async def test_a_login_without_a_refresh_token_is_good_until_its_end(renewing: Renewing) -> None:
    renewing.lies(refresh=None)
    await renewing.made.renew()
    assert renewing.made.due == 1_100.0
    failed = await renewing.failed("Bearer old-token")
    assert (failed.reason, failed.detail) == (NEEDS_LOGIN, "it gave no refresh token")
    assert renewing.made.due > renewing.time(), "one refusal does not take it out of use"
    renewing.time.now = 1_100.0
    assert (await renewing.failed()).reason == NEEDS_LOGIN
    assert renewing.asked == 0


async def test_a_token_that_is_refused_is_renewed_but_not_over_and_over(renewing: Renewing) -> None:
    renewing.lies(ends=9_999.0)
    await renewing.made.renew()
    renewing.gives("new-token", "r-2")
    await renewing.made.renew("Bearer old-token")
    failed = await renewing.failed("Bearer new-token")
    assert failed.reason == "the upstream refused the gateway's credentials"
    assert renewing.asked == 1
    renewing.time.now += oauth.SETTLING_SECONDS
    renewing.gives("newer-token", "r-3")
    await renewing.made.renew("Bearer new-token")
    assert renewing.made.bearer == "Bearer newer-token"


async def test_a_login_made_by_a_person_goes_before_a_renewal(renewing: Renewing) -> None:
    renewing.lies(ends=9_999.0)
    await renewing.made.renew()
    renewing.lies("by-a-person", ends=9_999.0)
    await renewing.made.renew("Bearer old-token")
    assert (renewing.made.bearer, renewing.asked) == ("Bearer by-a-person", 0)


async def test_a_login_made_during_a_renewal_is_not_written_over(renewing: Renewing) -> None:
    def meanwhile(_: httpx2.Request) -> httpx2.Response:
        renewing.lies("by-a-person", ends=9_999.0)
        return httpx2.Response(200, json={"access_token": "renewed", "token_type": "Bearer", "expires_in": 100})

    renewing.lies(ends=0.0)
    renewing.fake.pages[f"{ISSUER}/token"] = meanwhile
    await renewing.made.renew()
    assert renewing.made.bearer == "Bearer renewed"
    renewing.time.now = renewing.made.due
    await renewing.made.renew()
    assert renewing.made.bearer == "Bearer by-a-person"
    assert renewing.asked == 1


async def test_a_login_taken_away_is_used_no_more_once_it_is_due(renewing: Renewing) -> None:
    renewing.lies()
    await renewing.made.renew()
    renewing.account.vault.path.unlink()
    renewing.time.now = renewing.made.due
    assert (await renewing.failed()).detail == "nobody has logged in yet"
    assert renewing.made.bearer == ""
    assert renewing.asked == 0


async def test_a_login_that_cannot_be_kept_is_used_all_the_same(
    renewing: Renewing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    renewing.lies(ends=0.0)
    renewing.gives("new-token", "r-2")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        await renewing.made.renew()
    assert renewing.made.bearer == "Bearer new-token"
    assert "its renewed login is not kept" in caplog.text
    assert "new-token" not in caplog.text
    renewing.gives("newer-token", "r-3")
    renewing.time.now += 90
    await renewing.made.renew()
    assert renewing.fake.forms()[-1]["refresh_token"] == "r-2", "what memory holds goes before what lies there"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda state: (state / "tokens" / "notes.sealed").write_bytes(b"x"), "is no login of ours"),
        (lambda state: (state / "tokens" / "notes.sealed").chmod(0o644), "open to others"),
    ],
)
async def test_a_login_that_cannot_be_read_needs_another_and_says_why_to_the_operator(
    renewing: Renewing, tmp_path: Path, spoil: Callable[[Path], None], problem: str
) -> None:
    renewing.lies()
    spoil(tmp_path / "state")
    for _ in range(2):
        failed = await renewing.failed()
        assert failed.reason == NEEDS_LOGIN
        assert problem in failed.detail


async def test_a_login_is_good_for_its_address_and_its_client_alone(renewing: Renewing, tmp_path: Path) -> None:
    renewing.lies()
    state = tmp_path / "state"
    for other, problem in (
        (account_at("https://crm.example/other", state), "for another address"),
        (account_at(UPSTREAM, state, client_id="other"), "with another client_id"),
    ):
        made = Authorization(other, clock=renewing.time, wall=renewing.time, transport=renewing.fake.transport)
        with pytest.raises(Failed) as failed:
            await made.renew()
        assert failed.value.reason == NEEDS_LOGIN
        assert problem in failed.value.detail
        assert made.bearer == ""


async def test_the_operators_client_proves_itself_when_it_renews(tmp_path: Path) -> None:
    renewing = Renewing(tmp_path / "state", client_id="us", client_secret="planted-client-secret")
    held = login(expires_at=0.0)
    held.client.client_secret, held.client.token_endpoint_auth_method = None, "client_secret_post"
    renewing.account.vault.write(held)
    renewing.gives("new-token")
    await renewing.made.renew()
    assert renewing.fake.forms()[0]["client_secret"] == "planted-client-secret"
    assert renewing.made.scrubbed("got planted-client-secret, new-token") == "got ***, ***"


async def test_a_client_that_cannot_prove_itself_here_is_told_without_the_words_of_the_sdk(renewing: Renewing) -> None:
    client = _public().model_copy(update={"token_endpoint_auth_method": "planted_method"})
    renewing.account.vault.write(login(expires_at=0.0, client=client))
    failed = await renewing.failed()
    assert failed.reason.endswith("its answer holds no token")
    assert renewing.asked == 0


async def test_what_is_not_foreseen_is_an_error_and_leaves_the_next_one_a_chance(
    renewing: Renewing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("planted")

    with monkeypatch.context() as patched:
        patched.setattr(renewing.account.vault, "stamp", broken)
        with pytest.raises(RuntimeError):
            await renewing.made.renew()
    assert "its login could not be renewed: RuntimeError" in caplog.text
    assert "planted" not in caplog.text
    renewing.lies()
    await renewing.made.renew()
    assert renewing.made.bearer == "Bearer old-token"


async def test_tokens_of_now_and_before_are_scrubbed_and_not_without_end(renewing: Renewing) -> None:
    renewing.lies("token-number-0", ends=0.0)
    for number in range(1, 40):
        renewing.gives(f"token-number-{number}", f"refresh-number-{number}")
        renewing.time.now += 1_000
        await renewing.made.renew()
    text = renewing.made.scrubbed("token-number-39, token-number-38, refresh-number-39, refresh-number-38, short")
    assert text == "***, ***, ***, ***, short"
    assert len(renewing.made._secrets) <= oauth.MOST_SECRETS
    assert repr(renewing.made) == "Authorization('notes')"
