"""Decisions made again: from the bundles' stored bytes and the sealed inputs, with nothing else at hand."""

from typing import Final

import orjson

from gateway.errors import ConfigError, Refused
from gateway.model import Decision, Effect, JsonObject, Point
from gateway.policy import Pdp
from gateway.policy.bundle import Bundle
from gateway.policy.decide import decide
from gateway.policy.regorus import Regorus

WHOLE: Final = 1 << 62
"""A recorded input was bounded when it was judged: nothing of it is bounded a second time."""


async def evaluate_again(content: bytes, recorded: bytes) -> JsonObject:
    """The raw decision of a recorded input under a stored bundle."""
    document: JsonObject = orjson.loads(recorded)
    pdp = engine_of(Bundle.from_content(content))
    try:
        return await pdp.evaluate(Point(document["point"]), document)
    finally:
        await pdp.close()


def engine_of(bundle: Bundle) -> Regorus:
    """The engine in process, for recorded inputs. Belongs to the thread that made it.

    Raises:
        ConfigError: it does not take the bundle, which an OPA server had.
    """
    try:
        return Regorus(bundle, value_bytes=WHOLE)
    except RuntimeError:
        raise ConfigError(f"the engine in process does not take the bundle {bundle.digest}") from None


async def decide_again(pdp: Pdp, recorded: bytes) -> Decision:
    """The decision of a recorded input; an engine that fails at it refuses, as it would refuse the call."""
    document: JsonObject = orjson.loads(recorded)
    point = Point(document["point"])
    try:
        return await decide(pdp, point, document, id="")
    except Refused as refusal:
        why = (refusal.detail or refusal.reason,)
        digest = pdp.bundle.digest
        return Decision("", point, Effect.DENY, refusal.code, why, "", (), digest, pdp.engine, recorded, 0)
