"""The execution of one granted proposal: with its client listening, able to answer, or to hang up.

Not what decides whether it may run, nor what its outcome comes to. Only here does what an upstream says while it works
reach a client, and only screened.
"""

import asyncio
import contextlib
from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

import orjson

from gateway import asking
from gateway.audit import records
from gateway.channel import SILENT, Channel, Roots, Unanswered
from gateway.errors import Failed, LogUnavailable
from gateway.executors import Executor
from gateway.kinds import LOGGED, METHODS, PROGRESS, Kind
from gateway.model import Code, JsonObject, Limits, Outcome, Pin, Proposal, RunId
from gateway.parts import Gateway
from gateway.rounds import Parked
from gateway.screening import redact, screen
from gateway.wire.jsonrpc import METHOD_NOT_FOUND
from gateway.wire.mcp import MODERN

INPUT_REQUIRED: Final = "input_required"
_TOLD: Final = {PROGRESS: ("progress", "total", "message"), LOGGED: ("level", "logger", "data")}
"""What an upstream may tell while it works, and which members of it are passed on."""
_TOLD_BYTES: Final = 65_536


async def execute(
    run: RunId, proposal: Proposal, limits: Limits, executor: Executor, channel: Channel, gw: Gateway
) -> Outcome:
    """Run a proposal, or go on with what an earlier round of it left waiting. HOT.

    Raises:
        Failed: there is no result; CANCELLED where the client hung up.
    """
    later = proposal.call.round
    resumes = later is not None and bool(later.parked)
    if channel.hung_up:  # what waits upstream has begun long ago
        reason = "the client cancelled the call before it began" if not resumes else "the client cancelled the call"
        raise Failed(Code.CANCELLED, reason, unknown=resumes)
    if later is not None and resumes:
        return await _resumed(later.parked, later.answers, channel, gw)
    if channel is SILENT:
        return await executor.execute(proposal, limits)
    if channel.ask is None and proposal.call.era in MODERN and asking.can_be_asked(channel.capabilities):
        return await _apart(run, proposal, limits, executor, channel, gw)
    inner = Channel(
        channel.capabilities,
        channel.progress,
        channel.log_level,
        partial(_tell, proposal.pin, channel),
        partial(_ask, run, proposal, channel, gw),
    )
    if channel.roots is None or not channel.roots.outdated(proposal.pin.upstream):
        return await _cancellable(executor.execute(proposal, limits, inner), channel)
    return await _cancellable(_outdated(proposal, limits, executor, inner, channel.roots, gw), channel)


async def _outdated(
    proposal: Proposal, limits: Limits, executor: Executor, inner: Channel, roots: Roots, gw: Gateway
) -> Outcome:
    """Run it at an upstream that was given other roots than those of now. It hears of that in a call, since only in
    one it can ask for them; and only if it still may."""
    inner.roots_changed = await asking.may_ask(proposal, METHODS[Kind.ROOTS], gw)
    if not inner.roots_changed:
        return await executor.execute(proposal, limits, inner)
    roots.told(proposal.pin.upstream)  # what the client says from here on it is told with the next call
    try:
        return await executor.execute(proposal, limits, inner)
    finally:
        if inner.roots_changed:
            roots.missed(proposal.pin.upstream)


def _tell(pin: Pin, channel: Channel, method: str, params: JsonObject) -> None:
    """Pass on progress and log messages, without hidden text and secrets: they are no proposals."""
    if method not in _TOLD:
        return
    kept = {name: params[name] for name in _TOLD[method] if name in params}
    try:
        if len(orjson.dumps(kept)) > _TOLD_BYTES:
            return
    except TypeError:
        return
    channel.tell(method, redact(kept, asking.EVERYTHING, screen(pin, kept).findings))


async def _ask(
    run: RunId, proposal: Proposal, channel: Channel, gw: Gateway, method: str, params: JsonObject
) -> JsonObject:
    """Ask a client that waits on its stream."""
    if channel.ask is None:
        raise Unanswered(METHOD_NOT_FOUND, "this client cannot be asked")
    client, roots = channel.ask, channel.roots

    async def put(method: str, params: JsonObject) -> JsonObject:
        if roots is not None and method == METHODS[Kind.ROOTS]:
            roots.given(proposal.pin.upstream)
        return await client(method, params)

    return await asking.ask(proposal, run, method, params, put, channel.capabilities, gw)


async def _cancellable(work: Awaitable[Outcome], channel: Channel) -> Outcome:
    """The work, ended early where the client hangs up; any other cancellation goes on its way."""
    task = asyncio.current_task()
    assert task is not None
    channel.on_hang_up = task.cancel
    try:
        return await work
    except asyncio.CancelledError:
        if channel.hung_up and task.uncancel() == 0:
            raise _hung_up() from None
        raise
    finally:
        channel.on_hang_up = None


async def _apart(
    run: RunId, proposal: Proposal, limits: Limits, executor: Executor, channel: Channel, gw: Gateway
) -> Outcome:
    """Run it where it can be left waiting: a modern client is asked by ending its request, and comes back."""
    parked = Parked(proposal.call.principal.id, channel)
    capabilities = channel.capabilities

    async def ask(method: str, params: JsonObject) -> JsonObject:
        permitted = asking.given(proposal, run, method, params, capabilities, gw)
        return await parked.ask(method, permitted)

    def tell(method: str, params: JsonObject) -> None:
        _tell(proposal.pin, parked.channel, method, params)

    inner = Channel(capabilities, channel.progress, channel.log_level, tell, ask)
    parked.work = gw.tasks.start(executor.execute(proposal, limits, inner))
    parked.abandoned = lambda: gw.tasks.start(_abandoned(run, proposal, gw))
    return await _next(parked, channel, gw)


async def _resumed(name: str, answers: JsonObject, channel: Channel, gw: Gateway) -> Outcome:
    parked = gw.parking.take(name)
    if parked is None:
        raise Failed(Code.OUTCOME_UNKNOWN, "the call that asked this no longer waits", unknown=True)
    parked.channel = channel
    parked.answer(answers)
    return await _next(parked, channel, gw)


async def _next(parked: Parked, channel: Channel, gw: Gateway) -> Outcome:
    """Its outcome, or what it asks first."""
    channel.on_hang_up = parked.work.cancel
    try:
        outcome = await parked.next()
    except asyncio.CancelledError:
        if channel.hung_up:
            raise _hung_up() from None
        parked.give_up()
        raise
    finally:
        channel.on_hang_up = None
    if outcome is not None:
        return outcome
    asked: dict[str, Any] = {
        key: {"method": question.method, "params": question.params} for key, question in parked.questions.items()
    }
    evidence = {"parked": gw.parking.put(parked)}
    return Outcome({"resultType": INPUT_REQUIRED, "inputRequests": asked}, 0, 0, evidence=evidence)


async def _abandoned(run: RunId, proposal: Proposal, gw: Gateway) -> None:
    """Nobody came back with an answer: what the call had done by then cannot be known here."""
    with contextlib.suppress(LogUnavailable):  # its round is settled all the same
        await gw.log.append([records.abandoned(run, proposal)])


def _hung_up() -> Failed:
    return Failed(Code.CANCELLED, "the client cancelled the call", unknown=True)
