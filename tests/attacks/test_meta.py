"""What a client puts beside the arguments is as much a part of the call as they are."""

from pathlib import Path

import orjson
import pytest

from gateway import approving
from gateway.keyed import META
from gateway.model import JsonObject, Reply
from tests.agreeing import APPROVE, POLICY, Person, enroll, waiting
from tests.path import DataPath, data_path

ARGUMENTS = {"path": "notes/a.md", "text": "hello"}
JUDGES_META = """package bascule.call

allow contains "dry runs" if {
	input.tool.name == "write_note"
	input.meta.dry_run == true
}
"""


async def write(path: DataPath, **meta: object) -> JsonObject:
    reply: Reply = await path.call(arguments=ARGUMENTS, meta={"io.modelcontextprotocol/logLevel": "debug", **meta})
    assert reply.result is not None
    told: JsonObject = reply.result["_meta"]["bascule/decision"]
    return told


@pytest.mark.promise("judged-is-what-runs")
async def test_policy_judges_it_and_the_record_has_it(tmp_path: Path) -> None:
    async with data_path(tmp_path, JUDGES_META) as path:
        assert (await write(path, dry_run=True))["effect"] == "allow"
        assert (await write(path, dry_run=False))["code"] == "NO_RULE"
        assert (await write(path))["code"] == "NO_RULE"
        (intent,) = path.leaves("call.intent")
        assert intent["sealed"]["meta"] == intent["sealed"]["input"]["meta"] == {"dry_run": True}
        last = path.leaves("call.refused")[-1]
        assert ("meta" in last["sealed"], "meta" in last["sealed"]["input"]) == (False, False)


@pytest.mark.promise("approval.exact")
async def test_a_grant_is_for_it_too_and_people_see_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    alice = Person.enrolled("alice")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    async with data_path(tmp_path, POLICY) as path:
        enroll(path.gw, alice)
        assert (await write(path, dry_run=True))["code"] == "APPROVAL_REQUIRED"
        approval = await waiting(path.gw)
        row = path.gw.requests.named(approval)
        assert row is not None
        assert orjson.loads(path.gw.requests.opened(row))["proposal"]["meta"] == {"dry_run": True}
        await alice.answers(path.gw, approval)
        assert (await write(path, dry_run=False, impersonate="root"))["code"] == "APPROVAL_REQUIRED"
        assert path.executor.calls == []
        traced = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        assert (await write(path, dry_run=True, **traced))["effect"] == "allow"


async def test_under_one_key_it_makes_another_call(tmp_path: Path) -> None:
    async with data_path(tmp_path) as path:
        assert (await write(path, dry_run=True, **{META: "k"}))["effect"] == "allow"
        assert (await write(path, dry_run=False, **{META: "k"}))["code"] == "KEY_REUSED"
