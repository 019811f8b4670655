"""The owner is asked; without one the same action runs here, under the lock."""

import asyncio
import getpass
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import gateway
from gateway.cli.asking import operator, run_admin, without_state
from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.model import JsonObject
from gateway.transports.control import Control

NEEDS_A_SECRET = "upstreams: {a: {url: 'http://x/', headers: {X: '${UNSET_HERE}'}}}\n"


async def told(*, operator: str, **given: Any) -> JsonObject:
    return {"operator": operator, "given": given}


async def runs_list(*, operator: str) -> JsonObject:
    return await told(operator=operator)


@pytest.fixture
def owner(here: Path) -> Iterator[Path]:
    """A process that owns the folder, as far as the command line can see."""
    state = here / ".bascule"
    state.mkdir(mode=0o700)
    listening, ended = threading.Event(), threading.Event()

    async def own() -> None:
        control = Control(state, {"runs_list": told})
        await control.start()
        listening.set()
        await asyncio.to_thread(ended.wait)
        await control.close()

    thread = threading.Thread(target=asyncio.run, args=(own(),))
    thread.start()
    assert listening.wait(60)
    yield here
    ended.set()
    thread.join()


def test_the_owner_of_the_folder_is_asked(owner: Path) -> None:
    assert run_admin("runs_list", None, limit=3) == {"operator": operator(), "given": {"limit": 3}}


def test_asking_the_owner_needs_no_secrets(owner: Path) -> None:
    with (owner / "bascule.yaml").open("a") as file:
        file.write(NEEDS_A_SECRET)
    assert run_admin("runs_list", None)["operator"] == operator()


@pytest.fixture
def alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """Nobody owns the folder, and its actions say what they were given; which state and action is kept."""
    acted: list[tuple[Path, str]] = []

    async def act(settings: Settings, action: str, **given: Any) -> JsonObject:
        acted.append((settings.state, action))
        return await told(**given)

    monkeypatch.setattr(gateway, "app", SimpleNamespace(act=act), raising=False)
    monkeypatch.setattr(gateway, "admin", SimpleNamespace(ON_ARCHIVE=(runs_list,)), raising=False)
    return acted


def test_without_an_owner_the_action_runs_here(here: Path, alone: list[tuple[Path, str]]) -> None:
    assert run_admin("upstream_list", None, limit=3) == {"operator": operator(), "given": {"limit": 3}}
    assert alone == [(here / ".bascule", "upstream_list")]


def test_without_an_owner_only_what_reads_the_log_needs_no_secret(here: Path, alone: list[tuple[Path, str]]) -> None:
    with (here / "bascule.yaml").open("a") as file:
        file.write(NEEDS_A_SECRET)
    with pytest.raises(ConfigError, match="UNSET_HERE"):
        run_admin("upstream_list", None)
    run_admin("runs_list", None)
    assert alone == [(here / ".bascule", "runs_list")]


def test_what_is_about_files_alone_needs_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    async def policy_check(gw: None, *, operator: str, directory: str) -> JsonObject:
        return {"gw": gw, "operator": operator, "directory": directory}

    monkeypatch.setattr(gateway, "admin", SimpleNamespace(policy_check=policy_check), raising=False)
    assert without_state("policy_check", directory="x") == {"gw": None, "operator": operator(), "directory": "x"}


def test_the_operator_is_the_user_of_this_process() -> None:
    assert operator() == f"os:{getpass.getuser()}"
