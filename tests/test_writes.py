"""The nouns that are stored with a record."""

import dataclasses
from typing import get_args

import pytest

from gateway.writes import Write


@pytest.mark.parametrize("kind", get_args(Write), ids=lambda kind: kind.__name__)
def test_every_write_is_frozen_and_slotted(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert not hasattr(kind, "__dict__") or "__slots__" in vars(kind)
