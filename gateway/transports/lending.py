"""Commands that a client's configuration wraps without registering them: upstreams for as long as a client is there.

Not their executors, and not an address: whoever did not bring the command does not reach it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gateway.errors import ConfigError
from gateway.settings import Settings, UpstreamSettings
from gateway.values import UpstreamName

_SAME = ("command", "args", "env", "folders")
"""What a client can say of a command; of a registered one the rest is the operator's."""


@dataclass(slots=True)
class Lent:
    """One command, and how many clients have it."""

    upstream: UpstreamSettings
    clients: int = 1


class Lending:
    """What is lent now, by name."""

    def __init__(self) -> None:
        self._lent: dict[str, Lent] = {}

    def take(self, name: str, given: Mapping[str, Any], registered: Mapping[str, UpstreamSettings]) -> bool:
        """Whether the command is lent from now on; False where it is registered just so and nothing need be.

        Raises:
            ConfigError: the command cannot be an upstream, or the name means another.
        """
        upstream = _upstream(name, given)
        lent = self._lent.get(name)
        known = lent.upstream if lent else registered.get(name)
        if known is None:
            self._lent[name] = Lent(upstream)
            return True
        if any(getattr(known, key) != getattr(upstream, key) for key in _SAME):
            where = "wrapped by another client" if lent else "registered"
            raise ConfigError(f"the upstream '{name}' is {where} with another command: give another --name")
        if lent is None:
            return False
        lent.clients += 1
        return True

    def leave(self, name: str) -> UpstreamSettings | None:
        """One client has gone; the upstream where it was the last."""
        lent = self._lent[name]
        lent.clients -= 1
        return self._lent.pop(name).upstream if lent.clients == 0 else None

    def among(self, settings: Settings) -> Settings:
        """The settings with what is lent. A name that the file has come to use is the file's."""
        lent = {name: one.upstream for name, one in self._lent.items()}
        return settings.model_copy(update={"upstreams": {**lent, **settings.upstreams}}) if lent else settings


def _upstream(name: str, given: Mapping[str, Any]) -> UpstreamSettings:
    try:
        TypeAdapter(UpstreamName).validate_python(name)
        return UpstreamSettings.model_validate(dict(given))
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "name"
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"'{name}' cannot be an upstream: {place}: {reason}") from None
