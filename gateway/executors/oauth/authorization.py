"""The gateway's own login at one upstream: the bearer that its requests carry, renewed before it ends.

Not the logging in, which needs a person (login.py), nor the flow itself: discovery, PKCE, exchange and renewal are the
SDK's `OAuthClientProvider`, which is driven here request by request. It is never let near a person: what it cannot
renew waits for `bascule upstream login`.
"""

import asyncio
import logging
import math
import random
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.shared.auth import OAuthClientInformationFull

from gateway.errors import ConfigError, Failed
from gateway.executors.backoff import Backoff
from gateway.executors.messages import Request, modern
from gateway.executors.oauth.issuer import (
    Courier,
    check_metadata,
    check_token,
    client_metadata,
    doubtful,
    error_code,
    on_this_machine,
)
from gateway.executors.oauth.tokens import Held, Login, Stamp, Vault, token_key
from gateway.model import Code
from gateway.settings import OAuthSettings, UpstreamSettings
from gateway.wire.mcp import LATEST_MODERN, upstream_headers

AHEAD_SECONDS = 60.0
AHEAD_SHARE = 0.2
"""A bearer is renewed this long before its end, or this share of its life where that is less."""
SETTLING_SECONDS = 30.0
"""How long a bearer that was just renewed is not renewed again because the upstream refuses it all the same."""
LONGEST_LIFE = 10 * 366 * 86_400.0
MOST_SECRETS = 16
_RETRYABLE = frozenset({403, 408, 425, 429})
"""Of the statuses 400 to 499, those that say nothing of the login where they name no error of OAuth."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """An upstream as one that is logged in to."""

    name: str
    url: str
    oauth: OAuthSettings
    vault: Vault

    @property
    def document(self) -> str | None:
        """The client's id where it is the address of a document about the client (CIMD)."""
        client_id = self.oauth.client_id or ""
        return client_id if client_id.startswith("https://") and urlsplit(client_id).path not in {"", "/"} else None

    def client(self, redirect: str | None = None) -> OAuthClientInformationFull | None:
        """The client that the operator registered; None where the gateway has to register itself."""
        if self.oauth.client_id is None or self.document is not None:
            return None
        return OAuthClientInformationFull.model_validate(
            {
                "client_id": self.oauth.client_id,
                "client_secret": self.oauth.client_secret,
                "redirect_uris": [redirect] if redirect else None,
                "token_endpoint_auth_method": None if self.oauth.client_secret else "none",
            }
        )


def account(name: str, settings: UpstreamSettings, state: Path) -> Account:
    """The account at an upstream with `auth: oauth`.

    Raises:
        ConfigError: its address or its headers do not go with a login.
    """
    if settings.auth != "oauth" or settings.url is None:
        raise ConfigError(f"upstreams.{name}: there is nothing to log in to; auth: oauth makes it so")
    if settings.url.startswith("http:") and not on_this_machine(settings.url):
        raise ConfigError(f"upstreams.{name}.url: auth: oauth needs https, the token would travel in the clear")
    if any(header.lower() == "authorization" for header in settings.headers):
        raise ConfigError(f"upstreams.{name}.headers: Authorization does not go with auth: oauth")
    for scope in (settings.oauth or OAuthSettings()).scopes:
        if not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", scope):
            raise ConfigError(f"upstreams.{name}.oauth.scopes: a scope is one word without quotes or backslashes")
    vault = Vault(state, name, token_key(state))
    return Account(name, settings.url, settings.oauth or OAuthSettings(), vault)


class Authorization:
    """The bearer of one upstream. Whoever sends a request reads `due` and `bearer` and waits for nothing; only when
    the first is over, or the second was refused, there is something to wait for.
    """

    def __init__(
        self,
        account: Account,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.bearer = ""
        """The header's whole value."""
        self.due = -math.inf
        """On the clock, when `renew` is to be awaited before the next request."""
        self._account, self._clock, self._wall, self._transport = account, clock, wall, transport
        self._login: Login | None = None
        self._stamp: Stamp | None = None
        self._ends = self._renewed_at = -math.inf
        self._rejected = False
        self._backoff = Backoff(clock, jitter)
        self._flight: asyncio.Future[Failed | None] | None = None
        self._secrets: deque[str] = deque(maxlen=MOST_SECRETS)

    def __repr__(self) -> str:
        return f"Authorization({self._account.name!r})"

    async def renew(self, refused: str = "") -> None:
        """Have a bearer to go on with, other than the one `refused`: from the file, or from the server.

        All who wait share one renewal, and it goes on when they no longer wait: a server that gave a new refresh
        token no longer takes the old one, so the answer must not be lost.

        Raises:
            Failed: there is none; nothing was sent to the upstream.
        """
        if refused and self.bearer != refused:
            return
        if self._flight is None:
            self._flight = asyncio.ensure_future(self._renewal(refused))
            self._flight.add_done_callback(self._landed)
        if (failed := await asyncio.shield(self._flight)) is not None:
            raise Failed(failed.code, failed.reason, detail=failed.detail)

    async def close(self) -> None:
        """Let a renewal under way end; it is bounded by itself."""
        if self._flight is not None:
            await asyncio.wait([self._flight])

    def scrubbed(self, text: str) -> str:
        """A text without our tokens, those of now and those of before."""
        registered = self._login.client.client_secret if self._login else None
        for secret in (self._account.oauth.client_secret, registered, *self._secrets):
            text = text.replace(secret, "***") if secret and len(secret) >= 6 else text
        return text

    def _landed(self, flight: asyncio.Future[Failed | None]) -> None:
        self._flight = None
        if not flight.cancelled() and (error := flight.exception()) is not None:
            logger.error("upstream %s: its login could not be renewed: %s", self._account.name, type(error).__name__)

    async def _renewal(self, refused: str) -> Failed | None:
        """Why there is no bearer to go on with; None where there is one."""
        try:
            self._read_again()
        except ConfigError as error:
            return self._login_needed(str(error))
        login = self._login
        if login is None:
            return self._login_needed("nobody has logged in yet")
        if self.bearer != refused and self._clock() < self.due:
            return None
        usable = self.bearer != refused and self._clock() < self._ends
        if self.bearer == refused and self._clock() - self._renewed_at < SETTLING_SECONDS:
            detail = "HTTP 401 with a token that was renewed just now"
            return Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream refused the gateway's credentials", detail=detail)
        if login.tokens.refresh_token is None or self._rejected:
            self.due = self._ends
            problem = "the server no longer takes its refresh token" if self._rejected else "it gave no refresh token"
            return None if usable else self._login_needed(problem)
        failed = await self._refresh(login)
        return None if usable else failed

    def _read_again(self) -> None:
        """Take the login that lies in the state folder, if it is another than the one we know."""
        if self._account.vault.stamp() == self._stamp:
            return
        found = self._account.vault.read()
        if found is None:
            self._forget()
            return
        login, stamp = found
        problem = ""
        if login.resource != self._account.url:
            problem = "the login is for another address than the upstream has now"
        elif (known := self._account.oauth.client_id) and known != login.client.client_id:
            problem = "the login was made with another client_id"
        if problem:
            self._forget()
            raise ConfigError(problem, file=str(self._account.vault.path))
        self._take(login, stamp)

    def _forget(self) -> None:
        self._login = self._stamp = None
        self.bearer, self._ends, self.due = "", -math.inf, -math.inf

    def _take(self, login: Login, stamp: Stamp | None) -> None:
        self._login, self._stamp, self._rejected = login, stamp, False
        for secret in (login.tokens.access_token, login.tokens.refresh_token):
            if secret and secret not in self._secrets:
                self._secrets.append(secret)
        self.bearer = f"Bearer {check_token(login.tokens.access_token)}"
        self._ends = self.due = math.inf
        if login.expires_at is not None:
            left = login.expires_at - self._wall()
            self._ends = self.due = self._clock() + left
            if login.tokens.refresh_token is not None:
                self.due -= min(AHEAD_SECONDS, AHEAD_SHARE * (login.tokens.expires_in or left))

    async def _refresh(self, login: Login) -> Failed | None:
        """Renew with the refresh token, once. What fails for now is tried again later, and takes nothing back."""
        if wait := self._backoff.remaining():
            self.due = min(self._ends, self._clock() + wait)
            detail = f"next attempt in {wait:.1f} s"
            reason = "the upstream's authorisation server could not be reached"
            return Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=detail)
        started = self._clock()
        try:
            renewed = await self._asked(login)
        except Failed as failed:
            self._backoff.failed(started)
            self.due = min(self._ends, self._clock() + self._backoff.remaining())
            # Always this code: another could be taken for an answer of the upstream itself.
            return Failed(Code.UPSTREAM_UNAVAILABLE, failed.reason, detail=self.scrubbed(failed.detail))
        if renewed is None:
            self._rejected, self.due = True, self._ends
            return self._login_needed("the server no longer takes its refresh token")
        self._backoff.succeeded()
        await self._keep(renewed)
        return None

    async def _keep(self, renewed: Login) -> None:
        stamp: Stamp | None = None
        try:
            stamp = await asyncio.to_thread(self._account.vault.replace, renewed, self._stamp)
        except ConfigError as error:
            # It works until the gateway ends; then somebody has to log in again.
            logger.error("upstream %s: its renewed login is not kept: %s", self._account.name, error)
            stamp = self._stamp
        # Without a stamp somebody logged in meanwhile: what lies there is read before the next renewal.
        self._take(renewed, stamp)
        self._renewed_at = self._clock()

    async def _asked(self, login: Login) -> Login | None:
        """The renewed login; None where the server refuses for good. Raises Failed where it may not next time."""
        client = self._account.client() or login.client
        client.token_endpoint_auth_method = login.client.token_endpoint_auth_method
        held = Held(client, login.tokens)
        provider = OAuthClientProvider(self._account.url, client_metadata("http://127.0.0.1/", ()), held)
        context = provider.context
        context.oauth_metadata = check_metadata(login.metadata, self._account.url)
        context.protected_resource_metadata = login.protected
        context.token_expiry_time = 1.0  # long ago: renew now
        with suppress(OAuthFlowError, ValueError):  # their words quote answers, and those hold tokens
            if not await self._answered(provider):
                return None
            if (tokens := context.current_tokens) is not None:
                check_token(tokens.access_token)
                return replace(login, tokens=tokens, expires_at=expiry(tokens.expires_in, self._wall()))
        raise doubtful("its answer holds no token")

    async def _answered(self, provider: OAuthClientProvider) -> bool:
        """Hand the provider the answer to its refresh token; False where that was refused for good."""
        asking = greeting(self._account.url)
        async with Courier(self._account.url, self._transport) as courier, driven(provider, asking) as flow:
            response = await courier.carry(await anext(flow))
            if response.status_code == 200:
                await flow.asend(response)
                return True
        if _for_good(response):
            return False
        reason = "the upstream's authorisation server does not answer"
        raise Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=courier.last)

    def _login_needed(self, detail: str) -> Failed:
        name = self._account.name
        reason = f"the upstream needs a login: bascule upstream login {name}"
        return Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=detail)


def driven(
    provider: OAuthClientProvider, request: httpx2.Request
) -> "aclosing[AsyncGenerator[httpx2.Request, httpx2.Response]]":
    """The provider's flow for a request, to be driven by hand: it yields what it wants sent."""
    return aclosing(provider.async_auth_flow(request))


def greeting(url: str) -> httpx2.Request:
    """The request a flow is about. It is never sent with a token from here."""
    headers = upstream_headers(LATEST_MODERN, "server/discover")
    asked = Request("server/discover", {}, {}, headers, ("", ""), LATEST_MODERN, 0)
    return httpx2.Request("POST", url, headers=headers, content=modern("bascule-login", asked))


def expiry(expires_in: int | None, now: float) -> float | None:
    """When a token ends, on the wall's clock."""
    return None if expires_in is None else now + min(max(expires_in, 0), LONGEST_LIFE)


def _for_good(response: httpx2.Response) -> bool:
    """Whether a refusal of the refresh token is a word on the login, not on the moment."""
    if not 400 <= response.status_code < 500:
        return False
    code = error_code(response)
    if code in {"temporarily_unavailable", "server_error", "slow_down"}:
        return False
    return bool(code) or response.status_code not in _RETRYABLE
