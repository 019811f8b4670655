"""While a call runs: what its upstream tells and asks is screened and judged, and the client may leave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway import pipeline
from gateway.channel import Channel, Roots, Unanswered
from gateway.model import JsonObject, Outcome, Proposal, Reply, Round
from tests import nouns
from tests.path import POLICY, DataPath, data_path

ASKING = (
    POLICY
    + """
allow contains "its forms may ask" if {
	input.call.kind == "elicitation"
	input.upstream == "notes"
	input.elicitation.during.name == "write_note"
	not names_a_secret
}

names_a_secret if contains(input.args.message, "secret")

deny contains "nobody answers so" if {
	some answer in input.answers
	answer.content.name == "mallory"
}
"""
)
FORM: JsonObject = {"message": "who?", "requestedSchema": {"type": "object", "properties": {}}}
CAN: JsonObject = {"elicitation": {}, "sampling": {}}
LEGACY = "2025-11-25"


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[DataPath]:
    async with data_path(tmp_path, ASKING) as made:
        yield made


class Client:
    """A client of the legacy era: what it was told and asked, and what it answers."""

    def __init__(self, answer: JsonObject | Exception | None = None) -> None:
        self.told: list[tuple[str, JsonObject]] = []
        self.asked: list[tuple[str, JsonObject]] = []
        self.answers = answer or {"action": "accept", "content": {"name": "ann"}}
        self.channel = Channel(CAN, True, "info", lambda *one: self.told.append(one), self.ask)

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        self.asked.append((method, params))
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


def asking(method: str = "elicitation/create", params: JsonObject = FORM, times: int = 1) -> Any:
    """An upstream that asks, and returns what it was answered."""

    async def talks(_: Proposal, channel: Channel) -> Outcome:
        assert channel.ask is not None
        try:
            answers = [await channel.ask(method, params) for _ in range(times)]
        except Unanswered as unanswered:
            return nouns.outcome(f"unanswered {unanswered.code}")
        return nouns.outcome(orjson.dumps(answers).decode())

    return talks


async def write(path: DataPath, channel: Channel, **changed: Any) -> Reply:
    return await pipeline.serve(nouns.call(**changed), path.gw, channel)


def text(reply: Reply) -> str:
    assert reply.result is not None
    told: str = reply.result["content"][0]["text"]
    return told


def kinds(path: DataPath) -> list[tuple[str, str]]:
    return [(leaf["kind"], leaf.get("about", "tool")) for leaf in path.leaves() if leaf["kind"].startswith("call.")]


async def test_progress_and_log_messages_reach_the_client_and_nothing_else_does(path: DataPath) -> None:
    async def talks(_: Proposal, channel: Channel) -> Outcome:
        channel.tell("notifications/progress", {"progress": 1, "total": 2, "message": "half", "other": 1})
        channel.tell("notifications/message", {"level": "info", "data": "x"})
        channel.tell("notifications/tools/list_changed", {})
        channel.tell("notifications/message", {"level": "info", "data": "y" * 100_000})
        return nouns.outcome()

    path.executor.talks, client = talks, Client()
    assert (await write(path, client.channel)).result is not None
    assert client.told == [
        ("notifications/progress", {"progress": 1, "total": 2, "message": "half"}),
        ("notifications/message", {"level": "info", "data": "x"}),
    ]


@pytest.mark.promise("talk.screened")
async def test_secrets_and_hidden_text_do_not_leave_with_progress(path: DataPath) -> None:
    secret = "ghp_" + "a1B2" * 9

    async def talks(_: Proposal, channel: Channel) -> Outcome:
        channel.tell("notifications/progress", {"progress": 1, "message": f"with {secret}"})
        channel.tell("notifications/message", {"level": "info", "data": {"deep": [f"a\U000e0041{secret}"]}})
        return nouns.outcome()

    path.executor.talks, client = talks, Client()
    await write(path, client.channel)
    assert len(client.told) == 2
    assert secret not in repr(client.told)
    assert "\U000e0041" not in repr(client.told)


@pytest.mark.promise("asking.judged")
async def test_what_an_upstream_asks_is_a_proposal_of_its_own_within_the_call(path: DataPath) -> None:
    path.executor.talks, client = asking(), Client()
    told = text(await write(path, client.channel, era=LEGACY))
    assert orjson.loads(told) == [client.answers]
    assert client.asked == [("elicitation/create", FORM)]
    assert kinds(path) == [
        ("call.intent", "tool"),
        ("call.intent", "elicitation"),
        ("call.settled", "tool"),
        ("call.settled", "tool"),
    ]
    outer, inner = path.leaves("call.intent")
    assert (inner["within"], inner["upstream"], inner["tool"]) == (outer["run"], "notes", "elicitation/create")
    assert path.leaves("call.settled")[0]["sealed"]["result"] == client.answers
    assert path.gw.sessions.labels("principal:agent") == ("untrusted",)


@pytest.mark.promise("asking.judged")
@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("sampling/createMessage", {"messages": []}, "NO_RULE"),
        ("elicitation/create", {**FORM, "message": "your secret?"}, "NO_RULE"),
        ("roots/list", {}, "CONTEXT"),
    ],
)
async def test_what_no_rule_allows_or_no_client_declared_is_not_asked_and_recorded(
    path: DataPath, method: str, params: JsonObject, why: str
) -> None:
    path.executor.talks, client = asking(method, params), Client()
    assert text(await write(path, client.channel, era=LEGACY)).startswith("unanswered")
    assert client.asked == []
    (refused,) = path.leaves("call.refused")
    assert (refused["code"], refused["within"]) == (why, path.leaves("call.intent")[0]["run"])


@pytest.mark.promise("asking.answers")
async def test_an_answer_is_judged_before_the_upstream_has_it(path: DataPath) -> None:
    path.executor.talks = asking()
    client = Client({"action": "accept", "content": {"name": "mallory"}})
    assert text(await write(path, client.channel, era=LEGACY)) == "unanswered -1"
    assert path.leaves("call.settled")[0]["ending"] == "withheld"


async def test_a_client_that_answers_with_an_error_or_is_gone_leaves_no_run_open(path: DataPath) -> None:
    path.executor.talks, client = asking(), Client(Unanswered(-1, "no"))
    assert text(await write(path, client.channel, era=LEGACY)) == "unanswered -1"
    assert [leaf["ending"] for leaf in path.leaves("call.settled")] == ["failed", "done"]


async def test_a_modern_client_is_asked_by_ending_its_request_and_goes_on_with_the_answer(path: DataPath) -> None:
    path.executor.talks = asking(times=2)
    channel, call, answers = Channel(CAN), nouns.call(), {}
    reply = await pipeline.serve(call, path.gw, channel)
    for _ in range(2):
        assert reply.result is not None
        assert reply.result["resultType"] == "input_required"
        ((key, asked),) = reply.result["inputRequests"].items()
        assert asked == {"method": "elicitation/create", "params": FORM}
        state = reply.result["requestState"]
        answers = {key: {"action": "accept", "content": {"name": "ann"}}}
        reply = await pipeline.serve(replace(call, round=Round(answers, state)), path.gw, channel)
    assert text(reply).count("ann") == 2
    assert len(path.executor.calls) == 1, "the upstream's one request stayed open"
    settled = [leaf for leaf in path.leaves("call.intent") if "about" not in leaf]
    assert [leaf.get("previous") for leaf in settled] == [None, settled[0]["run"], settled[1]["run"]]
    assert settled[2]["sealed"]["answers"] == answers
    assert len(path.gw.parking) == 0


async def test_a_parked_call_nobody_comes_back_to_is_given_up_and_recorded(path: DataPath) -> None:
    path.executor.talks = asking()
    await pipeline.serve(nouns.call(), path.gw, Channel(CAN))
    path.gw.parking.close()
    await asyncio.gather(*path.gw.tasks._running, return_exceptions=True)
    assert path.leaves("call.abandoned")[0]["run"] == path.leaves("call.intent")[0]["run"]


async def test_a_round_whose_call_no_longer_waits_has_an_unknown_end(path: DataPath) -> None:
    path.executor.talks = asking()
    call = nouns.call()
    reply = await pipeline.serve(call, path.gw, Channel(CAN))
    assert reply.result is not None
    path.gw.parking.close()
    again = replace(call, round=Round({}, reply.result["requestState"]))
    reply = await pipeline.serve(again, path.gw, Channel(CAN))
    assert reply.result is not None
    assert reply.result["_meta"]["bascule/decision"]["code"] == "OUTCOME_UNKNOWN"


@pytest.mark.promise("rounds.bound")
async def test_a_foreign_state_is_refused_as_malformed_and_recorded(path: DataPath) -> None:
    reply = await pipeline.serve(nouns.call(round=Round({}, "AAAA")), path.gw, Channel(CAN))
    assert reply.error == {
        "code": -32602,
        "message": "requestState is not one that this call can go on with. It would pass with: "
        "the same call begun anew, without requestState.",
    }
    (refused,) = path.leaves("call.refused")
    assert (refused["code"], path.executor.calls) == ("SCHEMA", [])


@pytest.mark.promise("cancel.recorded")
@pytest.mark.parametrize(("tool", "ending"), [("write_note", "unknown"), ("read_note", "failed")])
@pytest.mark.parametrize("capabilities", [{}, CAN], ids=["in its own task", "apart"])
async def test_a_client_that_hangs_up_ends_the_call_upstream_and_in_the_log(
    path: DataPath, tool: str, ending: str, capabilities: JsonObject
) -> None:
    begun, withdrawn = asyncio.Event(), asyncio.Event()

    async def talks(_: Proposal, __: Channel) -> Outcome:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            withdrawn.set()
        raise AssertionError

    path.executor.talks, channel = talks, Channel(capabilities)
    arguments = {"path": "notes/a", "text": "x"} if tool == "write_note" else {"path": "notes/a"}
    calling = asyncio.ensure_future(write(path, channel, name=tool, arguments=arguments))
    await begun.wait()
    channel.hang_up()
    reply = await calling
    assert withdrawn.is_set()
    assert reply.result is not None
    assert reply.result["_meta"]["bascule/decision"]["code"] == "CANCELLED"
    assert path.leaves("call.settled")[0]["ending"] == ending
    assert channel.on_hang_up is None


async def test_who_hung_up_before_it_began_reaches_no_upstream(path: DataPath) -> None:
    channel = Channel()
    channel.hang_up()
    await write(path, channel)
    assert path.executor.calls == []
    assert path.leaves("call.settled")[0]["ending"] == "failed"


async def test_another_cancellation_goes_on_its_way(path: DataPath) -> None:
    begun = asyncio.Event()

    async def talks(_: Proposal, __: Channel) -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    path.executor.talks = talks
    calling = asyncio.ensure_future(write(path, Channel()))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


ROOTED = (
    POLICY
    + """
allow contains "roots may be asked for" if {
	input.call.kind == "roots"
	input.upstream == "notes"
}
"""
)


async def roots_changed(path: DataPath, roots: Roots, *, asks: bool = False, tells: bool = True) -> bool:
    """Whether an upstream is to hear in a call that its client has other roots."""
    heard: list[bool] = []

    async def talks(_: Proposal, channel: Channel) -> Outcome:
        heard.append(channel.roots_changed)
        if tells:
            channel.roots_changed = False
        if asks:
            assert channel.ask is not None
            await channel.ask("roots/list", {})
        return nouns.outcome()

    path.executor.talks, client = talks, Client({"roots": []})
    await write(path, Channel({"roots": {}}, ask=client.ask, roots=roots), era=LEGACY)
    return heard == [True]


async def test_an_upstream_that_was_given_roots_hears_in_its_next_call_that_there_are_others(path: DataPath) -> None:
    path.use(ROOTED)
    roots = Roots()
    roots.changed()
    assert not await roots_changed(path, roots), "it never asked"
    assert not await roots_changed(path, roots, asks=True)
    assert not await roots_changed(path, roots), "there are no others"
    roots.changed()
    assert await roots_changed(path, roots, tells=False)
    assert await roots_changed(path, roots), "it was not told before"
    assert not await roots_changed(path, roots)
    about = [leaf for leaf in path.leaves("call.intent") if leaf.get("about") == "roots"]
    assert len(about) == 1, "what is told is no question"


async def test_an_upstream_that_may_no_longer_ask_for_roots_does_not_hear_of_others(path: DataPath) -> None:
    path.use(ROOTED)
    roots = Roots()
    await roots_changed(path, roots, asks=True)
    roots.changed()
    path.use(POLICY)
    refused = len(path.leaves("call.refused"))
    assert not await roots_changed(path, roots)
    assert len(path.leaves("call.refused")) == refused, "nobody asked"
    path.use(ROOTED)
    assert await roots_changed(path, roots)


async def test_an_upstream_that_was_refused_the_roots_was_not_given_any(path: DataPath) -> None:
    roots = Roots()
    with contextlib.suppress(Unanswered):
        await roots_changed(path, roots, asks=True)
    roots.changed()
    path.use(ROOTED)
    assert not await roots_changed(path, roots)


async def test_other_roots_that_are_told_of_while_it_works_are_told_with_the_next_call(path: DataPath) -> None:
    path.use(ROOTED)
    roots = Roots()
    await roots_changed(path, roots, asks=True)
    roots.changed()

    async def talks(_: Proposal, channel: Channel) -> Outcome:
        channel.roots_changed = False
        roots.changed()
        return nouns.outcome()

    path.executor.talks = talks
    await write(path, Channel({"roots": {}}, roots=roots), era=LEGACY)
    assert await roots_changed(path, roots)
