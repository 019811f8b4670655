"""Signed webhooks: told of what is durable, without its secrets, again where it did not arrive, and nobody waits."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from gateway import webhooks
from gateway.errors import ConfigError
from gateway.model import Record, RunId
from gateway.settings import Event, NotifySettings
from gateway.webhooks import EVENTS, MOST_QUEUED, Webhooks
from tests.path import DataPath
from tests.serving import PATIENCE

SECRET = "whsec_" + base64.b64encode(b"a secret of the receiver").decode()
RUN = RunId("018f0000-0000-7000-8000-000000000001")
WAITS = Record("approval.requested", RUN, {"approval": "a1", "tool": "refund"}, {"args": b'{"amount":1}'})
BRAKED = Record("brake.set")


@dataclass(slots=True)
class Inbox:
    """A receiver: what arrived and was signed rightly, and how it answers."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """Statuses, one for each delivery; 204 from then on."""
    got: list[tuple[str, Any]] = field(default_factory=list)
    arrived: "asyncio.Queue[None]" = field(default_factory=asyncio.Queue)
    location: str = ""

    async def take(self, request: web.Request) -> web.Response:
        body = Webhook(SECRET).verify(await request.read(), dict(request.headers))
        self.got.append((request.headers["webhook-id"], body))
        self.arrived.put_nowait(None)
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"location": self.location} if self.location else {})

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            for _ in range(count):
                await self.arrived.get()


@asynccontextmanager
async def inbox(**given: Any) -> AsyncIterator[Inbox]:
    made = Inbox(**given)
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}/hook"
    try:
        yield made
    finally:
        await runner.cleanup()


@asynccontextmanager
async def told(url: str, *events: Event) -> AsyncIterator[Webhooks]:
    made = Webhooks({"ops": NotifySettings(url=url, secret=SECRET, events=events or ("approval.requested",))})
    running = [asyncio.ensure_future(one.run()) for one in made.receivers]
    try:
        yield made
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited before each new attempt; nobody really waits."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(webhooks, "sleep", sleep)
    return waited


@dataclass(slots=True)
class Pause:
    """The wait before a new attempt: it has begun, and lasts until a test says that it is over."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep(self, _: float) -> None:
        self.begun.set()
        await self.over.wait()


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Pause:
    made = Pause()
    monkeypatch.setattr(webhooks, "sleep", made.sleep)
    return made


def test_what_can_be_told_is_what_can_be_configured() -> None:
    assert set(Event.__args__) == EVENTS  # type: ignore[attr-defined]


@pytest.mark.promise("webhooks")
async def test_what_is_told_is_signed_and_holds_nothing_that_is_sealed() -> None:
    async with inbox() as reached, told(reached.url) as hooks:
        hooks.recorded([WAITS])
        await reached.until(1)
        ((_, body),) = reached.got
        assert body["type"] == "approval.requested"
        assert body["data"] == {"approval": "a1", "tool": "refund", "run": RUN}


async def test_only_what_is_asked_for_is_told() -> None:
    ends = [Record("call.settled", RUN, {"ending": ending}) for ending in ("done", "unknown")]
    async with inbox() as reached, told(reached.url, "run.unknown") as hooks:
        hooks.recorded([WAITS, *ends, Record("log.boot")])
        await reached.until(1)
        assert [body["type"] for _, body in reached.got] == ["run.unknown"]


async def test_what_did_not_arrive_is_sent_again_under_the_same_id(pauses: list[float]) -> None:
    async with inbox(answers=[500, 503]) as reached, told(reached.url) as hooks:
        hooks.recorded([WAITS])
        await reached.until(3)
        assert len({ident for ident, _ in reached.got}) == 1
        assert pauses == [5.0, 30.0]


async def test_a_receiver_that_never_takes_it_is_given_up_and_the_next_event_is_told(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    async with inbox(answers=[500] * 5) as reached, told(reached.url) as hooks:
        hooks.recorded([WAITS])
        await reached.until(5)
        hooks.recorded([WAITS])
        await reached.until(1)
        assert len(pauses) == 4
    assert "notify.ops: it answered 500; given up, the log has it" in caplog.text


async def test_what_is_refused_is_tried_again_beside_what_comes_after_it(pause: Pause) -> None:
    async with inbox(answers=[413]) as reached, told(reached.url, "approval.requested", "brake.set") as hooks:
        hooks.recorded([WAITS, BRAKED])
        await reached.until(2)
        pause.over.set()
        await reached.until(1)
        assert [body["type"] for _, body in reached.got] == ["approval.requested", "brake.set", "approval.requested"]


async def test_what_is_tried_again_takes_its_room_until_it_arrived(
    pause: Pause, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhooks, "MOST_QUEUED", 1)
    async with inbox(answers=[500]) as reached, told(reached.url, "approval.requested", "brake.set") as hooks:
        hooks.recorded([WAITS])
        await pause.begun.wait()
        hooks.recorded([WAITS])
        assert "notify.ops: too many wait, approval.requested is not told" in caplog.text
        pause.over.set()
        await reached.until(2)
        hooks.recorded([BRAKED])
        await reached.until(1)  # one is sent at a time: the client has the answer to the one before
        hooks.recorded([WAITS])
        await reached.until(1)
        assert len({ident for ident, _ in reached.got}) == 3


async def test_a_redirect_is_not_followed(pauses: list[float]) -> None:
    async with inbox() as private, inbox(answers=[302], location=private.url) as reached, told(reached.url) as hooks:
        hooks.recorded([WAITS])
        await reached.until(2)
        assert private.got == []
        assert pauses == [5.0]


async def test_a_receiver_that_is_gone_is_told_no_more_until_it_is_told_anew(caplog: pytest.LogCaptureFixture) -> None:
    async with inbox(answers=[410]) as reached, told(reached.url) as hooks:
        hooks.recorded([WAITS])
        hooks.recorded([WAITS])
        await reached.until(1)
        await hooks.receivers[0]._queue.join()
        hooks.recorded([WAITS])
        await hooks.receivers[0]._queue.join()
        assert len(reached.got) == 1
        assert "gone (410)" in caplog.text
        hooks.anew()
        hooks.recorded([WAITS])
        await reached.until(1)


async def test_a_dead_receiver_holds_nobody_and_what_waits_for_it_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    hooks = Webhooks({"ops": NotifySettings(url="http://127.0.0.1:1/", secret=SECRET)})
    with caplog.at_level(logging.WARNING):
        for _ in range(MOST_QUEUED + 5):
            hooks.recorded([WAITS])
    assert hooks.receivers[0]._queue.qsize() == MOST_QUEUED
    assert caplog.text.count("too many wait") == 5
    hooks.recorded([Record("call.settled", RUN, {"ending": "unknown"})])
    assert hooks.receivers[0]._queue.qsize() == MOST_QUEUED + 1


@pytest.mark.parametrize("url", ["https://1.2.3.4.5.6/", "https://xn--/", "https://%zz/"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(ConfigError, match=r"notify\.ops\.url is no address that can be reached"):
        Webhooks({"ops": NotifySettings(url=url, secret=SECRET)})


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!", "whsec_a"])
def test_a_secret_that_is_none_is_said_without_telling_it(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"notify\.ops\.secret should be whsec_ and base64") as refused:
        Webhooks({"ops": NotifySettings(url="http://127.0.0.1:1/", secret=secret)})
    assert "whsec_!" not in str(refused.value)


async def test_the_log_tells_of_what_is_durable_and_of_nothing_else(path: DataPath) -> None:
    seen: list[str] = []
    path.gw.log.on_recorded = lambda records: seen.extend(record.kind for record in records)
    await path.write()
    assert [kind for kind in seen if kind.startswith("call.")] == ["call.intent", "call.settled"]
