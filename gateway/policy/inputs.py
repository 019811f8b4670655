"""The documents policies are asked about: one builder per point, all of them `policies/schemas/input.json`.

Nothing here judges, and nothing here reads a result's text: policy sees its size and what screening found.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from gateway.errors import Refused
from gateway.kinds import Kind, Listed
from gateway.model import (
    Check,
    Code,
    Digest,
    Facts,
    JsonObject,
    Manifest,
    Outcome,
    Pin,
    PinState,
    Principal,
    Proposal,
    TypedValue,
)
from gateway.wire.meta import stated

VERSION = 1
LONGEST_POINTER = 512
"""Characters of where a finding is: the keys in it are the upstream's."""
LARGEST_INTEGER = 2**64 - 1
SMALLEST_INTEGER = -(2**63)
"""Beyond them engines disagree: such integers stand as text."""


def for_call(proposal: Proposal, facts: Facts) -> JsonObject:
    """The document of `call`. A proposal that is no tool's has a member of its own kind, and stands under `tool` as one
    without name and upstream: a rule that allows tools says nothing of it, and no rule meets a member that is missing.
    """
    call, pin = proposal.call, proposal.pin
    document: JsonObject = {
        "v": VERSION,
        "point": "call",
        "time": facts.time,
        "call": {"kind": str(call.kind), "protocol": call.protocol, "era": call.era, "transport": call.transport},
        "principal": _principal(call.principal),
        "upstream": pin.upstream,
        "tool": _tool(pin) if call.kind == Kind.TOOL else _NO_TOOL,
        "args": call.arguments,
        "typed": {pointer: _typed(value) for pointer, value in proposal.typed.items()} if proposal.typed else {},
        "session": {"labels": facts.labels, "writes": facts.writes, "sources": facts.sources},
        "task": {"id": call.task, "runs": facts.task_runs},
        "state": {},
        "budget": facts.budget,
        "checks": [_check(check) for check in proposal.checks] if proposal.checks else [],
    }
    if call.kind != Kind.TOOL:
        kind = Kind(call.kind)
        document[kind.value] = _SUBJECTS[kind](proposal)
    if call.round is not None:
        document["answers"] = call.round.answers
    if call.meta and (said := stated(call.meta)):
        document["meta"] = said
    return document


def _during(proposal: Proposal) -> JsonObject:
    """What an upstream asks of a client, and which proposal of that client it was doing."""
    within = proposal.call.within
    return {"during": {"kind": within.kind, "name": within.name} if within is not None else None}


def _elicitation(proposal: Proposal) -> JsonObject:
    mode = proposal.call.arguments.get("mode", "form")
    return {"mode": mode if type(mode) is str else "unknown", **_during(proposal)}


def _completion(proposal: Proposal) -> JsonObject:
    ref, argument = proposal.call.arguments.get("ref"), proposal.call.arguments.get("argument")
    return {
        "ref": str(ref.get("type", "")) if type(ref) is dict else "",
        "name": proposal.pin.name,
        "argument": str(argument.get("name", "")) if type(argument) is dict else "",
    }


_SUBJECTS: Mapping[Kind, Callable[[Proposal], JsonObject]] = {
    Kind.RESOURCE: lambda proposal: {"uri": proposal.pin.name},
    Kind.SUBSCRIPTION: lambda proposal: {"uri": proposal.pin.name},
    Kind.PROMPT: lambda proposal: {"name": proposal.pin.name},
    Kind.COMPLETION: _completion,
    Kind.SAMPLING: _during,
    Kind.ELICITATION: _elicitation,
    Kind.ROOTS: _during,
    Kind.OTHER: lambda proposal: {"method": proposal.pin.name},
}


def for_result(
    proposal: Proposal,
    facts: Facts,
    outcome: Outcome,
    checks: tuple[Check, ...] = (),
    findings: Iterable[tuple[str, str]] = (),
) -> JsonObject:
    """The document of `result`: that of the call, and what is known of its result.

    `checks` are the screens' verdicts, `findings` what they found as pairs of kind and JSON pointer.
    """
    document = for_call(proposal, facts)
    document["point"] = "result"
    if checks:
        document["checks"] = [*document["checks"], *(_check(check) for check in checks)]
    document["result"] = {
        "size": outcome.size,
        "tool_error": outcome.tool_error,
        "findings": [{"kind": kind, "where": where[:LONGEST_POINTER]} for kind, where in findings],
    }
    return document


def for_execute(proposal: Proposal, facts: Facts, approval: JsonObject) -> JsonObject:
    """The document of `execute`: that of the call with what is known now, and what people agreed to."""
    document = for_call(proposal, facts)
    document["point"] = "execute"
    document["approval"] = {**approval, "requester": document["principal"]}
    return document


def for_approve(judged: JsonObject, approver: Principal, time: str, approval: JsonObject) -> JsonObject:
    """The document of `approve`: what was judged when it was asked, with who answers in the place of who asked."""
    asked = {**approval, "requester": judged["principal"]}
    return {**judged, "point": "approve", "time": time, "principal": _principal(approver), "approval": asked}


def for_list(
    principal: Principal,
    upstream: str,
    what: Listed,
    entries: Iterable[Pin] | Iterable[JsonObject],
    *,
    protocol: str,
    era: str,
    transport: str,
    labels: tuple[str, ...] = (),
) -> JsonObject:
    """The document of `list`: every entry of one list of one upstream, pins where they are tools, else definitions.

    It names no time, because its answer is kept.
    """
    kind, member, shown = _LISTS[what]
    return {
        "v": VERSION,
        "point": "list",
        "call": {"kind": kind.value, "protocol": protocol, "era": era, "transport": transport},
        "principal": _principal(principal),
        "upstream": upstream,
        member: [shown(entry) for entry in entries],
        "session": {"labels": labels},
    }


def _named(*members: str) -> Callable[[Any], JsonObject]:
    def shown(definition: JsonObject) -> JsonObject:
        return {name: definition[name] for name in members if type(definition.get(name)) is str}

    return shown


def encode(document: JsonObject, value_bytes: int) -> tuple[JsonObject, bytes]:
    """The document as it may be judged, and its JSON.

    A value above `value_bytes` stands as its digest and length. A document that is smaller as a whole
    holds no such value, so that the usual one is encoded once and walked never.
    """
    try:
        encoded = orjson.dumps(document)
    except TypeError:
        encoded = b""
    if encoded and len(encoded) <= value_bytes:
        return document, encoded
    bounded = {**document}
    for part in ("args", "typed", "answers", "meta"):
        if part in document:
            bounded[part] = {key: _bounded(value, value_bytes) for key, value in document[part].items()}
    return bounded, orjson.dumps(bounded)


def _principal(principal: Principal) -> JsonObject:
    return {
        "id": principal.id,
        "tenant": principal.tenant,
        "roles": principal.roles,
        "person": principal.person,
        "chain": principal.chain,
    }


def _tool(pin: Pin) -> JsonObject:
    manifest = pin.manifest
    return {
        "upstream": pin.upstream,
        "name": pin.name,
        "pin": pin.digest,
        "sandbox": pin.sandbox,
        "manifest": {
            "effects": manifest.effects,
            "reversal": manifest.reversal,
            "inferred": manifest.inferred,
            "trust": manifest.trust,
            "labels": manifest.labels,
            "destinations": manifest.destinations,
        },
    }


_NO_TOOL = _tool(Pin("", "", Digest(""), {}, PinState.ACCEPTED, Manifest()))
_LISTS: Mapping[Listed, tuple[Kind, str, Callable[[Any], JsonObject]]] = {
    Listed.TOOLS: (Kind.TOOL, "tools", _tool),
    Listed.RESOURCES: (Kind.RESOURCE, "resources", _named("uri", "name", "mimeType")),
    Listed.TEMPLATES: (Kind.RESOURCE, "templates", _named("uriTemplate", "name", "mimeType")),
    Listed.PROMPTS: (Kind.PROMPT, "prompts", _named("name")),
}


def _typed(value: TypedValue) -> JsonObject:
    return {**value.parts, "type": value.type, "value": value.value, "prov": value.prov}


def _check(check: Check) -> JsonObject:
    return {"name": check.name, "verdict": check.verdict, "score": check.score, "threshold": check.threshold}


def _bounded(value: Any, value_bytes: int) -> Any:
    """An argument whose every text is at most `value_bytes`.

    A list or object that is larger as a whole is refused: as a digest it would have no members, and a rule that
    denies one of them (`"admin" in input.args.roles`) would not hold.
    """
    small = _small(value, value_bytes)
    if isinstance(small, dict | list) and len(orjson.dumps(small)) > value_bytes:
        raise Refused(
            Code.TOO_LARGE,
            f"a list or object among the arguments is larger than the {value_bytes >> 10} KB that policies may see",
            would_pass="smaller arguments, or a larger limits.policy_value_kb",
        )
    return small


def _small(value: Any, value_bytes: int) -> Any:
    if isinstance(value, str):
        encoded = value.encode()
        return value if len(encoded) <= value_bytes else _standing_for(encoded)
    if isinstance(value, Mapping):
        return {key: _small(each, value_bytes) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_small(each, value_bytes) for each in value]
    if isinstance(value, int) and not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        return str(value)
    return value


def _standing_for(encoded: bytes) -> JsonObject:
    return {"digest": "sha256:" + hashlib.sha256(encoded).hexdigest(), "length": len(encoded)}
