"""What the suite starts as its client: a gateway before the suite's server, and the fixture client before the gateway.

`python -m tests.conformance.through --into FOLDER --mode legacy|auto|MODERN URL`. FOLDER gets one file for each
scenario, which says how client and log ended.
"""

import argparse
import asyncio
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.commands import bascule
from tests.conformance.running import NAME, governed
from tests.serving import ROOT, process, serving

AT_ONCE = 3
"""The suite starts all its clients at once; so many gateways run at a time."""


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait until fewer than so many others run."""
    with (folder / f"turn-{os.getpid() % AT_ONCE}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def played(url: str, mode: str, into: Path) -> int:
    """Play the scenario through a gateway of its own; the log is verified once the gateway has ended."""
    name = os.environ["MCP_CONFORMANCE_SCENARIO"].replace("/", "-")
    folder = governed(into / "clients" / name, url)
    folder.path.mkdir(parents=True)
    async with serving(folder) as served:
        command = [sys.executable, "-m", "tests.conformance.client", "--mode", mode, served.url(NAME)]
        async with process(command, cwd=ROOT) as client:
            code = await client.wait()
    verified = await bascule(folder, "audit", "verify")
    ended = {"client": code, "verified": verified.code, "said": verified.err}
    (into / "clients" / f"{name}.json").write_text(json.dumps(ended))
    print("".join(served.log), file=sys.stderr)
    return code


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--into", type=Path, required=True)
    options.add_argument("--mode", required=True)
    options.add_argument("url")
    given = options.parse_args()
    with turn(given.into):
        sys.exit(asyncio.run(played(given.url, given.mode, given.into)))


if __name__ == "__main__":
    main()
