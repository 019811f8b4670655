"""What the registry's tests share: definitions, calls, and a clock that stands still."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.model import Call, Endpoint, JsonObject, Principal
from gateway.registry.manifests import Manifests
from gateway.registry.registry import Registry, Terms


@pytest.fixture
def tool() -> Callable[..., JsonObject]:
    def make(name: str, description: str = "does it", **more: Any) -> JsonObject:
        return {"name": name, "description": description, "inputSchema": {"type": "object"}, **more}

    return make


@pytest.fixture
def call() -> Callable[..., Call]:
    def make(name: str, *upstreams: str, qualified: bool = False) -> Call:
        endpoint = Endpoint("x", upstreams or ("files",), qualified)
        return Call(Principal("p"), endpoint, "tool", name, {}, "mcp", "2025-11-25", "http", "s", "t")

    return make


@pytest.fixture
def registry() -> Callable[..., Registry]:
    def make(
        lock: Any = None, clock: Callable[[], float] = lambda: 0.0, manifests: Any = None, **terms: Terms
    ) -> Registry:
        return Registry(terms or {"files": Terms()}, lock or {}, manifests or Manifests({}), clock=clock)

    return make
