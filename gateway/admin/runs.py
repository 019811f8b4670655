"""The operator action that shows one run: what was recorded of it, what it waits for, what can be done next."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from gateway.admin import recorded
from gateway.admin.recorded import Leaf
from gateway.admin.records import beside, run_told
from gateway.approvals import request
from gateway.approvals.request import DENIED, EXPIRED, GRANTED, WAITING
from gateway.model import JsonObject, RunState
from gateway.parts import Archive
from gateway.storage.database import Reader, RunRow
from gateway.storage.tables import approvals

AFTER: Final = 100_000
"""Records behind the end of a run that are looked through: of a question that was put, that nobody answered."""
_SAID: Final = ("upstream", "tool", "mode", "about", "approval", "signed", "complete", "ending", "code")
_LINKS: Final = ("previous", "within")
_OF_STATES: Final[Mapping[str, str]] = {
    RunState.WAITING: "it waits for people; what was asked of them is not kept any more",
    RunState.INTENDED: "it is under way; if its gateway was killed, the next start settles it",
    RunState.FROZEN: (
        "its effect may have happened and nobody can vouch for it: `bascule audit show {run}` has the arguments; look "
        "at the upstream {upstream} whether it did happen, then say so: `bascule runs resolve {run} --as done` or "
        "`--as failed`. The gateway never repeats it by itself"
    ),
}
_OF_APPROVALS: Final = {
    WAITING: "people are asked: `bascule approvals show {approval}`, then `grant` or `deny`",
    GRANTED: "granted: it runs once whoever asked makes the same call again",
    EXPIRED: "nobody answered in time: it is ended within a minute, and has to be asked for again",
    DENIED: "a person said no",
}


async def runs_show(archive: Archive, *, operator: str, run: str) -> JsonObject:
    """A run with its records in order, its approval where it had one, and what an operator can do next."""
    return await beside(archive, partial(_shown, run))


def _shown(run: str, reader: Reader) -> JsonObject:
    row = recorded.run_named(run, reader)
    leaves = list(recorded.of_run(row, reader, after=AFTER))
    approval = _approval(leaves, reader)
    return {
        **run_told(row),
        "links": {name: leaf[name] for _, leaf in leaves for name in _LINKS if name in leaf},
        "records": [_record(index, leaf) for index, leaf in leaves],
        "approval": approval,
        "next": _next(row, approval),
    }


def _record(index: int, leaf: JsonObject) -> JsonObject:
    said: JsonObject = {name: leaf[name] for name in _SAID if name in leaf}
    return {"index": index, "time": leaf["ts"], "record": leaf["kind"], "decision": leaf.get("decision"), **said}


def _approval(leaves: list[Leaf], reader: Reader) -> JsonObject | None:
    """The request of the run as it stands now; None where there was none, or it is erased."""
    asked = next((leaf["approval"] for _, leaf in leaves if leaf["kind"] == "approval.requested"), "")
    row = approvals.named(reader, asked) if asked else None
    if row is None:
        return None
    said = approvals.answers(reader, row.approval)
    return {
        "approval": row.approval,
        "state": request.state_of(row, int(time.time())),
        "expires": row.expires,
        "needed": request.needed(row.demands),
        "demands": [{"from": list(one.roles), "quorum": one.quorum} for one in row.demands],
        "answers": [{"approver": one.approver, "verdict": one.verdict, "signed": one.signed} for one in said],
    }


def _next(row: RunRow, approval: JsonObject | None) -> str:
    """What an operator can do; empty where nothing is left to do."""
    waits = row.state == RunState.WAITING and approval is not None
    text = _OF_APPROVALS.get(approval["state"], "") if waits and approval else _OF_STATES.get(row.state, "")
    return text.format(run=row.run, upstream=row.upstream, approval=approval and approval["approval"])
