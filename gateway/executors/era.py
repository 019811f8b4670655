"""Which eras an upstream speaks: asked once, kept until something contradicts it.

Not the legacy handshake itself (sessions.py): a server that is not modern is only believed to be legacy once a
handshake with it succeeded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from gateway.channel import About
from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.messages import error_code
from gateway.executors.results import about_of, result_of
from gateway.model import Code
from gateway.wire.jsonrpc import METHOD_NOT_FOUND
from gateway.wire.mcp import HEADER_MISMATCH, LATEST_MODERN, LEGACY, MISSING_CAPABILITY, UNSUPPORTED_VERSION


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of an upstream. `legacy` is None while nobody has tried a handshake."""

    modern: bool
    legacy: bool | None = None
    early: bool = False
    """Whether that handshake needed the transport of 2024-11-05."""


class Era:
    """The verdict on one origin. A failed probe leaves none."""

    __slots__ = ("_ask", "_lock", "about", "known")

    def __init__(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        """`ask` sends `server/discover` in the modern manner."""
        self._ask = ask
        self._lock = asyncio.Lock()
        self.known: Verdict | None = None
        self.about: About | None = None
        """What the upstream says of itself, where it has said it."""

    async def find(self) -> Verdict:
        """The verdict, probed for if there is none.

        Raises:
            Failed: the upstream could not be asked, or speaks no revision of ours.
        """
        async with self._lock:
            if self.known is None:
                try:
                    answer = await self._ask()
                except Failed as failed:
                    if failed.code is not Code.UPSTREAM_INVALID:
                        raise
                    # Whatever that was, it was not modern.
                    self.known = Verdict(modern=False)
                else:
                    self.known = judge(answer)
                    if self.known.modern and answer.message is not None and "result" in answer.message:
                        self.about = about_of(answer.message["result"], LATEST_MODERN)
            return self.known

    def forget(self) -> None:
        """Probe again before the next request."""
        self.known = self.about = None

    def learned(self, *, legacy: bool, early: bool = False) -> None:
        """A handshake was accepted or refused."""
        if self.known is not None:
            self.known = replace(self.known, legacy=legacy, early=early)


def judge(answer: Answer) -> Verdict:
    """What an answer to the modern `server/discover` says of its sender (protocols.md 1.3).

    Raises:
        Failed: it says nothing of eras, or that no revision is shared.
    """
    code = error_code(answer)
    if code == UNSUPPORTED_VERSION and answer.message is not None:
        data = answer.message["error"].get("data")
        return _shared(data.get("supported") if type(data) is dict else None)
    if code in {HEADER_MISMATCH, MISSING_CAPABILITY} or (answer.status == 404 and code == METHOD_NOT_FOUND):
        return Verdict(modern=True)
    if answer.status == 200 and code is None:
        return _shared(result_of(answer, str).get("supportedVersions"))
    if answer.status in {401, 403, 408, 429} or 300 <= answer.status < 400 or answer.status > 500:
        # An outage, a refusal or a redirect is no verdict. 500 may be: servers of old fail so on what they never saw.
        result_of(answer, str)
    return Verdict(modern=False)


def _shared(supported: Any) -> Verdict:
    if type(supported) is not list:
        return Verdict(modern=False)
    if LATEST_MODERN in supported:
        return Verdict(modern=True)
    if any(version in LEGACY for version in supported):
        return Verdict(modern=False)
    raise Failed(Code.UPSTREAM_INVALID, "the upstream speaks no protocol version of ours")
