"""Whether the gateway has a user of its own."""

import os

import pytest

from gateway.separation import separated


@pytest.mark.parametrize(("uid", "own"), [(0, False), (1, True), (999, True), (1000, False), (65534, False)])
def test_only_a_system_user_that_is_not_root_is_one_of_its_own(
    uid: int, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert separated() is own
