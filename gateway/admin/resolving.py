"""The operator action that ends a frozen run: a person has looked, and says what it came to. Nothing runs."""

from typing import Final

from gateway.audit import records
from gateway.budgets import ledger
from gateway.errors import ConfigError
from gateway.keyed import NOT_KEPT
from gateway.model import Ending, JsonObject, RunId, RunState
from gateway.parts import Gateway
from gateway.runs import states
from gateway.storage.database import Conflict
from gateway.writes import ReplyKept, Write

LONGEST_REASON: Final = 1000
CAME_TO: Final = {"done": Ending.DONE, "failed": Ending.FAILED}
"""What a person can say: the effect happened, or it did not."""


async def runs_resolve(gw: Gateway, *, operator: str, run: str, came_to: str, reason: str) -> JsonObject:
    """End a frozen run as `done` (its effect happened) or `failed` (it did not), for a reason that is recorded.

    Raises:
        ConfigError: there is no such run, it is not frozen (any more), or no reason is given.
    """
    row = gw.archive.reader.run(run)
    if row is None:
        raise ConfigError(f"there is no run {run}: see `bascule runs list --unfinished`")
    if came_to not in CAME_TO:
        raise ConfigError(f"a run came to one of: {', '.join(CAME_TO)}")
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise ConfigError(f"say how you know, in at most {LONGEST_REASON} letters: --reason TEXT")
    if row.state != RunState.FROZEN:
        raise ConfigError(f"run {run} is {row.state}: only a frozen run waits for a person")
    ending, named = CAME_TO[came_to], RunId(row.run)
    public = {"upstream": row.upstream, "tool": row.tool, "ending": ending.value}
    record = records.event("run.resolved", public, run=named, sealed={"operator": operator, "reason": reason})
    try:
        await gw.log.append([record], [states.resolved(named, ending), *_consequences(named, ending)])
    except Conflict:
        raise ConfigError(f"run {run} was resolved by somebody else in this moment") from None
    return {"run": row.run, "state": RunState.ENDED.value, "ending": ending.value}


def _consequences(run: RunId, ending: Ending) -> list[Write]:
    """What it reserved is spent, or free but for what being sent has used; its key stays with what was done."""
    done = ending is Ending.DONE
    return [*ledger.settled(run, ending, asked=not done), *([ReplyKept(run, NOT_KEPT)] if done else [])]
