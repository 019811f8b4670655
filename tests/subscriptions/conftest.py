"""The scene of these tests."""

from collections.abc import AsyncIterator

import pytest

from gateway import subscriptions
from gateway.subscriptions import opening
from tests.feeding import in_hand
from tests.path import DataPath
from tests.subscriptions.scene import Scene


async def _at_once(*_: object) -> None:
    """Nobody is waited for."""


@pytest.fixture
async def scene(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """Both upstreams in place, and the clock in hand."""
    made = Scene(path.gw, in_hand(monkeypatch))
    made.install(monkeypatch)
    monkeypatch.setattr(opening, "_listening", _at_once)  # its time-out is a timer, and the clock is in hand
    yield made
    subscriptions.close(path.gw)
