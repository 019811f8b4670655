"""The brake: in force from the next decision on, on whom it is set, until it is released or its time is over."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from gateway import approving, brakes
from gateway.admin.brakes import brake_list, brake_release, brake_set
from gateway.brakes import checked
from gateway.model import JsonObject, Mode, Reply
from gateway.registry import Terms
from tests.agreeing import APPROVE, OPERATOR, Person, enroll, waiting
from tests.path import DataPath, data_path

UNTIL = date(2199, 1, 1)
ALICE = Person.enrolled("alice", "approver")


def told(reply: Reply) -> JsonObject:
    assert reply.result is not None
    decision: JsonObject = reply.result["_meta"]["bascule/decision"]
    return decision


@pytest.mark.promise("brake")
@pytest.mark.parametrize(
    "subject", ["everything", "tenant:default", "principal:agent", "upstream:notes", "tool:notes/write_note"]
)
async def test_what_is_stopped_does_not_run_and_is_recorded_until_it_is_released(path: DataPath, subject: str) -> None:
    await brake_set(path.gw, operator=OPERATOR, subject=subject, level="stop", reason="it loops")
    assert told(await path.write())["code"] == "BRAKED"
    assert path.executor.calls == []
    assert [leaf["code"] for leaf in path.leaves("call.refused")] == ["BRAKED"]
    await brake_release(path.gw, operator=OPERATOR, subject=subject)
    assert told(await path.write())["effect"] == "allow"
    kinds = [leaf["kind"] for leaf in path.leaves() if leaf["kind"].startswith("brake")]
    assert kinds == ["brake.set", "brake.released"]


@pytest.mark.parametrize("subject", ["tenant:acme", "principal:other", "upstream:other", "tool:notes/read_note"])
async def test_nobody_else_is_touched(path: DataPath, subject: str) -> None:
    await brake_set(path.gw, operator=OPERATOR, subject=subject, level="stop")
    assert told(await path.write())["effect"] == "allow"


async def test_a_restart_releases_nothing_and_its_time_does(tmp_path: Path) -> None:
    async with data_path(tmp_path) as before:
        await brake_set(before.gw, operator=OPERATOR, subject="everything", level="stop", lasts_s=3600)
    async with data_path(tmp_path) as after:
        assert told(await after.write())["code"] == "BRAKED"
        clock = after.gw.brakes._clock
        after.gw.brakes._clock = lambda: clock() + 3601
        assert told(await after.write())["effect"] == "allow"
        assert (await brake_list(after.gw, operator=OPERATOR))["brakes"] == []


async def test_the_hardest_of_several_holds(path: DataPath) -> None:
    for subject, level in (("everything", "slow"), ("principal:agent", "stop"), ("upstream:notes", "ask")):
        await brake_set(path.gw, operator=OPERATOR, subject=subject, level=level)
    assert told(await path.write())["code"] == "BRAKED"


async def test_what_is_questioned_waits_for_a_person_though_policy_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(
        APPROVE.replace("some role in input.approval.roles\n\trole in", '"approver" in')
    )
    async with data_path(tmp_path) as path:
        enroll(path.gw, ALICE)
        await brake_set(path.gw, operator=OPERATOR, subject="principal:agent", level="ask")
        assert told(await path.write())["code"] == "APPROVAL_REQUIRED"
        await ALICE.answers(path.gw, await waiting(path.gw))
        assert told(await path.write())["effect"] == "allow"
        assert told(await path.write("private/x"))["code"] == "POLICY_DENIED"


async def test_shadow_softens_no_brake(tmp_path: Path) -> None:
    async with data_path(tmp_path, terms=Terms(Mode.SHADOW, UNTIL)) as path:
        for level in ("ask", "stop"):
            await brake_set(path.gw, operator=OPERATOR, subject="everything", level=level)
            assert told(await path.write())["code"] == "BRAKED"


async def test_what_is_slowed_goes_one_by_one_and_too_many_are_refused(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brakes, "MOST_WAITING", 3)
    slept: list[float] = []
    at_once = most = 0

    async def sleep(seconds: float) -> None:
        nonlocal at_once, most
        slept.append(seconds)
        at_once += 1
        most = max(most, at_once)
        for _ in range(3):
            await asyncio.sleep(0)
        at_once -= 1

    monkeypatch.setattr(brakes, "sleep", sleep)
    await brake_set(path.gw, operator=OPERATOR, subject="principal:agent", level="slow", seconds=7)
    replies = await asyncio.gather(*(path.write() for _ in range(5)))
    codes = [told(one).get("code") for one in replies]
    assert codes.count("BRAKED") == 2
    assert (most, set(slept)) == (1, {7})


@pytest.mark.parametrize(
    "subject", ["", "all", "tenant:", "tool:notes", "tool:/x", "principal:a b", "everything:x", "upstream:a/b"]
)
def test_a_subject_that_names_nothing_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="a brake is set for everything"):
        checked(subject)
