"""The PIP: one snapshot of what is known now about the session and the task a call belongs to.

What a session has read and done is state, not memory: it is written with each settled run and read back
after a restart, so that restarting the gateway does not wash a session clean.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.model import Call, Facts, Proposal
from gateway.writes import SessionSeen

IDLE_SECONDS = 3600.0
"""A session known only by its principal is a new one after this long without a call."""
KEPT = 2_048
"""Sessions in memory; of the others the store knows, and reading one again costs a read, never a label."""
SOURCES = 64
"""Untrusted sources named per session; the label stands however many there were."""


@dataclass(slots=True)
class _Known:
    seen: SessionSeen
    last: float = 0.0


class Sessions:
    """What each session has read and done: those seen last in memory, all of them in the store."""

    def __init__(self, stored: Callable[[str], SessionSeen | None]) -> None:
        self._stored = stored
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._second = 0
        self._time = ""

    def gather(self, call: Call) -> Facts:
        """What is known at this moment; reads the store only for a session not seen since the start."""
        session = self._of(call.session)
        task_runs = session.runs if call.task == call.session else self._of(_task_key(call.task)).runs
        return Facts(
            time=self.now(),
            labels=session.labels,
            writes=session.writes,
            sources=session.sources,
            task_runs=task_runs,
        )

    def learn(self, proposal: Proposal, *, labels: tuple[str, ...], wrote: bool) -> tuple[SessionSeen, ...]:
        """What the session knows after this run: in force at once, stored with the run's ending."""
        call = proposal.call
        before = self._of(call.session)
        after = replace(
            before,
            labels=_joined(before.labels, labels),
            writes=before.writes + wrote,
            sources=_sources(before, proposal, labels),
            runs=before.runs + 1,
        )
        self._known[call.session].seen = after
        if call.task == call.session:
            return (after,)
        task = self._of(_task_key(call.task))
        task = replace(task, runs=task.runs + 1)
        self._known[task.session].seen = task
        return (after, task)

    def _of(self, session: str) -> SessionSeen:
        now = time.monotonic()
        known = self._known.get(session)
        if known is None or now - known.last > IDLE_SECONDS:
            if len(self._known) >= KEPT:
                self._known.popitem(last=False)
            known = _Known(self._stored(session) or SessionSeen(session, (), 0, (), 0))
            self._known[session] = known
        known.last = now
        self._known.move_to_end(session)
        return known.seen

    def labels(self, session: str) -> tuple[str, ...]:
        """The labels of what this session has read."""
        return self._of(session).labels

    def now(self) -> str:
        """The time a decision is told: RFC 3339 in UTC, whole seconds."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._time = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._time


def _task_key(task: str) -> str:
    return f"task:{task}"


def _joined(known: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    return known if set(new) <= set(known) else tuple(sorted({*known, *new}))


def _sources(before: SessionSeen, proposal: Proposal, labels: tuple[str, ...]) -> tuple[str, ...]:
    source = f"{proposal.pin.upstream}/{proposal.pin.name}"
    if "untrusted" not in labels or source in before.sources or len(before.sources) >= SOURCES:
        return before.sources
    return (*before.sources, source)
