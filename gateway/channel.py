"""What passes between an upstream and a client beside a call's answer, and whether the client still waits for that.

Not the call and not a transport: each side of the gateway has its own, and the pipeline stands between the two.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.model import JsonObject

Tell = Callable[[str, JsonObject], None]
"""A notification by method and params. Never waits, never raises: what nobody listens to is dropped."""
Ask = Callable[[str, JsonObject], Awaitable[JsonObject]]
"""A request by method and params; its result object. Raises Unanswered."""


class Unanswered(Exception):
    """The other side answered with an error, or cannot answer. `code` is JSON-RPC's; no text of it goes further."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Roots:
    """Which upstreams were given the roots of one client, and which of them do not know that these are old."""

    __slots__ = ("_given", "_outdated")

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._outdated: set[str] = set()

    def given(self, upstream: str) -> None:
        """An upstream is given those of now."""
        self._given.add(upstream)
        self._outdated.discard(upstream)

    def changed(self) -> None:
        """The client says that it has others."""
        self._outdated |= self._given

    def outdated(self, upstream: str) -> bool:
        """Whether an upstream was given others than those of now, and was not told."""
        return upstream in self._outdated

    def told(self, upstream: str) -> None:
        """An upstream is told that there are others."""
        self._outdated.discard(upstream)

    def missed(self, upstream: str) -> None:
        """It was not told after all."""
        self._outdated.add(upstream)


def _dropped(_method: str, _params: JsonObject) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class Channel:
    """One call's way to whoever made it. Only what stands from `roots_changed` on ever changes."""

    capabilities: JsonObject = field(default_factory=dict)
    """What the client declared it can be asked (`sampling`, `elicitation`, `roots`)."""
    progress: bool = False
    """Whether the client asked for progress. Each hop has a token of its own, so none is told here."""
    log_level: str = ""
    """The least severe log message the client wants with this call; empty for none."""
    tell: Tell = _dropped
    """`notifications/progress` without its token, `notifications/message`."""
    ask: Ask | None = None
    """Asks the client while it waits; None where its era has no such requests (it is given `input_required`)."""
    roots: Roots | None = None
    """The client's own, where its era has it tell of other roots."""
    roots_changed: bool = False
    """Whether a legacy upstream is to hear, before it has the request, that the client's roots are others; no longer
    once it was told."""
    hung_up: bool = False
    """Whether nobody waits for the answer any more."""
    on_hang_up: Callable[[], object] | None = None
    """What is to be done then; whoever runs the call sets it."""

    def hang_up(self) -> None:
        """The client cancelled, or closed a stream whose end means that."""
        self.hung_up = True
        if self.on_hang_up is not None:
            self.on_hang_up()


SILENT: Final = Channel()
"""For what the gateway asks for itself: nobody is told, nobody can be asked."""


@dataclass(frozen=True, slots=True)
class About:
    """What a server says of itself: `initialize` and `server/discover` without their envelopes."""

    capabilities: JsonObject = field(default_factory=dict)
    instructions: str = ""
    era: str = ""
    """The revision that is spoken with it."""
