"""A decision made again: from the bundle's stored bytes and the sealed input, with nothing else at hand."""

import orjson

from gateway.model import JsonObject, Point
from gateway.policy.bundle import Bundle
from gateway.policy.regorus import Regorus


async def evaluate_again(content: bytes, recorded: bytes) -> JsonObject:
    """The raw decision of a recorded input under a stored bundle."""
    document: JsonObject = orjson.loads(recorded)
    pdp = Regorus(Bundle.from_content(content))
    try:
        return await pdp.evaluate(Point(document["point"]), document)
    finally:
        await pdp.close()
