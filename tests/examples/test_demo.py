"""The demonstration itself, as `make run DEMO=once` runs it."""

import asyncio
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
async def test_every_scene_is_what_it_says() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.demo", "--once", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode()
    assert "every scene was what it says" in printed.decode()
