"""The brake: in force from the next decision on, on whom it is set, until it is released or its time is over."""

import asyncio
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from gateway import approving, brakes
from gateway.admin.brakes import brake_list, brake_release, brake_set
from gateway.brakes import checked
from gateway.model import JsonObject, Mode, Principal, Reply
from gateway.registry import Terms
from tests.agreeing import APPROVE, OPERATOR, Person, enroll, waiting
from tests.path import DataPath, data_path
from tests.serving import PATIENCE

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


@dataclass(slots=True)
class Turns:
    """The turns of slow brakes: how long each is that begins. All last until a test says that they are over."""

    begun: "asyncio.Queue[float]" = field(default_factory=asyncio.Queue)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep(self, seconds: float) -> None:
        self.begun.put_nowait(seconds)
        await self.over.wait()

    def seen(self) -> list[float]:
        return [self.begun.get_nowait() for _ in range(self.begun.qsize())]


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    made = Turns()
    monkeypatch.setattr(brakes, "sleep", made.sleep)
    return made


async def queued(path: DataPath, turns: Turns, count: int = 3) -> "asyncio.Future[list[Reply]]":
    """Calls of which one has its turn, and the others wait for theirs."""
    waits = asyncio.gather(*(path.write() for _ in range(count)))
    turns.begun.put_nowait(await turns.begun.get())
    return waits


@pytest.mark.parametrize(
    ("subject", "level", "code"),
    [
        ("principal:agent", "stop", "BRAKED"),
        ("principal:agent", "ask", "APPROVAL_REQUIRED"),
        ("everything", "stop", "BRAKED"),
        ("everything", "ask", "APPROVAL_REQUIRED"),
    ],
)
async def test_what_waits_its_turn_when_a_harder_brake_is_set_does_not_run(
    path: DataPath, turns: Turns, subject: str, level: str, code: str
) -> None:
    await brake_set(path.gw, operator=OPERATOR, subject="principal:agent", level="slow", seconds=7)
    waits = await queued(path, turns)
    await brake_set(path.gw, operator=OPERATOR, subject=subject, level=level)
    turns.over.set()
    assert {told(reply)["code"] for reply in await waits} == {code}
    assert path.executor.calls == []
    assert turns.seen() == [7]


async def test_what_waits_its_turn_when_it_is_released_waits_no_more(path: DataPath, turns: Turns) -> None:
    await brake_set(path.gw, operator=OPERATOR, subject="principal:agent", level="slow", seconds=7)
    waits = await queued(path, turns)
    await brake_release(path.gw, operator=OPERATOR, subject="principal:agent")
    turns.over.set()
    assert {told(reply)["effect"] for reply in await waits} == {"allow"}
    assert turns.seen() == [7]


async def test_what_waits_its_turn_when_it_is_slowed_more_waits_for_that(path: DataPath, turns: Turns) -> None:
    await brake_set(path.gw, operator=OPERATOR, subject="principal:agent", level="slow", seconds=7)
    waits = await queued(path, turns, 2)
    for subject, seconds in (("principal:agent", 8), ("everything", 9)):
        await brake_set(path.gw, operator=OPERATOR, subject=subject, level="slow", seconds=seconds)
    turns.over.set()
    assert {told(reply)["effect"] for reply in await waits} == {"allow"}
    assert turns.seen() == [7, 9, 9]


async def test_of_two_that_slow_the_slower_holds(path: DataPath, turns: Turns) -> None:
    turns.over.set()
    for subject, seconds in (("everything", 1), ("tool:notes/write_note", 600), ("upstream:notes", 2)):
        await brake_set(path.gw, operator=OPERATOR, subject=subject, level="slow", seconds=seconds)
    await path.write()
    assert turns.seen() == [600]


async def test_one_principal_leaves_room_for_others_who_are_slowed_with_it(
    path: DataPath, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brakes, "MOST_WAITING_EACH", 2)
    await brake_set(path.gw, operator=OPERATOR, subject="everything", level="slow")
    calls = [asyncio.ensure_future(path.write()) for _ in range(3)]
    (refused,), _ = await asyncio.wait(calls, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    assert told(await refused)["code"] == "BRAKED"
    other = asyncio.ensure_future(path.call(principal=Principal("other", roles=("dev",))))
    turns.over.set()
    assert [told(await one)["effect"] for one in (*calls, other) if one is not refused] == ["allow"] * 3
    assert told(await path.write())["effect"] == "allow"


@pytest.mark.parametrize(
    "subject", ["", "all", "tenant:", "tool:notes", "tool:/x", "principal:a b", "everything:x", "upstream:a/b"]
)
def test_a_subject_that_names_nothing_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="a brake is set for everything"):
        checked(subject)
