"""Cancellations of a task that the HTTP client was told of and did not pass on.

Where an answer arrives in the moment in which its task is cancelled, the client's coroutine gives that answer, and the
cancellation is lost: whoever reads on then waits for what nobody wants any more, and holds its connection for ever.
"""

import asyncio


class Cancels:
    """Made before the client is awaited; heeded after it, in the same task."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before = _cancelling()

    def heed(self) -> None:
        """Raise the cancellation that came meanwhile and was lost."""
        if _cancelling() > self._before:
            raise asyncio.CancelledError


def _cancelling() -> int:
    # The task is not kept: a frame that failed is kept by its task, and would keep it in turn.
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()
