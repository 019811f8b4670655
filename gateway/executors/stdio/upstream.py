"""An upstream over the standard streams of processes, of either era.

Not a judge: what it runs was allowed, and its intent is durable. A request is written once and never repeated. Not a
launcher either: how a process is started and confined is decided by whoever made `start`.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.channel import SILENT, About, Channel, Tell
from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.messages import asked, error_code
from gateway.executors.pages import every
from gateway.executors.process import Child
from gateway.executors.results import check, result_of
from gateway.executors.stdio.feeds import GATEWAY, Feeds
from gateway.executors.stdio.handshake import HANDSHAKE_SECONDS, PROBE_SECONDS, Handshake
from gateway.executors.stdio.processes import IDLE_SECONDS, MOST, OURS, Key, Processes, capabilities_of, closed
from gateway.executors.stdio.server import Server
from gateway.executors.stdio.tail import Tail, scrubber
from gateway.executors.stdio.topics import Feed
from gateway.executors.stdio.waiting import Envelope
from gateway.kinds import LIST_METHODS, ROOTS_CHANGED, Listed
from gateway.model import Call, Code, JsonObject, Limits, Outcome, Principal, Proposal
from gateway.wire.jsonrpc import METHOD_NOT_FOUND, encode
from gateway.wire.mcp import MODERN, UNSUPPORTED_VERSION
from gateway.wire.meta import passed_on

LINE_BYTES = 64 * 2**20
"""The longest line that is read at all; a call brings the limit of its own answer."""
_LIST_LIMITS = Limits(timeout_s=60, result_bytes=16 * 2**20)
_CAPABILITIES: Final[Mapping[Listed, str]] = {
    Listed.TOOLS: "tools",
    Listed.RESOURCES: "resources",
    Listed.TEMPLATES: "resources",
    Listed.PROMPTS: "prompts",
}
_LEVEL_SECONDS = 5.0
_LEVEL_BYTES = 65_536


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
        """Whether a process said that one of its lists is another; a new list of tools makes it False."""
        self._start, self._all, self._limits, self._line_bytes = start, share == "all", limits, line_bytes
        self._taken = taken
        self._scrubbed = scrubber(secrets)
        self._tail = Tail(self._scrubbed)
        self._running: set[Server] = set()
        """All that have not ended, those of a handshake that failed among them."""
        self._handshake = Handshake(self._started, self._scrubbed, patience.probe_s, patience.handshake_s, turns)
        self._feeds = Feeds()
        self._processes = Processes(
            self._handshake.open, clock, jitter, most=most, idle_s=patience.idle_s, came=self._feeds.came
        )

    def __repr__(self) -> str:
        return f"Stdio({self.name!r})"

    async def execute(self, proposal: Proposal, limits: Limits, channel: Channel = SILENT) -> Outcome:
        """Run one call. HOT.

        Raises:
            Failed: there is no result to give.
        """
        started = time.monotonic()
        call = proposal.call
        if self._all and channel is not SILENT:  # of everybody's process nobody hears more than of their own call
            channel = Channel(progress=channel.progress, tell=channel.tell)
        server: Server | None = None
        try:
            key = self._key(call, channel)
            if (server := self._processes.current(key)) is None:
                server = await self._opened(key, limits.timeout_s)
            if channel.log_level != server.level and channel.log_level:
                await self._level(server, channel.log_level, limits.timeout_s)
            if channel.roots_changed and not server.modern:  # nothing it asks is read before the request is written
                channel.roots_changed = False
                server.tell(ROOTS_CHANGED, {})
            answer = await server.ask(_envelope(proposal, limits, channel, time.monotonic() - started))
            server.answered = True
            if "error" in (answer.message or ()):
                self._doubt(server, answer)
            result = result_of(answer, self._scrubbed)
            tool_error = check(call.kind, result)
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
        self.changed = False
        return await self._every(Listed.TOOLS, await self._any())

    async def listed(self, what: Listed) -> list[JsonObject]:
        """Every entry on every page of another list; none, unasked, where the capability is not declared.

        Raises:
            Failed: the list could not be had whole.
        """
        server = await self._any()
        if type(server.about.capabilities.get(_CAPABILITIES[what])) is not dict:
            return []
        try:
            return await self._every(what, server)
        except Failed as failed:
            if what is Listed.TEMPLATES and failed.fault == {"code": METHOD_NOT_FOUND}:
                return []  # one capability for two lists: many servers keep only the first
            raise

    async def about(self) -> About:
        """What a process said of itself as it began.

        Raises:
            Failed: none could begin.
        """
        if self._handshake.about is None:
            return (await self._any()).about
        return self._handshake.about

    async def feed(self, owner: Principal | None, session: str, uris: tuple[str, ...], tell: Tell) -> None:  # noqa: ARG002 - processes know no sessions
        """Tell what processes notify of by themselves, until cancelled. Only where there are `uris` is one started for
        it, and kept: of their lists they may tell as long as they run anyhow.

        Raises:
            Failed: the process ended, or offers no updates of these resources.
        """
        who = GATEWAY if owner is None or self._all else (owner.tenant, owner.id)
        feed = Feed(who, uris, tell)
        try:
            if uris and not any(server.who == who for server in self._processes.live()):
                await self._opened(Key(*who), self._limits.timeout_s)
            live = self._processes.live()
            if self._processes.closing or (uris and not any(server.who == who for server in live)):
                raise closed()
            self._feeds.join(feed, live)
            feed.begin()
            await feed.over
        except Failed as failed:
            detail = self._scrubbed(failed.detail)
            raise Failed(failed.code, failed.reason, detail=detail, fault=failed.fault) from None
        finally:
            self._feeds.leave(feed, self._running)

    async def sweep(self) -> None:
        """End the processes that are idle; to be called now and then."""
        await self._processes.sweep()

    async def close(self) -> None:
        """Take no more calls, let those under way end for a while, then end every process and what it started."""
        self._feeds.end(closed())
        await self._processes.close()
        await asyncio.gather(*(server.leave() for server in self._running))

    def stderr_tail(self) -> str:
        """The last lines that its processes wrote on stderr, or on stdout beside the protocol, with their times."""
        return str(self._tail)

    def _key(self, call: Call, channel: Channel) -> Key:
        """Whose process a call runs in. HOT."""
        if self._all:
            return OURS
        principal = call.principal
        if not channel.capabilities or ((known := self._handshake.known) is not None and known.modern):
            return Key(principal.tenant, principal.id)
        changes = call.era not in MODERN
        return Key(principal.tenant, principal.id, capabilities_of(channel.capabilities, changes=changes))

    async def _any(self) -> Server:
        """A process to ask for what is nobody's."""
        return self._processes.any() or await self._opened(OURS, self._limits.timeout_s)

    async def _every(self, what: Listed, server: Server) -> list[JsonObject]:
        deadline = time.monotonic() + self._limits.timeout_s

        async def ask(params: JsonObject, limit: int) -> Answer:
            seconds = max(0.001, deadline - time.monotonic())
            answer = await server.ask(Envelope(LIST_METHODS[what], params, {}, limit, seconds))
            self._doubt(server, answer)
            return answer

        try:
            entries = await every(what, ask, self._limits.result_bytes, self._scrubbed)
        except Failed as failed:  # a list changes nothing
            raise Failed(failed.code, failed.reason, detail=failed.detail, fault=failed.fault) from None
        server.answered = True
        return entries

    async def _level(self, server: Server, level: str, seconds: float) -> None:
        """Have a process of the legacy era say no less than that; what it refuses it need not do."""
        if server.modern or type(server.about.capabilities.get("logging")) is not dict:
            return
        server.level = level
        envelope = Envelope("logging/setLevel", {"level": level}, {}, _LEVEL_BYTES, min(seconds, _LEVEL_SECONDS))
        with contextlib.suppress(Failed):
            await server.ask(envelope)

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
        return Failed(failed.code, failed.reason, detail=detail, unknown=failed.unknown, fault=failed.fault)


def _envelope(proposal: Proposal, limits: Limits, channel: Channel, gone: float) -> Envelope:
    """The request of a call, so many seconds after it began. HOT."""
    method, params = asked(proposal)
    meta = passed_on(proposal.call.meta) if proposal.call.meta else {}
    left, most = max(0.001, limits.timeout_s - gone), limits.most_s - gone
    return Envelope(method, params, meta, limits.result_bytes, left, limits.timeout_s, most, channel)
