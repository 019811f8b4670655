"""The addresses under /mcp: which upstreams each reaches, and which one a name there means."""

from typing import Literal

from gateway.config import Settings
from gateway.model import Call, Endpoint
from gateway.parts import Gateway
from gateway.registry import names

VIEW = "view/"


def endpoints(settings: Settings) -> dict[tuple[str | None, str | None], Endpoint]:
    """Every address under /mcp, by the upstream or the view it names."""
    found: dict[tuple[str | None, str | None], Endpoint] = {
        (None, None): Endpoint("", tuple(settings.upstreams), qualified=True)
    }
    for name in settings.upstreams:
        found[name, None] = Endpoint(name, (name,), qualified=False)
    for view, one in settings.views.items():
        found[None, view] = Endpoint(f"{VIEW}{view}", one.upstreams, qualified=True)
    return found


def upstream_of(call: Call) -> str:
    """The upstream that the name of a tool or a prompt addresses; it may not exist."""
    return parted(call.endpoint, call.name)[0]


def parted(endpoint: Endpoint, name: str) -> tuple[str, str]:
    """The upstream a name says, and what it is called there."""
    if not endpoint.qualified:
        return endpoint.upstreams[0], name
    upstream, _, own = name.partition(names.SEPARATOR)
    return upstream, own


def search_of(endpoint: Endpoint, gw: Gateway) -> Literal["also", "only"] | None:
    """Whether tools are found by words there, beside the list or in place of it."""
    if not endpoint.name.startswith(VIEW):
        return None
    view = gw.settings.views.get(endpoint.name.removeprefix(VIEW))
    return view.search if view else None
