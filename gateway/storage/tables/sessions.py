"""The table of sessions: what each has read and done."""

from typing import Any

import orjson

from gateway.storage.tables.statement import Row, Statement
from gateway.writes import SessionSeen


def _pack(names: tuple[str, ...]) -> str:
    return orjson.dumps(names).decode()


def unpack(packed: str) -> tuple[str, ...]:
    """A column of names."""
    return tuple(orjson.loads(packed))


def _seen(_leaf: int, at: int, write: SessionSeen) -> Row:
    return (write.session, _pack(write.labels), write.writes, _pack(write.sources), write.runs, at)


WRITES: dict[type[Any], Statement] = {
    SessionSeen: Statement(
        "INSERT INTO sessions (session, labels, writes, sources, runs, seen) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (session) DO UPDATE SET labels = excluded.labels, writes = excluded.writes, "
        "sources = excluded.sources, runs = excluded.runs, seen = excluded.seen",
        _seen,
    ),
}
