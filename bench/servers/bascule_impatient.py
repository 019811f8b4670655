"""`bascule`, but that it ends idle sessions and processes within seconds: what clients leave behind shows in a soak.

Nothing else is another: the times alone are set shorter than a run takes.
"""

from collections.abc import Callable
from typing import Any

from gateway import app, cli
from gateway.executors.sessions import Sessions as UpstreamSessions
from gateway.executors.stdio.processes import Processes
from gateway.rounds import Parking
from gateway.transports.sessions import Sessions

IDLE_S, UPKEEP_S = 15.0, 2.0


def shorten(idle_s: float, upkeep_s: float) -> None:
    """From here on, whatever is made."""
    whole: Any
    for whole in (Sessions, UpstreamSessions, Processes, Parking):
        whole.__init__ = _always(whole.__init__, idle_s)
    app.UPKEEP_SECONDS = upkeep_s


def _always(made: Callable[..., None], idle_s: float) -> Callable[..., None]:
    def init(self: object, *words: Any, **named: Any) -> None:
        made(self, *words, **{**named, "idle_s": idle_s})

    return init


if __name__ == "__main__":
    shorten(IDLE_S, UPKEEP_S)
    cli.main()
