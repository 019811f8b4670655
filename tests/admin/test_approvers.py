"""What people elsewhere are shown and may answer. Over real HTTP it is in tests/transports/test_desk.py."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import admin, approving
from gateway.admin.approvers import NotTheirs, answered_by, shown_to, waiting_for
from gateway.errors import Refused
from gateway.model import Principal
from gateway.settings import ApproverSettings
from tests.agreeing import APPROVE, OPERATOR, POLICY, Person, enroll, waiting
from tests.path import DataPath, data_path

pytestmark = pytest.mark.promise("approval.elsewhere")
ALICE, LEAD = Person.enrolled("alice"), Person.enrolled("lead", "lead")


@pytest.fixture
async def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DataPath]:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    async with data_path(tmp_path, POLICY) as path:
        enroll(path.gw, ALICE, LEAD)
        await path.write()
        yield path


async def test_who_is_asked_sees_the_document_that_is_signed(asked: DataPath) -> None:
    alice, approval = Principal("alice"), await waiting(asked.gw)
    (one,) = (await waiting_for(asked.gw, alice))["approvals"]
    assert one["approval"] == approval
    there = await shown_to(asked.gw, alice, approval)
    assert there == await admin.approvals_show(asked.gw, operator=OPERATOR, approval=approval)
    await ALICE.answers(asked.gw, approval)
    assert await waiting_for(asked.gw, alice) == {"approvals": []}


@pytest.mark.parametrize(
    ("who", "tenant_of_approver"),
    [
        (Principal("nobody"), None),
        (Principal("agent"), None),
        (Principal("lead"), None),
        (Principal("alice", "other"), None),
        (Principal("alice"), "other"),
        (Principal("alice", "other"), "other"),
    ],
)
async def test_what_is_not_asked_of_them_is_not_there(
    asked: DataPath, who: Principal, tenant_of_approver: str | None
) -> None:
    approval, gw = await waiting(asked.gw), asked.gw
    alice = ApproverSettings(key=ALICE.public, roles=("ops",), tenant=tenant_of_approver)
    gw.settings = gw.settings.model_copy(update={"approvers": {**gw.settings.approvers, "alice": alice}})
    for one in (approval, "unknown"):
        with pytest.raises(NotTheirs, match=r"^there is no such approval$"):
            await shown_to(gw, who, one)
        with pytest.raises(NotTheirs, match=r"^there is no such approval$"):
            await answered_by(gw, who, one, verdict="deny", reason="", signature="")
    try:
        assert await waiting_for(gw, who) == {"approvals": []}
    except NotTheirs:
        assert who.id not in gw.settings.approvers or tenant_of_approver not in (None, who.tenant)


@pytest.mark.parametrize("alone", [True, False])
async def test_an_answer_without_a_signature_never_counts_from_elsewhere(
    asked: DataPath, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    monkeypatch.setattr("gateway.admin.approvals.separated", lambda: alone)
    approval = await waiting(asked.gw)
    with pytest.raises(Refused, match="needs its signature"):
        await answered_by(asked.gw, Principal("alice"), approval, verdict="grant", reason="", signature="")
    assert await waiting(asked.gw) == approval
