"""The PDP: what may happen, as the operator's Rego says it.

Two engines answer behind one Protocol: `regorus` in process, `opa` over HTTP. `decide` is the only way in.
"""

from typing import Protocol

from gateway.model import JsonObject, Point
from gateway.policy.bundle import Bundle


class Pdp(Protocol):
    """An engine that holds one bundle. Whatever it raises is the guard's business (`decide`)."""

    engine: str
    """Name and version, as decisions record it."""
    bundle: Bundle
    value_bytes: int
    """Values above this stand as digest and length in what it is asked (`limits.policy_value_kb`)."""

    async def evaluate(self, point: Point, document: JsonObject) -> JsonObject:
        """The raw `decision` of the entry: read only, because an engine may hand out the same one again."""
        ...

    def reload(self, bundle: Bundle) -> None:
        """Answers by this bundle from now on; on any error the old one stays."""
        ...

    async def close(self) -> None:
        """Gives back what it holds."""
        ...
