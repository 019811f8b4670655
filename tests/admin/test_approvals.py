"""What an operator is shown of a request. Who may answer it, and what becomes of it, is in test_approving.py."""

from pathlib import Path

import pytest

from gateway import approving
from gateway.admin.approvals import approvals_answer, approvals_list, approvals_show
from gateway.approvals import request
from gateway.errors import ConfigError
from tests.agreeing import APPROVE, OPERATOR, POLICY, Person, enroll, waiting
from tests.path import data_path

ALICE = Person.enrolled("alice")


async def test_a_request_is_shown_whole_and_its_digest_is_that_of_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    async with data_path(tmp_path, POLICY) as path:
        enroll(path.gw, ALICE)
        await path.write()
        approval = await waiting(path.gw)
        shown = await approvals_show(path.gw, operator=OPERATOR, approval=approval)
        assert shown["asked"]["arguments"] == {"path": "notes/a.md", "text": "hello"}
        assert shown["asked"]["reasons"] == ["a person should see this"]
        assert shown["asked"]["principal"]["id"] == "agent"
        assert shown["demands"] == [{"from": ["ops"], "quorum": 1}]
        assert shown["digest"] == request.digest(shown["asked"]["proposal"])
        await ALICE.answers(path.gw, approval)
        after = await approvals_show(path.gw, operator=OPERATOR, approval=approval)
        assert [(one["approver"], one["verdict"], one["signed"]) for one in after["answers"]] == [
            ("alice", "grant", True)
        ]
        await path.write()
        assert (await approvals_list(path.gw, operator=OPERATOR))["approvals"] == []
        (used,) = (await approvals_list(path.gw, operator=OPERATOR, all=True))["approvals"]
        assert (used["approval"], used["state"], used["answers"], used["needed"]) == (approval, "used", 1, 1)


async def test_what_is_no_request_and_what_is_no_answer_is_said(tmp_path: Path) -> None:
    async with data_path(tmp_path) as path:
        with pytest.raises(ConfigError, match="there is no approval x: see `bascule approvals list`"):
            await approvals_show(path.gw, operator=OPERATOR, approval="x")
        for verdict, reason in (("maybe", ""), ("grant", "x" * 1001)):
            with pytest.raises(ConfigError, match="an answer is grant or deny"):
                await approvals_answer(path.gw, operator=OPERATOR, approval="x", verdict=verdict, reason=reason)
