"""What real servers tell and ask over their standard streams: `mcp` 2.x, `mcp` 1.x and npm's server-everything."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.executors.stdio.upstream import Patience, Stdio
from gateway.kinds import LOGGED, PROGRESS, UPDATED, Kind, Listed
from gateway.model import Limits, Outcome, Principal, Proposal, Round
from tests.executors.hostile import LEGACY, MODERN, said
from tests.executors.stdio.talk import Client
from tests.executors.stdio.upstreams import fed
from tests.executors.stdio_upstream import Launcher, by, stdio
from tests.executors.test_servers import SERVERS
from tests.nouns import call, pin

pytestmark = pytest.mark.slow

PATIENT = Limits(timeout_s=60, result_bytes=1_000_000)
WAIT = Patience(probe_s=30)
ANN = Principal("ann")
A = "note://a"
TOOLS_CHANGED = "notifications/tools/list_changed"


def chatty(name: str) -> Launcher:
    assert SERVERS[name].exists(), f"no environment for {name}: run `make test`"
    return Launcher((str(SERVERS[name]), str(Path(__file__).with_name(f"real_{name}.py"))))


async def ran(client: Stdio, tool: str, asker: Client, **arguments: Any) -> Outcome:
    channel = asker.channel(progress=True, log_level="info")
    return await client.execute(by("ann", tool, arguments=arguments), PATIENT, channel)


@pytest.mark.parametrize(("name", "era"), [("sdk2", MODERN), ("sdk1", LEGACY)])
async def test_a_real_server_tells_progress_logs_updates_and_changes(name: str, era: str) -> None:
    launcher = chatty(name)
    async with stdio(launcher, limits=PATIENT, patience=WAIT) as client:
        about = await client.about()
        assert about.era == era
        assert {"tools", "resources"} <= about.capabilities.keys()
        assert [entry["uri"] for entry in await client.listed(Listed.RESOURCES)] == [A]
        assert await client.listed(Listed.TEMPLATES) == []
        asker = Client()
        outcome = await ran(client, "steps", asker, count=3)
        assert (said(outcome), outcome.evidence["era"]) == ("done", era)
        told = [params["progress"] for method, params in asker.told if method == PROGRESS]
        assert told == [0, 1, 2]
        assert [params["data"] for method, params in asker.told if method == LOGGED] == ["half of it"]
        async with fed(client, ANN, A) as (ann, feeding), fed(client, None) as (ours, _):
            async with asyncio.timeout(60):
                while {method for method, _ in ann.told} != {UPDATED, TOOLS_CHANGED} or not ours.told:
                    await ran(client, "touch", asker)
            assert not feeding.done()
        assert {method for method, _ in ours.told} == {TOOLS_CHANGED}
        read = await client.execute(Proposal(call(A, kind=Kind.RESOURCE, principal=ANN), pin(A)), PATIENT)
        assert read.result["contents"][0]["text"] == "a"
        assert len(launcher.children) == 1


async def test_what_a_real_legacy_server_asks_is_answered_by_the_client_of_the_call() -> None:
    launcher = chatty("sdk1")
    async with stdio(launcher, limits=PATIENT, patience=WAIT) as client:
        asker = Client(sampling={}, elicitation={}, roots={})
        answers: list[Any] = [
            {"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m", "stopReason": "endTurn"},
            {"action": "accept", "content": {"colour": "blue"}},
            {"action": "decline"},
            {"roots": [{"uri": "file:///a"}]},
        ]
        for answer in answers:
            asker.answers.put_nowait(answer)
        tools = ("sample", "elicit", "elicit", "roots")
        assert [said(await ran(client, tool, asker)) for tool in tools] == ["hi", "accept blue", "decline", "file:///a"]
        methods = ["sampling/createMessage", "elicitation/create", "elicitation/create", "roots/list"]
        assert [method for method, _ in asker.asked] == methods
        assert (await ran(client, "sample", Client())).tool_error, "who declared nothing is not asked"
        assert len(launcher.children) == 2


async def test_what_a_real_modern_server_asks_comes_back_as_a_result_and_goes_on_in_the_next_round() -> None:
    async with stdio(chatty("sdk2"), limits=PATIENT, patience=WAIT) as client:
        channel = Client(elicitation={"form": {}}).channel()
        first = await client.execute(by("ann", "elicit", arguments={}), PATIENT, channel)
        assert first.result["resultType"] == "input_required"
        assert first.result["inputRequests"]["colour"]["method"] == "elicitation/create"
        answers = {"colour": {"action": "accept", "content": {"colour": "blue"}}}
        state = first.result["requestState"]
        again = by("ann", "elicit", arguments={}, round=Round(answers, state))
        second = await client.execute(again, PATIENT, channel)
        assert said(second) == "kept ['colour']"


@pytest.mark.skipif(shutil.which("npx") is None, reason="needs node")
async def test_server_everything_asks_tells_and_completes(tmp_path: Path) -> None:
    node = str(Path(shutil.which("npx") or "").parent)
    env = {"PATH": f"{node}:/usr/bin:/bin", "HOME": str(tmp_path)}
    launcher = Launcher(("npx", "-y", "@modelcontextprotocol/server-everything", "stdio"), env)
    async with stdio(launcher, limits=PATIENT, patience=Patience(probe_s=60, handshake_s=60)) as client:
        about = await client.about()
        assert {"tools", "prompts", "resources", "logging", "completions"} <= about.capabilities.keys()
        assert await client.listed(Listed.TEMPLATES)
        asker = Client(sampling={}, elicitation={}, roots={})
        steps = await ran(client, "trigger-long-running-operation", asker, duration=1, steps=4)
        assert not steps.tool_error
        assert [params["total"] for method, params in asker.told if method == PROGRESS] == [4] * 4
        answer = {"role": "assistant", "content": {"type": "text", "text": "sampled"}, "model": "m"}
        asker.answers.put_nowait(answer)
        sampled = await ran(client, "trigger-sampling-request", asker, prompt="p", maxTokens=5)
        assert "sampled" in said(sampled)
        prompts = [prompt["name"] for prompt in await client.listed(Listed.PROMPTS)]
        assert "simple-prompt" in prompts
        got = await client.execute(
            Proposal(call("simple-prompt", kind=Kind.PROMPT, arguments={}, principal=ANN), pin("simple-prompt")),
            PATIENT,
            asker.channel(),
        )
        assert got.result["messages"]
