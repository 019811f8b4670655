"""Logging in to an upstream: a person consents in a browser, which comes back to an address of ours on loopback.

Not the renewing (oauth.py). It runs where the person is, in the command line's process; a gateway that runs takes the
login from the state folder when it next needs one.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, OAuthFlowError, OAuthRegistrationError
from mcp.client.auth.oauth2 import OAuthContext
from mcp.client.auth.utils import extract_field_from_www_auth
from mcp.shared.auth import OAuthMetadata

from gateway.errors import ConfigError, Failed
from gateway.executors.oauth.authorization import Account, driven, expiry, greeting
from gateway.executors.oauth.issuer import (
    Courier,
    check_address,
    check_metadata,
    check_token,
    client_metadata,
    doubtful,
)
from gateway.executors.oauth.tokens import Held, Login
from gateway.model import Code

PERSON_SECONDS = 300.0
"""How long the person may take."""
HEAD_BYTES = 8_192
_HEAD_SECONDS = 5.0
_MOST_VISITORS = 16
_PATH = "/callback"
_WORD = re.compile(r"[a-z_]{1,40}")
_PAGE = (
    "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\nconnection: close\r\n"
    "cache-control: no-store\r\nreferrer-policy: no-referrer\r\ncontent-security-policy: default-src 'none'\r\n"
    "x-content-type-options: nosniff\r\n\r\n{text}"
)

Say = Callable[[str], None]
Browser = Callable[[str], Awaitable[None]]
"""Opens an address, if it can."""
Paste = Callable[[], Awaitable[str]]
"""The next line of the person; empty when there is none any more."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who logs in, and how they are reached."""

    say: Say
    browser: Browser | None = None
    paste: Paste | None = None


class Landing:
    """Where the browser comes back to, once: `http://127.0.0.1:PORT/callback`."""

    def __init__(self, port: int = 0) -> None:
        self._port, self._state = port, ""
        self._visitors = 0
        self._landed: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._visited, "127.0.0.1", self._port, limit=HEAD_BYTES)
        except OSError as error:
            problem = f"oauth.redirect_port {self._port} cannot be listened on: {error.strerror}"
            raise ConfigError(problem) from None
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    @property
    def address(self) -> str:
        """The whole address, as the authorisation server knows it."""
        return f"http://127.0.0.1:{self._port}{_PATH}"

    def expect(self, state: str) -> None:
        """From now on, take the one that brings this state."""
        self._state = state

    def take(self, address: str) -> str:
        """Take an address the browser was sent to; what is wrong with it, or nothing.

        Whoever guesses at it, or sends it twice, neither gets in nor ends the wait.
        """
        place, _, query = address.strip().partition("?")
        if place != self.address:
            return f"the address should begin with {self.address}?"
        pairs = parse_qsl(query, keep_blank_values=True)
        given = dict(pairs)
        if len(given) != len(pairs):
            return "a parameter is given twice"
        state = given.get("state", "")
        if not self._state or not secrets.compare_digest(state.encode(), self._state.encode()):
            return "the state is not that of this login"
        if self._landed.done():
            return "this login has been used already"
        self._landed.set_result(given)
        return ""

    async def returned(self) -> dict[str, str]:
        """The parameters of the one that came.

        Raises:
            TimeoutError: nobody came.
        """
        async with asyncio.timeout(PERSON_SECONDS):
            return await asyncio.shield(self._landed)

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._visitors += 1
        try:
            if self._visitors <= _MOST_VISITORS:
                async with asyncio.timeout(_HEAD_SECONDS):
                    status, text = self._answer(await reader.readuntil(b"\r\n\r\n"))
                    writer.write(_PAGE.format(status=status, length=len(text), text=text).encode())
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a visitor that is no browser
        finally:
            self._visitors -= 1
            writer.close()

    def _answer(self, head: bytes) -> tuple[str, str]:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        hosts = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:")]
        if len(words) != 3 or words[0] != "GET" or hosts != [urlsplit(self.address).netloc]:
            return "400 Bad Request", "This is not for you.\n"
        if words[1].partition("?")[0] != _PATH:
            return "404 Not Found", "There is nothing here.\n"
        if problem := self.take(f"http://{hosts[0]}{words[1]}"):
            return "400 Bad Request", f"Not taken: {problem}.\n"
        return "200 OK", "Bascule has what it needs. You can close this window.\n"


class _Flow:
    """One login: what the SDK's provider asks of us."""

    def __init__(self, account: Account, landing: Landing, person: Person) -> None:
        self._account, self._landing, self._person = account, landing, person
        self._pasting: asyncio.Future[None] | None = None
        metadata = client_metadata(landing.address, account.oauth.scopes)
        held = Held(account.client(landing.address))
        self.provider = OAuthClientProvider(
            account.url, metadata, held, self._sent_off, self._came_back, account.document
        )

    @property
    def context(self) -> OAuthContext:
        return self.provider.context

    async def run(self, courier: Courier) -> Login:
        """The whole of it."""
        asking = greeting(self._account.url)
        challenge = _challenge(self._account, await courier.challenge(greeting(self._account.url)))
        async with driven(self.provider, asking) as flow:
            await anext(flow)  # the greeting itself; the flow begins with its refusal
            headers = {"www-authenticate": challenge}
            outgoing = await flow.asend(httpx2.Response(401, headers=headers, request=asking))
            while outgoing is not asking:
                self._check(outgoing)
                outgoing = await flow.asend(await courier.carry(outgoing))
        return self._login()

    def _check(self, outgoing: httpx2.Request) -> None:
        """Nothing but questions goes out before the server's metadata are known and accepted, and then only to what
        they name: the SDK would guess addresses at the upstream.
        """
        if outgoing.method == "GET":
            return
        metadata = self._accepted()
        if str(outgoing.url) not in {str(metadata.token_endpoint), str(metadata.registration_endpoint)}:
            raise doubtful("it takes no registration; set oauth.client_id")

    def _accepted(self) -> OAuthMetadata:
        metadata = check_metadata(self.context.oauth_metadata, self._account.url)
        stated = self._account.oauth.issuer
        if stated is not None and stated.rstrip("/") != str(metadata.issuer).rstrip("/"):
            raise doubtful("it is not the one that oauth.issuer names", f"it says that it is {metadata.issuer}")
        known = self._known_issuer()
        if known not in {None, str(metadata.issuer)}:
            detail = f"it was {known} and is {metadata.issuer} now; if that is meant, remove {self._account.vault.path}"
            raise doubtful("it is another than at the last login", detail)
        return metadata

    def _known_issuer(self) -> str | None:
        try:
            found = self._account.vault.read()
        except ConfigError:
            return None  # nothing that holds
        return found[0].issuer if found and found[0].resource == self._account.url else None

    async def _sent_off(self, address: str) -> None:
        metadata = self._accepted()
        endpoint = str(metadata.authorization_endpoint)
        if "?" in endpoint:  # the SDK does not expect a query there
            address = address.replace(f"{endpoint}?", f"{endpoint}&", 1)
        check_address("authorization_endpoint", address, self._account.url)
        self._settle_method()
        self._landing.expect(dict(parse_qsl(urlsplit(address).query))["state"])
        say = self._person.say
        say(f"{self._account.name} sends you to log in at {metadata.issuer}:")
        say(address)
        if self._person.browser is not None:
            await self._person.browser(address)
        if self._person.paste is not None:
            say("Where the browser runs on another machine, paste here the address it ends up at:")
            self._pasting = asyncio.ensure_future(self._pasted(self._person.paste))

    def _settle_method(self) -> None:
        """How a client that the operator registered proves who it is; a registration of ours says so itself."""
        client, metadata = self.context.client_info, self.context.oauth_metadata
        if client is None or metadata is None or self._account.client() is None or client.client_secret is None:
            return
        # "If omitted, the default is client_secret_basic"
        offered = metadata.token_endpoint_auth_methods_supported or ["client_secret_basic"]
        method = next((one for one in ("client_secret_basic", "client_secret_post") if one in offered), None)
        if method is None:
            raise doubtful("it takes no client_secret")
        client.token_endpoint_auth_method = method

    async def _pasted(self, paste: Paste) -> None:
        while line := await paste():
            if line.strip() and not (problem := self._landing.take(line)):
                return
            if line.strip():
                self._person.say(f"Not taken: {problem}.")

    async def _came_back(self) -> AuthorizationCodeResult:
        try:
            given = await self._landing.returned()
        except TimeoutError:
            reason = f"nobody logged in within {PERSON_SECONDS:g} s"
            raise Failed(Code.UPSTREAM_UNAVAILABLE, reason) from None
        finally:
            if self._pasting is not None:
                self._pasting.cancel()
        if "error" in given or not given.get("code"):
            word = given.get("error", "")
            detail = word if _WORD.fullmatch(word) else "it sent neither a code nor a reason"
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the authorisation server refused the login", detail=detail)
        return AuthorizationCodeResult(code=given["code"], state=given["state"], iss=given.get("iss"))

    def _login(self) -> Login:
        context = self.context
        tokens, client = context.current_tokens, context.client_info
        assert tokens
        assert client
        check_token(tokens.access_token)
        if self._account.client() is not None:
            client = client.model_copy(update={"client_secret": None})  # the configuration says where that is
        return Login(
            self._account.url,
            self._accepted(),
            context.protected_resource_metadata,
            client,
            tokens,
            expiry(tokens.expires_in, time.time()),
        )


async def log_in(account: Account, person: Person, *, transport: httpx2.AsyncBaseTransport | None = None) -> Login:
    """Have a person log in, and keep what comes of it.

    Raises:
        Failed: it did not come to a login; what was there before is as it was.
        ConfigError: the login cannot be kept, or the port for the browser's return is taken.
    """
    async with Landing(account.oauth.redirect_port) as landing, Courier(account.url, transport) as courier:
        flow = _Flow(account, landing, person)
        try:
            login = await flow.run(courier)
        except (OAuthFlowError, ValueError) as error:
            problem = _problem(error)  # not its words: they quote states, codes and whole answers
        else:
            account.vault.write(login)
            return login
        raise Failed(Code.UPSTREAM_INVALID, problem, detail=courier.last)


def _problem(error: Exception) -> str:
    words = str(error)
    told = {
        "Authorization response iss mismatch": "the answer came from another authorisation server (iss)",
        "Authorization response missing iss": "the answer does not say which authorisation server sent it (iss)",
        "Authorization server metadata issuer mismatch": "the authorisation server's metadata name another issuer",
        "Protected resource": "the upstream's metadata are not for this upstream, or cannot be had",
    }
    for beginning, ours in told.items():
        if words.startswith(beginning):
            return ours
    if isinstance(error, OAuthRegistrationError):
        return "the authorisation server registers no client; set oauth.client_id"
    return "the authorisation server gave no token"


def _challenge(account: Account, given: str) -> str:
    """The refusal the flow begins with: where the metadata are, and the scopes that the operator wants."""
    answer = httpx2.Response(401, headers={"www-authenticate": given.encode("ascii", "ignore").decode()})
    parts = [f'resource_metadata="{url}"'] if (url := extract_field_from_www_auth(answer, "resource_metadata")) else []
    scope = " ".join(account.oauth.scopes) or extract_field_from_www_auth(answer, "scope")
    if scope:
        parts.append(f'scope="{scope}"')
    return "Bearer " + ", ".join(parts)
