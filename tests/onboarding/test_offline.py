"""The seven real servers work confined and offline, and from inside nothing of the host is to be seen.

The second is shown by a probe that runs in each server's very sandbox, drawn up by the same launcher from the same
settings: only the program is another.
"""

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway import config
from gateway.executors import process
from gateway.executors.launcher import Launcher
from gateway.executors.process import Child, Start
from gateway.executors.program import Program
from gateway.executors.stdio.processes import OURS
from gateway.making import grounds
from tests.onboarding.agents import ALL_ALLOWED, agent, upstreams
from tests.onboarding.probe import SOURCE
from tests.onboarding.servers import Stock, prepared, stock
from tests.onboarding.site import site
from tests.onboarding.test_stopwatch import used
from tests.sandbox.battery import open_up
from tests.serving import Folder, Served, serving
from tests.wraps import records

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
NAMES = ("files", "memory", "everything", "git", "time", "sqlite", "fetch")
PYTHON = "/usr/bin/python3"
CANARY = "canary-b81c07e4"
ETC = ["/etc/group", "/etc/hosts", "/etc/passwd"]
DEVICES = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/pts/ptmx"}


@dataclass(frozen=True, slots=True)
class House:
    """A gateway that serves the seven, and a host around it with something to find."""

    folder: Folder
    served: Served
    servers: Mapping[str, Stock]
    granted: Mapping[str, Path]
    site: tuple[str, int]
    asked: list[bytes]
    planted: tuple[Path, ...]


def planted(home: Path, folder: Folder) -> tuple[Path, ...]:
    """Files of the host that no server was given; whoever comes near them may read them."""
    state = folder.state
    places = [home / ".ssh" / "id_ed25519", home / ".netrc", home / "documents-of-mine.txt", folder.path / "notes.txt"]
    places += [state / "secrets" / "one", state / "tokens" / "one", state / "work" / "another" / "default" / "kept"]
    places += [state / "packages" / "another" / "package.json", state / "packages" / ".cache" / "kept"]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(CANARY)
    there = [state / name for name in ("log.key", "seal.key", "bascule.db")]
    return *places, *there, folder.config


def opened_up(paths: tuple[Path, ...]) -> None:
    """It is the sandbox that must hold, not the modes of the files; keys that others may read are refused by us."""
    for path in paths:
        if path.suffix != ".key":
            path.chmod(0o644)
        open_up(path.parent)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    home = tmp_path_factory.mktemp("home")
    await prepared(home)
    async with AsyncExitStack() as running:
        patch = running.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("HOME", str(home))
        patch.setenv("CANARY_OF_THE_GATEWAY", CANARY)
        address, asked = await running.enter_async_context(site())
        host, port = address.removeprefix("http://").partition("/")[0].split(":")
        servers = stock(home, address)
        granted = {"files": home / "documents", "git": home / "repository", "sqlite": home / "data"}
        written = upstreams(servers, granted)
        written["fetch"]["network"] = {"allow": [f"{host}:{port}"]}
        folder = Folder(home / "gateway", written, policy=ALL_ALLOWED)
        served = await running.enter_async_context(serving(folder))
        found = planted(home, folder)
        opened_up(found)
        yield House(folder, served, servers, granted, (host, int(port)), asked, found)


@pytest.mark.promise("onboarding.offline")
@pytest.mark.parametrize("name", NAMES)
async def test_a_real_server_works_confined_and_offline(house: House, name: str) -> None:
    async with agent(house.served.base, name) as client:
        await used(client, house.servers[name])
    [run] = [one["run"] for one in records(house.folder, "call.intent") if one["upstream"] == name]
    [said] = [one["evidence"] for one in records(house.folder, "call.settled") if one["run"] == run]
    assert said["sandbox"] == "bubblewrap"
    assert said["network"] == ("allow-list" if name == "fetch" else "none")
    assert said["uid"] != 0
    assert bool(house.asked) == (name == "fetch")


class Probing(Launcher):
    """The launcher of an upstream, with another program in its sandbox."""

    def __init__(self, name: str, settings: config.Settings, probe: tuple[str, ...]) -> None:
        super().__init__(name, settings.upstreams[name], settings.run_as, grounds(settings))
        self._probe = probe

    async def program(self) -> Program:
        """The runtime and the variables are the server's own."""
        return replace(await super().program(), argv=self._probe)


def question(house: House, known: list[str], tops: list[str]) -> tuple[str, ...]:
    asked = {
        "canary": CANARY[::-1],
        "tops": tops,
        "known": known,
        "planted": [str(path) for path in house.planted],
        "address": house.site,
    }
    return (PYTHON, "-I", "-S", "-c", SOURCE, json.dumps(asked))


async def answered(child: Child) -> dict[str, Any]:
    try:
        out, err = await child.stdout.read(), await child.stderr.read()
    finally:
        await child.stop(1)
    assert not err, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.promise("onboarding.offline")
@pytest.mark.parametrize("name", NAMES)
async def test_from_inside_its_sandbox_nothing_of_the_host_is_readable(house: House, name: str) -> None:
    settings = config.load(house.folder.config)
    launcher = Probing(name, settings, ())
    runtime = [str(path) for path in (await launcher.program()).runtime]
    assert launcher.profile is not None
    known = [*launcher.profile.runtime_ro, *runtime]
    assert not [path for path in house.planted if any(Path(place) in (path, *path.parents) for place in known)]
    launcher = Probing(name, settings, question(house, [*known, "/proc"], ["/"]))
    found = await answered(await launcher.start(OURS))
    assert (found["recognised"], found["opened"], found["reached"]) == ([], [], False)
    assert (found["hostname"], found["uid"] != 0) == ("sandbox", True)
    assert found["passwd"].splitlines() == [f"server:x:{found['uid']}:{gid_of(found)}::{found['home']}:/bin/sh"]
    own = (found["home"], *(str(house.granted[each]) for each in (name,) if each in house.granted))
    assert [path for path in found["files"] if not path.startswith(tuple(f"{place}/" for place in own))] == ETC
    assert set(found["others"]) <= DEVICES
    for place in own[1:]:
        assert [path for path in found["files"] if path.startswith(f"{place}/")], "what is granted is there"


def gid_of(found: dict[str, Any]) -> str:
    return str(found["passwd"].split(":")[3])


@pytest.mark.promise("onboarding.offline")
async def test_the_same_probe_finds_all_of_it_where_there_is_no_sandbox(house: House) -> None:
    home = house.folder.path.parent
    known = [str(house.folder.state / "packages" / name) for name in NAMES]
    start = Start(question(house, known, [str(home)]), {"HOME": str(home), "CANARY": CANARY})
    found = await answered(await process.start(start))
    assert found["opened"] == [str(path) for path in house.planted]
    written = {str(path) for path in house.planted if path.name not in {"log.key", "seal.key", "bascule.db"}}
    assert written - {str(house.folder.config)} <= set(found["recognised"])
    assert f"/proc/{house.served.process.pid}/environ" in found["recognised"]
    assert (found["reached"], found["hostname"]) == (True, socket.gethostname())
    assert found["passwd"] == users_here()


def users_here() -> str:
    return Path("/etc/passwd").read_text()
