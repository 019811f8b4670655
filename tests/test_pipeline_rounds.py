"""However a round ends: what waited upstream waits no longer than somebody can come back to it, and each run of it
left one intent with one ending, or one refusal."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway import approving, pipeline
from gateway.admin.approvals import approvals_show
from gateway.channel import Channel, Unanswered
from gateway.errors import Failed, LogUnavailable
from gateway.judging import judge
from gateway.model import Code, Decision, JsonObject, Outcome, Principal, Proposal, Reply, Round, RunState
from gateway.parts import Gateway
from tests import nouns
from tests.agreeing import APPROVE, OPERATOR, Person, enroll, waiting
from tests.path import POLICY, DataPath, data_path

RULES = (
    POLICY
    + """
allow contains "forms may ask" if {
	input.call.kind == "elicitation"
	not names_a_secret
}

names_a_secret if contains(input.args.message, "secret")

deny contains "nobody answers so" if {
	some answer in input.answers
	answer.content.name == "mallory"
}
"""
)
LEGACY = "2025-11-25"
FORM: JsonObject = {"message": "who?", "requestedSchema": {"type": "object", "properties": {}}}
QUESTION: JsonObject = {"method": "elicitation/create", "params": FORM}
CAN: JsonObject = {"elicitation": {}, "sampling": {}}
GOOD: JsonObject = {"action": "accept", "content": {"name": "ann"}}
BAD: JsonObject = {"action": "accept", "content": {"name": "mallory"}}


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[DataPath]:
    async with data_path(tmp_path, RULES) as made:
        yield made


@dataclass(slots=True)
class Upstream:
    """A legacy upstream, whose one request stays open while it asks; `withdrawn` says that it was cancelled."""

    questions: tuple[JsonObject, ...] = (FORM,)
    withdrawn: bool = False

    async def __call__(self, _: Proposal, channel: Channel) -> Outcome:
        assert channel.ask is not None
        try:
            for params in self.questions:
                await channel.ask("elicitation/create", params)
        except Unanswered:
            return nouns.outcome("unanswered")
        except asyncio.CancelledError:
            self.withdrawn = True
            raise
        return nouns.outcome("answered")


def ends_asking(*questions: JsonObject, rounds: int = 1) -> Any:
    """A modern upstream: it ends its first rounds with questions and a state."""

    async def talks(proposal: Proposal, _: Channel) -> Outcome:
        given = proposal.call.round
        number = int(given.state or 0) if given else 0
        if number >= rounds:
            return nouns.outcome()
        asked = {f"q{place}": one for place, one in enumerate(questions)}
        result = {"resultType": "input_required", "inputRequests": asked, "requestState": str(number + 1)}
        return replace(nouns.outcome(), result=result)

    return talks


def said(reply: Reply) -> object:
    """The code of a refusal, `allow`, or the number of an error."""
    if reply.error is not None:
        return reply.error["code"]
    assert reply.result is not None
    told = reply.result["_meta"]["bascule/decision"]
    return told.get("code", told["effect"])


async def begun(path: DataPath, upstream: Any, **changed: Any) -> JsonObject:
    """The first round of a modern client, which ends with a question."""
    path.executor.talks = upstream
    reply = await pipeline.serve(nouns.call(**changed), path.gw, Channel(CAN))
    assert reply.result is not None
    assert reply.result["resultType"] == "input_required"
    return reply.result


async def back(
    path: DataPath, asked: JsonObject, answer: JsonObject | None = GOOD, channel: Channel | None = None, **changed: Any
) -> Reply:
    """The client that comes back, with this answer to every question."""
    answers: JsonObject = {} if answer is None else dict.fromkeys(asked["inputRequests"], answer)
    call = nouns.call(round=Round(answers, asked["requestState"]), **changed)
    return await pipeline.serve(call, path.gw, channel or Channel(CAN))


async def ended(path: DataPath) -> None:
    """Wait for whatever was begun in the background, and see that no run was left or ended twice."""
    await asyncio.gather(*path.gw.tasks._running, return_exceptions=True)
    kinds: dict[str, Counter[str]] = {}
    for leaf in path.leaves():
        if leaf["kind"].startswith("call."):
            kinds.setdefault(leaf["run"], Counter())[leaf["kind"]] += 1
    assert kinds
    for counted in kinds.values():
        del counted["call.abandoned"]
        assert counted in (Counter({"call.intent": 1, "call.settled": 1}), Counter({"call.refused": 1}))
    rows = path.gw.archive.reader.runs(limit=-1, unfinished=True)
    assert [row.run for row in rows if row.state == RunState.INTENDED] == []


# What waits upstream.

REFUSED: dict[str, tuple[JsonObject, Callable[[DataPath], object], Code]] = {
    "its answer is denied": (BAD, lambda _: None, Code.POLICY_DENIED),
    "no rule allows the call any more": (GOOD, lambda path: path.use("package bascule.call\n"), Code.NO_RULE),
    "its upstream was taken away": (GOOD, lambda path: path.gw.executors.clear(), Code.UPSTREAM_UNAVAILABLE),
}


@pytest.mark.parametrize("why", REFUSED)
async def test_a_retry_that_is_refused_gives_up_what_waited_upstream(path: DataPath, why: str) -> None:
    answer, change, code = REFUSED[why]
    upstream = Upstream()
    asked = await begun(path, upstream)
    change(path)
    reply = await back(path, asked, answer)
    assert said(reply) in (code, -32602)
    assert len(path.gw.parking) == 0
    await ended(path)
    assert upstream.withdrawn
    assert [leaf["run"] for leaf in path.leaves("call.abandoned")] == [path.leaves("call.intent")[0]["run"]]
    (refused,) = path.leaves("call.refused")
    assert refused["previous"] == path.leaves("call.intent")[0]["run"]


FOREIGN: dict[str, dict[str, Any]] = {
    "by somebody else": {"principal": Principal("other", roles=("dev",))},
    "of another tenant": {"principal": replace(nouns.AGENT, tenant="other")},
    "with other arguments": {"arguments": {"path": "notes/b.md", "text": "hello"}},
    "for another tool": {"name": "read_note"},
}


@pytest.mark.promise("rounds.bound")
@pytest.mark.parametrize("how", [*FOREIGN, "tampered", "made up"])
async def test_a_state_that_does_not_open_takes_nobodys_waiting_call_away(path: DataPath, how: str) -> None:
    upstream = Upstream()
    asked = await begun(path, upstream)
    state = {"tampered": asked["requestState"][:-8] + "AAAAAAA=", "made up": "AAAA"}.get(how, asked["requestState"])
    reply = await back(path, {**asked, "requestState": state}, **FOREIGN.get(how, {}))
    assert reply.error is not None
    assert reply.error["code"] == -32602
    assert len(path.gw.parking) == 1
    assert said(await back(path, asked)) == "allow"
    assert not upstream.withdrawn
    await ended(path)
    assert path.leaves("call.abandoned") == []


async def test_a_state_that_was_used_takes_nothing_away_from_the_round_that_followed(path: DataPath) -> None:
    upstream = Upstream((FORM, FORM))
    first = await begun(path, upstream)
    second = await back(path, first)
    assert second.result is not None
    assert said(await back(path, first)) == -32602
    assert len(path.gw.parking) == 1
    assert said(await back(path, second.result)) == "allow"
    await ended(path)


async def test_a_client_that_can_no_longer_be_asked_has_an_unknown_end_and_nothing_waits(path: DataPath) -> None:
    upstream = Upstream((FORM, FORM))
    asked = await begun(path, upstream)
    reply = await back(path, asked, channel=Channel({"sampling": {}}))
    assert reply.error is not None
    assert reply.error["data"] == {"requiredCapabilities": {"elicitation": {}}}
    assert len(path.gw.parking) == 0
    await ended(path)
    assert upstream.withdrawn
    assert path.leaves("call.settled")[-1]["ending"] == "unknown"


async def test_a_client_that_comes_back_and_hangs_up_leaves_nothing_waiting(path: DataPath) -> None:
    upstream, gone = Upstream(), Channel(CAN)
    asked = await begun(path, upstream)
    gone.hang_up()
    assert said(await back(path, asked, channel=gone)) == Code.CANCELLED
    await ended(path)
    assert upstream.withdrawn
    assert path.leaves("call.settled")[-1]["ending"] == "unknown"


async def test_a_client_that_hangs_up_while_its_round_is_recorded_leaves_nothing_waiting(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, gone, append = Upstream(), Channel(CAN), path.gw.log.append
    path.executor.talks = upstream

    async def appended(kept: Any, writes: Any = ()) -> Any:
        if [one.kind for one in kept] == ["call.settled"]:
            gone.hang_up()
        return await append(kept, writes)

    monkeypatch.setattr(path.gw.log, "append", appended)
    await pipeline.serve(nouns.call(), path.gw, gone)
    assert len(path.gw.parking) == 0
    await ended(path)
    assert upstream.withdrawn


@pytest.mark.parametrize("kind", ["call.intent", "call.settled"])
async def test_what_waits_is_given_up_where_the_log_cannot_commit_its_round(
    path: DataPath, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    upstream = Upstream((FORM, FORM))
    asked = await begun(path, upstream)
    append = path.gw.log.append

    async def fails(kept: Any, writes: Any = ()) -> Any:
        if [one.kind for one in kept] == [kind]:  # those of a question are two at once
            raise LogUnavailable("disk full")
        return await append(kept, writes)

    with monkeypatch.context() as broken:
        broken.setattr(path.gw.log, "append", fails)
        told = said(await back(path, asked))
        assert told == (Code.LOG_UNAVAILABLE if kind == "call.intent" else Code.OUTCOME_UNKNOWN)
        assert len(path.gw.parking) == 0
    await ended(path)
    assert upstream.withdrawn


# One ending for each run.


def answers(answer: JsonObject | BaseException) -> Channel:
    """A legacy client, which is asked while it waits."""

    async def ask(_: str, __: JsonObject) -> JsonObject:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return Channel(CAN, ask=ask)


async def _legacy(path: DataPath, upstream: Any, channel: Channel) -> object:
    path.executor.talks = upstream
    return said(await pipeline.serve(nouns.call(era=LEGACY), path.gw, channel))


async def _modern(path: DataPath, upstream: Any, answer: JsonObject | None = GOOD) -> object:
    return said(await back(path, await begun(path, upstream), answer))


async def _breaks(_: Proposal, channel: Channel) -> Outcome:
    assert channel.ask is not None
    await channel.ask("elicitation/create", FORM)
    raise Failed(Code.UPSTREAM_TIMEOUT, "too late", unknown=True)


async def _one_shot(path: DataPath, upstream: Any, capabilities: JsonObject) -> object:
    path.executor.talks = upstream
    return said(await pipeline.serve(nouns.call(), path.gw, Channel(capabilities)))


SECRET: JsonObject = {"method": "elicitation/create", "params": {**FORM, "message": "your secret?"}}
Way = Callable[[DataPath], Awaitable[object]]
WAYS: dict[str, tuple[Way, object]] = {
    "legacy both sides, answered": (lambda path: _legacy(path, Upstream(), answers(GOOD)), "allow"),
    "legacy both sides, answer denied": (lambda path: _legacy(path, Upstream(), answers(BAD)), "allow"),
    "legacy both sides, unanswered": (lambda path: _legacy(path, Upstream(), answers(Unanswered(-1, "no"))), "allow"),
    "legacy both sides, question refused": (
        lambda path: _legacy(path, Upstream((SECRET["params"],)), answers(GOOD)),
        "allow",
    ),
    "legacy both sides, client broken": (
        lambda path: _legacy(path, Upstream(), answers(ValueError("x"))),
        Code.OUTCOME_UNKNOWN,
    ),
    "legacy both sides, upstream breaks": (
        lambda path: _legacy(path, _breaks, answers(GOOD)),
        Code.UPSTREAM_TIMEOUT,
    ),
    "legacy client, answered": (lambda path: _legacy(path, ends_asking(QUESTION), answers(GOOD)), "allow"),
    "legacy client, answer denied": (
        lambda path: _legacy(path, ends_asking(QUESTION), answers(BAD)),
        Code.CANCELLED,
    ),
    "legacy client, unanswered": (
        lambda path: _legacy(path, ends_asking(QUESTION), answers(Unanswered(-1, "no"))),
        Code.CANCELLED,
    ),
    "legacy client, second question refused": (
        lambda path: _legacy(path, ends_asking(QUESTION, SECRET), answers(GOOD)),
        Code.CANCELLED,
    ),
    "legacy client, cannot be asked": (
        lambda path: _legacy(path, ends_asking(QUESTION), Channel(CAN)),
        Code.UPSTREAM_INVALID,
    ),
    "legacy client, asked without end": (
        lambda path: _legacy(path, ends_asking(QUESTION, rounds=99), answers(GOOD)),
        Code.UPSTREAM_INVALID,
    ),
    "modern both sides, answered": (lambda path: _modern(path, ends_asking(QUESTION)), "allow"),
    "modern both sides, unanswered": (lambda path: _modern(path, ends_asking(QUESTION), None), "allow"),
    "modern both sides, answer denied": (lambda path: _modern(path, ends_asking(QUESTION), BAD), Code.POLICY_DENIED),
    "modern both sides, second question refused": (
        lambda path: _one_shot(path, ends_asking(QUESTION, SECRET), CAN),
        Code.NO_RULE,
    ),
    "modern both sides, nothing declared": (lambda path: _one_shot(path, ends_asking(QUESTION), {}), -32021),
    "modern client, answered": (lambda path: _modern(path, Upstream()), "allow"),
    "modern client, unanswered": (lambda path: _modern(path, Upstream(), None), "allow"),
    "modern client, answer denied": (lambda path: _modern(path, Upstream(), BAD), Code.POLICY_DENIED),
    "modern client, question refused": (lambda path: _one_shot(path, Upstream((SECRET["params"],)), CAN), "allow"),
    "modern client, upstream breaks": (lambda path: _modern(path, _breaks), Code.UPSTREAM_TIMEOUT),
}


@pytest.mark.parametrize("way", WAYS)
async def test_however_a_round_ends_each_of_its_runs_has_one_ending(path: DataPath, way: str) -> None:
    go, told = WAYS[way]
    assert await go(path) == told
    await ended(path)
    assert len(path.gw.parking) == 0


async def test_a_client_that_never_comes_back_leaves_one_ending_too(path: DataPath) -> None:
    await begun(path, Upstream())
    path.gw.parking.close()
    await ended(path)
    assert len(path.leaves("call.abandoned")) == 1


async def test_a_fault_while_an_answer_is_judged_settles_its_question(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(proposal: Proposal, gw: Gateway) -> tuple[Proposal, Decision]:
        if proposal.call.round is not None:
            raise RuntimeError("not foreseen")
        return await judge(proposal, gw)

    monkeypatch.setattr("gateway.asking.judge", breaks)
    assert await _legacy(path, Upstream(), answers(GOOD)) == Code.OUTCOME_UNKNOWN
    await ended(path)


async def test_a_question_whose_intent_was_stored_though_the_log_failed_gets_its_ending(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = path.gw.log.append

    async def stores_and_fails(kept: Any, writes: Any = ()) -> Any:
        stored = await append(kept, writes)
        if kept[0].kind == "call.intent" and "about" in kept[0].public:
            raise LogUnavailable("the disk went away after the commit")
        return stored

    with monkeypatch.context() as broken:
        broken.setattr(path.gw.log, "append", stores_and_fails)
        assert await _legacy(path, Upstream(), answers(AssertionError("the client was asked"))) == "allow"
    await ended(path)
    endings = {leaf["run"]: leaf["ending"] for leaf in path.leaves("call.settled")}
    assert [endings[leaf["run"]] for leaf in path.leaves("call.intent") if "about" in leaf] == ["unknown"]


# What people agree to.

AGREED = (
    RULES
    + """
require_approval contains {"reason": "a person should see what it answers", "from": ["ops"]} if input.answers.q0
"""
)


@pytest.mark.promise("approval.exact")
@pytest.mark.parametrize("era", ["2026-07-28", LEGACY])
async def test_who_agrees_to_an_answer_sees_the_question_and_agrees_to_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, era: str
) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    ann = Person.enrolled("ann")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)

    async def answered(path: DataPath, message: str) -> object:
        question = {"method": "elicitation/create", "params": {**FORM, "message": message}}
        if era == LEGACY:
            return await _legacy(path, ends_asking(question), answers(GOOD))
        return said(await back(path, await begun(path, ends_asking(question))))

    async with data_path(tmp_path, AGREED) as path:
        enroll(path.gw, ann)
        assert await answered(path, "delete A?") == "APPROVAL_REQUIRED"
        approval = await waiting(path.gw)
        shown = await approvals_show(path.gw, operator=OPERATOR, approval=approval)
        asked = shown["asked"]["proposal"]["questions"]["q0"]
        assert (asked["method"], asked["params"]["message"]) == ("elicitation/create", "delete A?")
        await ann.answers(path.gw, approval)
        assert await answered(path, "delete B?") == "APPROVAL_REQUIRED"
        assert await answered(path, "delete A?") == "allow"
