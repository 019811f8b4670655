"""The gateway without governance, in this bench only: its transport, its codecs and its executor.

No schema, no policy, no log: what is called is run. What it costs beyond the floor is the price of speaking MCP
strictly; what the whole gateway costs beyond it is the price of governance.
"""

import hashlib

from bench.servers.serving import Announcing, arguments
from gateway.channel import About, Channel
from gateway.executors.remote import Remote
from gateway.identity.tokens import Authenticator
from gateway.model import (
    Call,
    Digest,
    Endpoint,
    JsonObject,
    Limits,
    Manifest,
    Pin,
    PinState,
    Principal,
    Proposal,
    Reply,
)
from gateway.settings import Settings
from gateway.subscriptions import Subscription
from gateway.transports.http import App
from gateway.transports.mcp import Front
from gateway.transports.protocol import server_config
from gateway.transports.served import Behind

NAME = "echo"
LIMITS = Limits(timeout_s=60, result_bytes=16 << 20)


class Bare:
    """What `Front` is made of, with nothing in between."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._pins: dict[str, Pin] = {}
        self._endpoint = Endpoint(NAME, (NAME,), qualified=False)

    def endpoints(self, upstream: str | None, view: str | None) -> Endpoint | None:
        return self._endpoint if upstream == NAME and view is None else None

    async def call(self, call: Call, channel: Channel) -> Reply:
        if not self._pins:
            await self._list()
        outcome = await self._remote.execute(Proposal(call, self._pins[call.name]), LIMITS, channel)
        return Reply(result=outcome.result)

    async def listed(self, *_asked: object) -> tuple[list[JsonObject], None]:
        await self._list()
        return [pin.definition for pin in self._pins.values()], None

    async def about(self, _who: Principal, _at: Endpoint) -> About:
        return About({"tools": {}})

    async def subscribe(self, *_asked: object) -> Subscription:
        raise NotImplementedError("nothing is subscribed to here")

    async def input_schema(self, _who: Principal, _at: Endpoint, name: str) -> JsonObject | None:
        pin = self._pins.get(name)
        return None if pin is None else pin.definition["inputSchema"]

    async def _list(self) -> None:
        self._pins = {tool["name"]: _pin(tool) for tool in await self._remote.tools()}


def _pin(definition: JsonObject) -> Pin:
    return Pin(NAME, definition["name"], Digest(definition["name"]), definition, PinState.ACCEPTED, Manifest())


def bare(upstream: str, token: str) -> App:
    """The app in front of `upstream`, for the one principal that holds `token`."""
    settings = Settings.model_validate(
        {
            "version": 1,
            "principals": {"bench": {"token_sha256": hashlib.sha256(token.encode()).hexdigest()}},
            "upstreams": {NAME: {"url": upstream}},
            "audit": {"origin": "bench.example/bare"},
        }
    )
    parts = Bare(Remote(NAME, settings.upstreams[NAME]))
    behind = Behind(parts.call, parts.listed, parts.about, parts.input_schema, parts.subscribe)
    front = Front(endpoints=parts.endpoints, behind=behind, server={"name": "bascule-bare", "version": "1"})
    return App(front, Authenticator(settings), settings, ready=lambda: True)


if __name__ == "__main__":
    options = arguments("upstream", "token")
    app = bare(options.upstream, options.token)
    Announcing(server_config(app, host="127.0.0.1", port=options.port)).run()
