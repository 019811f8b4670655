"""What a process notifies of during a call, reduced to what is passed on of it. Pure."""

from typing import Any, Final

from gateway.model import JsonObject

LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Severities of log messages, the least severe first (RFC 5424)."""


def progress_of(params: JsonObject) -> JsonObject | None:
    """The progress without the token of this hop; None where it is none."""
    progress, total, message = params.get("progress"), params.get("total"), params.get("message")
    if not _number(progress) or not (total is None or _number(total)):
        return None
    told: JsonObject = {"progress": progress}
    if total is not None:
        told["total"] = total
    if message is not None:
        if type(message) is not str:
            return None
        told["message"] = message
    return told


def severe_enough(params: JsonObject, wanted: str) -> bool:
    """Whether a log message is at least as severe as is wanted; nothing is where no level is."""
    level = params.get("level")
    if level not in LEVELS or wanted not in LEVELS or "data" not in params:
        return False
    return LEVELS.index(level) >= LEVELS.index(wanted)


def _number(value: Any) -> bool:
    return type(value) is int or type(value) is float
