"""When, as an operator writes it."""

import pytest

from gateway.admin.times import moment
from gateway.errors import ConfigError

NOW = 1_763_812_800.0
"""2025-11-22T12:00:00Z."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", NOW - 90),
        ("24h", NOW - 86_400),
        ("7d", NOW - 7 * 86_400),
        ("2 w", NOW - 14 * 86_400),
        ("2025-11-22", NOW - 43_200),
        ("2025-11-22T12:00", NOW),
        ("2025-11-22T12:00:00Z", NOW),
        ("2025-11-22T13:00:00+01:00", NOW),
    ],
)
def test_a_span_a_day_or_a_moment_is_a_time(text: str, seconds: float) -> None:
    assert moment(text, "--since", now=NOW) == int(seconds * 1_000_000)


@pytest.mark.parametrize("text", [None, ""])
def test_nothing_is_no_bound(text: str | None) -> None:
    assert moment(text, "--since", now=NOW) == 0


@pytest.mark.parametrize("text", ["yesterday", "24", "h", "99999999d", "2025-13-01", "999999w"])
def test_what_is_no_time_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--since '.*' is no time: write 24h, 7d"):
        moment(text, "--since", now=NOW)
