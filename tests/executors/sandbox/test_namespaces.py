"""Waiting until a sandbox is whole, on processes that are in none."""

import asyncio
import os
import sys

import pytest

from gateway.executors import process
from gateway.executors.process import Start
from gateway.executors.sandbox import namespaces
from gateway.executors.sandbox.namespaces import made


async def test_a_process_that_is_gone_is_not_waited_for() -> None:
    child = await process.start(Start((sys.executable, "-I", "-c", "")))
    await child.wait()
    await asyncio.wait_for(made(child.pid), 20)
    await child.stop(1)


async def test_a_process_that_never_gets_there_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "_MOST_SECONDS", 0.01)
    monkeypatch.setattr(namespaces, "_nested", lambda pid: False)
    await asyncio.wait_for(made(os.getpid()), 20)


async def test_it_is_asked_again_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(namespaces, "_nested", lambda pid: next(answers))
    await asyncio.wait_for(made(os.getpid()), 20)
    assert list(answers) == []


async def test_looking_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    namespaces._nested(os.getpid())
    assert len(os.listdir("/proc/self/fd")) == before
