"""An upstream over HTTP, of either era.

Not a judge: what it runs was allowed, and its intent is durable. A request is sent once; the only ones ever repeated
are those that a 404 on their session, or a 401 on the gateway's own login, proves not to have run.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.channel import SILENT, About, Channel, Tell
from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.exchange import Exchange
from gateway.executors.feeds import OURS, Feed, Feeds
from gateway.executors.leg import Leg
from gateway.executors.messages import Request, asked, error_code
from gateway.executors.pages import every
from gateway.executors.pool import AuthorizedPool, Pool
from gateway.executors.results import check, result_of
from gateway.kinds import LIST_METHODS, Kind, Listed
from gateway.model import Code, Digest, JsonObject, Limits, Outcome, Pin, Principal, Proposal
from gateway.settings import UpstreamSettings
from gateway.wire.jsonrpc import METHOD_NOT_FOUND
from gateway.wire.mcp import (
    LATEST_MODERN,
    NAMED_BY,
    ParamHeader,
    invalid_annotation,
    param_headers,
    render_params,
    upstream_headers,
)
from gateway.wire.meta import passed_on

if TYPE_CHECKING:  # the SDK behind it takes longer to import than all of this
    from gateway.executors.oauth.authorization import Authorization

_MOST_TEMPLATES = 20_000
_LIST_LIMITS = Limits(timeout_s=60, result_bytes=16 * 2**20)
_CAPABILITY: Final = {Listed.RESOURCES: "resources", Listed.TEMPLATES: "resources", Listed.PROMPTS: "prompts"}

logger = logging.getLogger(__name__)


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
        self.dropped: tuple[str, ...] = ()
        """Tools of the last list that the specification makes a client leave out."""
        self._limits = limits
        self._pool = (
            Pool(settings.url, settings.headers, clock, jitter)
            if authorization is None
            else AuthorizedPool(settings.url, settings.headers, authorization, clock, jitter)
        )
        self._feeds = Feeds()
        self._leg = Leg(self._pool, self._feeds, limits, clock)
        self._templates: dict[tuple[Digest, str], tuple[dict[str, str], tuple[ParamHeader, ...]]] = {}

    def __repr__(self) -> str:
        return f"Remote({self.name!r})"

    @property
    def changed(self) -> bool:
        """Whether it said that one of its lists is another; a new list of tools makes it False."""
        return self._feeds.changed

    @changed.setter
    def changed(self, changed: bool) -> None:
        self._feeds.changed = changed

    async def execute(self, proposal: Proposal, limits: Limits, channel: Channel = SILENT) -> Outcome:
        """Run one proposal. HOT.

        Raises:
            Failed: there is no result to give.
        """
        started = time.monotonic()
        exchange = Exchange(limits, channel, self._leg.beside)
        try:
            with exchange.deadline:
                answer = await self._leg.ask(self._request(proposal, limits), exchange)
            result = result_of(answer, self._pool.scrubbed)
            tool_error = check(proposal.call.kind, result)
        except Failed as failed:
            if failed.code is Code.UPSTREAM_TIMEOUT:
                self._leg.withdraw(exchange, "timed out")
            raise _known(failed, exchange) from None
        except asyncio.CancelledError:
            self._leg.withdraw(exchange, "cancelled")
            raise
        except Exception as error:  # noqa: BLE001 - the executor's boundary: whatever broke, the run gets an ending
            detail = self._pool.scrubbed(repr(error))
            raise Failed(Code.UPSTREAM_INVALID, "the call broke off", detail=detail, unknown=exchange.sent) from None
        finally:
            if exchange.asks:
                exchange.end()
        evidence: JsonObject = {"era": exchange.version}
        if answer.passed_over:
            evidence["passed_over"] = answer.passed_over
        return Outcome(result, answer.size, int((time.monotonic() - started) * 1e6), tool_error, evidence)

    async def tools(self) -> list[JsonObject]:
        """Every tool on every page.

        Raises:
            Failed: the list could not be had whole.
        """
        self.changed = False
        tools = await self._pages(Listed.TOOLS)
        verdict = self._leg.verdict
        return self._mirrorable(tools) if verdict is None or verdict.modern else tools

    async def listed(self, what: Listed) -> list[JsonObject]:
        """Another of its lists; empty, without asking, where it declares no such capability.

        Raises:
            Failed: the list could not be had whole.
        """
        if what is Listed.TOOLS:
            return await self.tools()
        if _CAPABILITY[what] not in (await self.about()).capabilities:
            return []
        return await self._pages(what)

    async def about(self) -> About:
        """What it says of itself; asked once, and again when its era is in doubt.

        Raises:
            Failed: it could not be asked.
        """
        exchange = self._leg.exchange()
        try:
            with exchange.deadline:
                exchange.deadline.watch()
                return await self._leg.about()
        except Failed as failed:
            raise _known(failed, exchange) from None

    async def feed(self, owner: Principal | None, session: str, uris: tuple[str, ...], tell: Tell) -> None:
        """Tell what it notifies of by itself, until cancelled.

        Raises:
            Failed: it could not be asked, offers nothing of it, or its stream ended.
        """
        try:
            await self._leg.feed(Feed(OURS if owner is None else (owner.id, session), uris, tell))
        except Failed as failed:  # nothing had an effect that matters
            raise Failed(failed.code, failed.reason, detail=failed.detail) from None

    def stderr_tail(self) -> str:
        """Nothing: it is no process of ours."""
        return ""

    async def sweep(self) -> None:
        """End what is idle; to be called now and then."""
        await self._leg.sweep()

    async def close(self) -> None:
        """Take no more calls, let those under way end for a while, then end sessions and connections."""
        await self._leg.close()

    def _request(self, proposal: Proposal, limits: Limits) -> Request:
        call, pin = proposal.call, proposal.pin
        method, params = asked(proposal)
        if call.kind == Kind.TOOL:
            headers, declared = self._templates.get((pin.digest, pin.name)) or self._template(pin)
            if declared:
                headers = {**headers, **render_params(declared, call.arguments)}
        else:
            named = params.get(NAMED_BY.get(method, ""))
            headers = upstream_headers(LATEST_MODERN, method, named if type(named) is str else None)
        meta = passed_on(call.meta) if call.meta else {}
        owner = (call.principal.id, call.session)
        return Request(method, params, meta, headers, owner, call.era, limits.result_bytes)

    def _template(self, pin: Pin) -> tuple[dict[str, str], tuple[ParamHeader, ...]]:
        """The headers that each call of a tool shares, and those its arguments add."""
        if len(self._templates) >= _MOST_TEMPLATES:
            self._templates.clear()
        headers = upstream_headers(LATEST_MODERN, "tools/call", pin.name)
        template = (headers, param_headers(pin.definition.get("inputSchema")))
        self._templates[pin.digest, pin.name] = template
        return template

    async def _pages(self, what: Listed) -> list[JsonObject]:
        method = LIST_METHODS[what]
        headers = upstream_headers(LATEST_MODERN, method)
        exchange = self._leg.exchange()

        async def ask(params: JsonObject, limit: int) -> Answer:
            request = Request(method, params, {}, headers, OURS, LATEST_MODERN, limit)
            answer = await self._leg.ask(request, exchange)
            if what is Listed.TEMPLATES and not params and error_code(answer) == METHOD_NOT_FOUND:
                return Answer(200, {"result": {what.value: []}})  # resources without templates need no such method
            return answer

        try:
            with exchange.deadline:
                return await every(what, ask, self._limits.result_bytes, self._pool.scrubbed)
        except Failed as failed:
            raise Failed(failed.code, failed.reason, detail=failed.detail) from None  # a list changes nothing

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


def _known(failed: Failed, exchange: Exchange) -> Failed:
    """What failed before the request for the effect was sent did nothing: its ending is known."""
    if failed.unknown and not exchange.sent:
        return Failed(failed.code, failed.reason, detail=failed.detail, fault=failed.fault)
    return failed
