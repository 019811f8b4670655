import asyncio

from gateway.channel import Channel
from gateway.model import Call, JsonObject, Reply
from gateway.transports.sessions import Sessions
from gateway.transports.streams import Pulse
from tests.transports.exchange import Exchange, request
from tests.transports.listening import PATIENCE, Reading, listening

CALL: JsonObject = {"name": "read_file", "arguments": {}, "_meta": {"progressToken": "p"}}


class Working(Exchange):
    """Tells of progress once and then works until it is let go."""

    def __post_init__(self) -> None:
        self.sessions = Sessions()
        self.sessions.pulse = Pulse(every_s=0.02, places=2)
        super().__post_init__()
        self.go = asyncio.Event()
        self.run = self.working

    async def working(self, _call: Call, channel: Channel) -> Reply:
        channel.tell("notifications/progress", {"progress": 1})
        await self.go.wait()
        return Reply(result={"content": []})


async def comments(answer: Reading, least: int) -> int:
    """How many comments came, once there were `least`."""
    seen = 0
    async with asyncio.timeout(PATIENCE):
        while seen < least:
            seen += (await answer.response.content.readline()).startswith(b":")
    return seen


async def test_a_call_that_works_does_not_keep_its_stream_or_anothers_from_being_kept_alive() -> None:
    exchange = Working()
    async with listening(exchange) as place:
        opened = await place.initialize()
        standalone = await place.get(**opened)
        modern = await place.modern("tools/call", CALL, meta={"progressToken": "p"})
        legacy = await place.send(request("tools/call", CALL), **opened)
        for answer in (standalone, modern, legacy):
            assert answer.kind == "text/event-stream"
            headers = answer.response.headers
            assert (headers["x-accel-buffering"], headers["cache-control"]) == ("no", "no-store")
            assert await comments(answer, 3) == 3
        exchange.go.set()
        for answer in (modern, legacy):
            events = await answer.rest()
            assert events[-1].json["result"]["content"] == []
