"""Streams in great number, through a real gateway: they cost little and leave nothing."""

import asyncio
import resource
from pathlib import Path

import orjson
import pytest

from tests.attacks.clients import META
from tests.attacks.upstreams import upstream
from tests.serving import MODERN, PATIENCE, TOKEN, Folder, serving

STREAMS = 10_000
AT_ONCE = 500
LISTEN = {"_meta": META, "notifications": {"toolsListChanged": True}}
Open = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def rss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


async def listening(port: int, ident: int) -> Open:
    """A stream that was acknowledged."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": ident, "method": "subscriptions/listen", "params": LISTEN})
    head = (
        f"POST /mcp/kept HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {TOKEN}\r\n"
        "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
        f"mcp-protocol-version: {MODERN}\r\nmcp-method: subscriptions/listen\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    said = await reader.readuntil(b"\n\n")
    assert b"notifications/subscriptions/acknowledged" in said, said
    return reader, writer


@pytest.mark.slow
async def test_ten_thousand_idle_streams_cost_little_and_leave_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = STREAMS + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} file descriptors are needed, and this machine allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        async with upstream() as kept, serving(Folder(tmp_path, {"kept": {"url": kept.url}})) as served:
            port, pid = int(served.base.rpartition(":")[2]), served.process.pid
            before, files = rss_kb(pid), descriptors(pid)
            opened: list[Open] = []
            for at in range(0, STREAMS, AT_ONCE):
                opened += await asyncio.gather(*(listening(port, n) for n in range(at, at + AT_ONCE)))
            each = (rss_kb(pid) - before) / STREAMS
            print(f"{each:.1f} kB and {descriptors(pid) - files} descriptors for {STREAMS} streams")
            assert descriptors(pid) > files + STREAMS - 20, "not all of them are open"
            assert each <= 50
            for _, writer in opened:
                writer.transport.abort()
            async with asyncio.timeout(PATIENCE):
                while descriptors(pid) > files + 20:  # noqa: ASYNC110 - another process closes them
                    await asyncio.sleep(0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
