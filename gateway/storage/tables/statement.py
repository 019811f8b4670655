"""One kind of write as SQL."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """What stores a write. `row` is given the leaf the write belongs to, that leaf's Unix microseconds, the write."""

    sql: str
    row: Callable[[int, int, Any], Row]
    unless: str = ""
    """Why it conflicts where it does not change exactly one row; empty where any number is right."""
