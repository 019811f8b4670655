"""A real client tells that its roots are others, and a real server that kept the old ones asks for them again."""

import json
from pathlib import Path

import pytest

from tests.commands import ran
from tests.serving import ROOT, TOKEN, Folder, serving
from tests.wraps import WRAP, records

pytestmark = pytest.mark.slow

OWN = ROOT / ".venv-mcp1" / "bin" / "python"
HERE = Path(__file__).parent
FIRST, SECOND = "file:///srv/first", "file:///srv/second"
POLICY = """
package bascule.call

allow contains "the tool that needs roots" if input.tool.name == "roots"

allow contains "it may ask for them" if {
	input.call.kind == "roots"
	input.upstream == "rooted"
}
"""


@pytest.mark.promise("interop.clients", "interop.servers")
@pytest.mark.parametrize("way", ["http", "wrap"])
async def test_a_server_that_kept_roots_asks_for_others_once_its_client_has_them(tmp_path: Path, way: str) -> None:
    assert OWN.exists(), "no environment for mcp 1.x: run `make test`"
    command = {"command": str(OWN), "args": [str(HERE / "rooted_server1.py")], "sandbox": "none"}
    folder = Folder(tmp_path / "gateway", {"rooted": command}, POLICY)
    async with serving(folder) as served:
        wrap = ["-", *WRAP, "--name", "rooted", "-c", str(folder.config)]
        words = [TOKEN, served.url("rooted")] if way == "http" else wrap
        ended = await ran([str(OWN), str(HERE / "rooted1.py"), *words])
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == [f"1 {FIRST}"] * 2 + [f"2 {SECOND}"] * 2
    asked = [record for record in records(folder, "call.intent") if record.get("about") == "roots"]
    assert len(asked) == 2
    assert all(record["within"] for record in asked)
