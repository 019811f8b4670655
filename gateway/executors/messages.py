"""Messages of the upstream leg: the requests we form. Pure; what an answer means is in results.py.

Nothing of the client's own bytes or envelope goes upstream: a request is built from what was judged.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway import __version__
from gateway.channel import SILENT, Channel
from gateway.executors.answer import Answer
from gateway.kinds import METHODS, Kind
from gateway.model import JsonObject, Proposal
from gateway.wire.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, encode
from gateway.wire.mcp import (
    HEADER_MISMATCH,
    LATEST_MODERN,
    META_CAPABILITIES,
    META_LOG_LEVEL,
    MISSING_CAPABILITY,
    modern_meta,
)

CLIENT: Final[JsonObject] = {"name": "bascule", "version": __version__}
OUR_META: Final[JsonObject] = modern_meta(LATEST_MODERN, CLIENT, {})
"""The envelope of a request behind which nobody can be asked anything."""
ASKABLE: Final = ("sampling", "elicitation", "roots", "extensions", "experimental")
"""The client's capabilities that are its own to declare upstream; whatever else it names ends here."""
ELICITED: Final = "notifications/elicitation/complete"
"""2025-11-25: a person has done what the address was for that a client was sent to."""
_LONGEST_ELICITED = 256

SPOKEN_BY_BOTH: Final = frozenset(
    {INVALID_PARAMS, METHOD_NOT_FOUND, INTERNAL_ERROR, HEADER_MISMATCH, MISSING_CAPABILITY}
)
"""Errors that speak of one request, not of the protocol version or the session."""

_METHODS: Final[Mapping[str, str]] = {kind.value: method for kind, method in METHODS.items()}


class Request(NamedTuple):
    """One request before it is known in which era it goes. A tuple: made for each call, at a third of the cost."""

    method: str
    params: JsonObject
    meta: JsonObject
    """What of the client's `_meta` goes along."""
    headers: dict[str, str]
    """The modern headers."""
    owner: tuple[str, ...]
    """Principal and client session: whose upstream session a legacy request may use."""
    era: str
    """The client's."""
    limit: int


def declared(capabilities: JsonObject, *, changes: bool) -> JsonObject:
    """Of a client's capabilities those that go upstream; `changes` of its roots only where they are told."""
    kept = {name: capabilities[name] for name in ASKABLE if type(capabilities.get(name)) is dict}
    if not changes and "listChanged" in kept.get("roots", ()):
        kept["roots"] = {key: value for key, value in kept["roots"].items() if key != "listChanged"}
    return kept


def elicited(params: JsonObject) -> JsonObject | None:
    """What is passed on of an elicitation that is complete; None where it names none."""
    ident = params.get("elicitationId")
    return {"elicitationId": ident} if type(ident) is str and 0 < len(ident) <= _LONGEST_ELICITED else None


def meta_for(channel: Channel, meta: JsonObject, *, modern: bool, token: int | str | None) -> JsonObject:
    """The whole `_meta` of a request: what of the client's goes along, the envelope of the modern era, and the token
    by which the upstream reports progress where `token` is one. HOT.
    """
    if modern:
        meta = {**meta, **OUR_META} if meta else OUR_META
        if channel.capabilities:
            meta = {**meta, META_CAPABILITIES: declared(channel.capabilities, changes=False)}
        if channel.log_level:
            meta = {**meta, META_LOG_LEVEL: channel.log_level}
    if token is not None:
        meta = {**meta, "progressToken": token}
    return meta


def modern(ident: str, request: Request, channel: Channel = SILENT) -> bytes:
    """The request as a message with its own envelope."""
    meta = meta_for(channel, request.meta, modern=True, token=ident if channel.progress else None)
    return encode(
        {"jsonrpc": "2.0", "id": ident, "method": request.method, "params": {**request.params, "_meta": meta}}
    )


def legacy(ident: str, request: Request, channel: Channel = SILENT) -> bytes:
    """The request as a message within a session."""
    meta = meta_for(channel, request.meta, modern=False, token=ident if channel.progress else None)
    params = {**request.params, "_meta": meta} if meta else request.params
    return encode({"jsonrpc": "2.0", "id": ident, "method": request.method, "params": params})


def error_code(answer: Answer) -> int | None:
    """The JSON-RPC error code of an answer, if it carries one."""
    fault = answer.message.get("error") if answer.message else None
    code = fault.get("code") if type(fault) is dict else None
    return code if type(code) is int else None


def asked(proposal: Proposal) -> tuple[str, JsonObject]:
    """The method and params of a proposal, without `_meta`: exactly what was judged."""
    call, name = proposal.call, proposal.pin.name
    kind = call.kind
    if kind == Kind.TOOL:
        params: JsonObject = {"name": name, "arguments": call.arguments}
    elif kind == Kind.RESOURCE:
        params = {"uri": name}
    elif kind == Kind.PROMPT:
        params = {"name": name, "arguments": call.arguments} if call.arguments else {"name": name}
    elif kind == Kind.OTHER:
        return name, call.arguments
    else:  # a completion's arguments are its params, but for the name that several upstreams as one give a prompt
        params, ref = call.arguments, call.arguments.get("ref", {})
        if "name" in ref:
            params = {**params, "ref": {**ref, "name": name}}
    if call.round is not None:
        params = {**params, "inputResponses": call.round.answers}
        if call.round.state is not None:
            params["requestState"] = call.round.state
    return _METHODS[kind], params
