"""What the data path is made of. `app.py` puts the parts together; nothing here does anything."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.audit.log import Log
from gateway.config import Settings
from gateway.errors import Failed, Refused
from gateway.executors import Executor
from gateway.executors.launcher import Grounds
from gateway.facts import Sessions
from gateway.model import Digest, Record
from gateway.policy import Pdp
from gateway.registry import Registry
from gateway.storage.database import Reader

T = TypeVar("T")
ShownKey = tuple[str, tuple[str, ...], str, str, int, str]
"""Principal, its labels, upstream, bundle digest, registry revision, era."""


class Tasks:
    """Work in the background: held (the loop itself keeps only weak references) and ended with the process."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run it; a failure nobody awaits is logged by the loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Archive:
    """What reading the log needs: no lock, no writer, and of the keys only what verifies and what opens payloads."""

    settings: Settings
    reader: Reader
    vkey: str
    """The public key of the log, as text."""


@dataclass(slots=True)
class Gateway:
    """The parts. `settings`, `pdp` and the upstreams are replaced whole on reload, one reference each."""

    settings: Settings
    registry: Registry
    pdp: Pdp
    executors: dict[str, Executor]
    grounds: Grounds
    """What its stdio servers share: the machine, the packages, the profiles."""
    sessions: Sessions
    log: Log
    archive: Archive
    load_policy: Callable[[], Pdp]
    """Loads the policies that are configured into the engine that is configured; raises ConfigError."""
    tasks: Tasks
    listed: dict[str, float] = field(default_factory=dict)
    """Upstream to the monotonic second of its last whole list in this process."""
    listing: dict[str, asyncio.Future[Failed | Refused | None]] = field(default_factory=dict)
    """Upstream to the fetch in flight: one at a time."""
    unrecorded: list[Record] = field(default_factory=list)
    """What changed among the pins while the log could not commit."""
    unwritten: bool = False
    """Whether `bascule.lock` is behind what was recorded."""
    keeping: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while pins are recorded and written."""
    shown: dict[ShownKey, frozenset[str]] = field(default_factory=dict)
    """What each principal does not see, as long as nothing the answer depends on has changed."""
    repeating: dict[Digest, bool] = field(default_factory=dict)
    """By pin: whether its calls must repeat arguments as headers (`x-mcp-header`)."""
