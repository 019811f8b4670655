"""What a server needs is learned only where something is refused to it, and only by somebody who is there."""

from pathlib import Path
from typing import Any

import pytest

from gateway.admin.learning import learned
from gateway.config import Settings
from gateway.errors import ConfigError, Failed
from gateway.executors.egress.learning import Consent, Question
from gateway.executors.launcher import Grounds, Machine
from gateway.executors.packages.store import Packages
from gateway.executors.sandbox.machine import Cause, Host
from gateway.model import Code
from gateway.resources import resource


def settings(folder: Path, **upstreams: Any) -> Settings:
    told = {"version": 1, "state": folder, "upstreams": upstreams, "audit": {"origin": "a/b"}}
    return Settings.model_validate({"file": folder / "bascule.yaml", **told})


def grounds(folder: Path) -> Grounds:
    async def probe() -> Host:
        return Host(uid=1000, gid=1000, cause=Cause.MISSING)

    return Grounds(folder, (resource("sandboxes"),), Packages(folder / "packages"), machine=Machine(probe))


async def nobody(question: Question) -> Consent:
    raise AssertionError(question)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none", "there is no upstream none: there are far, bare"),
        ("far", "has an address"),
        ("bare", "is not confined"),
    ],
)
async def test_only_a_confined_command_can_be_learned_about(tmp_path: Path, name: str, problem: str) -> None:
    made = settings(tmp_path, far={"url": "http://x/"}, bare={"command": "/bin/true", "sandbox": "none"})
    with pytest.raises(ConfigError, match=problem):
        await learned(made, grounds(tmp_path), name, (), nobody)


async def test_without_a_sandbox_nothing_is_run_to_learn_about_it(tmp_path: Path) -> None:
    made = settings(tmp_path, true={"command": "/bin/true"})
    with pytest.raises(Failed) as caught:
        await learned(made, grounds(tmp_path), "true", (), nobody)
    assert caught.value.code is Code.SANDBOX_UNAVAILABLE
