"""The bytes of a leaf: small JSON with sorted ASCII keys and no floats, so that any JCS library writes the same.

Not a reader: verification hashes the stored bytes and never writes them again. The format is docs/leaf.v1.json.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from gateway.model import Record

VERSION = 1
LIMIT = 65535
"""C2SP tlog-tiles carries the length of an entry in 16 bits."""
OWN = frozenset({"v", "id", "ts", "kind", "run", "keep", "commit"})
SAFE = (1 << 53) - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OPTIONS = orjson.OPT_SORT_KEYS


def encode(record: Record, id: str, at: int, keep: int, commit: Mapping[str, str]) -> bytes:  # noqa: A002 - its name
    """The leaf of a record: `at` in Unix microseconds, `keep` the second until which its payload is kept (0: none).

    Raises:
        ValueError: a float, an integer of 2^53 or more, a key that is not ASCII, a leaf of 64 KiB or more. HOT
    """
    public = record.public
    if not OWN.isdisjoint(public):
        raise ValueError(f"a record may not set {sorted(OWN.intersection(public))}")
    _check(public.values())
    leaf = {**public, "v": VERSION, "id": id, "ts": timestamp(at), "kind": record.kind}
    if record.run is not None:
        leaf["run"] = record.run
    if commit:
        leaf["commit"] = commit
    if keep:
        leaf["keep"] = keep
    try:
        encoded = orjson.dumps(leaf, option=OPTIONS)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"not a leaf: {error}") from error
    if len(encoded) > LIMIT:
        raise ValueError(f"a leaf of {len(encoded)} bytes: {LIMIT} is the most")
    if not encoded.isascii():
        _check_keys(leaf)
    return encoded


def timestamp(at: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    return f"{_second(at // 1_000_000)}.{at % 1_000_000:06d}Z"


@lru_cache(maxsize=16)
def _second(at: int) -> str:
    return (EPOCH + timedelta(seconds=at)).isoformat()[:19]


def _check(value: Any) -> None:
    # orjson writes NaN as null and 1e2 as 100.0: neither may pass, so every value is looked at.
    for inner in value:
        kind = type(inner)
        if kind is str or kind is bool or inner is None:
            continue
        if kind is dict:
            _check(inner.values())
        elif kind is int:
            if not -SAFE <= inner <= SAFE:
                raise ValueError("an integer of 2^53 or more")
        elif kind is list or kind is tuple:
            _check(inner)
        elif not isinstance(inner, str):
            raise ValueError(f"a leaf holds no {kind.__name__}")


def _check_keys(value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not name.isascii():
                raise ValueError("a key that is not ASCII")
            _check_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_keys(inner)
