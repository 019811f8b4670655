"""What acts: an executor runs one proposal and says what it saw.

Not what decides whether it may run: by the time an executor is asked, the intent is durable.
"""

from typing import Protocol

from gateway.model import JsonObject, Limits, Outcome, Proposal


class Executor(Protocol):
    """One upstream."""

    changed: bool
    """Whether it said that its list of tools is another; a new list makes it False."""

    async def execute(self, proposal: Proposal, limits: Limits) -> Outcome:
        """Run a proposal, once.

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

    def stderr_tail(self) -> str:
        """What its processes last wrote beside the protocol, for the operator; nothing where it has none."""
        ...

    async def sweep(self) -> None:
        """End what has been idle for too long; called now and then."""
        ...

    async def close(self) -> None:
        """Let the calls under way end, for a while, then end sessions and connections."""
        ...
