import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from gateway.errors import ConfigError, Failed
from gateway.executors.oauth import login
from gateway.executors.oauth.authorization import Account
from gateway.executors.oauth.login import Landing, Person, log_in
from gateway.executors.oauth.tokens import Login
from gateway.model import Code
from tests.oauth.fake import ACCESS, ISSUER, METADATA, PRM, UPSTREAM, Fake, parameters, returning
from tests.oauth.running import account_at

STATE = "s" * 43
Browser = Callable[[str], Awaitable[None]]


async def asked(landing: Landing, target: str, *, verb: str = "GET", host: str | None = None) -> int:
    """What the landing answers to one request."""
    place = landing.address.split("/")[2]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(place.split(":")[1]))
    writer.write(f"{verb} {target} HTTP/1.1\r\nhost: {host or place}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert b"cache-control: no-store" in answer
    return int(answer.split(b" ")[1])


# Where the browser comes back to


async def test_a_browser_comes_back_once() -> None:
    async with Landing() as landing:
        landing.expect(STATE)
        assert landing.address.startswith("http://127.0.0.1:")
        assert await asked(landing, f"/callback?code=c&state={STATE}&iss=https%3A%2F%2Fas.example") == 200
        assert await landing.returned() == {"code": "c", "state": STATE, "iss": "https://as.example"}
        assert await asked(landing, f"/callback?code=other&state={STATE}") == 400, "a state is good for one return"
        assert (await landing.returned())["code"] == "c"


@pytest.mark.parametrize(
    ("target", "more", "status"),
    [
        (f"/callback?code=c&state={STATE[1:]}", {}, 400),
        ("/callback?code=c", {}, 400),
        ("/callback?code=c&state=", {}, 400),
        ("/callback?code=c&state=%C3%BC", {}, 400),
        (f"/callback?code=a&code=b&state={STATE}", {}, 400),
        (f"/callback?code=a&state={STATE}&state={STATE}", {}, 400),
        (f"/callback/?code=c&state={STATE}", {}, 404),
        (f"/Callback?code=c&state={STATE}", {}, 404),
        (f"//callback?code=c&state={STATE}", {}, 404),
        ("/favicon.ico", {}, 404),
        (f"/callback?code=c&state={STATE}", {"verb": "POST"}, 400),
        (f"/callback?code=c&state={STATE}", {"host": "attacker.example"}, 400),
        (f"/callback?code=c&state={STATE}", {"host": "localhost"}, 400),
        (f"http://127.0.0.1/callback?code=c&state={STATE}", {}, 404),
    ],
)
async def test_whoever_guesses_neither_gets_in_nor_ends_the_wait(
    target: str, more: dict[str, Any], status: int
) -> None:
    async with Landing() as landing:
        landing.expect(STATE)
        assert await asked(landing, target, **more) == status
        assert await asked(landing, f"/callback?code=right&state={STATE}") == 200
        assert (await landing.returned())["code"] == "right"


async def test_before_a_state_is_known_nobody_is_taken() -> None:
    async with Landing() as landing:
        assert await asked(landing, "/callback?code=c&state=") == 400


async def test_visitors_that_are_no_browsers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "_HEAD_SECONDS", 0.2)
    async with Landing() as landing:
        landing.expect(STATE)
        port = int(landing.address.split(":")[2].split("/")[0])
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        huge_reader, huge = await asyncio.open_connection("127.0.0.1", port)
        huge.write(b"GET /" + b"a" * 100_000)
        assert await asyncio.gather(*(reader.read() for reader, _ in silent)) == [b""] * 20
        with_error: bytes | ConnectionError
        try:
            with_error = await huge_reader.read()
        except ConnectionError as error:
            with_error = error
        assert with_error == b"" or isinstance(with_error, ConnectionError)
        assert await asked(landing, f"/callback?code=c&state={STATE}") == 200
        for _, writer in [*silent, (huge_reader, huge)]:
            writer.close()


async def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"oauth.redirect_port {port} cannot be listened on"):
            async with Landing(port):
                pass


# A whole login


def account(tmp_path: Path, **oauth: Any) -> Account:
    return account_at(UPSTREAM, tmp_path / "state", **oauth)


async def tried(account: Account, fake: Fake, browser: Browser, said: list[str] | None = None) -> Login:
    say = said.append if said is not None else lambda _: None
    return await log_in(account, Person(say, browser), transport=fake.transport)


async def refused(account: Account, fake: Fake, browser: Browser) -> Failed:
    """A login that must not come about, and leaves nothing behind, neither here nor in words."""
    with pytest.raises(Failed) as failed:
        await tried(account, fake, browser)
    assert "planted" not in f"{failed.value.reason} {failed.value.detail} {failed.value!r}"
    return failed.value


async def test_a_login_is_kept_with_whom_it_is_for(tmp_path: Path) -> None:
    fake, said = Fake(), list[str]()
    here = account(tmp_path)
    made = await tried(here, fake, returning(), said)
    found = here.vault.read()
    assert found is not None
    assert found[0] == made
    assert (made.resource, made.issuer, made.tokens.access_token) == (UPSTREAM, ISSUER, ACCESS)
    assert said[0] == f"notes sends you to log in at {ISSUER}:"
    asked_for = parameters(said[1])
    [exchange] = fake.forms()
    assert asked_for["code_challenge_method"] == "S256"
    assert asked_for["resource"] == exchange["resource"] == UPSTREAM
    assert asked_for["redirect_uri"] == exchange["redirect_uri"]
    assert (exchange["code"], exchange["client_id"]) == ("planted-code-000001", "made-for-us")
    assert exchange["code_verifier"] not in said[1]
    assert not any("authorization" in seen.headers for seen in fake.seen), "nothing goes out as from somebody"


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"authorization_endpoint": "file:///usr/bin/calc"}, "publishes no metadata"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "publishes no metadata"),
        ({"authorization_endpoint": "https://as.example/$(touch /tmp/owned)"}, "no plain http"),
        ({"authorization_endpoint": "http://as.example/authorize"}, "authorization_endpoint is not https"),
        ({"token_endpoint": "http://as.example/token"}, "token_endpoint is not https"),
        ({"token_endpoint": "https://127.0.0.1/token"}, "token_endpoint is on this machine"),
        ({"registration_endpoint": "file:///etc/passwd"}, "publishes no metadata"),
        ({"registration_endpoint": None}, "takes no registration; set oauth.client_id"),
        ({"code_challenge_methods_supported": None}, "does not offer PKCE"),
        ({"code_challenge_methods_supported": ["plain"]}, "does not offer PKCE"),
        ({"issuer": "https://other.example"}, "metadata name another issuer"),
    ],
)
async def test_metadata_that_are_not_accepted_open_no_browser(
    tmp_path: Path, metadata: dict[str, Any], problem: str
) -> None:
    opened: list[str] = []

    async def browser(address: str) -> None:
        opened.append(address)

    for oauth in ({}, {"client_id": "own", "client_secret": "planted-client-secret"}):
        if oauth and "registration_endpoint" in metadata and metadata["registration_endpoint"] is None:
            continue  # a client that is registered needs no registration
        fake = Fake(**metadata)
        failed = await refused(account(tmp_path, **oauth), fake, browser)
        assert problem in failed.reason
        assert opened == []
        assert [seen.method for seen in fake.seen if seen.url.host != "crm.example"] in (["GET"], ["GET", "GET"])
        assert account(tmp_path).vault.read() is None


@pytest.mark.parametrize(
    ("changed", "code", "problem"),
    [
        ({"iss": "https://evil.example"}, Code.UPSTREAM_INVALID, "another authorisation server (iss)"),
        ({"iss": ISSUER + "/"}, Code.UPSTREAM_INVALID, "another authorisation server (iss)"),
        ({"iss": None}, Code.UPSTREAM_INVALID, "does not say which authorisation server"),
        ({"code": None, "error": "access_denied"}, Code.UPSTREAM_UNAVAILABLE, "refused the login"),
        ({"code": None, "error": "planted words"}, Code.UPSTREAM_UNAVAILABLE, "refused the login"),
        ({"code": None}, Code.UPSTREAM_UNAVAILABLE, "refused the login"),
    ],
)
async def test_a_return_that_is_not_right_gets_no_token(
    tmp_path: Path, changed: dict[str, Any], code: Code, problem: str
) -> None:
    fake = Fake()
    failed = await refused(account(tmp_path), fake, returning(**changed))
    assert failed.code is code
    assert problem in failed.reason
    assert fake.forms() == [], "a code is shown to nobody then"


async def test_a_return_with_the_state_of_another_login_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "PERSON_SECONDS", 0.2)
    fake = Fake()
    failed = await refused(account(tmp_path), fake, returning(state="x" * 43))
    assert failed.reason == "nobody logged in within 0.2 s"
    assert fake.forms() == []


@pytest.mark.parametrize(
    ("address", "answer", "problem"),
    [
        (f"{ISSUER}/token", httpx2.Response(400, json={"error": "invalid_grant", "x": "planted"}), "gave no token"),
        (f"{ISSUER}/token", httpx2.Response(400, content=b"\xff planted"), "gave no token"),
        (f"{ISSUER}/token", httpx2.Response(200, json={"access_token": "planted"}), ""),
        (f"{ISSUER}/token", httpx2.Response(200, json={"planted": 1}), "gave no token"),
        (f"{ISSUER}/token", httpx2.Response(200, json={"access_token": "planted\r\nx: y"}), "a header may hold"),
        (f"{ISSUER}/token", httpx2.Response(307, headers={"location": "https://evil.example/"}), "gave no token"),
        (f"{ISSUER}/token", httpx2.Response(200, content=b"x" * 300_000), "larger than"),
        (f"{ISSUER}/register", httpx2.Response(400, json={"error": "invalid_redirect_uri"}), "registers no client"),
        (f"{ISSUER}/register", httpx2.Response(302, headers={"location": "http://evil.example"}), "registers no"),
        (METADATA, httpx2.Response(302, headers={"location": "https://evil.example/"}), "publishes no metadata"),
        (METADATA, httpx2.Response(500), "publishes no metadata"),
        (METADATA, httpx2.Response(200, content=b"[" * 100_000), "publishes no metadata"),
        (
            PRM,
            httpx2.Response(200, json={"resource": "https://evil.example/", "authorization_servers": [ISSUER]}),
            "metadata are not for this upstream",
        ),
        (
            PRM,
            httpx2.Response(200, json={"resource": UPSTREAM, "authorization_servers": ["http://169.254.169.254"]}),
            "is not https",
        ),
        (
            PRM,
            httpx2.Response(200, json={"resource": UPSTREAM, "authorization_servers": ["https://127.0.0.1:1"]}),
            "this machine or network",
        ),
    ],
)
async def test_answers_of_the_authorisation_server_that_lead_nowhere(
    tmp_path: Path, address: str, answer: httpx2.Response, problem: str
) -> None:
    fake = Fake()
    fake.pages[address] = lambda _: answer
    here = account(tmp_path)
    if not problem:
        made = await tried(here, fake, returning())
        assert made.expires_at is None
        return
    failed = await refused(here, fake, returning())
    assert problem in failed.reason
    assert "evil.example" not in [seen.url.host for seen in fake.seen]
    assert here.vault.read() is None


async def test_a_challenge_cannot_send_us_where_we_would_not_go(tmp_path: Path) -> None:
    fake = Fake()
    header = 'Bearer resource_metadata="http://169.254.169.254/latest/meta-data", scope="ü"'.encode().decode("latin-1")
    fake.pages[UPSTREAM] = lambda _: httpx2.Response(401, headers=[(b"www-authenticate", header.encode("latin-1"))])
    failed = await refused(account(tmp_path), fake, returning())
    assert "is not https" in failed.reason
    assert [seen.url.host for seen in fake.seen] == ["crm.example"]


async def test_a_login_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    here = account(tmp_path)
    before = await tried(here, Fake(), returning())
    await refused(here, Fake(), returning(iss="https://evil.example"))
    found = here.vault.read()
    assert found is not None
    assert found[0] == before


async def test_only_the_authorisation_server_that_is_stated_is_taken(tmp_path: Path) -> None:
    failed = await refused(account(tmp_path, issuer="https://as.other.example"), Fake(), returning())
    assert "not the one that oauth.issuer names" in failed.reason
    assert (await tried(account(tmp_path, issuer=ISSUER), Fake(), returning())).issuer == ISSUER


async def test_another_authorisation_server_than_before_is_not_taken_silently(tmp_path: Path) -> None:
    here = account(tmp_path)
    await tried(here, Fake(), returning())
    evil = "https://evil.example"
    fake = Fake(issuer=evil, token_endpoint=f"{evil}/token", authorization_endpoint=f"{evil}/authorize")
    fake.pages[PRM] = lambda _: httpx2.Response(200, json={"resource": UPSTREAM, "authorization_servers": [evil]})
    fake.pages[f"{evil}/.well-known/oauth-authorization-server"] = lambda _: httpx2.Response(200, json=fake.metadata)
    failed = await refused(here, fake, returning(iss=evil))
    assert "another than at the last login" in failed.reason
    assert failed.detail == f"it was {ISSUER} and is {evil} now; if that is meant, remove {here.vault.path}"
    here.vault.path.write_bytes(b"")  # what cannot be read holds nobody back
    fake.pages[f"{evil}/token"] = fake.pages[f"{ISSUER}/token"]
    assert (await tried(here, fake, returning(iss=evil))).issuer == evil


async def test_a_server_of_the_old_specification_is_its_own_authorisation_server(tmp_path: Path) -> None:
    origin = "https://crm.example"
    fake = Fake(issuer=origin, authorization_endpoint=f"{origin}/authorize", token_endpoint=f"{origin}/token")
    fake.pages |= {
        UPSTREAM: lambda _: httpx2.Response(401),
        PRM: lambda _: httpx2.Response(404),
        f"{origin}/.well-known/oauth-authorization-server": lambda _: httpx2.Response(200, json=fake.metadata),
        f"{origin}/token": fake.pages[f"{ISSUER}/token"],
    }
    made = await tried(account(tmp_path), fake, returning(iss=origin))
    assert (made.issuer, made.protected) == (origin, None)
    assert fake.forms(f"{origin}/token")[0]["resource"] == UPSTREAM


# Who the gateway is there


@pytest.mark.parametrize(
    ("offered", "method"),
    [
        (None, "client_secret_basic"),
        (["client_secret_post"], "client_secret_post"),
        (["client_secret_post", "client_secret_basic"], "client_secret_basic"),
    ],
)
async def test_a_client_of_the_operators_proves_itself_and_its_secret_is_not_kept(
    tmp_path: Path, offered: list[str] | None, method: str
) -> None:
    fake = Fake(token_endpoint_auth_methods_supported=offered, registration_endpoint=None)
    here = account(tmp_path, client_id="own", client_secret="planted-client-secret", scopes=("notes", "admin"))
    made = await tried(here, fake, returning())
    [exchange] = [seen for seen in fake.seen if seen.method == "POST" and seen.url.host == "as.example"]
    assert ("authorization" in exchange.headers) is (method == "client_secret_basic")
    assert fake.forms()[0].get("client_secret") == ("planted-client-secret" if method.endswith("post") else None)
    assert (made.client.client_secret, made.client.token_endpoint_auth_method) == (None, method)


async def test_a_client_without_a_secret_is_public(tmp_path: Path) -> None:
    fake = Fake(registration_endpoint=None)
    made = await tried(account(tmp_path, client_id="own"), fake, returning())
    assert fake.forms()[0]["client_id"] == "own"
    assert made.client.token_endpoint_auth_method == "none"


async def test_a_secret_that_the_server_takes_in_no_way_of_ours_is_not_sent(tmp_path: Path) -> None:
    fake = Fake(token_endpoint_auth_methods_supported=["private_key_jwt"])
    failed = await refused(account(tmp_path, client_id="own", client_secret="planted-secret"), fake, returning())
    assert "takes no client_secret" in failed.reason


async def test_an_address_as_client_id_is_a_document_about_the_client(tmp_path: Path) -> None:
    document = "https://bascule.example/client.json"
    fake = Fake(client_id_metadata_document_supported=True)
    made = await tried(account(tmp_path, client_id=document), fake, returning())
    assert made.client.client_id == fake.forms()[0]["client_id"] == document
    assert fake.forms(f"{ISSUER}/register") == []


@pytest.mark.parametrize(("scopes", "asked_for"), [((), "from.challenge"), (("notes", "a:b"), "notes a:b")])
async def test_the_operators_scopes_go_before_the_servers(
    tmp_path: Path, scopes: tuple[str, ...], asked_for: str
) -> None:
    fake, said = Fake(scopes_supported=["everything"]), list[str]()
    challenge = f'Bearer scope="from.challenge", resource_metadata="{PRM}"'
    fake.pages[UPSTREAM] = lambda _: httpx2.Response(401, headers={"www-authenticate": challenge})
    await tried(account(tmp_path, scopes=scopes), fake, returning(), said)
    assert parameters(said[1])["scope"] == asked_for


async def test_an_endpoint_with_a_query_keeps_it(tmp_path: Path) -> None:
    fake, said = Fake(authorization_endpoint=f"{ISSUER}/authorize?p=policy"), list[str]()
    await tried(account(tmp_path), fake, returning(), said)
    assert said[1].startswith(f"{ISSUER}/authorize?p=policy&response_type=code&")


async def test_a_server_that_asks_for_nobody_can_still_be_logged_in_to(tmp_path: Path) -> None:
    fake = Fake()
    fake.pages[UPSTREAM] = lambda _: httpx2.Response(200, json={})
    assert (await tried(account(tmp_path), fake, returning())).issuer == ISSUER


# Without a browser


def lines(*given: str) -> Callable[[], Awaitable[str]]:
    waiting = list(given)

    async def paste() -> str:
        if waiting:
            return waiting.pop(0)
        return ""

    return paste


async def test_the_address_the_browser_ended_up_at_can_be_pasted(tmp_path: Path) -> None:
    said: list[str] = []
    waiting: list[str] = ["\n", "https://evil.example/?code=x\n"]

    async def paste() -> str:
        if waiting:
            return waiting.pop(0)
        asked_for = parameters(said[1])
        return f"  {asked_for['redirect_uri']}?code=c&state={asked_for['state']}&iss={quote(ISSUER)}\n"

    fake = Fake()
    made = await log_in(account(tmp_path), Person(said.append, None, paste), transport=fake.transport)
    assert made.issuer == ISSUER
    assert fake.forms()[0]["code"] == "c"
    assert said[3].startswith("Not taken: the address should begin with http://127.0.0.1:")


async def test_an_end_of_input_still_waits_for_the_browser(tmp_path: Path) -> None:
    person = Person(lambda _: None, returning(), lines())
    assert (await log_in(account(tmp_path), person, transport=Fake().transport)).issuer == ISSUER
