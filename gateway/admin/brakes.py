"""Operator actions on the brake. Each is recorded before it is in force, and in force with the next decision."""

from typing import Final

from gateway.audit import records
from gateway.brakes import EVERYTHING, Level, checked
from gateway.errors import ConfigError
from gateway.identity.tokens import LOCAL
from gateway.model import JsonObject
from gateway.parts import Gateway
from gateway.storage.database import Conflict
from gateway.storage.tables.brakes import BrakeRow
from gateway.writes import BrakeReleased, BrakeSet

SLOWEST_SECONDS: Final = 600
LONGEST_SECONDS: Final = 366 * 86_400


async def brake_list(gw: Gateway, *, operator: str) -> JsonObject:
    """The brakes in force."""
    return {"brakes": [_told(row) for row in gw.brakes.listed()]}


async def brake_set(
    gw: Gateway, *, operator: str, subject: str, level: str, seconds: int = 5, lasts_s: int = 0, reason: str = ""
) -> JsonObject:
    """Slow, question or stop what a subject does, for `lasts_s` seconds or until it is released (0).

    A `note` stands in the answer where the subject names nothing that is known here; it is set all the same.

    Raises:
        ConfigError: there is no such subject or level, or a number is out of bounds.
    """
    try:
        checked(subject)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if level.upper() not in Level.__members__:
        raise ConfigError(f"a brake's level is one of: {', '.join(one.lower() for one in Level.__members__)}")
    if not 1 <= seconds <= SLOWEST_SECONDS or not 0 <= lasts_s <= LONGEST_SECONDS or len(reason) > 1000:
        raise ConfigError(f"a brake slows by 1 to {SLOWEST_SECONDS} seconds, lasts at most 366 days, says 1000 letters")
    until = gw.requests.now() + lasts_s if lasts_s else 0
    pressed = BrakeSet(subject, level.upper(), seconds if level.upper() == "SLOW" else 0, until, reason, operator)
    told = {"level": level.upper(), "until": until}
    sealed = {"subject": subject, "operator": operator, "reason": reason}
    await gw.log.append([records.event("brake.set", told, sealed=sealed)], [pressed])
    # Point of no return: it is durable, and holds from the next decision on.
    gw.brakes.load()
    listed = await brake_list(gw, operator=operator)
    return listed if _known(subject, gw) else {**listed, "note": f"{subject} names nothing that is known here"}


async def brake_release(gw: Gateway, *, operator: str, subject: str) -> JsonObject:
    """Release one.

    Raises:
        ConfigError: none is set for this subject.
    """
    record = records.event("brake.released", {}, sealed={"subject": subject, "operator": operator})
    try:
        await gw.log.append([record], [BrakeReleased(subject)])
    except Conflict:
        raise ConfigError(f"no brake is set for {subject}: see `bascule brake list`") from None
    gw.brakes.load()
    return await brake_list(gw, operator=operator)


def _known(subject: str, gw: Gateway) -> bool:
    """Whether it names somebody who may ask, an upstream, or a tool that its upstream was seen to have."""
    kind, _, name = subject.partition(":")
    who = {asks: one.tenant for asks, one in gw.settings.principals.items()}
    if gw.settings.insecure_local:
        who[LOCAL.id] = LOCAL.tenant
    if kind == "tool":
        upstream, _, tool = name.partition("/")
        return any(one.name == tool for one in gw.registry.show(upstream))
    known = {"tenant": who.values(), "principal": who, "upstream": gw.settings.upstreams}
    return kind == EVERYTHING or name in known[kind]


def _told(row: BrakeRow) -> JsonObject:
    told: JsonObject = {"subject": row.subject, "level": row.level.lower(), "until": row.until or None}
    return {**told, "seconds": row.seconds or None, "reason": row.reason, "by": row.by, "at": row.at}
