"""How long one request is waited for: so much silence, so much in all.

Not asyncio's own timeout, which costs a tenth of a whole call. What cannot move is left to the HTTP client, which
keeps it for nothing; what can is one timer, moved only when it fires.
"""

import asyncio
from types import TracebackType

from gateway.errors import Failed
from gateway.model import Code, Limits


class Deadline:
    """Runs within its `with`, in whose place it raises UPSTREAM_TIMEOUT, and stands still while somebody is held for.

    `moves` says whether anything may ever be heard or held for. Whether the effect may have happened is for whoever
    knows what was sent: the failure says that it may.
    """

    __slots__ = (
        "_cancelling",
        "_end",
        "_held",
        "_late",
        "_loop",
        "_moves",
        "_quiet_s",
        "_since",
        "_speak_by",
        "_task",
        "_timer",
    )  # fmt: skip

    def __init__(self, limits: Limits, *, moves: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._quiet_s, self._moves = limits.timeout_s, moves
        self._speak_by = self._loop.time() + limits.timeout_s
        self._end = self._speak_by + max(0.0, limits.most_s - limits.timeout_s)
        self._timer: asyncio.TimerHandle | None = None
        self._late, self._held, self._since = False, 0, 0.0

    def __enter__(self) -> None:
        if self._moves:
            self.watch()

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        if self._late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise late() from None

    def watch(self) -> None:
        """Be kept here from now on, whatever is waited for."""
        if self._timer is not None:
            return
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._timer = self._loop.call_at(self._speak_by, self._due)

    @property
    def seconds(self) -> float | None:
        """What the HTTP client is to keep: the rest of it; None where it is kept here."""
        return max(0.001, self._speak_by - self._loop.time()) if self._timer is None else None

    def heard(self) -> None:
        """The silence begins anew."""
        self._speak_by = self._now() + self._quiet_s

    def hold(self) -> None:
        """Stand still; as often as it is held it has to be let go."""
        if not self._held:
            self._since = self._loop.time()
        self._held += 1

    def let_go(self) -> None:
        """Run on."""
        self._held -= 1
        if not self._held:
            gap = self._loop.time() - self._since
            self._speak_by += gap
            self._end += gap

    def _now(self) -> float:
        return self._since if self._held else self._loop.time()

    def _due(self) -> None:
        left = min(self._speak_by, self._end) - self._now()
        if left > 0:
            self._timer = self._loop.call_later(left, self._due)
        else:
            self._late = True
            self._task.cancel()


def late() -> Failed:
    """Nobody answered while there was time."""
    return Failed(Code.UPSTREAM_TIMEOUT, "the upstream did not answer in time", unknown=True)
