"""What there is, and who sees it: upstream lists to the registry, the `list` point to principals."""

from gateway.listing.addresses import endpoints, upstream_of
from gateway.listing.fetching import changed, refresh, refreshed_quietly
from gateway.listing.finding import builtin
from gateway.listing.hiding import hidden
from gateway.listing.recording import keep
from gateway.listing.resolving import input_schema, remember_task, resolve
from gateway.listing.showing import listed, visible
from gateway.listing.speaking import about

__all__ = [
    "about",
    "builtin",
    "changed",
    "endpoints",
    "hidden",
    "input_schema",
    "keep",
    "listed",
    "refresh",
    "refreshed_quietly",
    "remember_task",
    "resolve",
    "upstream_of",
    "visible",
]
