"""What a grant survives, and what it does not: dead clients, faults in between, clocks, floods."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import approving, pipeline
from gateway.channel import Channel
from gateway.errors import Refused
from gateway.model import Code, JsonObject, Point, Reply
from tests import nouns
from tests.agreeing import APPROVE, POLICY, Person, enroll, waiting
from tests.path import DataPath, data_path

ALICE = Person.enrolled("alice")


@pytest.fixture
async def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DataPath]:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    async with data_path(tmp_path, POLICY) as made:
        enroll(made.gw, ALICE)
        yield made


def told(reply: Reply) -> JsonObject:
    assert reply.result is not None
    decision: JsonObject = reply.result["_meta"]["bascule/decision"]
    return decision


async def test_a_client_that_is_gone_does_not_use_the_grant_up(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 60.0)
    channel, asked = Channel(), asyncio.Event()
    path.gw.log.on_recorded = lambda said: asked.set() if said[0].kind == "approval.requested" else None
    holding = asyncio.ensure_future(pipeline.serve(nouns.call(), path.gw, channel))
    await asked.wait()
    approval = await waiting(path.gw)
    channel.hang_up()
    await ALICE.answers(path.gw, approval)
    assert told(await holding)["code"] == "APPROVAL_REQUIRED"
    assert path.executor.calls == []
    assert told(await path.call())["effect"] == "allow"
    assert len(path.executor.calls) == 1


async def test_a_fault_of_the_engine_in_between_leaves_the_grant_as_it_was(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await path.write()
    await ALICE.answers(path.gw, await waiting(path.gw))

    async def broken(pdp: Any, point: Point, *given: Any, **named: Any) -> Any:
        raise Refused(Code.POLICY_ENGINE, "the policy gave no answer")

    with monkeypatch.context() as patched:
        patched.setattr(approving, "decide", broken)
        failed = told(await path.write())
    assert (failed["code"], failed["run"] != told(first)["run"]) == ("POLICY_ENGINE", True)
    assert told(await path.write())["run"] == told(first)["run"]
    assert len(path.executor.calls) == 1


async def test_an_ended_request_with_a_larger_id_does_not_hide_the_open_one(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter(["0fff0000-0000-7000-8000-000000000000", "01990000-0000-7000-8000-000000000000"])
    monkeypatch.setattr(approving, "uuid7", lambda: next(ids))
    await path.write()
    with monkeypatch.context() as late:
        late.setattr(path.gw.requests, "_clock", lambda: 2.0**40)
        assert await approving.lapse(path.gw) == 1
    await path.write()  # the clock of ids went back
    async with asyncio.timeout(10):
        assert told(await path.write())["code"] == "APPROVAL_REQUIRED"
    assert len(path.leaves("approval.requested")) == 2


async def test_one_principal_cannot_hide_the_requests_of_others_under_its_own(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "MOST_OPEN_EACH", 3)
    codes = [told(await path.write(f"notes/{number}.md"))["code"] for number in range(5)]
    assert codes == ["APPROVAL_REQUIRED"] * 3 + ["RATE"] * 2
    assert told(await path.write("notes/0.md"))["code"] == "APPROVAL_REQUIRED"


async def test_requests_that_cannot_be_ended_do_not_hold_the_loop(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.write()
    monkeypatch.setattr(path.gw.requests, "_clock", lambda: 2.0**40)

    async def never(*_: Any) -> bool:
        return False

    monkeypatch.setattr(approving, "_lapsed", never)
    async with asyncio.timeout(10):
        assert await approving.lapse(path.gw) == 0
