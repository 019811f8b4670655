"""Recorded calls for tests of suggestions: the documents a policy was asked about, and what it said."""

from typing import Any

import orjson

from gateway.model import Facts, JsonObject, Manifest, Principal, TypedValue
from gateway.policy import inputs
from gateway.policy.seen import SeenCall
from tests import nouns

NOW = Facts("2026-01-01T00:00:00Z")


def path(value: str, inside: str | None = None) -> TypedValue:
    return TypedValue("path", value, {"inside": inside})


def url(host: str, scheme: str = "https", port: int = 443) -> TypedValue:
    return TypedValue("url", f"{scheme}://{host}/x", {"scheme": scheme, "host": host, "port": port, "path": "/x"})


def email(value: str) -> TypedValue:
    return TypedValue("email", value, {"domain": value.partition("@")[2]})


def document(
    tool: str,
    args: JsonObject,
    typed: dict[str, TypedValue] | None = None,
    *,
    upstream: str = "files",
    who: Principal = nouns.AGENT,
    effects: tuple[str, ...] = ("unknown",),
) -> JsonObject:
    """What the policy was asked about this call."""
    proposal = nouns.proposal(
        call=nouns.call(tool, principal=who, arguments=args),
        pin=nouns.pin(tool, upstream=upstream, manifest=Manifest(effects=effects)),
        typed=typed or {},
    )
    _, encoded = inputs.encode(inputs.for_call(proposal, NOW), 65_536)
    found: JsonObject = orjson.loads(encoded)
    return found


def seen(tool: str, args: JsonObject, typed: dict[str, TypedValue] | None = None, **more: Any) -> SeenCall:
    """A call that only shadow let pass."""
    return SeenCall(document(tool, args, typed, **more), "require_approval", "APPROVAL_REQUIRED")
