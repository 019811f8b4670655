"""How a new process of a stdio server is brought to where it can be asked, in the era that the server speaks.

Asked once per upstream with `server/discover`; servers of the legacy era answer that with some error, with nothing, or
by ending, so a silent or dead one is replaced before the `initialize` handshake is tried.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from gateway.channel import About
from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.era import Verdict, judge
from gateway.executors.messages import CLIENT, error_code
from gateway.executors.results import result_of
from gateway.executors.stdio.processes import Key
from gateway.executors.stdio.server import Server
from gateway.executors.stdio.waiting import Envelope
from gateway.model import Code, JsonObject
from gateway.wire.mcp import LATEST_LEGACY, LATEST_MODERN, LEGACY, UNSUPPORTED_VERSION

PROBE_SECONDS = 5.0
"""What other clients wait, too. A slow modern server that misses it says so when the handshake is tried."""
HANDSHAKE_SECONDS = 30.0
_BYTES = 1_048_576
_ACCEPTED: Final = (*LEGACY, "2024-11-05")
"""Over stdio the first revision differs in nothing that is used here, and old servers speak no other."""


class Handshake:
    """With one upstream. `start` starts a process; what is learnt is kept until something contradicts it."""

    def __init__(
        self,
        start: Callable[[Key], Awaitable[Server]],
        scrubbed: Callable[[str], str],
        probe_s: float = PROBE_SECONDS,
        handshake_s: float = HANDSHAKE_SECONDS,
        turns: asyncio.Semaphore | None = None,
    ) -> None:
        """`turns` are how many servers may begin at once, of all upstreams: many at once would all be too slow."""
        self._start, self._scrubbed, self._probe_s, self._handshake_s = start, scrubbed, probe_s, handshake_s
        self._turns = turns or contextlib.nullcontext()
        self._finding = asyncio.Lock()
        self.known: Verdict | None = None
        self.about: About | None = None
        """What the last process that began said of itself."""

    async def open(self, key: Key) -> Server:
        """A new process that can be asked.

        Raises:
            Failed: there is none; no effect can have happened.
        """
        try:
            if self.known is None:
                async with self._finding:
                    if self.known is None:
                        async with self._turns:
                            return await self._found(key)
            async with self._turns:
                return await self._resumed(key, self.known)
        except Failed as failed:
            raise Failed(failed.code, failed.reason, detail=failed.detail) from None

    def forget(self) -> None:
        """Ask again before the next process is used."""
        self.known = self.about = None

    async def _found(self, key: Key) -> Server:
        """The first contact."""
        server = await self._start(key)
        with _kept(server):
            verdict = await self._probed(server)
            if verdict is not None and verdict.modern:
                self.known = verdict
                return server
            if verdict is not None:
                with contextlib.suppress(Failed):  # the question may have upset it: one never asked gets its chance
                    self.known = await self._shaken(server, key)
                    return server
        server.dismiss()
        server = await self._start(key)
        with _kept(server):
            self.known = await self._shaken(server, key)
        if self.known.modern:
            server.dismiss()
            return await self._modern(key)
        return server

    async def _resumed(self, key: Key, verdict: Verdict) -> Server:
        """As it was found before."""
        try:
            if verdict.modern:
                return await self._modern(key)
            server = await self._start(key)
            with _kept(server):
                if (await self._shaken(server, key)).modern:
                    raise _changed()
            return server
        except Failed as failed:
            if failed.code is Code.UPSTREAM_INVALID:
                self.forget()
            raise

    async def _modern(self, key: Key) -> Server:
        """A server known to be modern is asked all the same: one that cannot even start then fails no call."""
        server = await self._start(key)
        with _kept(server):
            if not judge(await self._discovered(server, self._handshake_s)).modern:
                raise _changed()
        return server

    async def _probed(self, server: Server) -> Verdict | None:
        """What its answer says; None where it gave none, and cannot be asked anything else."""
        try:
            answer = await self._discovered(server, self._probe_s)
        except Failed as failed:
            if failed.code in {Code.SANDBOX_VIOLATION, Code.SANDBOX_UNAVAILABLE}:
                raise
            return Verdict(modern=False) if failed.code is Code.UPSTREAM_INVALID and server.usable else None
        odd = error_code(answer) is None and type((answer.message or {}).get("result")) is not dict
        return Verdict(modern=False) if odd else judge(answer)

    async def _discovered(self, server: Server, seconds: float) -> Answer:
        server.version, server.modern = LATEST_MODERN, True
        answer = await server.ask(Envelope("server/discover", {}, {}, _BYTES, seconds))
        self._introduced(server, (answer.message or {}).get("result"))
        return answer

    def _introduced(self, server: Server, result: object) -> None:
        """Keep what it says of itself, as far as it does."""
        said: JsonObject = result if type(result) is dict else {}
        capabilities, instructions = said.get("capabilities"), said.get("instructions")
        server.about = self.about = About(
            capabilities if type(capabilities) is dict else {},
            instructions if type(instructions) is str else "",
            server.version,
        )

    async def _shaken(self, server: Server, key: Key) -> Verdict:
        """The handshake: what its acceptance says, or a refusal that only a modern server gives."""
        server.modern = False
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": key.declared, "clientInfo": CLIENT}
        answer = await server.ask(Envelope("initialize", params, {}, _BYTES, self._handshake_s))
        if error_code(answer) == UNSUPPORTED_VERSION and (verdict := judge(answer)).modern:
            return verdict
        said = result_of(answer, self._scrubbed)
        if (version := said.get("protocolVersion")) not in _ACCEPTED:
            raise Failed(Code.UPSTREAM_INVALID, "the upstream speaks no protocol version of ours")
        server.version = version
        self._introduced(server, said)
        server.tell("notifications/initialized", {})
        return Verdict(modern=False, legacy=True)


@contextlib.contextmanager
def _kept(server: Server) -> Iterator[None]:
    """A server whose beginning fails is ended."""
    try:
        yield
    except BaseException:
        server.dismiss()
        raise


def _changed() -> Failed:
    return Failed(Code.UPSTREAM_INVALID, "the upstream no longer speaks the protocol version it spoke")
