"""Three releases with real exploits: bare they work, confined they reach nothing that was not granted.

The policy allows every call and no manifest says what an argument is, so that nothing but the sandbox stands between.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from gateway.executors.packages.commands import read_command
from gateway.executors.packages.store import Packages
from tests.onboarding.agents import ALL_ALLOWED, agent, told
from tests.onboarding.exploits import CANARY, RELEASES, Ground, Release, Try
from tests.onboarding.servers import STRANGER
from tests.onboarding.test_stopwatch import text
from tests.sandbox.battery import open_up
from tests.serving import Folder, Served, serving

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
EXPLOITS = [(name, exploit) for name, release in RELEASES.items() for exploit in release.exploits]


@dataclass(frozen=True, slots=True)
class House:
    """A gateway that serves the three."""

    folder: Folder
    served: Served
    ground: Ground


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    home = tmp_path_factory.mktemp("vulnerable")
    ground = Ground(home / "ground")
    await ground.laid(STRANGER)
    open_up(home)
    written = {
        name: {"command": one.command, "args": one.args(ground), "folders": {str(ground.granted): "rw"}}
        for name, one in RELEASES.items()
    }
    folder = Folder(home / "gateway", written, policy=ALL_ALLOWED)
    async with serving(folder) as served:
        yield House(folder, served, ground)


@pytest.mark.promise("onboarding.vulnerable")
@pytest.mark.parametrize(("name", "exploit"), EXPLOITS)
async def test_a_real_exploit_reaches_nothing_that_was_not_granted(house: House, name: str, exploit: str) -> None:
    release, ground = RELEASES[name], house.ground
    tried, before = release.exploits[exploit], ground.beyond()
    async with agent(house.served.base, name) as client:
        refused, said = await told(client, release.honest.tool, release.honest.arguments(ground))
        assert (refused, release.says in said) == ("", True), said
        refused, said = await told(client, tried.tool, tried.arguments(ground))
    assert refused == "", "nothing of ours stood between"
    assert CANARY not in said
    assert ground.beyond() == before


@asynccontextmanager
async def bare(packages: Path, name: str, release: Release, ground: Ground) -> AsyncIterator[Client]:
    """The very program that was confined, with everything that we may do ourselves."""
    command = read_command(release.command, release.args(ground))
    program = await Packages(packages).program(name, command)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(ground.top), **program.env}
    start = StdioServerParameters(command=program.argv[0], args=list(program.argv[1:]), env=env, cwd=ground.top)
    with (ground.top / "stderr").open("w") as errors:
        async with Client(stdio_client(start, errlog=errors)) as client:
            yield client


async def succeeded(client: Client, tried: Try, ground: Ground) -> bool:
    before = ground.beyond()
    result = await client.call_tool(tried.tool, tried.arguments(ground))
    return CANARY in text(result) or ground.beyond() != before


@pytest.mark.promise("onboarding.vulnerable")
@pytest.mark.parametrize("name", RELEASES)
async def test_the_same_exploits_work_where_there_is_no_sandbox(house: House, tmp_path: Path, name: str) -> None:
    release, ground = RELEASES[name], Ground(tmp_path / "ground")
    await ground.laid()
    async with bare(house.folder.state / "packages", name, release, ground) as client:
        worked = {said: await succeeded(client, tried, ground) for said, tried in release.exploits.items()}
    assert worked == dict.fromkeys(release.exploits, True)
