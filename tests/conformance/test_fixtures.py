"""The fixture server and client pass the official suite without a gateway: what fails through it is then its fault."""

from pathlib import Path

import pytest

from tests.conformance import suite
from tests.conformance.running import free_port
from tests.conformance.runs import DIRECT, Run, faults, verdict

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("asked", DIRECT, ids=lambda asked: asked.title)
async def test_the_fixtures_pass_all_that_their_revision_scores(asked: Run, tmp_path: Path) -> None:
    assert not suite.missing(), suite.missing()
    told = await verdict(asked, tmp_path)
    assert faults(asked, told) == []
    assert len(told.scored) == suite.SCORED[asked.role, asked.revision]
    assert {name.partition("/")[0] for name in told.expected} <= {"auth"}
    assert told.scored.keys() - told.expected


@pytest.mark.parametrize("revision", [suite.MODERN, suite.LEGACY])
async def test_a_run_against_nobody_does_not_pass(revision: str, tmp_path: Path) -> None:
    assert not suite.missing(), suite.missing()
    dead = ["--url", f"http://127.0.0.1:{free_port()}/mcp"]
    told = await suite.run(suite.SERVER, revision, dead, tmp_path)
    assert told.code != 0
    asked = Run(suite.SERVER, revision, "both")
    assert f"the suite ended with {told.code}" in faults(asked, told)
    assert "tools-call-simple-text failed" in faults(asked, told)


async def test_a_client_that_does_nothing_does_not_pass(tmp_path: Path) -> None:
    assert not suite.missing(), suite.missing()
    told = await suite.run(suite.CLIENT, suite.LEGACY, ["--command", "true"], tmp_path)
    assert "tools_call failed" in faults(Run(suite.CLIENT, suite.LEGACY, "legacy"), told)
    assert told.code != 0
