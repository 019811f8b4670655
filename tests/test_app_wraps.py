"""What a wrap asks of the process that owns the folder: a command for a while, and that it ends when nobody is left."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import app
from gateway.config import load
from gateway.errors import ConfigError, LogUnavailable
from tests.attacks.upstreams import Upstream, upstream
from tests.serving import PATIENCE, ROOT, Folder, process
from tests.wraps import owner, records, wrapping

WHO = "os:tester"
GIVEN: dict[str, Any] = {"command": "/bin/cat", "args": ["-"], "env": {"KEY": "secret-value"}, "folders": {}}


@pytest.fixture
async def reached() -> AsyncIterator[Upstream]:
    async with upstream() as kept:
        yield kept


@pytest.fixture
def folder(reached: Upstream, tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}})
    made.write()
    return made


@pytest.fixture
async def running(folder: Folder) -> AsyncIterator[app.Serving]:
    async with app.opened(load(folder.config)) as gw:
        yield app.Serving(gw)
        for executor in gw.executors.values():
            await executor.close()


async def test_a_lent_command_is_an_upstream_at_no_address_until_it_is_given_back(
    running: app.Serving, folder: Folder
) -> None:
    gw = running.gw
    first = await running.lend("cat", GIVEN, WHO)
    second = await running.lend("cat", GIVEN, WHO)
    executor = gw.executors["cat"]
    assert set(gw.settings.upstreams) == set(gw.executors) == {"kept", "cat"}
    assert set(running._endpoints) == {(None, None), ("kept", None)}
    assert running._endpoints[None, None].upstreams == ("kept",)
    await first()
    assert gw.executors["cat"] is executor
    await second()
    assert set(gw.settings.upstreams) == set(gw.executors) == {"kept"}
    told = records(folder, "admin.lend")
    assert [(record["operator"], record["name"], record["command"]) for record in told] == [
        (WHO, "cat", "/bin/cat")
    ] * 2
    assert "secret-value" not in str(told)


async def test_wraps_that_come_and_go_at_once_leave_each_other_alone(running: app.Serving) -> None:
    names = [f"cat-{number}" for number in range(6)]
    back = await asyncio.gather(*(running.lend(name, GIVEN, WHO) for name in names))
    assert set(running.gw.executors) == {"kept", *names}
    kept = running.gw.executors["cat-5"]
    await asyncio.gather(*(give_back() for give_back in back[:5]), running.reload(operator=WHO))
    assert running.gw.executors["cat-5"] is kept
    assert set(running.gw.settings.upstreams) == set(running.gw.executors) == {"kept", "cat-5"}


async def test_what_is_registered_is_not_lent_and_another_of_its_name_is_refused(running: app.Serving) -> None:
    with pytest.raises(ConfigError, match="'kept' is registered with another command"):
        await running.lend("kept", GIVEN, WHO)
    assert set(running.gw.executors) == {"kept"}


@pytest.mark.parametrize("name", ["cat_", "a__b", "bascule"])
async def test_a_name_that_could_not_be_told_apart_is_refused_and_changes_nothing(
    running: app.Serving, name: str
) -> None:
    with pytest.raises(ConfigError):
        await running.lend(name, GIVEN, WHO)
    assert set(running.gw.settings.upstreams) == set(running.gw.executors) == {"kept"}


async def test_a_loan_that_cannot_be_recorded_is_not_made(running: app.Serving) -> None:
    await running.gw.log.close()
    with pytest.raises(LogUnavailable):
        await running.lend("cat", GIVEN, WHO)
    assert set(running.gw.settings.upstreams) == set(running.gw.executors) == {"kept"}


async def test_an_owner_that_nobody_uses_ends_in_order(folder: Folder) -> None:
    serve = [sys.executable, "-m", "gateway", "serve", "-c", str(folder.config), "--idle", "1"]
    async with process(serve, cwd=ROOT) as child, asyncio.timeout(PATIENCE):
        assert await child.wait() == 0
    assert owner(folder.state) is None
    assert not (folder.state / "control.sock").exists()


PATIENT_OWNER = """
import sys
from pathlib import Path
from gateway import app
from gateway.config import load
from gateway.transports.uses import Uses

class Told(Uses):
    def idle_for(self, idle_s):
        if not Path(sys.argv[2]).exists():
            return idle_s
        left = super().idle_for(idle_s)
        print("looked", flush=True)
        return left

app.Uses = Told
sys.exit(app.serve(load(Path(sys.argv[1])), idle_s=0.05))
"""
"""An owner that looks whether anybody is there only once a file is, and says each time that it did."""


async def test_a_wrap_that_is_there_is_a_use(folder: Folder, tmp_path: Path) -> None:
    pipe, look = asyncio.subprocess.PIPE, tmp_path / "look"
    command = [sys.executable, "-c", PATIENT_OWNER, str(folder.config), str(look)]
    async with process(command, cwd=ROOT, stdout=pipe) as child, asyncio.timeout(PATIENCE):
        assert child.stdout is not None
        assert b" listening on " in await child.stdout.readline()
        async with wrapping(folder) as wrap:
            await wrap.shake()
            look.touch()
            for _ in range(3):
                assert await child.stdout.readline() == b"looked\n"
            assert owner(folder.state) == child.pid
            assert "result" in await wrap.ask("tools/list")
        assert await child.wait() == 0
