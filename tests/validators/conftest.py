"""What the validators' tests share: pins made of a schema, proposals made of types."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from gateway.model import (
    Call,
    Digest,
    Endpoint,
    JsonObject,
    Manifest,
    Pin,
    PinState,
    Principal,
    Proposal,
    TypeSpec,
)

_numbers = itertools.count()


@pytest.fixture
def pin() -> Callable[..., Pin]:
    def make(schema: Any = None, *, output: Any = None, manifest: Manifest | None = None) -> Pin:
        definition: JsonObject = {"name": "t"}
        if schema is not None:
            definition["inputSchema"] = schema
        if output is not None:
            definition["outputSchema"] = output
        digest = Digest(f"sha256:test-{next(_numbers)}")
        return Pin("u", "t", digest, definition, PinState.ACCEPTED, manifest or Manifest())

    return make


@pytest.fixture
def proposal(pin: Callable[..., Pin]) -> Callable[..., Proposal]:
    def make(arguments: JsonObject, digest: str = "", **types: TypeSpec) -> Proposal:
        manifest = Manifest(types=types, digest=Digest(digest))
        endpoint = Endpoint("u", ("u",), qualified=False)
        call = Call(Principal("p"), endpoint, "tool", "t", arguments, "mcp", "2025-11-25", "http", "s", "t")
        return Proposal(call, pin(manifest=manifest))

    return make
