"""An authorisation server as far as it is accepted: its addresses, its metadata, and answers within bounds.

Not the flow: that is the SDK's provider. What stands here is what the provider does not check, for an upstream names
its authorisation server itself and may name anything.
"""

import asyncio
import ipaddress
import logging
import re
from types import TracebackType
from typing import Final, Self

import ada_url
import httpx2
from mcp.shared.auth import OAuthClientMetadata, OAuthMetadata
from pydantic import AnyUrl

from gateway.errors import Failed
from gateway.model import Code

MOST_BYTES = 262_144
SECONDS = 15.0
"""For one request."""
_ADDRESS = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9._~%/:@+,=*-]*)?(?:\?[A-Za-z0-9._~%/:@+,=&*-]*)?"
)
"""What an endpoint needs: nothing that a shell, a terminal or another parser of addresses could take for more."""
_CODE = re.compile(r'"error"\s*:\s*"([a-z_]{1,40})"')
_ENDPOINTS = ("issuer", "authorization_endpoint", "token_endpoint", "registration_endpoint")

# The SDK logs the flow's errors with their causes, which quote tokens, states and whole answers.
logging.getLogger("mcp.client.auth").setLevel(logging.CRITICAL + 1)
# Their requests show what is sent, where the operator's log shows everything.
for _talkative in ("httpx2", "httpcore2"):
    logging.getLogger(_talkative).setLevel(logging.WARNING)


def doubtful(problem: str, detail: str = "") -> Failed:
    """An authorisation server that is not to be trusted with anything."""
    reason = f"the upstream's authorisation server is not accepted: {problem}"
    return Failed(Code.UPSTREAM_INVALID, reason, detail=detail)


def check_address(what: str, address: str, upstream: str) -> None:
    """Refuse an address that nothing may be sent to, nor a browser be opened at.

    Raises:
        Failed: it is not https, not plain, or on a machine that only a neighbour may name.
    """
    shown = f"{what} is {_shown(address)}"
    if not _ADDRESS.fullmatch(address):
        raise doubtful(f"its {what} is no plain http or https address", shown)
    host, neighbour = _host(address), not _public(_host(upstream))
    if host is None:
        raise doubtful(f"its {what} is no plain http or https address", shown)
    if address.startswith("http:") and not (_loopback(host) and on_this_machine(upstream)):
        raise doubtful(f"its {what} is not https", shown)
    if not neighbour and not _public(host):
        raise doubtful(f"its {what} is on this machine or network, and the upstream is not", shown)


def check_metadata(metadata: OAuthMetadata | None, upstream: str) -> OAuthMetadata:
    """The metadata, if every address in it may be used and PKCE is offered.

    Raises:
        Failed: one of them may not, or there is none: what is not published is not guessed either.
    """
    if metadata is None:
        raise doubtful("it publishes no metadata that can be used")
    for name in _ENDPOINTS:
        if (address := getattr(metadata, name)) is not None:
            check_address(name, str(address), upstream)
    # "If code_challenge_methods_supported is absent, the authorization server does not support PKCE and MCP clients
    # MUST refuse to proceed."
    if "S256" not in (metadata.code_challenge_methods_supported or ()):
        raise doubtful("it does not offer PKCE with S256")
    return metadata


def check_token(token: str) -> str:
    """A token that fits a header. Raises Failed."""
    if not re.fullmatch(r"[\x21-\x7e]{1,16384}", token):
        raise doubtful("its token is none that a header may hold")
    return token


def error_code(response: httpx2.Response) -> str:
    """The error an answer names, as far as it is a word of the specification's form."""
    found = _CODE.search(response.text[:MOST_BYTES])
    return found[1] if found else ""


def client_metadata(redirect: str, scopes: tuple[str, ...]) -> OAuthClientMetadata:
    """What the gateway says of itself where it registers."""
    return OAuthClientMetadata(redirect_uris=[AnyUrl(redirect)], client_name="Bascule", scope=" ".join(scopes) or None)


class Courier:
    """Carries the provider's requests. Where each goes is checked first; what comes back is bounded, no redirect is
    followed, no cookie kept, and no proxy or password taken from the environment.
    """

    def __init__(self, upstream: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._upstream, self._transport = upstream, transport
        self.last = ""
        """How the last answer ended, in words of ours, for the operator."""

    async def __aenter__(self) -> Self:
        transport = self._transport
        if transport is None:
            # Reading the certificates of the system takes so long that every call under way would feel it.
            verify = await asyncio.to_thread(httpx2.create_ssl_context, trust_env=False)
            transport = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False)
        headers = {"accept-encoding": "identity", "user-agent": "bascule"}
        self._client = httpx2.AsyncClient(
            transport=transport, trust_env=False, follow_redirects=False, timeout=SECONDS, headers=headers
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def challenge(self, greeting: httpx2.Request) -> str:
        """What the upstream's refusal of a request without a token says (`WWW-Authenticate`); empty without one.

        Raises:
            Failed: it is not reached.
        """
        response = await self._sent(greeting, body=False)
        return response.headers.get("www-authenticate", "") if response.status_code in {401, 403} else ""

    async def carry(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and read its answer whole.

        Raises:
            Failed: it may not go there, nothing came back, or too much did.
        """
        check_address("address", str(request.url), self._upstream)
        answer = await self._sent(request)
        self.last = f"{request.url.host} answered HTTP {answer.status_code} {error_code(answer)}".rstrip()
        return answer

    async def _sent(self, request: httpx2.Request, *, body: bool = True) -> httpx2.Response:
        request.headers["accept-encoding"] = "identity"
        try:
            async with asyncio.timeout(SECONDS):
                response = await self._client.send(request, stream=True)
                try:
                    content = await _bounded(response) if body else b""
                finally:
                    await response.aclose()
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            problem = type(error).__name__  # never its words: it holds the request, and that a secret
        else:
            return httpx2.Response(response.status_code, headers=response.headers, content=content, request=request)
        reason = "the upstream's authorisation server could not be reached"
        raise Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=f"{request.url.host}: {problem}")


async def _bounded(response: httpx2.Response) -> bytes:
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise doubtful("its answer is compressed, which was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MOST_BYTES:
            raise doubtful(f"its answer is larger than {MOST_BYTES} bytes")
    return bytes(content)


def _host(address: str) -> str | None:
    """The host as every parser ends up reading it: `0x7f.1` is 127.0.0.1."""
    try:
        return ada_url.URL(address).hostname.strip("[]").rstrip(".").lower() or None
    except ValueError:
        return None


def on_this_machine(address: str) -> bool:
    """Whether an address is one of loopback."""
    return _loopback(_host(address))


def _loopback(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return _ip(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _public(host: str | None) -> bool:
    """Whether a host may be anybody's. A name is taken for one: the certificate of an https address must bear it."""
    if host is None or _loopback(host):
        return False
    try:
        return _ip(host).is_global
    except ValueError:
        return True


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


_UNSHOWN: Final = re.compile(r"[^\x21-\x7e]")


def _shown(address: str) -> str:
    """An address for the operator, without its query (it may hold a key) and without what steers a terminal."""
    return _UNSHOWN.sub("?", address.partition("?")[0])[:200]
