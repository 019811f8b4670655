"""The load generator: closed-loop clients on raw sockets, with requests built from ready-made bytes.

It spends as little CPU as it can, so that what it measures is the path. Every reply is checked for its status
and for an error; every `WHOLE`-th is parsed and compared with what the echo must have said.
"""

import asyncio
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson

ARGUMENTS_BYTES = 1024
WHOLE = 64
DIGITS = 12
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


class BadReply(Exception):
    """A path answered with something else than the result of the call."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a path is reached."""

    port: int
    path: str = "/mcp"
    token: str = ""


@dataclass(slots=True)
class Slice:
    """What one slice of load saw."""

    latencies_ns: list[int] = field(default_factory=list)
    seconds: float = 0.0


class Requests:
    """Requests that differ from call to call in id, path and content, and never in length."""

    def __init__(self, target: Target) -> None:
        mark = "N" * DIGITS
        arguments = {"path": f"notes/{mark}.md", "content": ""}
        arguments["content"] = f"{mark} " + "x" * (ARGUMENTS_BYTES - len(orjson.dumps(arguments)) - DIGITS - 1)
        params = {"name": "write", "arguments": arguments, "_meta": META}
        body = orjson.dumps({"jsonrpc": "2.0", "id": mark, "method": "tools/call", "params": params})
        headers = {
            "Host": f"127.0.0.1:{target.port}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "write",
            "Content-Length": str(len(body)),
            **({"Authorization": f"Bearer {target.token}"} if target.token else {}),
        }
        head = f"POST {target.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._pieces = (head.encode() + b"\r\n" + body).split(mark.encode())
        self._numbers = count(time.time_ns() % 10**DIGITS)  # a log that outlives the run sees new arguments too

    def next(self) -> bytes:
        return (b"%0*d" % (DIGITS, next(self._numbers) % 10**DIGITS)).join(self._pieces)


class Caller(asyncio.Protocol):
    """One client: sends the next call when the reply to the last has been read."""

    def __init__(self, requests: Requests, seen: Slice) -> None:
        self._requests, self._seen = requests, seen
        self._buffer = b""
        self._started = self._deadline = 0
        self._replies = 0
        self._transport: Any = None  # uvloop's transports are no asyncio.Transport
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(BadReply(f"the path closed the connection ({exc})"))

    def start(self, deadline_ns: int) -> None:
        """Call until `deadline_ns`; the call under way then is still counted."""
        self._deadline = deadline_ns
        self._call(time.perf_counter_ns())

    def close(self) -> None:
        if not self.done.done():
            self.done.cancel()
        self._transport.close()

    def _call(self, now: int) -> None:
        self._started = now
        self._transport.write(self._requests.next())

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        if not complete(data):
            self._buffer = data
            return
        self._buffer = b""
        now = time.perf_counter_ns()
        self._seen.latencies_ns.append(now - self._started)
        self._replies += 1
        try:
            check(data, whole=self._replies % WHOLE == 1)
        except BadReply as fault:
            if not self.done.done():
                self.done.set_exception(fault)
            return
        if now < self._deadline:
            self._call(now)
        elif not self.done.done():
            self.done.set_result(None)


def complete(data: bytes) -> bool:
    """Whether `data` is one whole HTTP response."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        return len(data) >= end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])
    return data.endswith(b"0\r\n\r\n")


def check(data: bytes, *, whole: bool) -> None:
    """Refuse anything but the result of a call."""
    if not data.startswith(b"HTTP/1.1 200 "):
        raise BadReply(data[:600].decode("utf-8", "replace"))
    if b'"error"' in data or b'"isError":true' in data or b'"result"' not in data:
        raise BadReply(data[:1200].decode("utf-8", "replace"))
    if whole:
        message = orjson.loads(data[data.index(b'{"') : data.rindex(b"}") + 1])
        texts = [part["text"] for part in message["result"]["content"]]
        if len(texts) != 1 or not texts[0].startswith("wrote "):
            raise BadReply(str(message))


async def load(target: Target, clients: int, seconds: float) -> Slice:
    """Drive `target` with `clients` closed-loop clients for `seconds`."""
    seen = Slice()
    requests = Requests(target)
    loop = asyncio.get_running_loop()
    callers: list[Caller] = []
    try:
        for _ in range(clients):
            _, caller = await loop.create_connection(lambda: Caller(requests, seen), "127.0.0.1", target.port)
            callers.append(caller)
        begun = time.perf_counter_ns()
        for caller in callers:
            caller.start(begun + int(seconds * 1e9))
        await asyncio.wait_for(asyncio.gather(*(caller.done for caller in callers)), seconds + 60)
        seen.seconds = (time.perf_counter_ns() - begun) / 1e9
    finally:
        for caller in callers:
            caller.close()
    return seen
