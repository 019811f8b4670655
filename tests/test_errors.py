"""The closed list of codes and the exceptions that carry them."""

import pytest

from gateway.errors import JSONRPC_NUMBER, SOFTENED_BY_SHADOW, ConfigError, Failed
from gateway.model import Code

SURFACE = [
    "PARSE",
    "HEADER_MISMATCH",
    "TOO_LARGE",
    "SCHEMA",
    "SEMANTIC",
    "CONTEXT",
    "NO_RULE",
    "POLICY_DENIED",
    "POLICY_ENGINE",
    "OBLIGATION",
    "APPROVAL_REQUIRED",
    "APPROVAL_EXPIRED",
    "BUDGET",
    "RATE",
    "BRAKED",
    "TOOL_UNKNOWN",
    "TOOL_DRIFTED",
    "SANDBOX_UNAVAILABLE",
    "SANDBOX_VIOLATION",
    "UPSTREAM_UNAVAILABLE",
    "UPSTREAM_TIMEOUT",
    "UPSTREAM_INVALID",
    "RESULT_WITHHELD",
    "ROLLED_BACK",
    "OUTCOME_UNKNOWN",
    "LOG_UNAVAILABLE",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "APPROVAL_DENIED",
    "KEY_REUSED",
    "FROZEN",
]


def test_the_codes_stand_in_the_published_order_and_grow_only_at_the_end() -> None:
    assert [code.value for code in Code][: len(SURFACE)] == SURFACE


def test_a_codes_number_is_its_place_from_1001() -> None:
    assert JSONRPC_NUMBER[Code.PARSE] == 1001
    assert JSONRPC_NUMBER[Code.FROZEN] == 1000 + len(SURFACE)


def test_shadow_never_softens_a_malformed_or_unrecordable_call() -> None:
    hard = {
        Code.SCHEMA,
        Code.TOOL_DRIFTED,
        Code.TOOL_UNKNOWN,
        Code.POLICY_ENGINE,
        Code.OBLIGATION,
        Code.LOG_UNAVAILABLE,
    }
    assert not hard & SOFTENED_BY_SHADOW


def test_a_configuration_error_names_its_place() -> None:
    assert str(ConfigError("wrong", file="b.yaml", line=3, column=5)) == "b.yaml:3:5: wrong"
    assert str(ConfigError("wrong")) == "wrong"


def broke() -> None:
    try:
        raise ValueError("first")
    except ValueError:
        raise Failed(Code.UPSTREAM_INVALID, "why", detail="d", unknown=True, fault={"code": 1}) from None


def test_a_failure_that_is_kept_keeps_nothing_of_where_it_was_raised() -> None:
    with pytest.raises(Failed) as raised:
        broke()
    kept = raised.value.anew()
    assert vars(kept) == vars(raised.value)
    assert (kept.__traceback__, kept.__context__) == (None, None)
