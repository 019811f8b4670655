"""What streams, subscriptions and long lists cost. They inform: a bench is never a test."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path as Folder
from typing import Any

import aiohttp

from bench import reading
from bench.ground import Ground, everything, ground, raise_files
from bench.processes import LOAD, UNDER_TEST, cpu_s, rss_mb, serving, switches
from bench.reading import Json, Unanswered
from gateway.wire.sse import EventStream

STEPS, CHARACTERS = 100, 1_000_000
STREAM: Json = {"name": "stream", "arguments": {"steps": STEPS, "characters": CHARACTERS}}
SUBSCRIPTIONS, IDLE_S = 1_000, 10.0
UPSTREAMS, TOOLS = 20, 500
CALLERS = tuple(f"caller{number}" for number in range(6))
SERVER = "bench.servers.everything"


class NotServed(Exception):
    """What a row measures is no method of this gateway."""


async def streams(state: Folder, say: Callable[[str], None], *, short: bool) -> dict[str, Any]:
    """Every row; what they print stands under `said`."""
    raise_files()
    rows: dict[str, Any] = {}
    said: list[str] = []
    for name, measure in (("stream", streamed), ("subscriptions", subscribed), ("lists", listed)):
        say(name)
        try:
            seen, told = await measure(state / f"streams-{name}", short=short)
        except NotServed as problem:
            told, seen = [f"left out: {name}: {problem}"], {}
        rows |= seen
        said += told
    return {**rows, "said": said}


@dataclass(slots=True)
class Watched:
    """One streamed call: when its first event and its end came, and how many told of progress."""

    first_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    progress: int = 0


async def streamed(folder: Folder, *, short: bool) -> tuple[dict[str, Any], list[str]]:
    """A hundred progress events and a megabyte of content, direct and through the gateway in turn."""
    rounds = 5 if short else 40
    async with serving(SERVER, *everything("one", era="modern"), core=LOAD) as (port, _):
        direct = f"http://127.0.0.1:{port}/mcp"
        async with ground(folder, {"one": {"url": direct}}, core=UNDER_TEST) as made, _http(made) as http:
            paths = {"direct": direct, "gateway": made.url("one")}
            seen = {name: Watched() for name in paths}
            for url in paths.values():
                await _watch(http, url, Watched())
            before = cpu_s(made.pid)
            for _ in range(rounds):
                for name, url in paths.items():
                    await _watch(http, url, seen[name])
            spent = (cpu_s(made.pid) - before) * 1e3 / rounds
    rows: dict[str, Any] = {f"stream_{name}_ms": _middle(one.whole_ms) for name, one in seen.items()}
    rows |= {f"stream_{name}_first_ms": _middle(one.first_ms) for name, one in seen.items()}
    passed = seen["gateway"].progress / rounds
    rows |= {"stream_cpu_ms": round(spent, 2), "stream_progress": passed}
    line = (
        f"stream: {STEPS} progress events and {CHARACTERS / 1e6:.0f} MB: {rows['stream_direct_ms']:.1f} ms direct "
        f"(first event {rows['stream_direct_first_ms']:.1f}), {rows['stream_gateway_ms']:.1f} through the gateway "
        f"(first {rows['stream_gateway_first_ms']:.1f}), {spent:.1f} ms of its CPU; {passed:.0f} events passed on"
    )
    return rows, [line]


async def _watch(http: aiohttp.ClientSession, url: str, seen: Watched) -> None:
    """Make one streamed call."""
    begun, first = time.perf_counter(), 0.0

    async def heard(message: Json) -> None:
        nonlocal first
        first = first or time.perf_counter()
        seen.progress += message["method"] == "notifications/progress"

    body, headers = reading.modern("tools/call", STREAM, 1, {"progressToken": "p"})
    async with http.post(url, data=body, headers=headers) as response:
        result = await reading.answer(response, 1, heard)
    ended = time.perf_counter()
    if len(result["content"][0]["text"]) != CHARACTERS:
        raise Unanswered("the content is not what the upstream sent")
    seen.first_ms.append(((first or ended) - begun) * 1e3)
    seen.whole_ms.append((ended - begun) * 1e3)


async def subscribed(folder: Folder, *, short: bool) -> tuple[dict[str, Any], list[str]]:
    """Subscriptions over HTTP to which nothing happens: memory of each, and what they wake the gateway up for."""
    count, seconds = (100, 3.0) if short else (SUBSCRIPTIONS, IDLE_S)
    async with serving(SERVER, *everything("one", era="modern"), core=LOAD) as (port, _):
        upstreams = {"one": {"url": f"http://127.0.0.1:{port}/mcp"}}
        async with ground(folder, upstreams, core=UNDER_TEST) as made, _http(made) as http:
            async with _subscriptions(http, made, 10):  # what is made once is there before it is measured
                pass
            alone, before = await _idle(made.pid, seconds), rss_mb(made.pid)
            begun = time.perf_counter()
            async with _subscriptions(http, made, count):
                opened = (time.perf_counter() - begun) * 1e3 / count
                kb = (rss_mb(made.pid) - before) * 1e3 / count
                idle = await _idle(made.pid, seconds)
    woken, spent = idle[0] - alone[0], (idle[1] - alone[1]) * 1e3
    rows = {
        "subscription_kb": round(kb, 1),
        "subscription_open_ms": round(opened, 2),
        "subscriptions_wakeups_per_s": round(woken, 1),
        "subscriptions_cpu_ms_per_s": round(spent, 2),
    }
    return rows, [
        _line("subscriptions", f"{count:,} idle, memory of each", kb, 50, " kB"),
        _line("subscriptions", "wake-ups a second beyond a gateway without any", woken, 0.5, ""),
        f"subscriptions: {spent:.2f} ms of CPU a second beyond that; each was opened within {opened:.2f} ms",
    ]


@contextlib.asynccontextmanager
async def _subscriptions(http: aiohttp.ClientSession, made: Ground, count: int) -> AsyncIterator[None]:
    """So many of one client, each acknowledged, until the block ends."""
    wants = {"toolsListChanged": True, "resourceSubscriptions": []}
    async with contextlib.AsyncExitStack() as stack:
        for number in range(count):
            body, headers = reading.modern("subscriptions/listen", {"notifications": wants}, number, {})
            response = await stack.enter_async_context(http.post(made.url("one"), data=body, headers=headers))
            if response.content_type != "text/event-stream":
                raise NotServed(f"the gateway answers subscriptions/listen with HTTP {response.status}")
            events = EventStream(1 << 20)
            while not events.feed(await response.content.readany()):
                pass
        yield


async def _idle(pid: int, seconds: float) -> tuple[float, float]:
    """Wake-ups and CPU time a second of a process that is left alone."""
    await asyncio.sleep(1)
    woken, spent = switches(pid), cpu_s(pid)
    await asyncio.sleep(seconds)
    return (switches(pid) - woken) / seconds, (cpu_s(pid) - spent) / seconds


async def listed(folder: Folder, *, short: bool) -> tuple[dict[str, Any], list[str]]:
    """The tools of twenty upstreams as one list: the first time, again and again, and for others who ask."""
    rounds = 10 if short else 50
    async with serving(SERVER, *everything("many", era="modern", tools=TOOLS), core=LOAD) as (port, _):
        upstreams = {f"many{number}": {"url": f"http://127.0.0.1:{port}/mcp/{number}"} for number in range(UPSTREAMS)}
        async with ground(folder, upstreams, CALLERS, core=UNDER_TEST) as made, _http(made) as http:
            first = await _listing(http, made, CALLERS[0])
            before = cpu_s(made.pid)
            warm = [await _listing(http, made, CALLERS[0]) for _ in range(rounds)]
            spent = (cpu_s(made.pid) - before) * 1e3 / rounds
            others = [sum(await _listing(http, made, caller)) for caller in CALLERS[1:]]
            await _change(http, made)
            changed = await _listing(http, made, CALLERS[0])
    rows = {
        "lists_pages": len(first),
        "lists_request_ms": _middle([page for pages in warm for page in pages]),
        "lists_whole_ms": _middle([sum(pages) for pages in warm]),
        "lists_cpu_ms": round(spent, 2),
        "lists_first_ms": round(sum(first), 1),
        "lists_another_caller_ms": _middle(others),
        "lists_after_a_change_ms": round(sum(changed), 1),
    }
    what = f"{UPSTREAMS} upstreams with {TOOLS} tools each, one request of {len(first)}, p50"
    return rows, [
        _line("lists", what, rows["lists_request_ms"], 5, " ms"),
        f"lists: the whole {rows['lists_whole_ms']:.0f} ms ({spent:.1f} of CPU); {sum(first):.0f} the first time, "
        f"{rows['lists_another_caller_ms']:.0f} for another caller, {sum(changed):.0f} after a change of one upstream",
    ]


async def _listing(http: aiohttp.ClientSession, made: Ground, caller: str) -> list[float]:
    """One whole list: the milliseconds of each page, until it is read and before it is parsed."""
    taken: list[float] = []
    found = 0
    cursor: dict[str, str] = {}
    while True:
        body, headers = reading.modern("tools/list", cursor, len(taken), {})
        headers["authorization"] = f"Bearer {made.tokens[caller]}"
        begun = time.perf_counter()
        async with http.post(made.url(), data=body, headers=headers) as response:
            text = await response.read()
        taken.append((time.perf_counter() - begun) * 1e3)
        result = reading.parsed(text, response.status)
        found += len(result["tools"])
        if not (following := result.get("nextCursor")):
            break
        cursor = {"cursor": following}
    if found not in (UPSTREAMS * TOOLS, UPSTREAMS * TOOLS - 1):
        raise Unanswered(f"{found} tools were listed, not {UPSTREAMS * TOOLS}")
    return taken


async def _change(http: aiohttp.ClientSession, made: Ground) -> None:
    """Let one upstream say that its list changed."""
    body, headers = reading.modern("tools/call", {"name": "many0__change", "arguments": {}}, 1, {})
    async with http.post(made.url(), data=body, headers=headers) as response:
        await reading.answer(response, 1)


def _http(made: Ground) -> aiohttp.ClientSession:
    headers = {"authorization": f"Bearer {next(iter(made.tokens.values()))}"}
    return aiohttp.ClientSession(
        headers=headers, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
    )


def _middle(figures: list[float]) -> float:
    return round(statistics.median(figures), 2)


def _line(row: str, what: str, value: float, bound: float, unit: str) -> str:
    return f"{'meets' if value <= bound else 'misses':<7}{row}: {what}: {value:.2f}{unit} (target <= {bound}{unit})"
