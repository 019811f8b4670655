"""An upstream that asks by ending the call: a client that waits is asked, one that comes back is given a state."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import asking, pipeline
from gateway.channel import Channel, Unanswered
from gateway.errors import Failed, LogUnavailable
from gateway.model import Code, JsonObject, Limits, Outcome, Proposal, Reply, Round
from tests import nouns
from tests.path import POLICY, DataPath, data_path

RULES = POLICY + 'allow contains "forms may ask" if { input.call.kind == "elicitation"; input.upstream == "notes" }\n'
LEGACY = "2025-11-25"
FORM: JsonObject = {"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": {}}}
SAMPLE: JsonObject = {"method": "sampling/createMessage", "params": {"messages": []}}
CAN: JsonObject = {"elicitation": {}, "sampling": {}}
ANSWER: JsonObject = {"action": "accept", "content": {"name": "ann"}}


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[DataPath]:
    async with data_path(tmp_path, RULES) as made:
        yield made


def ends_asking(*questions: JsonObject, rounds: int = 1) -> Any:
    """A modern upstream: it ends its first rounds with questions and a state, and the last with what it was given."""

    async def talks(proposal: Proposal, _: Channel) -> Outcome:
        given = proposal.call.round
        number = int(given.state.rpartition(" ")[2]) if given and given.state else 0
        if number < rounds:
            asked = {f"q{place}": one for place, one in enumerate(questions)}
            result = {"resultType": "input_required", "inputRequests": asked, "requestState": f"state {number + 1}"}
            return replace(nouns.outcome(), result=result)
        assert given is not None
        return nouns.outcome(repr(given.answers))

    return talks


def code(reply: Reply) -> object:
    return reply.result["_meta"]["bascule/decision"]["code"] if reply.result else reply.error and reply.error["code"]


async def test_a_client_that_waits_is_asked_and_the_call_goes_on_as_a_round_of_its_own(path: DataPath) -> None:
    seen: list[str] = []

    async def ask(method: str, _: JsonObject) -> JsonObject:
        seen.append(method)
        return ANSWER

    path.executor.talks = ends_asking(FORM, rounds=2)
    reply = await pipeline.serve(nouns.call(era=LEGACY), path.gw, Channel(CAN, ask=ask))
    assert reply.result is not None
    assert "ann" in reply.result["content"][0]["text"]
    assert "resultType" not in reply.result
    assert seen == ["elicitation/create"] * 2
    rounds = [leaf for leaf in path.leaves("call.intent") if "about" not in leaf]
    assert [leaf.get("previous") for leaf in rounds] == [None, rounds[0]["run"], rounds[1]["run"]]
    assert rounds[2]["sealed"]["answers"] == {"q0": ANSWER}


@pytest.mark.promise("asking.judged")
async def test_a_client_that_comes_back_is_given_the_questions_and_a_state_of_ours(path: DataPath) -> None:
    path.executor.talks = ends_asking(FORM)
    reply = await pipeline.serve(nouns.call(), path.gw, Channel(CAN))
    assert reply.result is not None
    assert reply.result["inputRequests"] == {"q0": FORM}
    assert "state 1" not in reply.result["requestState"]
    asked = [leaf["about"] for leaf in path.leaves("call.intent") if "about" in leaf]
    assert asked == ["elicitation"]
    again = nouns.call(round=Round({"q0": ANSWER}, reply.result["requestState"]))
    reply = await pipeline.serve(again, path.gw, Channel(CAN))
    assert reply.result is not None
    assert "ann" in reply.result["content"][0]["text"]
    assert all(run["ending"] == "done" for run in path.leaves("call.settled"))


@pytest.mark.promise("asking.judged")
@pytest.mark.parametrize("era", ["2026-07-28", LEGACY])
async def test_one_question_that_policy_refuses_ends_the_call_without_any(path: DataPath, era: str) -> None:
    asked: list[str] = []

    async def ask(method: str, _: JsonObject) -> JsonObject:
        asked.append(method)
        return ANSWER

    path.executor.talks = ends_asking(SAMPLE, FORM)
    channel = Channel(CAN, ask=ask if era == LEGACY else None)
    reply = await pipeline.serve(nouns.call(era=era), path.gw, channel)
    assert code(reply) in {"NO_RULE", "CANCELLED"}
    assert asked == []
    assert [leaf["about"] for leaf in path.leaves("call.refused")] == ["sampling"]


async def test_a_question_for_which_the_client_declared_nothing_is_told_as_the_specification_has_it(
    path: DataPath,
) -> None:
    path.executor.talks = ends_asking(SAMPLE, FORM)
    reply = await pipeline.serve(nouns.call(), path.gw, Channel({"elicitation": {}}))
    assert reply.error is not None
    assert (reply.error["code"], reply.error["data"]) == (-32021, {"requiredCapabilities": {"sampling": {}}})
    assert path.leaves("call.settled")[0]["ending"] == "failed"


async def test_an_old_client_that_cannot_be_asked_is_told(path: DataPath) -> None:
    path.executor.talks = ends_asking(FORM)
    assert code(await pipeline.serve(nouns.call(era=LEGACY), path.gw, Channel(CAN))) == "UPSTREAM_INVALID"


@pytest.mark.promise("asking.bounded")
async def test_an_upstream_that_asks_without_end_is_cut(path: DataPath) -> None:
    async def ask(_: str, __: JsonObject) -> JsonObject:
        return ANSWER

    path.executor.talks = ends_asking(FORM, rounds=10**6)
    assert code(await pipeline.serve(nouns.call(era=LEGACY), path.gw, Channel(CAN, ask=ask))) == "UPSTREAM_INVALID"
    assert len(path.executor.calls) == pipeline.MOST_ROUNDS


async def test_a_state_without_questions_is_a_round_too(path: DataPath) -> None:
    path.executor.talks = ends_asking()
    reply = await pipeline.serve(nouns.call(), path.gw, Channel(CAN))
    assert reply.result is not None
    assert reply.result["requestState"]


@pytest.mark.parametrize(
    ("methods", "capabilities", "missing"),
    [
        (["elicitation/create"], {"elicitation": {}}, {}),
        (["elicitation/create", "roots/list"], {"elicitation": {}}, {"roots": {}}),
        (["sampling/createMessage"], {"sampling": True}, {"sampling": {}}),
        ([], {}, {}),
    ],
)
def test_what_a_client_would_have_to_declare(methods: list[str], capabilities: JsonObject, missing: JsonObject) -> None:
    assert asking.missing(methods, capabilities) == missing


async def test_nothing_is_asked_while_the_log_cannot_commit(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talks(_: Proposal, channel: Channel) -> Outcome:
        assert channel.ask is not None

        async def fails(*_: object) -> None:
            raise LogUnavailable("disk full")

        with monkeypatch.context() as broken:
            broken.setattr(path.gw.log, "append", fails)
            with pytest.raises(Unanswered):
                await channel.ask("elicitation/create", FORM["params"])
        return nouns.outcome()

    async def ask(_: str, __: JsonObject) -> JsonObject:
        raise AssertionError("the client was asked")

    path.executor.talks = talks
    assert (await pipeline.serve(nouns.call(era=LEGACY), path.gw, Channel(CAN, ask=ask))).result is not None


SECRET = "ghp_" + "a1B2" * 9
VISIT: JsonObject = {
    "mode": "url",
    "message": f"go there {SECRET}",
    "url": "https://example.org/",
    "elicitationId": "1",
}


def wants_a_visit(path: DataPath) -> None:
    async def answer(_: Proposal, __: Limits) -> Outcome:
        fault = {"code": -32042, "data": {"elicitations": [VISIT]}}
        raise Failed(Code.UPSTREAM_INVALID, "the upstream answered with error -32042", fault=fault)

    path.executor.answer = answer


@pytest.mark.promise("asking.judged")
async def test_an_address_to_visit_is_a_question_judged_and_screened_like_any_other(path: DataPath) -> None:
    wants_a_visit(path)
    reply = await pipeline.serve(nouns.call(era=LEGACY), path.gw, Channel(CAN))
    assert reply.error is not None
    (shown,) = reply.error["data"]["elicitations"]
    assert (shown["url"], SECRET in repr(reply)) == ("https://example.org/", False)
    assert [leaf["about"] for leaf in path.leaves("call.intent") if "about" in leaf] == ["elicitation"]
    sent = nouns.call(era=LEGACY)
    assert path.gw.hub.visits.done("notes", "1") == (sent.principal.id, sent.session)


@pytest.mark.promise("asking.judged")
@pytest.mark.parametrize("capabilities", [CAN, {}], ids=["no rule", "nothing declared"])
async def test_an_address_that_may_not_be_asked_for_does_not_reach_the_client(
    path: DataPath, capabilities: JsonObject
) -> None:
    if capabilities:
        path.use(POLICY)
    wants_a_visit(path)
    reply = await pipeline.serve(nouns.call(era=LEGACY), path.gw, Channel(capabilities))
    assert code(reply) == "UPSTREAM_INVALID"
    assert "example.org" not in repr(reply)
    assert [leaf["about"] for leaf in path.leaves("call.refused")] == ["elicitation"]


@pytest.mark.promise("talk.screened")
async def test_a_question_leaves_without_secrets_and_nothing_beside_it_leaves(path: DataPath) -> None:
    async def talks(_: Proposal, __: Channel) -> Outcome:
        asked = {
            "method": "elicitation/create",
            "params": {"message": f"say {SECRET}", "requestedSchema": {}},
            "x": SECRET,
        }
        smuggled = {
            "content": [{"type": "text", "text": SECRET}],
            "structuredContent": {"s": SECRET},
            "_meta": {"s": 1},
        }
        result = {"resultType": "input_required", "inputRequests": {"q": asked}, "requestState": "s", **smuggled}
        return replace(nouns.outcome(), result=result)

    path.executor.talks = talks
    reply = await pipeline.serve(nouns.call(), path.gw, Channel(CAN))
    assert reply.result is not None
    assert set(reply.result) == {"resultType", "inputRequests", "requestState", "_meta"}
    assert set(reply.result["inputRequests"]["q"]) == {"method", "params"}
    assert set(reply.result["_meta"]) == {"bascule/decision"}
    assert SECRET not in repr(reply)
