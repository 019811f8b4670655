"""An upstream over standard streams that says and asks much beside its answers."""

import asyncio
import json
from typing import Any

import pytest

from gateway.channel import SILENT, About
from gateway.errors import Failed
from gateway.executors.stdio.processes import OURS, Key
from gateway.executors.stdio.upstream import _envelope
from gateway.kinds import LOGGED, PROGRESS, ROOTS_CHANGED, Kind, Listed
from gateway.model import Code, JsonObject, Limits, Outcome, Proposal, Round
from tests.executors.hostile import LEGACY, MODERN, said
from tests.executors.stdio.talk import Client
from tests.executors.stdio.upstreams import talkative, told
from tests.executors.stdio_upstream import LIMITS, by, stdio
from tests.nouns import call, pin


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.stdio.server.GRACE_SECONDS", 0.3)


# Every kind of call


@pytest.mark.parametrize("start", ["modern", "legacy"])
@pytest.mark.parametrize(
    ("kind", "name", "arguments", "member", "value"),
    [
        (Kind.RESOURCE, "note://a", {}, "contents", [{"uri": "note://a", "text": "read"}]),
        (Kind.COMPLETION, "x", {"ref": {}, "argument": {"value": "a"}}, "completion", {"values": ["a!"]}),
        (Kind.OTHER, "example/ask", {"a": 1}, "echoed", None),
    ],
)
async def test_every_kind_of_call_is_asked_and_checked_as_what_it_is(
    start: str, kind: Kind, name: str, arguments: JsonObject, member: str, value: Any
) -> None:
    async with stdio(talkative(start)) as client:
        made = Proposal(call(name, kind=kind, arguments=arguments), pin(name))
        outcome = await client.execute(made, LIMITS)
        assert value is None or outcome.result[member] == value
        assert member in outcome.result


async def test_a_later_round_carries_the_answers_and_the_upstreams_own_state() -> None:
    async with stdio(talkative("modern")) as client:
        made = call("p", kind=Kind.PROMPT, arguments={"a": "b"}, round=Round({"k": {"x": 1}}, "sealed by it"))
        outcome = await client.execute(Proposal(made, pin("p")), LIMITS)
        sent = json.loads(outcome.result["messages"][0]["content"]["text"])
        assert sent["inputResponses"] == {"k": {"x": 1}}
        assert (sent["requestState"], sent["name"], sent["arguments"]) == ("sealed by it", "p", {"a": "b"})


async def test_the_number_of_an_upstreams_own_error_goes_along() -> None:
    async with stdio(talkative("modern")) as client:
        made = Proposal(call("no/such", kind=Kind.OTHER, arguments={}), pin("no/such"))
        with pytest.raises(Failed) as caught:
            await client.execute(made, LIMITS)
        assert caught.value.fault == {"code": -32601}


# Progress, logs, cancellation


@pytest.mark.parametrize("start", ["modern", "legacy"])
async def test_progress_is_told_to_the_client_that_wants_it_and_to_nobody_else(start: str) -> None:
    async with stdio(talkative(start)) as client:
        wants, silent = Client(), Client()
        outcomes: list[Outcome] = []
        for each, progress in ((wants, True), (silent, False)):
            made = by("ann", "progress", arguments={"steps": 3})
            outcomes.append(await client.execute(made, LIMITS, each.channel(progress=progress)))
        steps = [{"progress": step, "total": 3, "message": "on"} for step in range(3)]
        assert wants.told == [(PROGRESS, step) for step in steps]
        assert silent.told == []
        assert [outcome.evidence["passed_over"] for outcome in outcomes] == [5, 8]


@pytest.mark.parametrize(
    ("gone", "seconds", "most"), [(0.0, 10, 60), (2.5, 7.5, 57.5), (11, 0.001, 49)], ids=["begun", "opened", "late"]
)
def test_the_time_a_process_took_to_open_is_the_calls_own(gone: float, seconds: float, most: float) -> None:
    limits = Limits(timeout_s=10, result_bytes=5, most_s=60)
    envelope = _envelope(by("ann"), limits, SILENT, gone)
    assert (envelope.seconds, envelope.anew, envelope.most, envelope.limit) == (seconds, 10, most, 5)


async def test_silence_after_progress_is_a_time_out_all_the_same() -> None:
    async with stdio(talkative("legacy")) as client:
        listener = Client()
        await told(client, "echo")
        limits = Limits(timeout_s=0.2, result_bytes=1_000, most_s=10)
        with pytest.raises(Failed) as caught:
            await client.execute(by("ann", "stall"), limits, listener.channel(progress=True))
        assert (caught.value.code, caught.value.unknown) == (Code.UPSTREAM_TIMEOUT, True)
        assert len(listener.told) == 1


@pytest.mark.parametrize("start", ["modern", "legacy"])
async def test_a_cancelled_call_is_withdrawn_and_the_process_stays(start: str) -> None:
    launcher = talkative(start)
    async with stdio(launcher) as client:
        await told(client, "echo")
        calling = asyncio.ensure_future(told(client, "hang"))
        await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        seen = await told(client, "report")
        assert len(seen["cancelled"]) == 1
        assert len(launcher.children) == 1


async def test_a_call_that_is_cancelled_while_its_process_starts_leaves_the_start_to_others() -> None:
    launcher = talkative("modern")
    async with stdio(launcher) as client:
        calling = asyncio.ensure_future(told(client, "echo"))
        await launcher.started.wait()
        calling.cancel()
        await asyncio.wait({calling})
        assert (await told(client, "report"))["methods"] == ["server/discover", "tools/call"]


async def test_the_level_of_a_legacy_process_is_set_when_another_is_wanted() -> None:
    async with stdio(talkative("legacy")) as client:
        heard = []
        for level in ("warning", "warning", "debug", ""):
            listener = Client()
            await told(client, "log", listener.channel(log_level=level))
            heard.append([params["level"] for method, params in listener.told if method == LOGGED])
        assert heard == [["warning"], ["warning"], ["debug", "warning"], []]
        seen = await told(client, "report")
        assert seen["methods"].count("logging/setLevel") == 2
        assert seen["level"] == "debug"


@pytest.mark.parametrize(("start", "asked"), [("legacy_bare", 0), ("modern", 0), ("legacy", 1)])
async def test_a_level_is_set_only_where_logging_is_declared_and_once_however_it_is_taken(
    start: str, asked: int
) -> None:
    async with stdio(talkative(start)) as client:
        channel = Client().channel(log_level="error")
        await told(client, "report", channel)
        seen = await told(client, "report", channel)
        assert seen["methods"].count("logging/setLevel") == asked
        level = seen["meta"].get("io.modelcontextprotocol/logLevel")
        assert level == ("error" if start == "modern" else None)


# What it asks of the client, and whose process that makes


async def test_what_a_legacy_process_asks_is_put_to_the_client_and_answered() -> None:
    async with stdio(talkative("legacy")) as client:
        asker = Client(sampling={}, roots={"listChanged": True}, other={})
        asker.answers.put_nowait({"model": "m"})
        assert await told(client, "ask", asker.channel()) == {"result": {"model": "m"}}
        assert asker.asked == [("sampling/createMessage", {"round": 1})]
        refused = {"error": {"code": -32601, "message": "not served here"}}
        assert await told(client, "ask", asker.channel(), method="elicitation/create") == refused
        assert (await told(client, "report", asker.channel()))["capabilities"] == {"sampling": {}, "roots": {}}


@pytest.mark.parametrize(("start", "method"), [("legacy", ROOTS_CHANGED), ("modern", "")])
async def test_a_legacy_process_hears_of_other_roots_before_the_call_in_which_it_may_ask_for_them(
    start: str, method: str
) -> None:
    async with stdio(talkative(start)) as client:
        asker = Client(roots={"listChanged": True})
        await client.execute(by("ann", "echo", era=LEGACY), LIMITS, asker.channel())
        channel = asker.channel(roots_changed=True)
        seen = json.loads(said(await client.execute(by("ann", "report", era=LEGACY), LIMITS, channel)))
        assert [one for one in seen["methods"] if "roots" in one] == ([method] if method else [])
        assert channel.roots_changed is (not method)
        if method:
            assert seen["methods"][-2:] == [ROOTS_CHANGED, "tools/call"]
            assert seen["capabilities"] == {"roots": {"listChanged": True}}


async def test_a_process_of_everybodys_hears_of_nobodys_roots() -> None:
    async with stdio(talkative("legacy"), share="all") as client:
        channel = Client(roots={"listChanged": True}).channel(roots_changed=True)
        seen = json.loads(said(await client.execute(by("ann", "report", era=LEGACY), LIMITS, channel)))
        assert ROOTS_CHANGED not in seen["methods"]
        assert seen["capabilities"] == {}
        assert channel.roots_changed


async def test_a_process_that_asks_in_a_loop_is_stopped_by_refusals() -> None:
    async with stdio(talkative("legacy")) as client:
        asker = Client(sampling={})
        for _ in range(200):
            asker.answers.put_nowait({})
        answer = await told(client, "ask", asker.channel(), times=150)
        assert answer["error"]["code"] == -32603
        assert len(asker.asked) == 100


async def test_clients_that_can_be_asked_different_things_have_processes_of_their_own() -> None:
    launcher = talkative("legacy")
    async with stdio(launcher) as client:
        await client.tools()
        pids = {}
        for name, capabilities in (
            ("asked", {"sampling": {}, "elicitation": {}}),
            ("otherwise", {"sampling": {}}),
            ("again", {"elicitation": {}, "sampling": {}, "odd": 1}),
            ("nothing", {}),
            ("nothing either", {"odd": 1, "roots": 7}),
        ):
            seen = await told(client, "report", Client(**capabilities).channel())
            pids[name] = seen["pid"]
        assert pids["asked"] == pids["again"] != pids["otherwise"]
        assert pids["nothing"] == pids["nothing either"] not in {pids["asked"], pids["otherwise"]}
        assert launcher.keys[0] == OURS, "which was taken over by who declares nothing"
        assert pids["nothing"] == launcher.children[0].pid
        assert len(launcher.children) == 3


async def test_in_the_modern_era_one_process_is_told_with_each_request_what_can_be_asked() -> None:
    launcher = talkative("modern")
    async with stdio(launcher) as client:
        clients = Client(sampling={}), Client(elicitation={"form": {}}), Client()
        seen = [await told(client, "report", each.channel()) for each in clients]
        declared = [each["meta"]["io.modelcontextprotocol/clientCapabilities"] for each in seen]
        assert declared == [{"sampling": {}}, {"elicitation": {"form": {}}}, {}]
        assert len({each["pid"] for each in seen}) == len(launcher.children) == 1
        assert launcher.keys == [Key("default", "ann", '{"sampling":{}}')], "its era was not known before"


async def test_everybodys_process_is_told_of_no_client_and_tells_none_of_the_others() -> None:
    launcher = talkative("legacy")
    async with stdio(launcher, share="all") as client:
        asker = Client(sampling={})
        channel = asker.channel(progress=True, log_level="debug")
        assert "error" in await told(client, "ask", channel)
        await told(client, "log", channel)
        await told(client, "progress", channel, steps=1)
        assert (asker.asked, len(asker.told)) == ([], 1)
        seen = await told(client, "report", channel, who="bob")
        assert (seen["capabilities"], seen["level"]) == ({}, "")
        assert launcher.keys == [OURS]


# Lists, and what it says of itself


@pytest.mark.parametrize(("start", "era"), [("modern", MODERN), ("legacy", LEGACY)])
async def test_other_lists_are_asked_for_as_far_as_they_are_declared(start: str, era: str) -> None:
    launcher = talkative(start)
    async with stdio(launcher) as client:
        assert [entry["name"] for entry in await client.listed(Listed.PROMPTS)] == ["a", "b"]
        assert await client.listed(Listed.RESOURCES) == [{"uri": "note://a", "name": "a"}]
        assert await client.listed(Listed.TEMPLATES) == []
        assert [entry["name"] for entry in await client.listed(Listed.TOOLS)] == ["echo"]
        about = await client.about()
        assert (about.instructions, about.era) == ("Say please.", era)
        assert about.capabilities["resources"] == {"subscribe": True, "listChanged": True}
        assert launcher.keys == [OURS]


async def test_what_is_not_declared_is_an_empty_list_that_costs_no_request() -> None:
    async with stdio(talkative("legacy_bare")) as client:
        assert await client.about() == About({}, "Say please.", LEGACY)
        for what in Listed:
            assert await client.listed(what) == []
        assert [tool["name"] for tool in await client.tools()] == ["echo"]
        seen = await told(client, "report")
        assert [method for method in seen["methods"] if method.endswith("/list")] == ["tools/list"]


async def test_a_list_that_is_declared_and_refused_is_an_error() -> None:
    async with stdio(talkative("modern_odd")) as client:
        with pytest.raises(Failed) as caught:
            await client.listed(Listed.PROMPTS)
        assert (caught.value.fault, caught.value.unknown) == ({"code": -32601}, False)
