"""Cancellations of a task that the HTTP client was told of and did not pass on.

Where an answer arrives in the moment in which its task is cancelled, the client's coroutine gives that answer, and the
cancellation is lost: whoever reads on then waits for what nobody wants any more, and holds its connection for ever.
"""

import asyncio


class Cancels:
    """Made before the client is awaited; heeded after it, in the same task."""

    __slots__ = ("_before", "_task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()

    def heed(self) -> None:
        """Raise the cancellation that came meanwhile and was lost."""
        if self._task.cancelling() > self._before:
            raise asyncio.CancelledError
