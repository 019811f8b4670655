"""What the data path is made of. `app.py` puts the parts together; nothing here does anything."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.approvals.waiting import Requests
from gateway.audit.log import Log
from gateway.brakes import Brakes
from gateway.budgets.ledger import Budgets
from gateway.channel import About
from gateway.config import Settings
from gateway.errors import Failed, Refused
from gateway.executors import Executor
from gateway.executors.launcher import Grounds
from gateway.facts import Sessions
from gateway.feeds import Hub
from gateway.keyed import Keyed
from gateway.kinds import Listed
from gateway.model import Digest, Mode, Principal, Record
from gateway.policy import Pdp
from gateway.registry import Registry
from gateway.registry.catalogue import Catalogue
from gateway.registry.rolls import Owners, Page, Place, Roll
from gateway.registry.words import Words
from gateway.rounds import Parking, Seals
from gateway.storage.database import Reader

T = TypeVar("T")
ListKey = tuple[str, Listed]
"""One list of one upstream."""
ShownKey = tuple[Principal, tuple[str, ...], ListKey, str, Mode]
"""Principal, the labels of its session, the list, era, the upstream's mode."""
SeenKey = tuple[Listed, tuple[str, ...], bool, tuple[int, ...], tuple[frozenset[str], ...]]
"""What a caller is shown at an endpoint: the list, its upstreams and form, their revisions, what is hidden of each.
Callers who are shown the same share what is made of it."""


class Tasks:
    """Work in the background: held (the loop itself keeps only weak references) and ended with the process."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run it; a failure nobody awaits is logged by the loop."""
        task = asyncio.get_running_loop().create_task(_ended(work), name=getattr(work, "__qualname__", None))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: work.close())  # where it was cancelled before it began
        return task

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _ended(work: Coroutine[Any, Any, T]) -> T:
    """What it comes to, without the frames of an expected failure: those hold whoever holds the task that keeps it."""
    try:
        return await work
    except Failed as failed:
        why: Failed | asyncio.CancelledError = failed.anew()
    except asyncio.CancelledError:
        why = asyncio.CancelledError()
    raise why


@dataclass(frozen=True, slots=True)
class Flight:
    """One list on its way. A failure is its value: each of the many who wait raises it for itself."""

    task: "asyncio.Task[Failed | Refused | None]"
    began: float
    """Monotonic second."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A list that could not be had: why, when, and which executor was asked."""

    why: Failed | Refused
    executor: Executor | None
    at: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an upstream said of itself, when, and which executor asked."""

    about: About
    executor: Executor
    at: float


@dataclass(slots=True)
class Lists:
    """What is kept of the upstreams' lists. All of it may be forgotten: it is then asked for, or made, again."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    """All but tools, whose definitions are pinned."""
    fetched: dict[ListKey, tuple[Executor, float]] = field(default_factory=dict)
    """When a whole list was last had, and of which executor; of tools `Gateway.listed` says it."""
    flights: dict[ListKey, Flight] = field(default_factory=dict)
    """One at a time for each list."""
    failed: dict[ListKey, Missing] = field(default_factory=dict)
    """What came of the last attempt, where it brought nothing."""
    stale: set[ListKey] = field(default_factory=set)
    """Lists that their upstream said have changed."""
    shown: dict[ShownKey, tuple[int, Digest, frozenset[str]]] = field(default_factory=dict)
    """What each principal does not see, and of which revision of the list and by which bundle that was answered."""
    alike: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)
    """Hidden sets by themselves: equal ones are kept once."""
    rolls: dict[tuple[str, Listed, bool], tuple[int, Roll]] = field(default_factory=dict)
    """By upstream, list and whether names are qualified: the revision it was made of, and the roll."""
    owners: dict[tuple[Listed, tuple[str, ...]], tuple[tuple[int, ...], Owners]] = field(default_factory=dict)
    """By list and upstreams of an endpoint."""
    pages: dict[tuple[SeenKey, Place | None], Page] = field(default_factory=dict)
    parts: dict[tuple[str, Listed, bool, frozenset[str]], tuple[int, bytes]] = field(default_factory=dict)
    """Digests of what is shown of one upstream, and of which revision that is."""
    words: dict[str, tuple[tuple[int, ...], Words]] = field(default_factory=dict)
    """By endpoint: its index, and the revisions it was made of."""
    spoken: dict[str, Spoken] = field(default_factory=dict)
    asked: "dict[str, asyncio.Task[None]]" = field(default_factory=dict)
    """Upstreams that are being asked what they say of themselves."""
    tasks: dict[tuple[str, str], str] = field(default_factory=dict)
    """Upstream and task id to the principal that was told of it."""
    told: set[tuple[str, ...]] = field(default_factory=set)
    """What the operator's log was told once."""


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
    seals: Seals
    """Makes and opens the request states of calls that wait for a client's answer."""
    requests: Requests
    """What waits for people."""
    brakes: Brakes
    """What operators have slowed, question or stopped."""
    keyed: Keyed
    """The idempotency keys."""
    budgets: Budgets
    """What may be used up, and what is left of it."""
    parking: Parking = field(default_factory=Parking)
    """What waits upstream for such an answer."""
    hub: Hub = field(default_factory=Hub)
    """What upstreams notify of by themselves, and who listens."""
    listed: dict[str, float] = field(default_factory=dict)
    """Upstream to the monotonic second of its last whole list of tools in this process."""
    lists: Lists = field(default_factory=Lists)
    """The other lists, and what was made of them all."""
    unrecorded: list[Record] = field(default_factory=list)
    """What changed among the pins while the log could not commit."""
    unwritten: bool = False
    """Whether `bascule.lock` is behind what was recorded."""
    keeping: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while pins are recorded and written."""
    repeating: dict[Digest, bool] = field(default_factory=dict)
    """By pin: whether its calls must repeat arguments as headers (`x-mcp-header`)."""
