"""What every semantic type shares: the signature of a reader, and the error that says a value is not of the type."""

from collections.abc import Callable

from gateway.model import TypedValue

Reader = Callable[[str], TypedValue]
"""Reads one string, or raises Unfit."""


class Unfit(Exception):
    """The value is not of the type. Neither text holds the value."""

    def __init__(self, reason: str, would_pass: str) -> None:
        super().__init__(reason)
        self.reason, self.would_pass = reason, would_pass
