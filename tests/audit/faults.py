"""Databases that wait, or fail, when a test says so."""

import threading
from pathlib import Path

from gateway.errors import LogUnavailable
from gateway.storage.database import Batch
from gateway.storage.sqlite import SqliteDatabase


class Held(SqliteDatabase):
    """Commits only when let go; counts."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[Batch] = []

    def stage(self, batch: Batch) -> None:
        super().stage(batch)
        self.batches.append(batch)

    def commit(self) -> None:
        self.entered.set()
        assert self.gate.wait(60)
        super().commit()


class Faulty(SqliteDatabase):
    """Fails as told: `before` or `after` the real COMMIT, while staging, or when it is opened again."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.faults: dict[str, int] = {}
        self.resets = 0

    def _fault(self, place: str) -> None:
        if self.faults.get(place):
            self.faults[place] -= 1
            raise LogUnavailable(f"fault {place}")

    def stage(self, batch: Batch) -> None:
        super().stage(batch)
        self._fault("stage")

    def commit(self) -> None:
        self._fault("before")
        super().commit()
        self._fault("after")

    def expire(self, now: int, limit: int) -> int:
        self._fault("expire")
        return super().expire(now, limit)

    def reset(self) -> None:
        self.resets += 1
        super().reset()
        self._fault("reset")
