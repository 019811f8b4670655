"""An upstream over streamable HTTP, of either era.

Not a judge: what it runs was allowed, and its intent is durable. A request is sent once; the only ones ever repeated
are those that a 404 on their session, or a 401 on the gateway's own login, proves not to have run.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.era import Era, Verdict
from gateway.executors.messages import (
    SPOKEN_BY_BOTH,
    Request,
    check_tool_result,
    error_code,
    legacy,
    modern,
    notification,
    passed_on,
    result_of,
)
from gateway.executors.pages import every_tool
from gateway.executors.pool import AuthorizedPool, Pool
from gateway.executors.sessions import Owner, Session, Sessions
from gateway.model import Code, Digest, JsonObject, Limits, Outcome, Pin, Proposal
from gateway.settings import UpstreamSettings
from gateway.wire.mcp import (
    LATEST_MODERN,
    MODERN,
    ParamHeader,
    invalid_annotation,
    param_headers,
    render_params,
    upstream_headers,
)

if TYPE_CHECKING:  # the SDK behind it takes longer to import than all of this
    from gateway.executors.oauth.authorization import Authorization

_MOST_TEMPLATES = 20_000
_OURS: Owner = ("", "")
"""Owner of the gateway's own session; no principal has an empty name."""
_LIST_LIMITS = Limits(timeout_s=60, result_bytes=16 * 2**20)
_DOUBTFUL = frozenset({400, 404, 405, 406, 410, 426})
_WITHDRAWAL_SECONDS = 0.5

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Attempt:
    """How far one call got: whether the request for its effect may have left, and how to withdraw it."""

    deadline: float
    """Monotonic."""
    sent: bool = False
    ident: str = ""
    session: Session | None = None

    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.001, self.deadline - time.monotonic())


class Remote:
    """One upstream. `limits` bound the gateway's own requests (lists); a call brings its own. `authorization` is the
    gateway's own login there (`auth: oauth`); whoever makes it hands it over, and closing closes it.
    """

    def __init__(
        self,
        name: str,
        settings: UpstreamSettings,
        limits: Limits = _LIST_LIMITS,
        *,
        authorization: "Authorization | None" = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        assert settings.url is not None
        self.name = name
        self.changed = False
        self.dropped: tuple[str, ...] = ()
        """Tools of the last list that the specification makes a client leave out."""
        self._limits = limits
        self._pool = (
            Pool(settings.url, settings.headers, clock, jitter)
            if authorization is None
            else AuthorizedPool(settings.url, settings.headers, authorization, clock, jitter)
        )
        self._sessions = Sessions(self._pool, clock)
        self._era = Era(self._discover)
        self._numbers = count(1)
        self._closing = False
        self._templates: dict[tuple[Digest, str], tuple[dict[str, str], tuple[ParamHeader, ...]]] = {}

    def __repr__(self) -> str:
        return f"Remote({self.name!r})"

    async def execute(self, proposal: Proposal, limits: Limits) -> Outcome:
        """Run one call. HOT.

        Raises:
            Failed: there is no result to give.
        """
        started = time.monotonic()
        attempt = Attempt(started + limits.timeout_s)
        try:
            answer = await self._ask(self._request(proposal, limits), attempt)
            result = result_of(answer, self._pool.scrubbed)
            tool_error = check_tool_result(result)
        except Failed as failed:
            if failed.code is Code.UPSTREAM_TIMEOUT:
                await self._withdraw(attempt)
            raise _known(failed, attempt) from None
        except Exception as error:  # noqa: BLE001 - the executor's boundary: whatever broke, the run gets an ending
            detail = self._pool.scrubbed(repr(error))
            raise Failed(Code.UPSTREAM_INVALID, "the call broke off", detail=detail, unknown=attempt.sent) from None
        evidence: JsonObject = {"era": attempt.session.version if attempt.session else LATEST_MODERN}
        if answer.passed_over:
            evidence["passed_over"] = answer.passed_over
        return Outcome(result, answer.size, int((time.monotonic() - started) * 1e6), tool_error, evidence)

    async def tools(self) -> list[JsonObject]:
        """Every tool on every page.

        Raises:
            Failed: the list could not be had whole.
        """
        deadline = time.monotonic() + self._limits.timeout_s
        try:
            tools = await self._pages(deadline)
        except Failed as failed:
            raise _known(failed, Attempt(deadline)) from None
        verdict = self._era.known
        return self._mirrorable(tools) if verdict is None or verdict.modern else tools

    def stderr_tail(self) -> str:
        """Nothing: it is no process of ours."""
        return ""

    async def sweep(self) -> None:
        """End what is idle; to be called now and then."""
        await self._sessions.sweep()

    async def close(self) -> None:
        """Take no more calls, let those under way end for a while, then end sessions and connections."""
        self._closing = True
        await self._pool.drain()
        await self._sessions.close()
        await self._pool.close()

    def _request(self, proposal: Proposal, limits: Limits) -> Request:
        call, pin = proposal.call, proposal.pin
        headers, declared = self._templates.get((pin.digest, pin.name)) or self._template(pin)
        if declared:
            headers = {**headers, **render_params(declared, call.arguments)}
        return Request(
            "tools/call",
            {"name": pin.name, "arguments": call.arguments},
            passed_on(call.meta) if call.meta else {},
            headers,
            (call.principal.id, call.session),
            call.era,
            limits.result_bytes,
        )

    def _template(self, pin: Pin) -> tuple[dict[str, str], tuple[ParamHeader, ...]]:
        """The headers that each call of a tool shares, and those its arguments add."""
        if len(self._templates) >= _MOST_TEMPLATES:
            self._templates.clear()
        headers = upstream_headers(LATEST_MODERN, "tools/call", pin.name)
        template = (headers, param_headers(pin.definition.get("inputSchema")))
        self._templates[pin.digest, pin.name] = template
        return template

    async def _ask(self, request: Request, attempt: Attempt) -> Answer:
        """Send a request in the client's era where the upstream speaks it, else in the upstream's. HOT."""
        if self._closing:
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the gateway no longer serves this upstream")
        verdict = self._era.known
        if verdict is None:
            verdict = await _within(attempt, self._era.find())
        if not verdict.modern or (request.era not in MODERN and verdict.legacy is not False):
            session = self._sessions.current(request.owner)
            if session is None:
                session = await _within(attempt, self._session(request.owner, verdict))
            if session is not None:
                return await self._ask_in(session, request, attempt)
        attempt.ident = f"bascule-{next(self._numbers)}"
        body = modern(attempt.ident, request)
        attempt.sent = True
        answer = await self._pool.ask(body, request.headers, attempt.ident, request.limit, attempt.left())
        if answer.status != 200 and _doubtful(answer):
            self._era.forget()
        return answer

    async def _session(self, owner: Owner, verdict: Verdict) -> Session | None:
        """The owner's legacy session; None where the upstream speaks only the modern era."""
        try:
            session = await self._sessions.of(owner)
        except Failed as failed:
            if not verdict.modern or failed.code is not Code.UPSTREAM_INVALID:
                if verdict.legacy is None:
                    self._era.forget()
                raise
            session = None  # a modern server may answer a handshake with anything
        if session is None and not verdict.modern:
            self._era.forget()
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "there is no MCP server at the upstream's address")
        if verdict.legacy is None:
            self._era.learned(legacy=session is not None)
        return session

    async def _ask_in(self, session: Session, request: Request, attempt: Attempt) -> Answer:
        answer = await self._ask_once(session, request, attempt)
        if answer.status == 404 and session.id is not None:
            # "When a client receives HTTP 404 in response to a request containing an Mcp-Session-Id, it MUST start
            # a new session": the upstream dropped the request unread, so sending it again is no second effect.
            attempt.sent = False
            self._sessions.forget(request.owner, session)
            renewed = await _within(attempt, self._sessions.of(request.owner))
            if renewed is None:
                self._era.forget()
                raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream ended the session and opens no other")
            answer = await self._ask_once(renewed, request, attempt)
        return answer

    async def _ask_once(self, session: Session, request: Request, attempt: Attempt) -> Answer:
        attempt.ident, attempt.session = f"bascule-{next(self._numbers)}", session
        body = legacy(attempt.ident, request)
        session.busy += 1
        attempt.sent = True
        try:
            answer = await self._pool.ask(
                body, session.headers(request.method), attempt.ident, request.limit, attempt.left()
            )
        finally:
            session.busy -= 1
        if answer.status != 200 and _doubtful(answer):
            self._sessions.forget(request.owner, session)
        return answer

    async def _withdraw(self, attempt: Attempt) -> None:
        """Tell a legacy upstream that nobody waits any more; a modern one sees the stream close."""
        if attempt.session is None or not attempt.sent:
            return
        params = {"requestId": attempt.ident, "reason": "timed out"}
        method = "notifications/cancelled"
        try:
            async with asyncio.timeout(_WITHDRAWAL_SECONDS):
                await self._pool.tell("POST", notification(method, params), attempt.session.headers(method))
        except (Failed, TimeoutError):
            return

    async def _discover(self) -> Answer:
        headers = upstream_headers(LATEST_MODERN, "server/discover")
        request = Request("server/discover", {}, {}, headers, _OURS, LATEST_MODERN, self._limits.result_bytes)
        ident = f"bascule-{next(self._numbers)}"
        return await self._pool.ask(modern(ident, request), headers, ident, request.limit, self._limits.timeout_s)

    async def _pages(self, deadline: float) -> list[JsonObject]:
        headers = upstream_headers(LATEST_MODERN, "tools/list")

        async def ask(params: JsonObject, limit: int) -> Answer:
            request = Request("tools/list", params, {}, headers, _OURS, LATEST_MODERN, limit)
            return await self._ask(request, Attempt(deadline))

        return await every_tool(ask, self._limits.result_bytes, self._pool.scrubbed)

    def _mirrorable(self, tools: list[JsonObject]) -> list[JsonObject]:
        """Without the tools whose header annotations are invalid: a client of the modern era MUST drop them."""
        kept, dropped = [], []
        for tool in tools:
            if (problem := invalid_annotation(tool.get("inputSchema"))) is None:
                kept.append(tool)
            else:
                dropped.append(tool["name"])
                logger.warning("upstream %s: tool %r is left out: %r", self.name, tool["name"][:100], problem[:200])
        self.dropped = tuple(dropped)
        return kept


async def _within(attempt: Attempt, step: Coroutine[Any, Any, T]) -> T:
    """A step before the request for the effect, which may wait for others: bounded by the call's own deadline."""
    try:
        async with asyncio.timeout(attempt.left()):
            return await step
    except TimeoutError:
        raise Failed(Code.UPSTREAM_TIMEOUT, "the upstream did not answer in time") from None


def _doubtful(answer: Answer) -> bool:
    """Whether an answer casts doubt on the era or the session that the request relied on."""
    return answer.status in _DOUBTFUL and error_code(answer) not in SPOKEN_BY_BOTH


def _known(failed: Failed, attempt: Attempt) -> Failed:
    """What failed before the request for the effect was sent did nothing: its ending is known."""
    if failed.unknown and not attempt.sent:
        return Failed(failed.code, failed.reason, detail=failed.detail)
    return failed
