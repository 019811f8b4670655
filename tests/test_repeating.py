"""A call made again under its idempotency key: told what it came to, never done a second time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import orjson
import pytest

from gateway import approving, pipeline
from gateway.audit.verify import verify
from gateway.channel import Channel
from gateway.errors import Failed, LogUnavailable
from gateway.keyed import META
from gateway.model import Code, JsonObject, Limits, Outcome, Principal, Proposal, Reply, Round
from gateway.recovery import recover
from tests import nouns
from tests.agreeing import APPROVE, POLICY, Person, enroll, waiting
from tests.path import DataPath, data_path

SCHEMA = orjson.loads((Path(__file__).parents[1] / "docs" / "leaf.v1.json").read_bytes())
PATH = {"path": "notes/a.md", "text": "hello"}


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[DataPath]:
    async with data_path(tmp_path) as made:
        yield made


async def write(path: DataPath, key: object = "k-1", arguments: JsonObject = PATH, **changed: Any) -> Reply:
    return await path.call(arguments=arguments, meta={META: key}, **changed)


def told(reply: Reply) -> JsonObject:
    assert reply.result is not None
    decision: JsonObject = reply.result["_meta"]["bascule/decision"]
    return decision


def content(reply: Reply) -> object:
    assert reply.result is not None
    return reply.result["content"]


def intact(path: DataPath) -> None:
    report = verify(path.gw.archive.reader, path.gw.archive.vkey, sealing=path.sealing)
    assert [one for one in report.findings if not one.where.startswith("bundle")] == []


@pytest.mark.promise("key.once")
async def test_the_same_call_under_the_same_key_is_done_once_and_told_again(path: DataPath) -> None:
    first, second = await write(path), await write(path)
    assert len(path.executor.calls) == 1
    assert content(second) == content(first)
    assert told(second)["run"] == told(first)["run"]
    assert (told(second)["repeated"], "repeated" in told(first)) == (True, False)
    (repeated,) = path.leaves("call.repeated")
    assert repeated["of"] == told(first)["run"] != repeated["run"]
    assert jsonschema_rs.validator_for(SCHEMA).is_valid(repeated)
    intact(path)


@pytest.mark.promise("key.once")
async def test_another_call_under_the_same_key_is_refused(path: DataPath) -> None:
    await write(path)
    other = await write(path, arguments={**PATH, "text": "other"})
    assert told(other)["code"] == "KEY_REUSED"
    assert len(path.executor.calls) == 1
    (refused,) = path.leaves("call.refused")
    assert refused["code"] == "KEY_REUSED"


async def test_a_key_belongs_to_one_principal(path: DataPath) -> None:
    await write(path)
    theirs = await write(path, arguments={**PATH, "text": "theirs"}, principal=Principal("other"))
    assert told(theirs)["effect"] == "allow"
    assert len(path.executor.calls) == 2


async def test_without_a_key_and_under_another_one_each_call_is_done(path: DataPath) -> None:
    await path.write()
    await path.write()
    await write(path, "k-1")
    await write(path, "k-2")
    assert len(path.executor.calls) == 4


@pytest.mark.parametrize("key", ["", "x" * 129, 7, ["k"], "a\nb", {}, True])
async def test_what_is_no_key_is_refused_and_nothing_runs(path: DataPath, key: object) -> None:
    reply = await write(path, key)
    assert told(reply)["code"] == "SCHEMA"
    assert path.executor.calls == []


async def test_a_refused_call_takes_no_key(path: DataPath) -> None:
    refused = await write(path, arguments={**PATH, "path": "elsewhere"})
    assert told(refused)["code"] == "POLICY_DENIED"
    assert told(await write(path))["effect"] == "allow"


async def test_who_may_not_do_it_any_more_is_not_told_of_it_either(path: DataPath) -> None:
    await write(path)
    path.use('package bascule.call\n\ndeny contains "no more" if input.tool.name == "write_note"\n')
    assert told(await write(path))["code"] == "POLICY_DENIED"


async def test_sixty_four_at_once_under_one_key_have_one_effect_and_one_answer(path: DataPath) -> None:
    go, began = asyncio.Event(), asyncio.Event()

    async def slow(_proposal: Proposal, _limits: Limits) -> Outcome:
        began.set()
        await go.wait()
        return nouns.outcome()

    path.executor.answer = slow
    calls = [asyncio.ensure_future(write(path)) for _ in range(64)]
    await began.wait()
    go.set()
    replies = await asyncio.gather(*calls)
    assert len(path.executor.calls) == 1
    assert len({told(reply)["run"] for reply in replies}) == 1
    assert len([reply for reply in replies if "repeated" in told(reply)]) == 63
    intact(path)


async def test_a_client_that_cannot_wait_is_told_that_it_still_runs(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.repeating.WAIT_SECONDS", 0.0)
    go, began = asyncio.Event(), asyncio.Event()

    async def slow(_proposal: Proposal, _limits: Limits) -> Outcome:
        began.set()
        await go.wait()
        return nouns.outcome()

    path.executor.answer = slow
    first = asyncio.ensure_future(write(path))
    await began.wait()
    assert told(await write(path))["code"] == "KEY_REUSED"
    go.set()
    assert told(await first)["effect"] == "allow"


async def test_what_failed_without_an_effect_may_be_tried_again(path: DataPath) -> None:
    async def gone(_proposal: Proposal, _limits: Limits) -> Outcome:
        raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached")

    path.executor.answer = gone
    assert told(await write(path))["code"] == "UPSTREAM_UNAVAILABLE"
    path.executor.answer = None
    assert told(await write(path))["effect"] == "allow"
    assert len(path.executor.calls) == 2


async def test_an_error_that_the_tool_itself_told_is_what_it_came_to(path: DataPath) -> None:
    async def refuses(_proposal: Proposal, _limits: Limits) -> Outcome:
        result = {"content": [{"type": "text", "text": "the disk is full"}], "isError": True}
        return Outcome(result, 10, 5, tool_error=True)

    path.executor.answer = refuses
    first, second = await write(path), await write(path)
    assert content(first) == content(second)
    assert len(path.executor.calls) == 1


@pytest.mark.promise("key.doubt")
async def test_a_call_whose_end_nobody_knows_is_never_repeated(path: DataPath) -> None:
    async def lost(_proposal: Proposal, _limits: Limits) -> Outcome:
        raise Failed(Code.UPSTREAM_TIMEOUT, "the upstream did not answer in time", unknown=True)

    path.executor.answer = lost
    await write(path)
    path.executor.answer = None
    assert told(await write(path))["code"] == "OUTCOME_UNKNOWN"
    assert len(path.executor.calls) == 1


@pytest.mark.promise("key.doubt")
async def test_after_a_kill_between_intent_and_end_the_key_is_still_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with data_path(tmp_path) as before:
        stopped, begun = asyncio.Event(), asyncio.Event()

        async def endless(_proposal: Proposal, _limits: Limits) -> Outcome:
            begun.set()
            await stopped.wait()
            return nouns.outcome()

        async def dead(*_said: Any) -> Any:
            raise LogUnavailable("killed")

        before.executor.answer = endless
        cut = asyncio.ensure_future(write(before))
        await begun.wait()
        monkeypatch.setattr(before.gw, "log", SimpleNamespace(append=dead, recovered=asyncio.Event().wait))
        stopped.set()
        assert told(await cut)["code"] == "OUTCOME_UNKNOWN"
        monkeypatch.undo()
    async with data_path(tmp_path) as after:
        assert await recover(after.gw) == 1
        assert told(await write(after))["code"] == "OUTCOME_UNKNOWN"
        assert after.executor.calls == []


async def test_the_answer_is_there_after_a_restart(tmp_path: Path) -> None:
    async with data_path(tmp_path) as before:
        first = await write(before)
    async with data_path(tmp_path) as after:
        second = await write(after)
        assert after.executor.calls == []
        assert (content(second), told(second)["run"]) == (content(first), told(first)["run"])


async def test_labels_are_learned_by_the_session_that_is_told_again(path: DataPath) -> None:
    await write(path, session="one")
    await write(path, session="two")
    assert path.gw.sessions.gather(nouns.call("write_note", session="two")).labels == ("untrusted",)


async def test_a_reply_is_sealed_in_the_store_and_goes_with_the_payload_of_its_ending(path: DataPath) -> None:
    async def secret(_proposal: Proposal, _limits: Limits) -> Outcome:
        return Outcome({"content": [{"type": "text", "text": "the-only-copy"}]}, 10, 5)

    path.executor.answer = secret
    await write(path)
    assert b"the-only-copy" not in b"".join(file.read_bytes() for file in path.database.path.parent.glob("bascule.db*"))
    await path.gw.log.expire(2**40)
    again = await write(path)
    assert "not kept any more" in str(content(again))
    assert told(again)["repeated"] is True
    assert len(path.executor.calls) == 1


async def test_a_client_that_comes_back_while_people_are_asked_attaches_to_the_run_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    alice = Person.enrolled("alice")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    async with data_path(tmp_path, POLICY) as path:
        enroll(path.gw, alice)
        assert told(await write(path))["code"] == "APPROVAL_REQUIRED"
        other = await write(path, arguments={**PATH, "text": "other"})
        assert told(other)["code"] == "KEY_REUSED"
        await alice.answers(path.gw, await waiting(path.gw))
        first, second = await write(path), await write(path)
        assert told(first)["run"] == told(second)["run"]
        assert (told(second)["repeated"], len(path.executor.calls)) == (True, 1)
        assert len(path.leaves("approval.requested")) == 1
        intact(path)


async def test_a_held_client_and_one_with_the_same_key_both_hear_of_the_one_effect(tmp_path: Path) -> None:
    alice = Person.enrolled("alice")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    async with data_path(tmp_path, POLICY) as path:
        enroll(path.gw, alice)
        asked = asyncio.Event()
        path.gw.log.on_recorded = lambda said: asked.set() if said[0].kind == "approval.requested" else None
        calls = [asyncio.ensure_future(write(path)) for _ in range(8)]
        await asked.wait()
        await alice.answers(path.gw, await waiting(path.gw))
        replies = await asyncio.gather(*calls)
        assert len(path.executor.calls) == 1
        assert [told(reply) for reply in replies if told(reply)["effect"] != "allow"] == []
        intact(path)


async def test_a_later_round_holds_the_key_of_the_first(path: DataPath) -> None:
    asks = {"resultType": "input_required", "requestState": "theirs", "inputRequests": {}}

    async def answers(proposal: Proposal, _limits: Limits) -> Outcome:
        return nouns.outcome() if proposal.call.round is not None else Outcome(asks, 10, 5)

    path.executor.answer = answers
    first = await pipeline.serve(nouns.call("write_note", arguments=PATH, meta={META: "k"}), path.gw, Channel())
    assert first.result is not None
    assert first.result["resultType"] == "input_required"
    assert told(await write(path, "k"))["code"] == "KEY_REUSED"
    state = first.result["requestState"]
    second = await path.call(arguments=PATH, meta={META: "k"}, round=Round({}, state))
    third = await write(path, "k")
    assert told(third)["run"] == told(second)["run"]
    assert len(path.executor.calls) == 2
