"""What a server needs is found out by running it, and written only where a person agrees."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import config
from tests.commands import GATEWAY, Ended, ran
from tests.onboarding.servers import STRANGER
from tests.onboarding.site import site
from tests.serving import Folder

pytestmark = pytest.mark.slow
SERVER = Path(__file__).with_name("asking_server.py")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that is not below /tmp, of which a sandbox has one of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="learn-") as made:
        yield Path(made)


@pytest.fixture
def folder(place: Path) -> Folder:
    """A gateway before a server that may reach nothing yet, and a folder that it is not given."""

    (place / "own").mkdir()
    shutil.copy(SERVER, place / "own" / "server.py")
    (place / "papers").mkdir()
    (place / "papers" / "plan.txt").write_text("the plan")
    if os.getuid() == 0:
        os.chown(place / "papers", STRANGER, STRANGER)
    command = {"command": sys.executable, "args": [str(place / "own" / "server.py")]}
    made = Folder(place / "gateway", {"asking": command})
    made.write()
    return made


async def learned(folder: Folder, address: str, *more: str) -> Ended:
    calls = [f"ask={json.dumps({'url': address})}"]
    calls.append(f"read={json.dumps({'path': str(folder.path.parent / 'papers' / 'plan.txt')})}")
    words = ("upstream", "learn", "asking", *(word for call in calls for word in ("--call", call)), *more)
    return await ran((*GATEWAY, *words, "--json", "-c", str(folder.config)), within_s=120)


async def test_nothing_is_written_while_nobody_agrees(folder: Folder) -> None:
    before = folder.config.read_bytes()
    async with site() as (address, asked):
        ended = await learned(folder, address)
    assert ended.code == 0, ended.err
    hosts = [question["what"] for question in ended.told["refused"] if question["kind"] == "host"]
    assert hosts == [address.removeprefix("http://").partition("/")[0]]
    assert asked == []
    assert folder.config.read_bytes() == before


async def test_what_is_agreed_to_is_written_and_then_it_works(folder: Folder) -> None:
    async with site() as (address, asked):
        ended = await learned(folder, address, "--always")
        assert ended.code == 0, ended.err
        settings = config.outline(folder.config).upstreams["asking"]
        assert settings.network.allow == (address.removeprefix("http://").partition("/")[0],)
        assert settings.folders == {str(folder.path.parent / "papers"): "ro"}
        assert asked, "what was opened in a round was not there in the next"
        again = await learned(folder, address)
    assert (again.told["refused"], again.told["complete"]) == ([], True)
