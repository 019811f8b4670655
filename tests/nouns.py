"""Nouns for tests: a call, a pin and a proposal with only what a test says different."""

from dataclasses import replace
from typing import Any

from gateway.model import (
    Call,
    Code,
    Decision,
    Digest,
    Effect,
    Endpoint,
    Manifest,
    Mode,
    Outcome,
    Pin,
    PinState,
    Point,
    Principal,
    Proposal,
)

AGENT = Principal("agent", roles=("dev",))
NOTES = Endpoint("notes", ("notes",), qualified=False)
WRITE_NOTE = {
    "name": "write_note",
    "inputSchema": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "text": {"type": "string"}},
        "required": ["path", "text"],
        "additionalProperties": False,
    },
}


def call(name: str = "write_note", **changed: Any) -> Call:
    made = Call(
        principal=AGENT,
        endpoint=NOTES,
        kind="tool",
        name=name,
        arguments={"path": "notes/a.md", "text": "hello"},
        protocol="mcp",
        era="2026-07-28",
        transport="http",
        session="principal:agent",
        task="principal:agent",
    )
    return replace(made, **changed)


def pin(name: str = "write_note", **changed: Any) -> Pin:
    made = Pin(
        upstream="notes",
        name=name,
        digest=Digest("sha256:" + "1" * 64),
        definition=WRITE_NOTE | {"name": name},
        state=PinState.ACCEPTED,
        manifest=Manifest(effects=("write",), reversal="none", digest=Digest("sha256:" + "2" * 64)),
        mode=Mode.ENFORCE,
    )
    return replace(made, **changed)


def proposal(**changed: Any) -> Proposal:
    return replace(Proposal(call(), pin()), **changed)


def decision(effect: Effect = Effect.ALLOW, code: Code | None = None, **changed: Any) -> Decision:
    made = Decision(
        id="d-1",
        point=Point.CALL,
        effect=effect,
        code=code,
        reasons=("because",),
        would_pass="",
        obligations=(),
        bundle=Digest("sha256:" + "3" * 64),
        engine="test",
        input=b"{}",
        elapsed_us=7,
    )
    return replace(made, **changed)


def outcome(text: str = "done", **changed: Any) -> Outcome:
    return replace(Outcome({"content": [{"type": "text", "text": text}]}, size=40, elapsed_us=900), **changed)
