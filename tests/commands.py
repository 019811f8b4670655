"""Commands as an operator gives them, in processes of their own, and gateways that are not meant to start."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.serving import PATIENCE, ROOT, Folder

GATEWAY = (sys.executable, "-m", "gateway")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """What it printed under `--json`."""
        return json.loads(self.out)


async def ran(command: Sequence[str], folder: Folder | None = None, *, within_s: float = PATIENCE) -> Ended:
    """Run a command to its end; one that does not end in time is told to stop, as by an operator."""
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, **(folder.environment if folder else {})}
    child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=ROOT, env=environment)
    running = asyncio.ensure_future(child.communicate())
    done, _ = await asyncio.wait([running], timeout=within_s)
    if not done:
        child.terminate()
    out, err = await running
    return Ended(child.returncode or 0, out.decode(), err.decode())


async def bascule(folder: Folder, *words: str) -> Ended:
    """`bascule WORDS -c …` on this folder."""
    return await ran((*GATEWAY, *words, "-c", str(folder.config)), folder)


async def refused_start(folder: Folder, *wrapper: str) -> Ended:
    """`bascule serve` where it must end by itself, with one line to the operator and no traceback."""
    ended = await ran((*wrapper, *GATEWAY, "serve", "-c", str(folder.config)), folder)
    assert "Traceback" not in ended.err, ended.err
    assert ended.code != 0, "it was served"
    return ended
