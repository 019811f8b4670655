"""An authorisation server at https addresses that exist nowhere, and a browser that answers what a test wants."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

UPSTREAM = "https://crm.example/mcp"
ISSUER = "https://as.example"
ACCESS, REFRESH = "planted-access-000001", "planted-refresh-000001"
PRM = f"{'https://crm.example'}/.well-known/oauth-protected-resource/mcp"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"


class Fake:
    """`pages` says what each address answers; all that was asked is in `seen`."""

    def __init__(self, **metadata: Any) -> None:
        self.metadata: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "registration_endpoint": f"{ISSUER}/register",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **metadata,
        }
        self.tokens: dict[str, Any] = {
            "access_token": ACCESS,
            "refresh_token": REFRESH,
            "token_type": "Bearer",
            "expires_in": 3600,
        }
        self.pages: dict[str, Callable[[httpx2.Request], httpx2.Response]] = {
            UPSTREAM: lambda _: httpx2.Response(401, headers={"www-authenticate": f'Bearer resource_metadata="{PRM}"'}),
            PRM: lambda _: httpx2.Response(200, json={"resource": UPSTREAM, "authorization_servers": [ISSUER]}),
            METADATA: lambda _: httpx2.Response(200, json=self.metadata),
            f"{ISSUER}/register": self._registered,
            f"{ISSUER}/token": lambda _: httpx2.Response(200, json=self.tokens),
        }
        self.seen: list[httpx2.Request] = []

    @property
    def transport(self) -> httpx2.AsyncBaseTransport:
        return httpx2.MockTransport(self._answer)

    def forms(self, address: str = f"{ISSUER}/token") -> list[dict[str, str]]:
        """What was posted there."""
        return [dict(parse_qsl(seen.content.decode())) for seen in self.seen if str(seen.url) == address]

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        page = self.pages.get(str(request.url))
        made = httpx2.Response(404) if page is None else page(request)
        if not made.is_stream_consumed:
            return made
        return httpx2.Response(made.status_code, headers=made.headers, stream=httpx2.ByteStream(made.content))

    def _registered(self, request: httpx2.Request) -> httpx2.Response:
        given = json.loads(request.content)
        return httpx2.Response(201, json={**given, "client_id": "made-for-us", "token_endpoint_auth_method": "none"})


def parameters(address: str) -> dict[str, str]:
    """What an authorisation address asks for."""
    return dict(parse_qsl(urlsplit(address).query))


def returning(**changed: str | None) -> Callable[[str], Awaitable[None]]:
    """A browser that comes back at once, with these parameters other than they should be; None leaves one out."""

    async def browser(address: str) -> None:
        asked = parameters(address)
        given = {"code": "planted-code-000001", "state": asked["state"], "iss": ISSUER, **changed}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        async with httpx2.AsyncClient(verify=False, trust_env=False) as http:
            await http.get(f"{asked['redirect_uri']}?{query}")

    return browser
