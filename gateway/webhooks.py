"""Signed webhooks: people and programs are told of what waits, what is stopped, what nobody can vouch for.

In the form of standardwebhooks.com. Only the public part of a record goes out, after it is durable; no call waits
for it. What is queued here is lost with the process: the log has it all.
"""

import asyncio
import logging
from asyncio import sleep
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.http import Url
from standardwebhooks import Webhook

from gateway.audit.ids import uuid7
from gateway.cancels import Cancels
from gateway.errors import ConfigError
from gateway.model import Ending, Record
from gateway.settings import NotifySettings

UNKNOWN: Final = "run.unknown"
"""A run whose effect may have happened; it is frozen until a person resolves it."""
ANSWER_SECONDS: Final = 10
RETRY_SECONDS: Final = (5.0, 30.0, 120.0, 600.0)
MOST_QUEUED: Final = 1_000
"""Of one receiver and one kind of event, so that no flood takes the room of another kind; further ones are dropped, and
the operator's log says so."""
GONE: Final = 410
"""The receiver wants no more of them."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way to one receiver. `ident` is the same whenever it is sent."""

    event: str
    ident: str
    body: bytes


class Receiver:
    """One address that is told."""

    def __init__(self, name: str, settings: NotifySettings) -> None:
        self.name, self._events = name, frozenset(settings.events)
        try:
            self._url = Url(settings.url)
        except ValueError:
            wrong = f"notify.{name}.url is no address that can be reached; https://hooks.example/bascule is one"
            raise ConfigError(wrong) from None
        try:
            self._signing = Webhook(settings.secret)
        except Exception:  # noqa: BLE001 - the library has no one word for a secret that is none
            raise ConfigError(f"notify.{name}.secret should be whsec_ and base64, as the receiver shows it") from None
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._waiting: Counter[str] = Counter()
        self._one = asyncio.Lock()
        self._client: Client | None = None
        self._gone = False

    def anew(self) -> None:
        """Tell it again, though it was gone."""
        self._gone = False

    def tell(self, event: str, body: bytes) -> None:
        """Queue one event, if the receiver wants it. Never waits."""
        if event not in self._events or self._gone:
            return
        if self._waiting[event] >= MOST_QUEUED:
            logger.warning("notify.%s: too many wait, %s is not told", self.name, event)
            return
        self._waiting[event] += 1
        self._queue.put_nowait(Message(event, uuid7(), body))

    async def run(self) -> None:
        """Deliver what is queued, for ever: each once in its turn, and again beside those that come after it."""
        async with _client() as self._client, asyncio.TaskGroup() as again:
            while True:
                message = await self._queue.get()
                if await self._attempt(message):
                    again.create_task(self._again(message))
                else:
                    self._waiting[message.event] -= 1
                self._queue.task_done()

    async def _again(self, message: Message) -> None:
        """Send one again that did not arrive, until it does or was tried often enough."""
        problem = ""
        for pause in RETRY_SECONDS:
            await sleep(pause)
            problem = await self._attempt(message)
            if not problem:
                break
        else:
            logger.warning("notify.%s: %s; given up, the log has it", self.name, problem)
        self._waiting[message.event] -= 1

    async def _attempt(self, message: Message) -> str:
        """Send it once; what went wrong, empty where it arrived or the receiver wants no more."""
        async with self._one:
            return "" if self._gone else await self._sent(message)

    async def _sent(self, message: Message) -> str:
        assert self._client is not None
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message.ident,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signing.sign(msg_id=message.ident, timestamp=now, data=message.body.decode()),
        }
        cancels = Cancels()
        try:
            post = self._client.post(self._url).headers(headers).body_bytes(message.body)
            async with post.build_streamed() as response:
                status = response.status
        except PyreqwestError as error:
            return type(error).__name__
        finally:
            cancels.heed()
        if status == GONE:
            logger.warning("notify.%s: the receiver is gone (410): not told again until a reload", self.name)
            self._gone = True
            return ""
        return "" if 200 <= status < 300 else f"it answered {status}"


class Webhooks:
    """Every receiver. `recorded` is told of each durable append."""

    def __init__(self, settings: Mapping[str, NotifySettings]) -> None:
        self.receivers = [Receiver(name, one) for name, one in settings.items()]

    def anew(self) -> None:
        """Tell those again that were gone."""
        for receiver in self.receivers:
            receiver.anew()

    def recorded(self, records: Sequence[Record]) -> None:
        """Tell whoever wants to know. Never waits, never raises."""
        for record in records:
            event = _event(record)
            if event is None:
                continue
            told = {"type": event, "timestamp": datetime.now(UTC).isoformat(), "data": _public(record)}
            body = orjson.dumps(told)
            for receiver in self.receivers:
                receiver.tell(event, body)


def _event(record: Record) -> str | None:
    if record.kind == "call.settled":
        return UNKNOWN if record.public.get("ending") == Ending.UNKNOWN else None
    return record.kind if record.kind in EVENTS else None


def _public(record: Record) -> dict[str, object]:
    return {**record.public, "run": record.run} if record.run is not None else dict(record.public)


EVENTS: Final = frozenset(
    {
        "approval.requested",
        "approval.granted",
        "approval.denied",
        "approval.expired",
        "brake.set",
        "brake.released",
        "pin.drifted",
        UNKNOWN,
    }
)


def _client() -> Client:
    """No proxy and no redirect: only the address that the operator named is told."""
    return (
        ClientBuilder()
        .http1_only()
        .no_proxy()
        .follow_redirects(enable=False)
        .referer(enable=False)
        .user_agent("bascule")
        .timeout(timedelta(seconds=ANSWER_SECONDS))
        .max_connections(1)
        .build()
    )
