"""Whose a task is that an upstream began in place of a result: only who was told of it may ask for it.

Kept in memory alone, so a restart forgets it: then a task is nobody's, and has to be begun again.
"""

from typing import Final

from gateway.kinds import Kind
from gateway.listing.resolving import remember_task
from gateway.model import Call, Code, Outcome, Proposal
from gateway.parts import Gateway
from gateway.rounds import NotOurs

_METHODS: Final = "tasks/"
_AGAIN: Final = "the call that began it made again: a restart of the gateway forgets tasks"


def remember(proposal: Proposal, outcome: Outcome, gw: Gateway) -> None:
    """Note the task, where the outcome is one."""
    task = outcome.result.get("taskId")
    if outcome.result.get("resultType") == "task" and type(task) is str:
        remember_task(task, proposal.pin.upstream, proposal.call.principal.id, gw)


def refuse_foreign(call: Call, gw: Gateway) -> None:
    """Nothing, where the call names no task, or one of this principal's.

    Raises:
        NotOurs: in the same words whether the task is another's, was never begun, or was forgotten.
    """
    if call.kind != Kind.OTHER or not call.name.startswith(_METHODS) or "taskId" not in call.arguments:
        return
    task, who = call.arguments["taskId"], call.principal.id
    if type(task) is str and any(gw.lists.tasks.get((name, task)) == who for name in call.endpoint.upstreams):
        return
    reason = "taskId names no task of yours that this gateway knows"
    raise NotOurs(Code.SCHEMA, reason, would_pass=_AGAIN, detail="another principal's, never begun here, or forgotten")
