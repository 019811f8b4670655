"""What must hold before the gateway listens: it refuses, it records, and what it records can be verified.

Each line is shown by `bascule doctor`; at a start any failing line refuses it.
"""

import os
import pwd
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway import pipeline
from gateway.audit import proof, records
from gateway.errors import BasculeError, ConfigError
from gateway.model import Call, Endpoint, JsonObject, Principal
from gateway.parts import Gateway
from gateway.policy import canaries
from gateway.registry.registry import UNKNOWN
from gateway.separation import separated
from gateway.wire import replies


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that holds or does not: state is `ok`, `warn` or `fail`."""

    name: str
    state: str
    evidence: str
    fix: str = ""

    def told(self) -> JsonObject:
        """As JSON, for the command line."""
        return {"name": self.name, "state": self.state, "evidence": self.evidence, "fix": self.fix}


async def run(gw: Gateway) -> list[Line]:
    """Every line, in the order in which a start needs them; none raises."""
    checks: list[tuple[str, Callable[[Gateway], Awaitable[str]]]] = [
        ("log", _canary_record),
        ("refusal", _canary_call),
        ("policy", _canary_decisions),
    ]
    lines = []
    for name, check in checks:
        try:
            lines.append(Line(name, "ok", await check(gw)))
        except BasculeError as failure:
            lines.append(Line(name, "fail", str(failure), getattr(failure, "detail", "")))
    return [*lines, separation()]


async def refuse_unless_sound(gw: Gateway) -> list[Line]:
    """The lines, if the gateway may start.

    Raises:
        ConfigError: a line failed; it is named.
    """
    lines = await run(gw)
    failed = [f"{line.name}: {line.evidence} {line.fix}".strip() for line in lines if line.state == "fail"]
    if failed:
        raise ConfigError("the start was refused: " + "; ".join(failed))
    return lines


async def _canary_record(gw: Gateway) -> str:
    """Append a record, read it back, and prove it under the signed head with the public key alone."""
    nonce = secrets.token_hex(16)
    stored = await gw.log.append([records.event("log.canary", {"nonce": nonce})])
    await gw.log.head()
    leaf = gw.archive.reader.leaf(stored.first)
    text = proof.prove(gw.archive.reader, stored.first)
    if leaf is None or nonce.encode() not in leaf:
        raise ConfigError("a record that was acknowledged cannot be read back")
    proof.check_proof(text, leaf, gw.archive.vkey)
    return f"record {stored.first} was appended, read back and proved under the signed head"


async def _canary_call(gw: Gateway) -> str:
    """A call of a tool that nobody accepted, by nobody known, goes down the whole path and must be refused."""
    nobody = Principal("bascule:canary", tenant="bascule:canary")
    call = Call(
        principal=nobody,
        endpoint=Endpoint("bascule:canary", ("bascule:canary",), qualified=False),
        kind="tool",
        name="bascule:canary",
        arguments={},
        protocol="mcp",
        era="2026-07-28",
        transport="none",
        session="bascule:canary",
        task="bascule:canary",
    )
    reply = await pipeline.serve(call, gw)
    if reply != replies.unknown(UNKNOWN):
        raise ConfigError("a call of a tool that does not exist was not refused as unknown")
    return "a call that nobody may make was refused and recorded"


async def _canary_decisions(gw: Gateway) -> str:
    """The loaded policy on inputs that nobody should be allowed, and on the largest there can be."""
    return await canaries.prove(gw.pdp)


def separation() -> Line:
    """Whether the gateway runs as a user of its own, which no policy of ours can replace."""
    user = pwd.getpwuid(os.geteuid()).pw_name if _named(os.geteuid()) else str(os.geteuid())
    if separated():
        return Line("separation", "ok", f"OWN-UID: runs as the system user {user}")
    return Line(
        "separation",
        "warn",
        f"SHARED-UID: runs as {user}; an agent that can run commands as {user} can change policy, keys and log",
        "run the gateway as a user of its own",
    )


def _named(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
