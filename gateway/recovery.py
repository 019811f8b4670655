"""Runs whose ending is not durable: found at a start, or settled once the log is back. They end `unknown`.

Whether their effect happened cannot be known here, so they are frozen, and an operator sees them.
"""

import asyncio

from gateway.audit import records
from gateway.errors import LogUnavailable
from gateway.model import Code, Ending, Reply, RunId
from gateway.parts import Gateway
from gateway.runs import states
from gateway.storage.database import Conflict
from gateway.storage.tables.runs import interrupted
from gateway.wire import replies

UNKNOWN = "the call ran and how it ended could not be established; do not repeat it before asking the operator"


async def recover(gw: Gateway) -> int:
    """At a start: every intent without an ending gets one, by the same records and writes as ever. How many."""
    unfinished = interrupted(gw.archive.reader)
    for run in unfinished:
        await _doubt(RunId(run), gw, "found at a start")
    return len(unfinished)


async def settle_later(run: RunId, gw: Gateway) -> None:
    """Settle a run whose ending could not be recorded, as a start would, once the log is back."""
    while True:
        await gw.log.recovered()
        try:
            await _doubt(run, gw, "the log could not commit its ending")
        except LogUnavailable:
            await asyncio.sleep(1)  # it went away again: nobody waits for this
            continue
        except Conflict:  # its intent was never stored, or its ending was after all
            pass
        return


async def _doubt(run: RunId, gw: Gateway, detail: str) -> None:
    record = records.settled(run, Ending.UNKNOWN, code=Code.OUTCOME_UNKNOWN, detail=detail)
    ended = states.ended(run, Ending.UNKNOWN, Code.OUTCOME_UNKNOWN)
    await gw.log.append([record], [ended])


def unsettled(run: RunId, gw: Gateway, kind: str = "tool") -> Reply:
    """What the caller is told of a run whose ending could not be recorded; it is, later."""
    gw.tasks.start(settle_later(run, gw))
    return replies.refusal(Code.OUTCOME_UNKNOWN, UNKNOWN, run=run, kind=kind)
