"""The gateway's login at a real server behind OAuth: consent, calls, renewal, refusal, and where no token may stand."""

import asyncio
import io
import logging
import socket
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.errors import Failed
from gateway.executors.oauth.authorization import Account, Authorization
from gateway.executors.remote import Remote
from gateway.model import Limits
from gateway.settings import UpstreamSettings
from tests.executors.hostile import proposal, said
from tests.oauth.running import Protected, account_at, logged_in, protected

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LIMITS = Limits(timeout_s=20, result_bytes=100_000)
NEEDS_LOGIN = "the upstream needs a login: bascule upstream login notes"
ECHO = {"name": "echo", "inputSchema": {"type": "object"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Protected]:
    """The server."""
    async with protected() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def server(running: Protected) -> Protected:
    """The server as it behaves well, with nothing counted yet."""
    await running.control(life_s=3600, iss="", token_status=0, deny="", forget=True)
    return running


async def test_a_person_consents_and_the_token_is_for_the_upstream_alone(server: Protected, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"client_id": "operators-own", "client_secret": "planted-client-secret-0001", "redirect_port": port}
    await server.control(redirect=f"http://127.0.0.1:{port}/callback")
    for oauth in ({}, own):
        made = await logged_in(account_at(server.url, tmp_path / "state", **oauth))
        assert made.issuer == server.issuer
        assert made.tokens.scope == "notes"
    told = await server.control()
    assert told["resources"] == [server.url, server.url]
    assert told["counts"]["register"] == 1


async def test_a_return_of_another_server_or_without_consent_is_no_login(server: Protected, tmp_path: Path) -> None:
    here = account_at(server.url, tmp_path / "state")
    await server.control(iss="https://evil.example")
    with pytest.raises(Failed, match=r"another authorisation server \(iss\)"):
        await logged_in(here)
    await server.control(iss="", deny="access_denied")
    with pytest.raises(Failed, match="refused the login") as failed:
        await logged_in(here)
    assert failed.value.detail == "access_denied"
    assert await server.count("exchange") == 0
    assert here.vault.read() is None


async def echoed(client: Remote, text: str = "hello") -> str:
    return said(await client.execute(proposal("echo", arguments={"text": text}, definition=ECHO), LIMITS))


def remote_to(account: Account) -> Remote:
    return Remote("notes", UpstreamSettings(url=account.url), LIMITS, authorization=Authorization(account))


async def test_a_login_serves_calls_and_renews_itself_silently(server: Protected, tmp_path: Path) -> None:
    here = account_at(server.url, tmp_path / "state")
    client = remote_to(here)
    with pytest.raises(Failed, match=NEEDS_LOGIN):
        await client.tools()
    await logged_in(here)
    assert [tool["name"] for tool in await client.tools()] == ["echo"], "a login is seen without a restart"
    assert await echoed(client) == "hello"
    assert await server.count("token") == 1
    await server.control(revoke="access")
    answers = await asyncio.gather(*(echoed(client, f"text {number}") for number in range(8)))
    assert answers == [f"text {number}" for number in range(8)]
    assert await server.count("refresh") == 1, "eight refused at once are one renewal"
    await client.close()


async def test_an_expired_token_is_renewed_once_for_all_who_call(server: Protected, tmp_path: Path) -> None:
    here = account_at(server.url, tmp_path / "state")
    await logged_in(here)
    later = Authorization(here, wall=lambda: time.time() + 7200)
    client = Remote("notes", UpstreamSettings(url=server.url), LIMITS, authorization=later)
    assert list(await asyncio.gather(echoed(client, "a"), echoed(client, "b"))) == ["a", "b"]
    assert await server.count("refresh") == 1
    await client.close()


async def test_a_login_that_was_revoked_needs_another_and_then_all_is_well(server: Protected, tmp_path: Path) -> None:
    here = account_at(server.url, tmp_path / "state")
    await logged_in(here)
    client = remote_to(here)
    assert await echoed(client) == "hello"
    await server.control(revoke="access")
    await server.control(revoke="refresh")
    for _ in range(3):
        with pytest.raises(Failed) as failed:
            await echoed(client)
        assert (failed.value.reason, failed.value.unknown) == (NEEDS_LOGIN, False)
    assert await server.count("token") == 2, "what was refused for good is not tried again"
    await logged_in(here)
    assert await echoed(client) == "hello"
    await client.close()


async def test_an_issuer_that_is_down_for_a_while_costs_no_login(server: Protected, tmp_path: Path) -> None:
    here = account_at(server.url, tmp_path / "state")
    await logged_in(here)
    now = [1_000.0]
    authorization = Authorization(here, clock=lambda: now[0], jitter=lambda: 0.0)
    settings = UpstreamSettings(url=server.url)
    client = Remote("notes", settings, LIMITS, authorization=authorization, clock=lambda: now[0])
    assert await echoed(client) == "hello"
    await server.control(revoke="access")
    await server.control(token_status=500)
    with pytest.raises(Failed, match="authorisation server does not answer"):
        await echoed(client)
    await server.control(token_status=0)
    now[0] += 31
    assert await echoed(client) == "hello"
    await client.close()


async def test_no_token_stands_anywhere_but_sealed_and_on_the_wire(
    server: Protected, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    words = io.StringIO()
    here = account_at(server.url, tmp_path / "state")
    await _whole_life(here, server, words)
    told, printed = await server.control(), capfd.readouterr()
    places = {
        "log": caplog.text,
        "output": printed.out + printed.err,
        "errors": words.getvalue(),
        "argv": b"\0".join(_argv()).decode(errors="replace"),
        "files": b"".join(_contents(tmp_path)).decode("latin-1"),
    }
    assert told["counts"]["refresh"] >= 1
    assert len(server.secrets) >= 6, "there was something to find"
    found = [(secret, place) for secret in server.secrets for place, text in places.items() if secret in text]
    assert found == []


async def _whole_life(here: Account, server: Protected, words: io.StringIO) -> None:
    """Logins and calls that go well and badly, with every error and every repr written down."""

    async def noted(step: Any) -> None:
        try:
            words.write(repr(await step))
        except Failed as failed:
            words.write(f"{failed.reason} {failed.detail} {failed!r}\n")
            words.write("".join(traceback.format_exception(failed)))
        await server.control()

    client = remote_to(here)
    await noted(echoed(client))
    await noted(logged_in(here))
    await noted(echoed(client))
    for changed in ({"iss": "https://evil.example"}, {"iss": "", "deny": "access_denied"}):
        await server.control(**changed)
        await noted(logged_in(here))
    await server.control(deny="", token_status=400)
    await noted(logged_in(here))
    await server.control(token_status=0, revoke="access")
    await noted(echoed(client))
    for status in (500, 400):
        await server.control(token_status=status, revoke="access")
        await noted(echoed(client))
    words.write(repr([client, here, here.vault, client._pool, here.vault.read()]))
    await client.close()


def _argv() -> list[bytes]:
    return [path.read_bytes() for path in Path("/proc/self/task").glob("*/cmdline")]


def _contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
