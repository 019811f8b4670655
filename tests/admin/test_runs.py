"""One run shown whole: its records, its approval, and what an operator can do next."""

import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import approving
from gateway.admin import runs_show
from gateway.audit import records
from gateway.errors import ConfigError, Failed
from gateway.model import Code, JsonObject, Limits, Outcome, Proposal, RunId
from tests import nouns
from tests.agreeing import APPROVE, OPERATOR, POLICY, Person, enroll, waiting
from tests.path import DataPath, data_path

ALICE = Person.enrolled("alice")


@pytest.fixture
async def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DataPath]:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    async with data_path(tmp_path, POLICY) as made:
        enroll(made.gw, ALICE)
        yield made


async def shown(path: DataPath, kind: str = "approval.requested") -> JsonObject:
    return await runs_show(path.gw.archive, operator=OPERATOR, run=path.leaves(kind)[0]["run"])


async def test_a_run_that_waits_names_its_approval_and_what_to_do_with_it(asked: DataPath) -> None:
    await asked.write()
    approval = await waiting(asked.gw)
    found = await shown(asked)
    assert (found["state"], found["ending"]) == ("waiting", "")
    assert found["next"] == f"people are asked: `bascule approvals show {approval}`, then `grant` or `deny`"
    assert (found["approval"]["needed"], found["approval"]["answers"]) == (1, [])
    await ALICE.answers(asked.gw, approval)
    found = await shown(asked)
    assert (found["state"], found["approval"]["state"]) == ("waiting", "granted")
    assert found["next"].startswith("granted: it runs once whoever asked makes the same call again")
    assert found["approval"]["answers"] == [{"approver": "alice", "verdict": "grant", "signed": True}]


async def test_the_records_stand_in_order_with_what_was_decided(asked: DataPath) -> None:
    await asked.write()
    approval = await waiting(asked.gw)
    await ALICE.answers(asked.gw, approval)
    await asked.write()
    found = await shown(asked)
    told = [(one["record"], (one["decision"] or {}).get("effect"), one.get("approval")) for one in found["records"]]
    assert told == [
        ("approval.requested", "require_approval", approval),
        ("approval.granted", "allow", approval),
        ("call.intent", "require_approval", approval),
        ("call.settled", "allow", None),
    ]
    assert [one["index"] for one in found["records"]] == sorted(one["index"] for one in found["records"])
    assert (found["state"], found["ending"], found["next"]) == ("ended", "done", "")


async def test_a_run_that_was_denied_ends_with_its_refusal(asked: DataPath) -> None:
    await asked.write()
    await ALICE.answers(asked.gw, await waiting(asked.gw), "deny")
    await asked.call("read_note", arguments={"path": "a"})
    found = await shown(asked)
    assert [one["record"] for one in found["records"]] == ["approval.requested", "approval.denied", "call.refused"]
    assert (found["state"], found["code"], found["next"]) == ("ended", "APPROVAL_DENIED", "")


async def test_a_question_that_nobody_answered_belongs_to_the_run_that_had_ended(path: DataPath) -> None:
    await path.write()
    run = path.leaves("call.intent")[0]["run"]
    await path.write()
    await path.gw.log.append([records.abandoned(RunId(run), nouns.proposal())])
    found = await shown(path, "call.intent")
    assert [one["record"] for one in found["records"]] == ["call.intent", "call.settled", "call.abandoned"]


async def test_a_request_whose_time_is_over_is_said_to_be(asked: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    await asked.write()
    now = time.time()
    monkeypatch.setattr("gateway.admin.runs.time.time", lambda: now + 10**7)
    found = await shown(asked)
    assert (found["state"], found["approval"]["state"]) == ("waiting", "expired")
    assert found["next"].startswith("nobody answered in time")


async def test_a_frozen_run_says_what_a_person_has_to_find_out(path: DataPath) -> None:
    async def broken(_proposal: Proposal, _limits: Limits) -> Outcome:
        raise Failed(Code.UPSTREAM_TIMEOUT, "no answer", unknown=True)

    path.executor.answer = broken
    await path.write()
    found = await shown(path, "call.intent")
    assert (found["state"], found["ending"], found["code"]) == ("frozen", "unknown", "UPSTREAM_TIMEOUT")
    assert f"`bascule audit show {found['run']}` has the arguments" in found["next"]
    assert "the upstream notes" in found["next"]


async def test_a_run_under_way_and_one_whose_request_is_erased_say_so(asked: DataPath) -> None:
    await asked.write()
    with sqlite3.connect(asked.database.path) as connection:
        connection.execute("DELETE FROM approvals")
    found = await shown(asked)
    assert (found["approval"], found["next"][:24]) == (None, "it waits for people; wha")
    with sqlite3.connect(asked.database.path) as connection:
        connection.execute("UPDATE runs SET state = 'intended'")
    assert (await shown(asked))["next"].startswith("it is under way")


async def test_a_run_that_is_not_there_is_said(path: DataPath) -> None:
    with pytest.raises(ConfigError, match="there is no run x: see `bascule runs list`"):
        await runs_show(path.gw.archive, operator=OPERATOR, run="x")
