"""What the log says of a call: nouns in, `Record` out. Pure; the bytes of a leaf are made in `leaf.py`.

`public` holds nothing that could be guessed back to a person, an argument or a result: those stand under
`sealed`, and the leaf has only their salted commitments. A plain call is two records, a refused one is one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from gateway.kinds import METHODS, Kind
from gateway.model import (
    Call,
    Check,
    Decision,
    Effect,
    Ending,
    Grant,
    JsonObject,
    Mode,
    Outcome,
    Pin,
    Principal,
    Proposal,
    Record,
    RunId,
)
from gateway.wire.jsonrpc import encode
from gateway.wire.meta import stated

SEALED_LIMIT = 1 << 20
"""Bytes of one sealed value that are kept; a longer one stands as its length."""


def intent(
    run: RunId, proposal: Proposal, grant: Grant, *, within: RunId | None = None, reserved: Sequence[JsonObject] = ()
) -> Record:
    """`call.intent`: the proposal, what judged it and what it may do; durable before any byte leaves.

    `within` is the run during which an upstream asks this of the client. What is `reserved` of budgets is sealed
    but for their names: an amount may be an argument.
    """
    decision = grant.decision
    return Record(
        kind="call.intent",
        run=run,
        public={
            **_of_pin(proposal.pin, proposal.call.kind),
            **_links(proposal.call, within),
            "decision": _of_decision(decision, action=grant.action),
            "checks": _of_checks(proposal.checks),
            "grant": {
                "timeout_ms": int(grant.limits.timeout_s * 1000),
                "result_bytes": grant.limits.result_bytes,
            },
            **({"approval": grant.approval} if grant.approval else {}),
            **({"budgets": [one["budget"] for one in reserved]} if reserved else {}),
        },
        sealed={
            **_of_call(proposal.call),
            "input": decision.input,
            "decision": said_of(decision),
            **({"reserved": orjson.dumps(reserved)} if reserved else {}),
        },
    )


def requested(run: RunId, proposal: Proposal, decision: Decision, *, approval: str, expires: int) -> Record:
    """`approval.requested`: a proposal that waits for people; `expires` is the Unix second until which it does."""
    demands = [{"from": list(one.roles), "quorum": one.quorum} for one in decision.demands]
    return Record(
        kind="approval.requested",
        run=run,
        public={
            **_of_pin(proposal.pin, proposal.call.kind),
            **_links(proposal.call, None),
            "approval": approval,
            "expires": expires,
            "demands": demands,
            "decision": _of_decision(decision, action="require_approval"),
            "checks": _of_checks(proposal.checks),
        },
        sealed={
            **_of_call(proposal.call),
            "input": decision.input,
            "decision": said_of(decision),
        },
    )


def answered(run: RunId, kind: str, decision: Decision, public: Mapping[str, Any], sealed: JsonObject) -> Record:
    """`approval.granted`, `approval.denied`: what one person said, with the decision of `approve` that let them; or
    `approval.refused`, with the one that did not."""
    values = {name: orjson.dumps(value) for name, value in sealed.items()}
    said = {**public, "decision": _of_decision(decision, action=decision.effect)}
    return Record(
        kind=kind, run=run, public=said, sealed={**values, "input": decision.input, "decision": said_of(decision)}
    )


def refused(
    run: RunId,
    call: Call,
    pin: Pin | None,
    decision: Decision | None,
    *,
    code: str,
    said: JsonObject,
    within: RunId | None = None,
) -> Record:
    """`call.refused`: a proposal that may not run is a record too. `said` is all that was known, for the operator."""
    public: dict[str, Any] = {"code": code, **(_of_pin(pin, call.kind) if pin else {}), **_links(call, within)}
    sealed = {**_of_call(call), "refusal": orjson.dumps(said)}
    if decision is not None:
        public["decision"] = _of_decision(decision, action="deny")
        sealed["input"] = decision.input
        sealed["decision"] = said_of(decision)
    return Record(kind="call.refused", run=run, public=public, sealed=sealed)


def settled(  # noqa: PLR0913 - each stands in the record by itself
    run: RunId,
    ending: Ending,
    *,
    code: str = "",
    pin: Pin | None = None,
    outcome: Outcome | None = None,
    checks: Iterable[Check] = (),
    decision: Decision | None = None,
    labels: Iterable[str] = (),
    detail: str = "",
    budget: str = "",
) -> Record:
    """`call.settled`: how the run ended, what the executor saw, and what the session has learned from it.

    A start that settles what another process left behind knows no pin.
    """
    public: dict[str, Any] = {"ending": ending.value, "checks": _of_checks(checks)}
    sealed: dict[str, bytes] = {"labels": orjson.dumps(sorted(labels))}
    public |= {name: word for name, word in (("code", code), ("budget", budget)) if word}
    if pin is not None and pin.sandbox:
        public["sandbox"] = pin.sandbox
    if outcome is not None:
        public["outcome"] = {
            "bytes": outcome.size,
            "elapsed_us": outcome.elapsed_us,
            "tool_error": outcome.tool_error,
        }
        sealed["result"] = _bounded(outcome.result)
        if outcome.evidence:
            sealed["evidence"] = orjson.dumps(outcome.evidence)
    if decision is not None:
        public["decision"] = _of_decision(decision, action=decision.effect)
        sealed["input"] = decision.input
        sealed["decision"] = said_of(decision)
    if detail:
        sealed["detail"] = orjson.dumps(detail)
    return Record(kind="call.settled", run=run, public=public, sealed=sealed)


def repeated(run: RunId, proposal: Proposal, decision: Decision, *, of: RunId | str) -> Record:
    """`call.repeated`: a call under an idempotency key that was told what the run `of` had come to."""
    return Record(
        kind="call.repeated",
        run=run,
        public={
            **_of_pin(proposal.pin, proposal.call.kind),
            "of": of,
            "decision": _of_decision(decision, action=decision.effect),
            "checks": _of_checks(proposal.checks),
        },
        sealed={**_of_call(proposal.call), "input": decision.input, "decision": said_of(decision)},
    )


def abandoned(run: RunId, proposal: Proposal) -> Record:
    """`call.abandoned`: its upstream asked something, and nobody came back with an answer."""
    return Record(kind="call.abandoned", run=run, public=_of_pin(proposal.pin, proposal.call.kind))


def event(
    kind: str, public: Mapping[str, Any], *, run: RunId | None = None, sealed: Mapping[str, Any] | None = None
) -> Record:
    """A record of something else than a call: pins, policy swaps, boots, operator actions, what people answered."""
    values = {name: orjson.dumps(value) for name, value in (sealed or {}).items()}
    return Record(kind=kind, run=run, public=public, sealed=values)


def _links(call: Call, within: RunId | None) -> JsonObject:
    """What kind of proposal it is, where it is no tool's, and to which other runs it belongs."""
    links: JsonObject = {} if call.kind == "tool" else {"about": call.kind}
    if call.round is not None and call.round.previous is not None:
        links["previous"] = call.round.previous
    if within is not None:
        links["within"] = within
    return links


def _of_call(call: Call) -> dict[str, bytes]:
    sealed = {
        "principal": orjson.dumps(_of_principal(call.principal)),
        "call": orjson.dumps(
            {
                "kind": call.kind,
                "name": call.name,
                "endpoint": call.endpoint.name,
                "protocol": call.protocol,
                "era": call.era,
                "transport": call.transport,
                "session": call.session,
                "task": call.task,
            }
        ),
        "args": encode(call.arguments),
    }
    if call.round is not None:
        sealed["answers"] = encode(call.round.answers)
    if call.meta and (said := stated(call.meta)):
        sealed["meta"] = encode(said)
    return sealed


def _of_principal(principal: Principal) -> JsonObject:
    return {
        "id": principal.id,
        "tenant": principal.tenant,
        "roles": principal.roles,
        "person": principal.person,
        "chain": principal.chain,
    }


def public_name(kind: str, name: str) -> str:
    """What the log's public part calls it: an address may tell what a payload holds, so its method stands for it."""
    return METHODS[Kind(kind)] if kind in (Kind.RESOURCE, Kind.SUBSCRIPTION) else name


def _of_pin(pin: Pin, kind: str) -> JsonObject:
    named: JsonObject = {"upstream": pin.upstream, "tool": public_name(kind, pin.name)}
    if pin.digest:
        named["pin"] = pin.digest
    if pin.manifest.digest:
        named["manifest"] = pin.manifest.digest
    if pin.mode is Mode.SHADOW:
        named["mode"] = "shadow"
    if pin.sandbox:
        named["sandbox"] = pin.sandbox
    return named


def _of_decision(decision: Decision, *, action: str) -> JsonObject:
    return {
        "id": decision.id,
        "effect": decision.effect.value,
        "action": str(action),
        "code": decision.code.value if decision.code else None,
        "bundle": decision.bundle,
        "engine": decision.engine,
    }


def _of_checks(checks: Iterable[Check]) -> list[JsonObject]:
    return [
        {"name": check.name, "score": check.score, "threshold": check.threshold, "verdict": check.verdict}
        for check in checks
    ]


def said_of(decision: Decision) -> bytes:
    """What a decision says beside its effect and code, as it is sealed."""
    said: JsonObject = {"reasons": decision.reasons, "would_pass": decision.would_pass, "us": decision.elapsed_us}
    if decision.obligations:
        said["obligations"] = [{"type": one.type, **one.settings} for one in decision.obligations]
    if decision.effect is Effect.REQUIRE_APPROVAL:
        said["demands"] = [
            {"from": list(one.roles), "quorum": one.quorum, "expires_s": one.expires_s} for one in decision.demands
        ]
    return orjson.dumps(said)


def _bounded(result: JsonObject) -> bytes:
    text = encode(result)
    return text if len(text) <= SEALED_LIMIT else orjson.dumps({"not_kept": len(text)})
