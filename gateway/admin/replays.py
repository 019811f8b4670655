"""Operator actions that decide again what was decided, from the records alone. They run nothing and write nothing.

Each reads through a reader, and decides in engines, of a thread of its own: nobody's call waits for it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import itemgetter
from pathlib import Path
from traceback import clear_frames
from typing import Final

import orjson

from gateway import judging
from gateway.admin import recorded
from gateway.admin.opening import Opener
from gateway.admin.recorded import Leaf, Recorded
from gateway.admin.records import beside
from gateway.admin.times import moment
from gateway.audit import keys
from gateway.errors import ConfigError, Unreadable
from gateway.model import Code, Decision, Effect, JsonObject, Point
from gateway.parts import Archive
from gateway.policy import bundle as policies
from gateway.policy import canaries
from gateway.policy.bundle import Bundle
from gateway.policy.evaluation import decide_again, engine_of
from gateway.policy.regorus import Regorus
from gateway.storage.database import Reader, RunRow

MOST_TOLD: Final = 1_000
"""Differences of a replay of past decisions, and rules of any; all are counted."""
NOT_KEPT: Final = "payload not kept"
_POINTS: Final = {
    "call.settled": Point.RESULT,
    "approval.granted": Point.APPROVE,
    "approval.denied": Point.APPROVE,
    "approval.refused": Point.APPROVE,
}
"""Where the decision of a record was made, when its input is not kept; else at `call`."""
_UNTYPED: Final = "the arguments are not what their types say"

Source = Callable[[Reader], Iterable[Leaf]]
"""The records whose decisions are made again."""


async def runs_replay(archive: Archive, *, operator: str, run: str, against: str | None = None) -> JsonObject:
    """Decide each step of a run again, under the bundles that decided or under the policies in `against`."""

    def source(reader: Reader) -> Iterable[Leaf]:
        return recorded.of_run(recorded.run_named(run, reader), reader)

    return {"run": run, **await _replayed(archive, source, against)}


async def tasks_replay(archive: Archive, *, operator: str, task: str, against: str | None = None) -> JsonObject:
    """Decide each step of a task's runs again, in the order in which they were recorded."""

    def source(reader: Reader) -> Iterable[Leaf]:
        leaves = [leaf for row in recorded.runs_of(task, reader) for leaf in recorded.of_run(row, reader)]
        return sorted(leaves, key=itemgetter(0))

    return {"task": task, **await _replayed(archive, source, against)}


async def policy_replay(
    archive: Archive, *, operator: str, against: str, since: str | None = None, limit: int = 10_000
) -> JsonObject:
    """Decide the newest `limit` past decisions again under the policies in `against`; only differences are told."""
    oldest = moment(since, "--since", now=time.time())

    def source(reader: Reader) -> Iterable[Leaf]:
        return reversed(list(islice(recorded.past(reader, oldest), limit)))

    answer = await _replayed(archive, source, against)
    told = [step for step in answer["steps"] if step["verdict"] != "equal"]
    return {**answer, "steps": told[:MOST_TOLD], "more": len(told) > MOST_TOLD}


async def _replayed(archive: Archive, source: Source, against: str | None) -> JsonObject:
    def work(reader: Reader) -> JsonObject:
        try:
            return asyncio.run(_made_again(archive, reader, source, against))
        except BaseException as error:
            _let_go(error)
            raise

    return await beside(archive, work)


def _let_go(error: BaseException | None) -> None:
    """Empty the frames that an error holds: an engine must not outlive the thread that made it."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__context__


async def _made_again(archive: Archive, reader: Reader, source: Source, against: str | None) -> JsonObject:
    opener = Opener(reader, keys.sealing_key(archive.settings.state))
    engines = Engines(reader, None if against is None else await _proposed(archive, Path(against)))
    replay = Replay()
    for index, leaf in source(reader):
        one = recorded.decision(index, leaf, opener)
        if one is None:
            replay.without += 1
        else:
            replay.add(one, reader.run(leaf.get("run", "")), *await _again(one, engines))
    return {"against": engines.against and engines.against.bundle.digest, **replay.told()}


async def _proposed(archive: Archive, place: Path) -> Regorus:
    """The engine of a folder or tarball of policies, which must be fit to be put in force.

    Raises:
        ConfigError: it is not.
    """
    settings = archive.settings
    try:
        live = {data.name: data.file.read_bytes() for data in settings.policy.data}
    except OSError as error:
        raise ConfigError(f"policy.data cannot be read: {error.strerror}", file=str(error.filename)) from None
    pdp = engine_of(policies.load(place, live))
    whole, pdp.value_bytes = pdp.value_bytes, settings.limits.policy_value_kb << 10
    await canaries.prove(pdp)
    pdp.value_bytes = whole
    return pdp


@dataclass(slots=True)
class Engines:
    """The engines of stored bundles, each made once; with `against` that one in place of all."""

    reader: Reader
    against: Regorus | None = None
    made: dict[str, Regorus | str] = field(default_factory=dict)

    def of(self, digest: str) -> Regorus | str:
        """The engine; or why there is none.

        Raises:
            Unreadable: other bytes are stored under this digest.
        """
        if self.against is not None:
            return self.against
        if digest not in self.made:
            self.made[digest] = self._engine(digest)
        return self.made[digest]

    def _engine(self, digest: str) -> Regorus | str:
        content = self.reader.bundle(digest)
        if content is None:
            return f"the bundle {digest} is not kept"
        bundle = Bundle.from_content(content)
        if bundle.digest != digest:
            raise Unreadable(f"other bytes are stored as bundle {digest}: see `bascule audit verify`")
        try:
            return engine_of(bundle)
        except ConfigError as problem:
            return str(problem)


async def _again(one: Recorded, engines: Engines) -> tuple[Decision | None, str]:
    """What is decided now; or None, and why nothing can be."""
    if one.input is None:
        return None, NOT_KEPT
    engine = engines.of(one.leaf["decision"]["bundle"])
    if isinstance(engine, str):
        return None, engine
    return _amended(await decide_again(engine, one.input), one), ""


def _amended(now: Decision, one: Recorded) -> Decision:
    """What the gateway itself makes of an allow at `call`: it was so then, whatever the policy."""
    if now.point is not Point.CALL or now.effect is not Effect.ALLOW:
        return now
    reasons = one.said["reasons"] or []
    checks = orjson.loads(now.input).get("checks", [])
    if any((check["name"], check["verdict"]) == ("semantic", "fail") for check in checks):
        why = tuple(reasons) if one.said["code"] == Code.SEMANTIC and reasons else (_UNTYPED,)
        return replace(now, effect=Effect.DENY, code=Code.SEMANTIC, reasons=why)
    if judging.QUESTIONED in reasons[-1:]:
        return judging.questioned(now)
    return now


@dataclass(slots=True)
class Replay:
    """What came of it so far."""

    steps: list[JsonObject] = field(default_factory=list)
    without: int = 0
    """Records that hold no decision."""
    then: Counter[tuple[str, str]] = field(default_factory=Counter)
    now: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each rule spoke; a rule goes by its point and the reason it gives."""

    def add(self, one: Recorded, run: RunRow | None, decided: Decision | None, why: str) -> None:
        """One step more."""
        leaf, again = one.leaf, None if decided is None else recorded.told(decided)
        point = str(decided.point if decided else _POINTS.get(leaf["kind"], Point.CALL))
        changed = [] if again is None else _changed(one.said, again)
        if again is not None:
            self.then.update((point, rule) for rule in _rules(one.said))
            self.now.update((point, rule) for rule in _rules(again))
        self.steps.append(
            {
                "step": len(self.steps) + 1,
                "index": one.index,
                "time": leaf["ts"],
                "run": leaf.get("run"),
                "record": leaf["kind"],
                "point": point,
                "principal": run and run.principal,
                "upstream": run and run.upstream,
                "tool": run and run.tool,
                "bundle": leaf["decision"]["bundle"],
                "recorded": one.said,
                "now": again,
                "verdict": "undecided" if again is None else "changed" if changed else "equal",
                "changed": changed,
                "why": why,
            }
        )

    def told(self) -> JsonObject:
        """Changed steps first, then what could not be decided."""
        counts = Counter(step["verdict"] for step in self.steps)
        spoke = sorted(self.then.keys() | self.now.keys(), key=lambda one: (-abs(self.then[one] - self.now[one]), one))
        rules = [
            {"point": one[0], "rule": one[1], "recorded": self.then[one], "now": self.now[one]}
            for one in spoke[:MOST_TOLD]
        ]
        return {
            "decisions": len(self.steps),
            **{verdict: counts[verdict] for verdict in ("changed", "undecided", "equal")},
            "without": self.without,
            "steps": sorted(self.steps, key=_rank),
            "rules": rules,
        }


def _rank(step: JsonObject) -> int:
    if step["verdict"] == "changed":
        return 0 if "effect" in step["changed"] else 1
    return 2 if step["verdict"] == "undecided" else 3


def _changed(then: JsonObject, now: JsonObject) -> list[str]:
    """What differs, of what is recorded."""
    always = ("effect", "code")
    return [part for part, said in then.items() if (part in always or said is not None) and said != now[part]]


def _rules(said: JsonObject) -> list[str]:
    return list(said["reasons"] or [said["code"] or "(no rule spoke)"])
