"""What an upstream asks of a client: a proposal of its own, with a decision and records, made during another.

What it asks is untrusted content, and what the client answers is an argument like any other: both are judged.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from gateway.audit import records
from gateway.audit.ids import uuid7
from gateway.channel import Ask, Unanswered
from gateway.errors import LogUnavailable, Refused
from gateway.executors.results import URL_ELICITATION_REQUIRED
from gateway.judging import authorize, judge
from gateway.kinds import ASKED_OF_CLIENTS, METHODS, Kind
from gateway.model import (
    Call,
    Code,
    Digest,
    Ending,
    Grant,
    JsonObject,
    Manifest,
    Outcome,
    Pin,
    PinState,
    Proposal,
    Record,
    Redaction,
    Round,
    RunId,
)
from gateway.parts import Gateway
from gateway.recovery import settle_later
from gateway.rounds import LIFE_SECONDS
from gateway.runs import states
from gateway.screening import redact, screen
from gateway.wire.jsonrpc import METHOD_NOT_FOUND, encode
from gateway.writes import RunOpened, RunRefused, Write

REFUSED: Final = -1
"""What an upstream is told where a person or the policy says no; the specification's own example for sampling."""
EVERYTHING: Final = Redaction(kinds=("*",))
UNTRUSTED: Final = ("untrusted",)


@dataclass(frozen=True, slots=True)
class Permitted:
    """A question that may be put to the client. Its intent is recorded together with its ending, or before it."""

    run: RunId
    proposal: Proposal
    intent: Record
    opened: RunOpened


def missing(methods: Iterable[str], capabilities: JsonObject) -> JsonObject:
    """The capabilities that these questions need and the client did not declare, as `requiredCapabilities` has them."""
    kinds = {ASKED_OF_CLIENTS[method] for method in methods}
    return {str(kind): {} for kind in sorted(kinds) if type(capabilities.get(kind)) is not dict}


def can_be_asked(capabilities: JsonObject) -> bool:
    """Whether the client declared anything that an upstream may ask of it."""
    return any(kind in capabilities for kind in ASKED_OF_CLIENTS.values())


async def ask(
    proposal: Proposal,
    within: RunId,
    method: str,
    params: JsonObject,
    client: Ask,
    capabilities: JsonObject,
    gw: Gateway,
) -> JsonObject:
    """Put a question to a client that waits, and judge what it answers.

    Raises:
        Unanswered: policy refuses the question or the answer, or the client gave none. It is recorded.
    """
    permitted = await permit(proposal, within, method, params, capabilities, gw)
    try:
        await gw.log.append([permitted.intent], [permitted.opened])
    except LogUnavailable:
        gw.tasks.start(settle_later(permitted.run, gw))  # the intent may be stored all the same
        raise _not_recorded() from None
    # Point of no return: the intent is durable. Nothing below may leave without settling the run.
    began = time.monotonic()
    try:
        answer = await _answer(client, method, permitted.proposal.call.arguments)
        outcome = Outcome(answer, len(encode(answer)), int((time.monotonic() - began) * 1e6))
        round_ = Round({method: answer}, None, previous=permitted.run)
        answered, decision = await judge(replace(proposal, call=replace(proposal.call, round=round_)), gw)
        authorize(answered, decision, gw)
    except Refused as refusal:
        await _settle(permitted, Ending.WITHHELD, gw, code=refusal.code, detail=refusal.detail or refusal.reason)
        raise Unanswered(REFUSED, "the answer was refused by policy") from None
    except BaseException as fault:
        await _settle(permitted, Ending.FAILED, gw, detail=f"no answer: {type(fault).__name__}")
        raise
    await _settle(permitted, Ending.DONE, gw, outcome=outcome)
    return answer


async def may_ask(proposal: Proposal, method: str, gw: Gateway) -> bool:
    """Whether an upstream may ask this of the client, as things are now. Nothing is asked, and nothing recorded."""
    try:
        asked, decision = await judge(_proposed(proposal, ASKED_OF_CLIENTS[method], {}), gw)
        authorize(asked, decision, gw)
    except Refused:
        return False
    return True


async def _answer(client: Ask, method: str, params: JsonObject) -> JsonObject:
    try:
        async with asyncio.timeout(LIFE_SECONDS):
            return await client(method, params)
    except TimeoutError:
        raise Unanswered(REFUSED, "the client did not answer in time") from None


async def show(
    proposal: Proposal, within: RunId, questions: dict[str, JsonObject], capabilities: JsonObject, gw: Gateway
) -> dict[str, JsonObject]:
    """The questions as a client is given them with `input_required`, recorded; a later round brings its answers.

    Raises:
        Refused: policy refuses one of them, which is recorded; the client is given none.
    """
    shown = [
        await judged(proposal, within, one["method"], one.get("params", {}), capabilities, gw)
        for one in questions.values()
    ]
    kept: list[Record] = []
    writes: list[Write] = []
    for permitted in shown:
        kept += [permitted.intent, records.settled(permitted.run, Ending.DONE, labels=UNTRUSTED)]
        writes += [permitted.opened, states.ended(permitted.run, Ending.DONE)]
    if kept:
        await gw.log.append(kept, writes)
    asked = (permitted.proposal.call for permitted in shown)
    return {key: {"method": call.name, "params": call.arguments} for key, call in zip(questions, asked, strict=True)}


async def visited(
    proposal: Proposal, within: RunId, fault: JsonObject | None, capabilities: JsonObject, gw: Gateway
) -> JsonObject | None:
    """An upstream's protocol error as the client may have it, None where it may not: the addresses that it wants a
    person to visit are questions, judged like any other."""
    if fault is None or fault["code"] != URL_ELICITATION_REQUIRED or "data" not in fault:
        return fault
    method = METHODS[Kind.ELICITATION]
    asked = {str(place): {"method": method, "params": one} for place, one in enumerate(fault["data"]["elicitations"])}
    try:
        shown = await show(proposal, within, asked, capabilities, gw)
    except (Refused, LogUnavailable):
        return None
    return {**fault, "data": {"elicitations": [one["params"] for one in shown.values()]}}


async def given(
    proposal: Proposal, within: RunId, method: str, params: JsonObject, capabilities: JsonObject, gw: Gateway
) -> JsonObject:
    """The params of a question that is given with `input_required`, judged and recorded: its answer comes later.

    Raises:
        Unanswered: it may not be asked, or that could not be recorded.
    """
    permitted = await permit(proposal, within, method, params, capabilities, gw)
    kept = [permitted.intent, records.settled(permitted.run, Ending.DONE, labels=UNTRUSTED)]
    await _log(kept, [permitted.opened, states.ended(permitted.run, Ending.DONE)], gw)
    return permitted.proposal.call.arguments


async def permit(
    proposal: Proposal, within: RunId, method: str, params: JsonObject, capabilities: JsonObject, gw: Gateway
) -> Permitted:
    """As `judged`, for an upstream that waits for the answer: raises Unanswered."""
    try:
        return await judged(proposal, within, method, params, capabilities, gw)
    except Refused as refusal:
        code = METHOD_NOT_FOUND if refusal.code is Code.CONTEXT else REFUSED
        raise Unanswered(code, "this is not asked of the client") from None


async def judged(
    proposal: Proposal, within: RunId, method: str, params: JsonObject, capabilities: JsonObject, gw: Gateway
) -> Permitted:
    """Judge a question. It is off unless a rule allows it for this upstream.

    Raises:
        Refused: it may not be asked; that is recorded.
        LogUnavailable: that could not be recorded.
    """
    run = RunId(uuid7())
    asked = _proposed(proposal, ASKED_OF_CLIENTS[method], params)
    pin, decision = asked.pin, None
    try:
        if missing([method], capabilities):
            raise Refused(Code.CONTEXT, "the client did not declare that it can be asked this")
        asked, decision = await judge(asked, gw)
        grant: Grant = authorize(asked, decision, gw)
    except Refused as refusal:
        said = {"reason": refusal.reason, "would_pass": refusal.would_pass, "detail": refusal.detail}
        record = records.refused(run, asked.call, pin, decision, code=refusal.code, said=said, within=within)
        ended = RunRefused(run, *_of(asked), refusal.code)
        await gw.log.append([record], [ended])
        raise
    _sent(asked, gw)
    return Permitted(run, asked, records.intent(run, asked, grant, within=within), RunOpened(run, *_of(asked)))


def _proposed(proposal: Proposal, kind: Kind, params: JsonObject) -> Proposal:
    """What is judged is what is asked: without the hidden text and the secrets that screening found in it."""
    call, pin, method = proposal.call, proposal.pin, METHODS[kind]
    stand_in = Pin(pin.upstream, method, Digest(""), {}, PinState.ACCEPTED, Manifest(), pin.mode, pin.sandbox)
    screened = screen(stand_in, params)
    params = redact(params, EVERYTHING, screened.findings)
    asked: Call = replace(call, kind=kind, name=method, arguments=params, meta={}, round=None, within=call)
    return Proposal(asked, stand_in, checks=screened.checks)


def _sent(asked: Proposal, gw: Gateway) -> None:
    """Remember who is sent to an address, and to nobody else is told that it is done with."""
    call = asked.call
    ident = call.arguments.get("elicitationId")
    if call.kind is Kind.ELICITATION and call.arguments.get("mode") == "url" and type(ident) is str:
        gw.hub.visits.sent(asked.pin.upstream, ident, call.principal.id, call.session)


def _of(asked: Proposal) -> tuple[str, str, str, str, str]:
    who = asked.call.principal
    return asked.call.task, who.id, who.tenant, asked.pin.upstream, asked.pin.name


async def _settle(
    permitted: Permitted,
    ending: Ending,
    gw: Gateway,
    *,
    code: str = "",
    detail: str = "",
    outcome: Outcome | None = None,
) -> None:
    run = permitted.run
    record = records.settled(
        run, ending, code=code, pin=permitted.proposal.pin, labels=UNTRUSTED, detail=detail, outcome=outcome
    )
    seen = gw.sessions.learn(permitted.proposal, labels=UNTRUSTED, wrote=False)
    try:
        await gw.log.append([record], [states.ended(run, ending, code), *seen])
    except LogUnavailable:
        gw.tasks.start(settle_later(run, gw))
        raise _not_recorded() from None


async def _log(kept: list[Record], writes: list[Write], gw: Gateway) -> None:
    try:
        await gw.log.append(kept, writes)
    except LogUnavailable:
        raise _not_recorded() from None


def _not_recorded() -> Unanswered:
    return Unanswered(REFUSED, "nothing may be asked while the audit log cannot commit")
