"""An MCP server behind OAuth, of the SDK's own auth parts: `python server.py --port N --issuer-port M`.

The authorisation server listens on the second port, so that it is another origin than the MCP server; it consents by
itself. `/control` beside it tells a test what was asked of it, and changes how it behaves.
"""

import argparse
import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    RefreshToken,
    TokenError,
    construct_redirect_uri,
)
from mcp.server.auth.routes import build_metadata, create_auth_routes
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl, AnyUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

PREREGISTERED = {"client_id": "operators-own", "client_secret": "planted-client-secret-0001", "scope": "notes"}


@dataclass
class Issuer:
    """The authorisation server's memory, and what a test may change of it."""

    issuer: str
    resource: str
    life_s: int = 3600
    rotate: bool = True
    iss: str = ""
    """What the redirect says instead of the issuer."""
    token_status: int = 0
    """What the token endpoint answers instead of tokens."""
    deny: str = ""
    clients: dict[str, OAuthClientInformationFull] = field(default_factory=dict)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    access: dict[str, AccessToken] = field(default_factory=dict)
    refresh: dict[str, RefreshToken] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"exchange": 0, "refresh": 0, "token": 0, "register": 0})
    resources: list[str | None] = field(default_factory=list)

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.counts["register"] += 1
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        back = str(params.redirect_uri)
        iss = self.iss or self.issuer
        if self.deny:
            return construct_redirect_uri(back, error=self.deny, state=params.state, iss=iss)
        code = AuthorizationCode(
            code=f"planted-code-{secrets.token_hex(20)}",
            client_id=client.client_id,
            expires_at=time.time() + 60,
            **params.model_dump(exclude={"state", "scopes"}),
            scopes=params.scopes or ["notes"],
        )
        self.resources.append(params.resource)
        self.codes[code.code] = code
        return construct_redirect_uri(back, code=code.code, state=params.state, iss=iss)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        self.counts["exchange"] += 1
        del self.codes[authorization_code.code]
        return self._issue(client.client_id, authorization_code.scopes, authorization_code.resource)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        self.counts["refresh"] += 1
        if self.rotate and self.refresh.pop(refresh_token.token, None) is None:
            raise TokenError("invalid_grant", "spent")
        return self._issue(client.client_id, scopes, refresh_token.resource)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.access.pop(token.token, None)
        self.refresh.pop(token.token, None)

    async def exchange_identity_assertion(self, client: OAuthClientInformationFull, params: Any) -> OAuthToken:
        raise TokenError("unsupported_grant_type")

    def _issue(self, client_id: str, scopes: list[str], resource: str | None) -> OAuthToken:
        access, refresh = f"planted-access-{secrets.token_hex(16)}", f"planted-refresh-{secrets.token_hex(16)}"
        ends = int(time.time()) + self.life_s
        told: dict[str, Any] = {"client_id": client_id, "scopes": scopes, "resource": resource}
        self.access[access] = AccessToken(token=access, expires_at=ends, **told)
        given = None
        if self.rotate or not self.refresh:
            given = refresh
            self.refresh[refresh] = RefreshToken(token=refresh, **told)
        return OAuthToken(access_token=access, expires_in=self.life_s, scope=" ".join(scopes), refresh_token=given)


def authorisation_server(memory: Issuer) -> Starlette:
    """The SDK's routes, with `iss` announced, what a test counts, and what it changes."""
    issuer = AnyHttpUrl(memory.issuer)
    registration = ClientRegistrationOptions(enabled=True, valid_scopes=["notes", "admin"], default_scopes=["notes"])
    metadata = build_metadata(issuer, None, registration, RevocationOptions()).model_dump(
        mode="json", exclude_none=True
    ) | {"issuer": memory.issuer, "authorization_response_iss_parameter_supported": True}

    async def known(request: Request) -> Response:
        return JSONResponse(metadata)

    async def control(request: Request) -> Response:
        for name, value in (await request.json()).items():
            if name == "revoke":
                getattr(memory, value).clear()
            elif name == "forget":
                memory.counts.update(dict.fromkeys(memory.counts, 0))
                memory.resources.clear()
            elif name == "redirect":
                memory.clients[PREREGISTERED["client_id"]].redirect_uris = [AnyUrl(value)]
            else:
                setattr(memory, name, value)
        tokens = [*memory.access, *memory.refresh, *memory.codes, PREREGISTERED["client_secret"]]
        tokens += [client.client_secret for client in memory.clients.values() if client.client_secret]
        return JSONResponse({"counts": memory.counts, "resources": memory.resources, "secrets": tokens})

    routes = create_auth_routes(memory, issuer, None, registration, RevocationOptions())
    routes = [route for route in routes if "well-known" not in route.path]
    token = next(route for route in routes if route.path == "/token")
    routes.remove(token)

    return Starlette(
        routes=[
            Route("/.well-known/oauth-authorization-server", known),
            Route("/control", control, methods=["POST"]),
            Route("/token", _Counted(memory, token.app), methods=["POST"]),
            *routes,
        ]
    )


class _Counted:
    """The token endpoint, counted, and failing where a test wants it to."""

    def __init__(self, memory: Issuer, token: ASGIApp) -> None:
        self._memory, self._token = memory, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._memory.counts["token"] += 1
        if self._memory.token_status:
            answer = JSONResponse({"said": "planted-answer-of-the-issuer"}, self._memory.token_status)
            await answer(scope, receive, send)
        else:
            await self._token(scope, receive, send)


def mcp_server(memory: Issuer) -> Any:
    """A server with one tool, which only answers to a token for it."""
    server = MCPServer(
        "notes",
        token_verifier=_Verifier(memory),
        auth=AuthSettings.model_validate(
            {
                "issuer_url": memory.issuer,
                "resource_server_url": memory.resource,
                "required_scopes": ["notes"],
                "validate_token_resource": True,
            }
        ),
    )

    @server.tool()
    def echo(text: str) -> str:
        """Say it again."""
        return text

    return server.streamable_http_app()


class _Verifier:
    def __init__(self, memory: Issuer) -> None:
        self._memory = memory

    async def verify_token(self, token: str) -> AccessToken | None:
        return await self._memory.load_access_token(token)


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listens.set()


async def main() -> None:
    """Serve both until told to stop; one line `ready` says that they listen."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--issuer-port", type=int, required=True)
    given = options.parse_args()
    memory = Issuer(f"http://127.0.0.1:{given.issuer_port}", f"http://127.0.0.1:{given.port}/mcp")
    memory.clients[PREREGISTERED["client_id"]] = OAuthClientInformationFull.model_validate(
        {
            **PREREGISTERED,
            "token_endpoint_auth_method": "client_secret_basic",
            "redirect_uris": ["http://127.0.0.1:0/callback"],
        }
    )
    servers = [
        _Announcing(uvicorn.Config(app, port=port, log_level="warning"))
        for app, port in ((mcp_server(memory), given.port), (authorisation_server(memory), given.issuer_port))
    ]
    async with asyncio.TaskGroup() as running:
        for server in servers:
            running.create_task(server.serve())
        for server in servers:
            await server.listens.wait()
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
