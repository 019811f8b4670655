"""What runs stdio servers: everything that can be wrong is found before anything starts."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Settings
from gateway.errors import ConfigError, Failed
from gateway.executors.launcher import PROBED_AGAIN_SECONDS, Grounds, Launcher, Machine, stdio
from gateway.executors.packages.store import Packages
from gateway.executors.sandbox.machine import Cause, Host
from gateway.executors.stdio.processes import OURS, Key
from gateway.model import Code
from gateway.resources import resource

SERVER = Path(__file__).resolve().parent.parent.parent / "bench" / "servers" / "stdio_echo.py"
GONE = Host(uid=1000, gid=1000, cause=Cause.MISSING)


def settings(folder: Path, **upstream: Any) -> Settings:
    upstream = {"command": sys.executable, "args": [str(SERVER)], **upstream}
    told = {"version": 1, "state": folder, "upstreams": {"echo": upstream}, "audit": {"origin": "a/b"}}
    return Settings.model_validate({"file": folder / "bascule.yaml", **told})


def grounds(folder: Path, host: Host = GONE) -> Grounds:
    async def probe() -> Host:
        return host

    return Grounds(folder, (resource("sandboxes"),), Packages(folder / "packages"), machine=Machine(probe))


def launcher(folder: Path, **upstream: Any) -> Launcher:
    made = settings(folder, **upstream)
    return Launcher("echo", made.upstreams["echo"], made.run_as, grounds(folder))


@pytest.mark.parametrize(
    ("upstream", "problem"),
    [
        ({"command": "docker", "args": ["run", "x"]}, "docker"),
        ({"command": "sh", "args": ["-c", "npx x"]}, "sh"),
        ({"sandbox": "defualt"}, "did you mean 'default'"),
        ({"network": {"allow": ["https://a.example"]}}, "a.example"),
    ],
)
def test_a_setting_that_cannot_be_is_found_before_anything_starts(
    tmp_path: Path, upstream: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match="upstream echo") as caught:
        launcher(tmp_path, **upstream)
    assert problem in str(caught.value)


async def test_without_a_sandbox_nothing_starts_and_the_operator_reads_the_fix(tmp_path: Path) -> None:
    executor = stdio("echo", settings(tmp_path), grounds(tmp_path))
    with pytest.raises(Failed) as caught:
        await executor.tools()
    assert caught.value.code is Code.SANDBOX_UNAVAILABLE
    assert "apt-get install bubblewrap" in caught.value.detail
    await executor.close()


async def test_a_package_that_cannot_be_had_is_told_to_the_operator_and_not_to_the_caller(tmp_path: Path) -> None:
    missing = launcher(tmp_path, args=["/nowhere/at/all.py"])
    with pytest.raises(Failed) as caught:
        await missing.program()
    assert caught.value.code is Code.UPSTREAM_UNAVAILABLE
    assert "/nowhere" in caught.value.detail
    assert "/nowhere" not in caught.value.reason


async def test_an_unconfined_server_has_only_the_environment_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "canary")
    script = tmp_path / "server.py"
    script.write_text("import os, sys\nprint(dict(os.environ), flush=True)\nsys.stdin.read()\n")
    bare = launcher(tmp_path, sandbox="none", args=[str(script)], env={"GIVEN": "yes"})
    child = await bare.start(OURS)
    try:
        said = (await child.stdout.readline()).decode()
    finally:
        await child.stop(1)
    assert "canary" not in said
    assert "'GIVEN': 'yes'" in said
    assert f"'HOME': '{tmp_path}/work/echo/default'" in said
    assert child.evidence["sandbox"] == "none"


async def test_each_tenant_has_a_home_of_its_own_and_its_principals_share_it(tmp_path: Path) -> None:
    made = launcher(tmp_path)
    assert made._home(OURS) == made._home(Key("default", "ann")) == made._home(Key("default", "bob"))
    homes = {made._home(Key(tenant, "ann")) for tenant in ("default", "acme", "../../x", "a/b", ".")}
    assert len(homes) == 5
    assert all(home.parent == tmp_path / "work" / "echo" for home in homes)


async def test_an_unconfined_server_is_listed_and_called_through_its_executor(tmp_path: Path) -> None:
    executor = stdio("echo", settings(tmp_path, sandbox="none"), grounds(tmp_path))
    try:
        assert [tool["name"] for tool in await executor.tools()] == ["echo"]
    finally:
        await executor.close()


async def test_a_machine_is_looked_at_once_and_again_only_while_it_cannot(tmp_path: Path) -> None:
    now, looks = [0.0], []
    found = [GONE, replace(GONE, cause=None)]

    async def probe() -> Host:
        looks.append(now[0])
        return found[min(len(looks), 2) - 1]

    machine = Machine(probe, lambda: now[0])
    assert (await machine.host()).cause is Cause.MISSING
    assert (await machine.host()).cause is Cause.MISSING
    now[0] = PROBED_AGAIN_SECONDS
    assert (await machine.host()).cause is None
    now[0] = 10 * PROBED_AGAIN_SECONDS
    assert (await machine.host()).cause is None
    assert looks == [0.0, PROBED_AGAIN_SECONDS]
