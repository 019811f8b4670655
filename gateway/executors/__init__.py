"""What acts: an executor runs one proposal and says what it saw.

Not what decides whether it may run: by the time an executor is asked, the intent is durable.
"""

from typing import Protocol

from gateway.channel import SILENT, About, Channel, Tell
from gateway.kinds import Listed
from gateway.model import JsonObject, Limits, Outcome, Principal, Proposal


class Executor(Protocol):
    """One upstream."""

    changed: bool
    """Whether it said that one of its lists is another; a new list of tools makes it False."""

    async def execute(self, proposal: Proposal, limits: Limits, channel: Channel = SILENT) -> Outcome:
        """Run a proposal of any kind, once.

        What the upstream notifies of meanwhile (progress, log messages) is told through `channel`, and what it asks
        of the client is asked there; what it says of other things goes to its feeds. Progress begins
        `limits.timeout_s` anew, up to `limits.most_s`; neither runs while the client is being asked. Cancelled, it
        withdraws what it asked, and lets the cancellation through.

        Raises:
            Failed: there is no result; `unknown` when the effect may have happened all the same.
        """
        ...

    async def tools(self) -> list[JsonObject]:
        """The whole list of tool definitions, every page, as the upstream wrote them.

        Raises:
            Failed: the list could not be had whole; an empty list means that the upstream has no tools.
        """
        ...

    async def listed(self, what: Listed) -> list[JsonObject]:
        """Another of its lists, as `tools`; empty, without asking, where it declares no such capability."""
        ...

    async def about(self) -> About:
        """What it says of itself, as its handshake or discovery told it.

        Raises:
            Failed: it could not be asked.
        """
        ...

    async def feed(self, owner: Principal | None, session: str, uris: tuple[str, ...], tell: Tell) -> None:
        """Tell what it notifies of by itself, until cancelled: changes of its lists and, where `uris` names any,
        updates of these resources, for which it is subscribed in the owner's own session; `None` is the gateway.
        ACKNOWLEDGED is told first, once whatever happens from then on will be heard.

        Raises:
            Failed: it could not be asked, offers nothing of it, or its stream ended.
        """
        ...

    def stderr_tail(self) -> str:
        """What its processes last wrote beside the protocol, for the operator; nothing where it has none."""
        ...

    async def sweep(self) -> None:
        """End what has been idle for too long; called now and then."""
        ...

    async def close(self) -> None:
        """Let the calls under way end, for a while, then end sessions and connections."""
        ...
