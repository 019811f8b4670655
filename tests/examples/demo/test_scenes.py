"""The scenes cannot be fooled: played without a gateway in between, only the read is what it says."""

from pathlib import Path

import pytest
from mcp import Client

from examples.demo.page import Page
from examples.demo.scenes import SCENES, play
from examples.demo.stage import Stage
from examples.notes.server import server


async def test_without_a_gateway_all_but_the_read_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage(tmp_path, port=1, notes_port=2, token="none")
    page = Page()
    async with Client(server(stage.notes)) as client:
        await play(stage, client, page)
    assert page.scenes == len(SCENES)
    assert page.failed == 4
    assert "allowed: Train at 9:40" in capsys.readouterr().out
