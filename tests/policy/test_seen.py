"""A recorded call, and whether any rule that allows could have let it pass."""

import pytest

from gateway.policy.seen import SeenCall
from tests.policy.recorded import document, path


def test_a_recorded_call_says_who_asked_for_what() -> None:
    call = SeenCall(document("read", {"path": "/a"}, {"/path": path("/a")}), "allow", "")
    assert (call.principal["id"], call.tool, call.args) == ("agent", ("files", "read"), {"path": "/a"})
    assert call.typed["/path"]["value"] == "/a"


@pytest.mark.parametrize(
    ("effect", "code", "why"),
    [
        ("allow", "", ""),
        ("deny", "NO_RULE", ""),
        ("require_approval", "APPROVAL_REQUIRED", ""),
        ("deny", "POLICY_DENIED", "a rule refuses it (POLICY_DENIED)"),
        ("deny", "CONTEXT", "a rule refuses it (CONTEXT)"),
    ],
)
def test_only_what_no_rule_refused_can_be_helped(effect: str, code: str, why: str) -> None:
    assert SeenCall(document("read", {}), effect, code).beyond() == why


def test_a_value_that_is_not_of_its_type_is_beyond_any_rule() -> None:
    asked = document("read", {}) | {"checks": [{"name": "semantic", "verdict": "fail", "score": 0, "threshold": 0}]}
    assert SeenCall(asked, "deny", "NO_RULE").beyond() == "an argument is not of the type its manifest states"
