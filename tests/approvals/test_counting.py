"""Which answers count when a call is about to act: what was taken away since counts no more."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway import approving
from gateway.approvals.counting import counted
from gateway.audit.verify import verify
from gateway.model import JsonObject
from gateway.storage.tables.approvals import ApprovalRow
from tests.agreeing import APPROVE, POLICY, Person, enroll, waiting
from tests.path import DataPath, data_path

ALICE, BOB = Person.enrolled("alice"), Person.enrolled("bob")
TWO = POLICY.replace('"from": ["ops"]', '"from": ["ops"], "quorum": 2')


@pytest.fixture
async def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DataPath]:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    async with data_path(tmp_path, POLICY) as made:
        enroll(made.gw, ALICE, BOB)
        yield made


async def write(path: DataPath) -> JsonObject:
    reply = await path.write()
    assert reply.result is not None
    told: JsonObject = reply.result["_meta"]["bascule/decision"]
    return told


async def asked(path: DataPath) -> ApprovalRow:
    await write(path)
    row = path.gw.requests.named(await waiting(path.gw))
    assert row is not None
    return row


def counting(path: DataPath, row: ApprovalRow) -> list[str]:
    settings = path.gw.settings
    return [one.approver for one in counted(row, path.gw.requests, settings.approvers, settings.audit.origin)]


GONE = {
    "removed": [BOB],
    "another key": [BOB, Person.enrolled("alice")],
    "without the role": [BOB, Person("alice", ALICE.pem, ALICE.public, ("sales",))],
}


@pytest.mark.promise("approval.people")
@pytest.mark.parametrize("left", GONE.values(), ids=GONE)
async def test_a_grant_does_not_outlive_whoever_gave_it(path: DataPath, left: list[Person]) -> None:
    row = await asked(path)
    await ALICE.answers(path.gw, row.approval)
    enroll(path.gw, *left)
    assert (await write(path))["code"] == "APPROVAL_REQUIRED"
    assert path.executor.calls == []


async def test_half_a_quorum_does_not_outlive_whoever_gave_it(path: DataPath) -> None:
    path.use(TWO)
    row = await asked(path)
    await ALICE.answers(path.gw, row.approval)
    assert counting(path, row) == ["alice"]
    enroll(path.gw, BOB)
    assert counting(path, row) == []
    assert (await BOB.answers(path.gw, row.approval))["state"] == "waiting"


async def test_a_denial_counts_whoever_gave_it(path: DataPath) -> None:
    row = await asked(path)
    await ALICE.answers(path.gw, row.approval, "deny")
    enroll(path.gw, BOB)
    assert counting(path, row) == ["alice"]


@pytest.mark.promise("approval.signature")
@pytest.mark.parametrize("said", [None, b"", b"x" * 60], ids=["nothing", "empty", "not sealed"])
async def test_a_grant_that_somebody_wrote_into_the_store_lets_nothing_run(path: DataPath, said: bytes | None) -> None:
    row = await asked(path)
    with closing(sqlite3.connect(path.database.path)) as forger:
        forger.execute("UPDATE approvals SET state = 'granted' WHERE approval = ?", (row.approval,))
        forger.execute(
            "INSERT INTO answers (approval, approver, verdict, roles, signed, at, said) VALUES (?, ?, ?, ?, 1, 1, ?)",
            (row.approval, "alice", "grant", '["ops"]', said),
        )
        forger.commit()
    assert counting(path, row) == []
    assert (await write(path))["code"] == "APPROVAL_REQUIRED"
    assert path.executor.calls == []


async def test_one_answer_does_not_count_at_another_request(path: DataPath) -> None:
    row = await asked(path)
    await ALICE.answers(path.gw, row.approval)
    await path.write("notes/b.md")
    other = path.gw.requests.named(_other(path, row))
    assert other is not None
    with closing(sqlite3.connect(path.database.path)) as forger:
        forger.execute(
            "INSERT INTO answers SELECT ?, approver, verdict, roles, signed, at, said FROM answers WHERE approval = ?",
            (other.approval, row.approval),
        )
        forger.commit()
    assert counting(path, other) == []


def _other(path: DataPath, row: ApprovalRow) -> str:
    (found,) = path.gw.archive.reader.select("SELECT approval FROM approvals WHERE approval != ?", row.approval)
    return str(found[0])


async def test_the_log_names_an_intent_whose_approval_nobody_gave(path: DataPath) -> None:
    row = await asked(path)
    await ALICE.answers(path.gw, row.approval)
    assert (await write(path))["effect"] == "allow"

    def findings() -> list[str]:
        report = verify(path.gw.archive.reader, path.gw.archive.vkey, sealing=path.sealing)
        return [one.what for one in report.findings if not one.where.startswith("bundle")]

    assert findings() == []
    forged = path.leaves("call.intent")[-1] | {"approval": "01990000-0000-7000-8000-000000000009"}
    from gateway.model import Record, RunId
    from gateway.writes import RunOpened

    run = RunId("01990000-0000-7000-8000-000000000008")
    public = {name: forged[name] for name in ("upstream", "tool", "decision", "checks", "approval")}
    opened = RunOpened(run, "", "agent", "default", forged["upstream"], forged["tool"])
    await path.gw.log.append([Record("call.intent", run, public)], [opened])
    assert any("no record says that it was granted" in one for one in findings())
