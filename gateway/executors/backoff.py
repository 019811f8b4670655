"""How long an upstream that cannot be reached is left alone."""

from collections.abc import Callable

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 30.0


class Backoff:
    """Doubles with each failure, with jitter; one success ends it. The clock is monotonic seconds."""

    __slots__ = ("_clock", "_failures", "_jitter", "_since", "_until")

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._clock, self._jitter = clock, jitter
        self._failures = 0
        self._since = self._until = float("-inf")

    def remaining(self) -> float:
        """Seconds until the next attempt is due; 0 when it is due now."""
        if not self._failures:
            return 0.0
        return max(0.0, self._until - self._clock())

    def failed(self, started: float) -> None:
        """An attempt that began at `started` found nobody. Attempts side by side count as one."""
        if self._failures and started < self._since:
            return
        wait = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._since = self._clock()
        self._until = self._since + wait * (0.5 + self._jitter() / 2)

    def succeeded(self) -> None:
        """Somebody answered."""
        self._failures = 0
