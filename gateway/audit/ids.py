"""UUIDv7 ids that rise within a process, even within a millisecond and when the clock steps back."""

import threading
import time

from gateway.audit.entropy import random_bytes

TAIL = 74
"""Bits below the version and variant marks; the top one starts at zero, so that counting up has room."""


class Rising:
    """Makes ids, each greater than the one before."""

    __slots__ = ("_lock", "_ms", "_tail")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ms = self._tail = 0

    def uuid7(self) -> str:
        with self._lock:
            ms = time.time_ns() // 1_000_000
            if ms > self._ms:
                self._ms = ms
                self._tail = int.from_bytes(random_bytes(10), "big") >> 7
            else:
                self._tail += 1
                if self._tail >> TAIL:  # 2^73 ids in one millisecond, or a clock that stands still
                    self._ms, self._tail = self._ms + 1, 0
            ms, tail = self._ms, self._tail
        text = f"{ms << 80 | 7 << 76 | tail >> 62 << 64 | 2 << 62 | tail & 0x3FFFFFFFFFFFFFFF:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


uuid7 = Rising().uuid7
