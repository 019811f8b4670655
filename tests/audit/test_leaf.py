"""The bytes of a leaf: canonical, bounded, and of the published schema."""

import math
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit import leaf
from gateway.model import Effect, Record, RunId
from tests.audit.samples import BUNDLE, CHECKS, DECISION

SCHEMA = orjson.loads((Path(__file__).parents[2] / "docs" / "leaf.v1.json").read_bytes())
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
COMMIT = {"args": "ab" * 32}
ascii_keys = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=8).map(
    lambda key: f"x{key}"
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-leaf.SAFE, leaf.SAFE)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_keys, inner, max_size=4),
    max_leaves=20,
)


def encode(public: dict[str, Any], *, kind: str = "call.intent", run: str | None = ID, keep: int = 0) -> bytes:
    return leaf.encode(Record(kind, RunId(run) if run else None, public), ID, 1_700_000_000_000_001, keep, COMMIT)


def test_a_leaf_is_sorted_json_with_its_own_fields() -> None:
    assert encode({"upstream": "notes", "effect": Effect.ALLOW}, keep=7) == (
        b'{"commit":{"args":"' + b"ab" * 32 + b'"},"effect":"allow","id":"' + ID.encode() + b'","keep":7,'
        b'"kind":"call.intent","run":"'
        + ID.encode()
        + b'","ts":"2023-11-14T22:13:20.000001Z","upstream":"notes","v":1}'
    )


def test_a_leaf_without_run_payload_or_commitments_does_not_name_them() -> None:
    said = orjson.loads(leaf.encode(Record("log.boot"), ID, 0, 0, {}))
    assert said == {"v": 1, "id": ID, "ts": "1970-01-01T00:00:00.000000Z", "kind": "log.boot"}


@given(st.dictionaries(ascii_keys, values, max_size=6))
def test_a_leaf_is_what_any_jcs_library_writes(public: dict[str, Any]) -> None:
    encoded = encode(public)
    assert encoded == rfc8785.dumps(orjson.loads(encoded))


@pytest.mark.parametrize(
    "value",
    [0.5, 100.0, math.nan, math.inf, 2**53, -(2**53), 2**64, {"a": [{"b": 1.5}]}, [[math.nan]], b"bytes",
     {"ключ": 1}, {"a": {"é": "x"}}, [{"é": "x"}], "\ud800", {1: "a"}, {1, 2}, "x" * 65536],
    ids=repr,
)  # fmt: skip
def test_what_has_no_one_way_to_be_written_is_refused_at_every_depth(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode({"x": value})


@pytest.mark.parametrize("value", [2**53 - 1, 1 - 2**53, 0, True, None, "é", ("a", 1), {"a": []}], ids=repr)
def test_what_has_one_way_to_be_written_is_kept(value: Any) -> None:
    kept = orjson.loads(encode({"x": value}))["x"]
    assert kept == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize("name", sorted(leaf.OWN))
def test_a_record_may_not_set_the_fields_of_the_log(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        encode({name: "mine"})


def test_a_leaf_of_65535_bytes_is_the_largest() -> None:
    room = leaf.LIMIT - len(encode({"x": ""}))
    assert len(encode({"x": "y" * room})) == 65535
    with pytest.raises(ValueError, match="65536"):
        encode({"x": "y" * (room + 1)})


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (1_709_210_096_999_999, "2024-02-29T12:34:56.999999Z"),
    ],
)
def test_a_time_is_rfc_3339_in_utc_with_microseconds(at: int, text: str) -> None:
    assert leaf.timestamp(at) == text


@pytest.mark.parametrize(
    ("kind", "run", "public"),
    [
        ("call.intent", ID, {"upstream": "notes", "tool": "write", "pin": BUNDLE, "manifest": BUNDLE, "mode": "shadow",
                             "decision": DECISION, "checks": CHECKS, "grant": {"timeout_ms": 1, "result_bytes": 2}}),
        ("call.settled", ID, {"ending": "done", "checks": [],
                              "outcome": {"bytes": 1, "elapsed_us": 2, "tool_error": False}}),
        ("call.refused", ID, {"code": "NO_RULE"}),
        ("run.resolved", ID, {"ending": "failed"}),
        ("policy.swapped", None, {"bundle": BUNDLE, "was": BUNDLE}),
        ("log.boot", None, {"version": "0.1.0", "bundle": BUNDLE}),
        ("something.new", None, {"anything": [1]}),
    ],
)  # fmt: skip
def test_each_kind_is_of_the_published_schema(kind: str, run: str | None, public: dict[str, Any]) -> None:
    jsonschema_rs.validate(SCHEMA, orjson.loads(encode(public, kind=kind, run=run, keep=1)))


@pytest.mark.parametrize(
    "change",
    [{"v": 2}, {"id": "x"}, {"ts": "2024-02-29T12:34:56Z"}, {"commit": {"args": "ab"}}, {"keep": 0}, {"kind": ""},
     {"ending": "well"}, {"kind": "call.intent"}],
    ids=repr,
)  # fmt: skip
def test_the_published_schema_refuses_what_is_no_leaf(change: dict[str, Any]) -> None:
    said = {"v": 1, "id": ID, "ts": "2024-02-29T12:34:56.000000Z", "kind": "log.boot"}
    jsonschema_rs.validate(SCHEMA, said)
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(SCHEMA, {**said, **change})
