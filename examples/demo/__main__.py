"""`python -m examples.demo [--once]`: the gateway before a real server, five scenes, and how to connect a client."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from importlib import import_module

from examples.demo.page import Page
from examples.demo.processes import NotReady
from examples.demo.stage import Stage, opened, prepared
from gateway.errors import ConfigError


async def demonstrate(page: Page, *, once: bool) -> None:
    """Set the stage, play, and stay up unless told otherwise."""
    begun = time.monotonic()
    stage = prepared()
    async with opened(stage) as ready:
        await asyncio.gather(
            ready(), asyncio.to_thread(import_module, "examples.demo.scenes")
        )  # a second, side by side
        page.line(f"gateway       {stage.url}")
        page.line(f"in front of   {stage.notes_url}, a notes server that knows nothing of it")
        await played(stage, page)
        verdict = "every scene was what it says" if not page.failed else f"{page.failed} of {page.scenes} scenes failed"
        page.line(f"\n{verdict} ({time.monotonic() - begun:.1f} s)")
        if not once:
            connect(stage, page)
            await asyncio.Event().wait()


async def played(stage: Stage, page: Page) -> None:
    """The scenes, as a real client over HTTP."""
    # Not above: an import of the SDK takes a second, in which the processes come up.
    from examples.demo.connecting import connected  # noqa: PLC0415
    from examples.demo.scenes import play, upstream_seen  # noqa: PLC0415

    async with connected(stage.url, stage.token) as client:
        await upstream_seen(client)
        await play(stage, client, page)


def connect(stage: Stage, page: Page) -> None:
    """What a person puts into their client's configuration."""
    entry = {"type": "http", "url": stage.url, "headers": {"Authorization": f"Bearer {stage.token}"}}
    page.line("\nTo connect Claude Code (.mcp.json) or Cursor (.cursor/mcp.json):")
    page.line(json.dumps({"mcpServers": {"notes": entry}}, indent=2))
    page.line(f"Rules: {stage.folder / 'policies'}   Log: bascule audit tail -c {stage.config}   Ctrl-C ends it.")


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit with the verdict instead of staying up")
    options = parser.parse_args()
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    page = Page()
    try:
        await demonstrate(page, once=options.once)
    except (ConfigError, NotReady) as problem:
        page.line(f"\nthe demonstration could not begin: {problem}")
        return 1
    return 1 if page.failed or not page.scenes else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(asyncio.run(main()))
