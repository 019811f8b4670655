"""When, as an operator writes it: `24h`, `7d`, a day, or a moment in UTC."""

import re
from datetime import UTC, datetime, timedelta

from gateway.errors import ConfigError

_SPAN = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str | None, option: str, *, now: float) -> int:
    """Unix microseconds; 0 where nothing was given. `now` is in Unix seconds.

    Raises:
        ConfigError: it is no time; says what would be.
    """
    if not text:
        return 0
    try:
        if span := _SPAN.fullmatch(text.strip()):
            at = datetime.fromtimestamp(now, UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
        else:
            at = datetime.fromisoformat(text.strip())
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    except (ValueError, OverflowError):
        raise ConfigError(f"{option} '{text}' is no time: write 24h, 7d, 2026-11-22 or 2026-11-22T18:00Z") from None
    return int(at.timestamp() * 1_000_000)
