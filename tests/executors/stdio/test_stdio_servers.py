"""The stdio executor before real servers: `mcp` 2.x, `mcp` 1.x and FastMCP, each in its own environment."""

import pytest

from gateway.executors.stdio.upstream import Patience
from gateway.model import Limits
from tests.executors.hostile import LEGACY, MODERN, proposal, said
from tests.executors.stdio_upstream import FAULTY, Launcher, stdio
from tests.executors.test_servers import SERVERS

pytestmark = pytest.mark.slow

PATIENT = Limits(timeout_s=60, result_bytes=1_000_000)


@pytest.mark.parametrize(
    ("name", "era"),
    [("sdk2", MODERN), ("sdk1", LEGACY), pytest.param("fastmcp_server", MODERN, marks=pytest.mark.slow)],
)
async def test_a_real_server_is_served_to_clients_of_either_era(name: str, era: str) -> None:
    assert SERVERS[name].exists(), f"no environment for {name}: run `make test`"
    launcher = Launcher((str(SERVERS[name]), str(FAULTY.with_name("real.py")), name))
    async with stdio(launcher, limits=PATIENT, patience=Patience(probe_s=30)) as client:
        tools = {tool["name"]: tool for tool in await client.tools()}
        assert set(tools) == {"echo", "read_note", "write_note", "measure", "fail", "unicode"}
        assert tools["measure"]["outputSchema"]["properties"].keys() == {"length", "words"}
        for spoken in (MODERN, LEGACY):
            echoed = await client.execute(proposal("echo", arguments={"text": "ä b", "number": 7}, era=spoken), PATIENT)
            assert said(echoed) == "ä b 7"
            assert echoed.evidence["era"] == era
            await client.execute(proposal("write_note", arguments={"path": "n", "text": spoken}, era=spoken), PATIENT)
            note = await client.execute(proposal("read_note", arguments={"id": "n"}, era=spoken), PATIENT)
            assert said(note) == spoken
            measured = await client.execute(proposal("measure", arguments={"text": "a b"}, era=spoken), PATIENT)
            assert measured.result["structuredContent"] == {"length": 3, "words": ["a", "b"]}
            unicode = await client.execute(proposal("unicode", arguments={}, era=spoken), PATIENT)
            assert said(unicode) == "Grüße, 世界 🌉"
            failed = await client.execute(proposal("fail", arguments={"reason": "no"}, era=spoken), PATIENT)
            assert failed.tool_error
        assert len(launcher.children) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sdk2", "fastmcp_server"])
async def test_a_real_server_of_both_eras_serves_the_legacy_one_when_it_was_too_slow_to_say_so(name: str) -> None:
    launcher = Launcher((str(SERVERS[name]), str(FAULTY.with_name("real.py")), name))
    async with stdio(launcher, limits=PATIENT, patience=Patience(probe_s=0.01)) as client:
        outcome = await client.execute(proposal("echo", arguments={"text": "a", "number": 1}), PATIENT)
        assert (said(outcome), outcome.evidence["era"]) == ("a 1", LEGACY)
        assert len(launcher.children) == 2
