"""Random bytes from the system, drawn in blocks.

Each draw is a system call that gives up the interpreter's lock; on a busy loop getting it back costs far more
than the bytes. A block is never handed out twice, and a forked child begins with none.
"""

import os
import threading

BLOCK = 16384


class Entropy:
    """Hands out random bytes once each; safe from several threads."""

    __slots__ = ("_at", "_block", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Throw away what is left: the next draw asks the system."""
        self._block, self._at = b"", 0

    def take(self, count: int) -> bytes:
        """`count` bytes nobody has had. HOT"""
        if count > BLOCK:
            return os.urandom(count)
        with self._lock:
            begin, end = self._at, self._at + count
            if end > len(self._block):
                self._block = os.urandom(BLOCK)
                begin, end = 0, count
            self._at = end
            return self._block[begin:end]


random_bytes = Entropy().take
