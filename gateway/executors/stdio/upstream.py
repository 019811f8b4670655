"""An upstream over the standard streams of processes, of either era.

Not a judge: what it runs was allowed, and its intent is durable. A request is written once and never repeated. Not a
launcher either: how a process is started and confined is decided by whoever made `start`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.messages import check_tool_result, error_code, passed_on, result_of
from gateway.executors.pages import every_tool
from gateway.executors.process import Child
from gateway.executors.stdio.conversation import Envelope
from gateway.executors.stdio.handshake import HANDSHAKE_SECONDS, PROBE_SECONDS, Handshake
from gateway.executors.stdio.processes import IDLE_SECONDS, MOST, OURS, Key, Processes
from gateway.executors.stdio.server import Server
from gateway.executors.stdio.tail import Tail, scrubber
from gateway.model import Code, JsonObject, Limits, Outcome, Proposal
from gateway.wire.jsonrpc import encode
from gateway.wire.mcp import UNSUPPORTED_VERSION

LINE_BYTES = 64 * 2**20
"""The longest line that is read at all; a call brings the limit of its own answer."""
_LIST_LIMITS = Limits(timeout_s=60, result_bytes=16 * 2**20)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an upstream's processes are waited for, in seconds."""

    probe_s: float = PROBE_SECONDS
    handshake_s: float = HANDSHAKE_SECONDS
    idle_s: float = IDLE_SECONDS


def _nothing(_: Child) -> JsonObject:
    return {}


class Stdio:
    """One upstream. `start` starts a process for a key; `limits` bound the gateway's own requests (lists).

    `secrets` stand nowhere in what is kept of its words. `taken` is asked after each call what else happened at a
    process since it was last asked, for the record: contacts with hosts. `turns` are how many servers may begin at
    once, of all upstreams.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own
        self,
        name: str,
        start: Callable[[Key], Awaitable[Child]],
        *,
        share: Literal["principal", "all"] = "principal",
        limits: Limits = _LIST_LIMITS,
        patience: Patience = Patience(),
        most: int = MOST,
        line_bytes: int = LINE_BYTES,
        secrets: Sequence[str] = (),
        taken: Callable[[Child], JsonObject] = _nothing,
        turns: asyncio.Semaphore | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.changed = False
        """Whether a process said that its list of tools is another; a new list makes it False."""
        self._start, self._all, self._limits, self._line_bytes = start, share == "all", limits, line_bytes
        self._taken = taken
        self._scrubbed = scrubber(secrets)
        self._tail = Tail(self._scrubbed)
        self._running: set[Server] = set()
        """All that have not ended, those of a handshake that failed among them."""
        self._handshake = Handshake(self._started, self._scrubbed, patience.probe_s, patience.handshake_s, turns)
        self._processes = Processes(self._handshake.open, clock, jitter, most=most, idle_s=patience.idle_s)

    def __repr__(self) -> str:
        return f"Stdio({self.name!r})"

    async def execute(self, proposal: Proposal, limits: Limits) -> Outcome:
        """Run one call. HOT.

        Raises:
            Failed: there is no result to give.
        """
        started = time.monotonic()
        call = proposal.call
        key = OURS if self._all else Key(call.principal.tenant, call.principal.id)
        server: Server | None = None
        try:
            if (server := self._processes.current(key)) is None:
                server = await self._opened(key, limits.timeout_s)
            seconds = max(0.001, started + limits.timeout_s - time.monotonic())
            params = {"name": proposal.pin.name, "arguments": call.arguments}
            meta = passed_on(call.meta) if call.meta else {}
            answer = await server.ask(Envelope("tools/call", params, meta, limits.result_bytes, seconds))
            server.answered = True
            if "error" in (answer.message or ()):
                self._doubt(server, answer)
            result = result_of(answer, self._scrubbed)
            tool_error = check_tool_result(result)
        except Failed as failed:
            raise self._told(failed, server) from None
        except Exception as error:  # noqa: BLE001 - the executor's boundary: whatever broke, the run gets an ending
            detail, unknown = self._scrubbed(repr(error)), server is not None
            raise Failed(Code.UPSTREAM_INVALID, "the call broke off", detail=detail, unknown=unknown) from None
        evidence = {"era": server.version, **server.child.evidence, **self._taken(server.child)}
        if answer.passed_over:
            evidence["passed_over"] = answer.passed_over
        return Outcome(result, answer.size, int((time.monotonic() - started) * 1e6), tool_error, evidence)

    async def tools(self) -> list[JsonObject]:
        """Every tool on every page.

        Raises:
            Failed: the list could not be had whole.
        """
        deadline = time.monotonic() + self._limits.timeout_s
        self.changed = False
        if (server := self._processes.any()) is None:
            server = await self._opened(OURS, self._limits.timeout_s)

        async def ask(params: JsonObject, limit: int) -> Answer:
            seconds = max(0.001, deadline - time.monotonic())
            answer = await server.ask(Envelope("tools/list", params, {}, limit, seconds))
            self._doubt(server, answer)
            return answer

        try:
            tools = await every_tool(ask, self._limits.result_bytes, self._scrubbed)
        except Failed as failed:
            raise Failed(failed.code, failed.reason, detail=failed.detail) from None  # a list changes nothing
        server.answered = True
        return tools

    async def sweep(self) -> None:
        """End the processes that are idle; to be called now and then."""
        await self._processes.sweep()

    async def close(self) -> None:
        """Take no more calls, let those under way end for a while, then end every process and what it started."""
        await self._processes.close()
        await asyncio.gather(*(server.leave() for server in self._running))

    def stderr_tail(self) -> str:
        """The last lines that its processes wrote on stderr, or on stdout beside the protocol, with their times."""
        return str(self._tail)

    async def _opened(self, key: Key, seconds: float) -> Server:
        """The key's process, which others may wait for too: this wait is bounded by the call's own deadline."""
        try:
            async with asyncio.timeout(seconds):
                return await self._processes.opened(key)
        except TimeoutError:
            raise Failed(Code.UPSTREAM_TIMEOUT, "the upstream did not start in time") from None

    async def _started(self, key: Key) -> Server:
        try:
            child = await self._start(key)
        except OSError as error:
            detail = self._scrubbed(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream's process cannot be started", detail=detail) from None
        server = Server(child, self._tail, self._line_bytes, self._list_changed, self._running.discard)
        self._running.add(server)
        return server

    def _list_changed(self) -> None:
        self.changed = True

    def _doubt(self, server: Server, answer: Answer) -> None:
        """An answer that the version is not served says that the server is not what it was taken for."""
        if error_code(answer) == UNSUPPORTED_VERSION:
            self._handshake.forget()
            server.dismiss()

    def _told(self, failed: Failed, server: Server | None) -> Failed:
        """The failure, with what else happened meanwhile: a record has no other place for it."""
        detail = failed.detail
        if server is not None and (taken := self._taken(server.child)):
            detail = f"{detail}; {self._scrubbed(encode(taken).decode())}"
        return Failed(failed.code, failed.reason, detail=detail, unknown=failed.unknown)
