"""A proposal that waits for people: asked once, answered by the right ones, used once, judged afresh before it acts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from gateway import approving, listing, pipeline
from gateway.admin.approvals import approvals_answer
from gateway.approvals.request import GRANTED
from gateway.audit.verify import verify
from gateway.channel import Channel
from gateway.errors import ConfigError, Refused
from gateway.model import Code, Digest, JsonObject, Limits, Outcome, Principal, Proposal, Reply
from gateway.policy.bundle import load
from gateway.policy.regorus import Regorus
from gateway.registry import Terms
from gateway.registry.manifests import Manifests
from tests import nouns
from tests.agreeing import APPROVE, OPERATOR, POLICY, Person, enroll, waiting
from tests.path import MANIFEST, READS, DataPath, data_path

SCHEMA = orjson.loads((Path(__file__).parents[1] / "docs" / "leaf.v1.json").read_bytes())
ALICE, BOB = Person.enrolled("alice"), Person.enrolled("bob")


@pytest.fixture
async def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DataPath]:
    """A data path whose writes wait for people, and whose clients do not hold on."""
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    async with agreed_path(tmp_path) as path:
        yield path


def agreed_path(folder: Path) -> Any:
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "approve.rego").write_text(APPROVE)
    made = data_path(folder, POLICY)
    return _enrolled(made)


class _enrolled:  # noqa: N801 - a context manager like the one it wraps
    def __init__(self, made: Any) -> None:
        self._made = made

    async def __aenter__(self) -> DataPath:
        path: DataPath = await self._made.__aenter__()
        enroll(path.gw, ALICE, BOB)
        return path

    async def __aexit__(self, *error: object) -> None:
        await self._made.__aexit__(*error)


def told(reply: Reply) -> JsonObject:
    assert reply.result is not None
    decision: JsonObject = reply.result["_meta"]["bascule/decision"]
    return decision


def intact(path: DataPath) -> None:
    report = verify(path.gw.archive.reader, path.gw.archive.vkey, sealing=path.sealing)
    assert [one for one in report.findings if not one.where.startswith("bundle")] == []  # no start has stored it here


@pytest.mark.promise("approval.exact")
async def test_a_call_that_waits_is_recorded_and_told_to_come_back(asked: DataPath) -> None:
    reply = await asked.write()
    assert told(reply)["code"] == "APPROVAL_REQUIRED"
    (request,) = asked.leaves("approval.requested")
    assert request["approval"] in told(reply)["reasons"][0]
    row = asked.gw.archive.reader.run(request["run"])
    assert row is not None
    assert (row.state, row.intent) == ("waiting", None)
    assert asked.executor.calls == []
    intact(asked)


async def test_every_record_of_an_approval_is_a_leaf_as_published(asked: DataPath) -> None:
    await asked.write()
    await ALICE.answers(asked.gw, await waiting(asked.gw))
    await asked.write()
    published = jsonschema_rs.validator_for(SCHEMA)
    assert [leaf["kind"] for leaf in asked.leaves() if not published.is_valid(leaf)] == []
    assert {"approval.requested", "approval.granted", "call.intent"} <= {leaf["kind"] for leaf in asked.leaves()}


async def test_the_same_call_asks_nobody_twice_and_each_time_leaves_a_record(asked: DataPath) -> None:
    first, second = await asked.write(), await asked.write()
    assert len(asked.leaves("approval.requested")) == 1
    assert told(first)["run"] != told(second)["run"]
    (refused,) = asked.leaves("call.refused")
    assert (refused["run"], refused["code"]) == (told(second)["run"], "APPROVAL_REQUIRED")


@pytest.mark.promise("approval.exact")
async def test_once_granted_the_same_call_runs_under_the_run_that_waited_and_only_once(asked: DataPath) -> None:
    first = await asked.write()
    answer = await ALICE.answers(asked.gw, await waiting(asked.gw))
    assert answer["state"] == "granted"
    second = await asked.write()
    assert told(second)["run"] == told(first)["run"]
    assert len(asked.executor.calls) == 1
    (intent,) = asked.leaves("call.intent")
    assert intent["approval"] == answer["approval"]
    third = await asked.write()
    assert told(third)["code"] == "APPROVAL_REQUIRED"
    assert len(asked.executor.calls) == 1
    assert len(asked.leaves("approval.requested")) == 2
    intact(asked)


async def test_a_client_that_holds_on_gets_its_result_with_the_grant(
    asked: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 60.0)
    holding = asyncio.ensure_future(asked.write())
    approval = await opened(asked)
    await ALICE.answers(asked.gw, approval)
    reply = await holding
    assert reply.result is not None
    assert not reply.result.get("isError")


async def test_the_wait_uses_up_nothing_of_the_calls_own_time(asked: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 60.0)
    given: list[Limits] = []

    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        given.append(limits)
        return nouns.outcome()

    asked.executor.answer = answer
    holding = asyncio.ensure_future(asked.write())
    approval = await opened(asked)
    assert given == []  # its time begins where it runs
    await ALICE.answers(asked.gw, approval)
    await holding
    limits = asked.gw.settings.limits
    assert [(one.timeout_s, one.most_s) for one in given] == [(limits.call_s, limits.call_most_s)]


async def opened(path: DataPath) -> str:
    """The request, as soon as a client holds on for it."""
    held = asyncio.Event()
    changed = path.gw.requests.changed

    async def told_of(approval: str, within_s: float) -> None:
        held.set()
        await changed(approval, within_s)

    path.gw.requests.changed = told_of  # type: ignore[method-assign]
    await held.wait()
    return await waiting(path.gw)


CHANGES: dict[str, JsonObject] = {
    "another argument": {"arguments": {"path": "notes/a.md", "text": "hello!"}},
    "another principal": {"principal": Principal("other", roles=("dev",))},
    "another tenant": {"principal": Principal("agent", "acme", ("dev",))},
    "another person": {"principal": Principal("agent", roles=("dev",), person="ann")},
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
async def test_a_grant_covers_no_other_call(asked: DataPath, changed: JsonObject) -> None:
    await asked.write()
    await ALICE.answers(asked.gw, await waiting(asked.gw))
    reply = await asked.call(**{"arguments": {"path": "notes/a.md", "text": "hello"}, **changed})
    assert told(reply)["code"] == "APPROVAL_REQUIRED"
    assert asked.executor.calls == []


async def test_a_grant_does_not_outlive_the_policy_it_was_given_under(asked: DataPath) -> None:
    await asked.write()
    await ALICE.answers(asked.gw, await waiting(asked.gw))
    asked.use(POLICY + '\n# another rule\n\nallow contains "lists" if input.tool.name == "list"\n')
    reply = await asked.write()
    assert told(reply)["code"] == "APPROVAL_REQUIRED"
    assert asked.executor.calls == []


@pytest.mark.parametrize("what", ["definition", "manifest"])
async def test_a_grant_does_not_outlive_what_the_operator_accepted(asked: DataPath, what: str) -> None:
    await asked.write()
    await ALICE.answers(asked.gw, await waiting(asked.gw))
    registry = asked.gw.registry
    if what == "manifest":
        manifest = replace(MANIFEST, digest=Digest("sha256:" + "9" * 64))
        registry.restate({"notes": Terms()}, Manifests({"notes": {"write_note": manifest, "read_note": READS}}))
    else:
        asked.executor.offers[0] = {**nouns.WRITE_NOTE, "description": "changed"}
        await listing.refresh("notes", asked.gw)
        registry.accept("notes", None)
    reply = await asked.write()
    assert told(reply)["code"] == "APPROVAL_REQUIRED"
    assert asked.executor.calls == []


async def test_a_thousand_calls_at_once_use_one_grant_once(asked: DataPath) -> None:
    await asked.write()
    await ALICE.answers(asked.gw, await waiting(asked.gw))
    replies = await asyncio.gather(*(asked.write() for _ in range(1000)))
    assert len(asked.executor.calls) == 1
    ran = [one for one in replies if one.result is not None and not one.result.get("isError")]
    assert len(ran) == 1
    assert {told(one)["code"] for one in replies if one not in ran} == {"APPROVAL_REQUIRED"}
    intact(asked)


async def test_a_call_whose_approval_another_used_while_it_was_judged_is_refused_and_recorded(
    asked: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asked.write()
    await ALICE.answers(asked.gw, await waiting(asked.gw))
    still = approving.still

    async def late(proposal: Proposal, *others: Any) -> None:
        monkeypatch.setattr(approving, "still", still)
        assert told(await asked.write())["effect"] == "allow"
        await still(proposal, *others)

    monkeypatch.setattr(approving, "still", late)
    assert told(await asked.write())["code"] == "APPROVAL_REQUIRED"
    assert len(asked.executor.calls) == 1
    assert [leaf["code"] for leaf in asked.leaves("call.refused")] == ["APPROVAL_REQUIRED"]
    intact(asked)


async def test_a_person_who_says_no_ends_it_and_is_not_asked_again(asked: DataPath) -> None:
    first = await asked.write()
    await ALICE.answers(asked.gw, await waiting(asked.gw), "deny")
    row = asked.gw.archive.reader.run(told(first)["run"])
    assert row is not None
    assert (row.state, row.ending, row.code) == ("ended", "refused", "APPROVAL_DENIED")
    assert told(await asked.write())["code"] == "APPROVAL_DENIED"
    assert len(asked.leaves("approval.requested")) == 1
    intact(asked)


async def test_what_nobody_answers_in_time_expires_and_may_be_asked_again(asked: DataPath) -> None:
    first = await asked.write()
    later(asked, 86_401)
    assert await approving.lapse(asked.gw) == 1
    row = asked.gw.archive.reader.run(told(first)["run"])
    assert row is not None
    assert (row.state, row.ending, row.code) == ("ended", "expired", "APPROVAL_EXPIRED")
    assert len(asked.leaves("approval.expired")) == 1
    assert told(await asked.write())["code"] == "APPROVAL_REQUIRED"
    assert len(asked.leaves("approval.requested")) == 2
    intact(asked)


@pytest.mark.parametrize("granted", [True, False])
async def test_a_request_past_its_time_is_good_for_nothing_and_is_asked_anew(asked: DataPath, *, granted: bool) -> None:
    await asked.write()
    approval = await waiting(asked.gw)
    if granted:
        await ALICE.answers(asked.gw, approval)
    later(asked, 86_401)
    with pytest.raises(ConfigError, match="it cannot be answered"):
        await BOB.answers(asked.gw, approval)
    assert told(await asked.write())["code"] == "APPROVAL_REQUIRED"
    assert asked.executor.calls == []
    assert await waiting(asked.gw) != approval
    assert len(asked.leaves("approval.expired")) == 1
    intact(asked)


def later(path: DataPath, seconds: int) -> None:
    clock = path.gw.requests._clock
    path.gw.requests._clock = lambda: clock() + seconds


@pytest.mark.promise("approval.people")
async def test_whoever_asked_cannot_approve(asked: DataPath) -> None:
    agent = Person.enrolled("agent")
    enroll(asked.gw, agent)
    await asked.write()
    approval = await waiting(asked.gw)
    with pytest.raises(Refused, match="who asks cannot approve"):
        await agent.answers(asked.gw, approval)
    assert [leaf["code"] for leaf in asked.leaves("approval.refused")] == ["POLICY_DENIED"]
    assert asked.gw.requests.standing(asked.gw.requests.named(approval)).state == "waiting"  # type: ignore[arg-type]


async def test_who_has_no_role_that_is_asked_for_cannot_approve(asked: DataPath) -> None:
    eve = Person.enrolled("eve", "sales")
    enroll(asked.gw, eve)
    await asked.write()
    with pytest.raises(Refused) as refused:
        await eve.answers(asked.gw, await waiting(asked.gw))
    assert refused.value.code is Code.NO_RULE


@pytest.mark.promise("approval.people")
async def test_a_quorum_is_of_distinct_people(asked: DataPath) -> None:
    asked.use(POLICY.replace('"from": ["ops"]', '"from": ["ops"], "quorum": 2'))
    await asked.write()
    approval = await waiting(asked.gw)
    assert (await ALICE.answers(asked.gw, approval))["state"] == "waiting"
    with pytest.raises(ConfigError, match="alice has answered"):
        await ALICE.answers(asked.gw, approval)
    assert told(await asked.write())["code"] == "APPROVAL_REQUIRED"
    assert (await BOB.answers(asked.gw, approval))["state"] == GRANTED
    await asked.write()
    assert len(asked.executor.calls) == 1


async def test_two_answers_at_once_are_counted_together(asked: DataPath) -> None:
    asked.use(POLICY.replace('"from": ["ops"]', '"from": ["ops"], "quorum": 2'))
    await asked.write()
    approval = await waiting(asked.gw)
    states = await asyncio.gather(ALICE.answers(asked.gw, approval), BOB.answers(asked.gw, approval))
    assert sorted(one["state"] for one in states) == ["granted", "waiting"]


@pytest.mark.promise("approval.people")
async def test_an_unsigned_answer_does_not_count_where_the_user_is_shared(asked: DataPath) -> None:
    await asked.write()
    approval = await waiting(asked.gw)
    with pytest.raises(Refused, match="unsigned answer does not count") as refused:
        await approvals_answer(asked.gw, operator=OPERATOR, approval=approval, verdict="grant")
    assert refused.value.code is Code.FORBIDDEN


OVER = {
    "another digest": {"digest": "sha256:" + "0" * 64},
    "another request": {"approval": "018f0000-0000-7000-8000-000000000009"},
    "another reason": {"reason": "x"},
}


@pytest.mark.parametrize("changed", OVER.values(), ids=OVER)
async def test_a_signature_over_anything_else_does_not_count(asked: DataPath, changed: dict[str, str]) -> None:
    await asked.write()
    approval = await waiting(asked.gw)
    with pytest.raises(Refused, match="not that of an enrolled approver"):
        await ALICE.answers(asked.gw, approval, over=changed)


async def test_a_signature_by_a_key_that_is_not_enrolled_does_not_count(asked: DataPath) -> None:
    await asked.write()
    with pytest.raises(Refused, match="not that of an enrolled approver"):
        await Person.enrolled("alice").answers(asked.gw, await waiting(asked.gw))


@pytest.mark.promise("approval.afresh")
async def test_what_execute_forbids_by_then_does_not_run_and_the_grant_is_void(asked: DataPath) -> None:
    folder = asked.database.path.parent / "policies"
    (folder / "execute.rego").write_text(
        'package bascule.execute\n\ndeny contains "it has done other things since" if input.task.runs > 0\n'
    )
    asked.gw.pdp = Regorus(load(folder))
    first = await asked.write()
    approval = await waiting(asked.gw)
    await ALICE.answers(asked.gw, approval)
    await asked.call("read_note", arguments={"path": "notes/a.md"})
    asked.executor.calls.clear()
    reply = await asked.write()
    assert told(reply)["reasons"] == ["it has done other things since"]
    assert told(reply)["run"] == told(first)["run"]
    assert asked.executor.calls == []
    row = asked.gw.archive.reader.run(told(first)["run"])
    assert row is not None
    assert (row.state, row.ending) == ("ended", "refused")
    assert told(await asked.write())["code"] == "APPROVAL_REQUIRED"
    intact(asked)


@pytest.mark.promise("approval.survives")
async def test_a_restart_forgets_no_request_and_no_grant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    async with agreed_path(tmp_path) as before:
        first = await before.write()
    async with agreed_path(tmp_path) as between:
        await ALICE.answers(between.gw, await waiting(between.gw))
    async with agreed_path(tmp_path) as after:
        reply = await after.write()
        assert told(reply)["run"] == told(first)["run"]
        assert len(after.executor.calls) == 1
        intact(after)


async def test_a_client_that_is_gone_waits_no_longer_and_the_request_stays(
    asked: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 60.0)
    channel = Channel()
    holding = asyncio.ensure_future(pipeline.serve(nouns.call(), asked.gw, channel))
    approval = await opened(asked)
    channel.hang_up()
    asked.gw.requests.wake(approval)
    assert told(await holding)["code"] == "APPROVAL_REQUIRED"
    assert await waiting(asked.gw) == approval


async def test_a_client_that_wants_progress_hears_that_it_waits(
    asked: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "BEAT_SECONDS", 0.0)
    heard: list[str] = []
    enough = asyncio.Event()

    def tell(method: str, params: JsonObject) -> None:
        heard.append(f"{method}: {params['message']}")
        enough.set()

    holding = asyncio.ensure_future(pipeline.serve(nouns.call(), asked.gw, Channel(progress=True, tell=tell)))
    await enough.wait()
    approval = await waiting(asked.gw)
    await ALICE.answers(asked.gw, approval)
    assert (await holding).result is not None
    assert heard[0] == f"notifications/progress: waiting for a person (approval {approval})"


async def test_where_nobody_could_answer_nobody_is_asked(asked: DataPath) -> None:
    enroll(asked.gw)
    reply = await asked.write()
    assert told(reply)["code"] == "APPROVAL_REQUIRED"
    assert asked.leaves("approval.requested") == []
    assert [leaf["code"] for leaf in asked.leaves("call.refused")] == ["APPROVAL_REQUIRED"]
