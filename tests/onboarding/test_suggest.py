"""Three confined servers in shadow before a policy that allows nothing; what is suggested; the same traffic after it.

Everything an operator does here is a command: no rule is written by hand.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.onboarding.agents import agent, told
from tests.onboarding.servers import prepared, stock
from tests.onboarding.test_stopwatch import said, serving
from tests.sandbox.battery import open_up, own

pytestmark = pytest.mark.slow
GRANTED = {"files": "documents", "git": "repository", "memory": None}
Calls = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an agent asks of one server: as on the day in shadow, and otherwise."""

    seen: Calls
    changed: Calls
    """No rule was suggested for these."""
    outside: Calls
    """These name something that the server is not even granted: its manifest refuses them before any rule."""


def entities(name: str) -> dict[str, Any]:
    return {"entities": [{"name": name, "entityType": "place", "observations": ["there is a garden behind it"]}]}


def traffic(home: Path) -> Mapping[str, Traffic]:
    """Each changed call differs from one that was seen in one argument, or is of another tool."""
    documents, repository = str(home / "documents"), str(home / "repository")
    return {
        "files": Traffic(
            [
                ("read_text_file", {"path": f"{documents}/mine/a.txt"}),
                ("write_file", {"path": f"{documents}/mine/b.txt", "content": "kept"}),
            ],
            [
                ("read_text_file", {"path": f"{documents}/plan.txt"}),
                ("read_text_file", {"path": f"{documents}/mine/../plan.txt"}),
                ("read_text_file", {"path": f"{documents}/mine/a.txt", "head": 1}),
                ("write_file", {"path": f"{documents}/b.txt", "content": "kept"}),
                ("list_directory", {"path": f"{documents}/mine"}),
            ],
            [
                ("read_text_file", {"path": "/etc/passwd"}),
                ("read_text_file", {"path": f"{documents}/mine/../../repository/README"}),
            ],
        ),
        "git": Traffic(
            [("git_status", {"repo_path": repository}), ("git_log", {"repo_path": repository, "max_count": 3})],
            [
                ("git_log", {"repo_path": repository, "max_count": 4}),
                ("git_branch", {"repo_path": repository, "branch_type": "local"}),
            ],
            [("git_status", {"repo_path": documents}), ("git_status", {"repo_path": f"{repository}/../documents"})],
        ),
        "memory": Traffic(
            [("create_entities", entities("house"))],
            [
                ("create_entities", entities("garage")),
                ("delete_entities", {"entityNames": ["house"]}),
                ("read_graph", {}),
            ],
            [],
        ),
    }


async def registered(home: Path) -> tuple[Path, str]:
    """A gateway's configuration and its agent's token: the three in shadow, and a policy that grants nothing."""
    folder = home / "gateway"
    config = folder / "bascule.yaml"
    token = (await said("init", str(folder), "--json")).told["token"]
    config.write_text(config.read_text().replace("port: 8484", "port: 0"))
    servers = stock(home, "http://127.0.0.1:9")
    for name, granted in GRANTED.items():
        folders = ("--folder", f"{home / granted}:rw") if granted else ()
        entry = servers[name].entry
        words = (*folders, "--mode", "shadow", "--until", "2999-01-01", "-c", str(config))
        await said("add", name, *words, "--", entry["command"], *entry["args"])
    data = folder / "policies" / "data.json"
    # Not an empty one: where there are grants, what they do not give is hidden, and nobody asks for it.
    data.write_text(json.dumps({key: value for key, value in json.loads(data.read_text()).items() if key != "grants"}))
    return config, str(token)


async def codes(base: str, token: str, name: str, calls: Calls) -> list[str]:
    """The code of each refusal, empty for what passed."""
    found = []
    async with agent(base, name, token) as client:
        for tool, arguments in calls:
            code, text = await told(client, tool, arguments)
            found.append(code)
            assert code or "rror" not in text, text
    return found


@pytest.mark.promise("onboarding.suggest")
async def test_the_traffic_of_three_confined_servers_passes_under_what_is_suggested_and_a_changed_argument_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    await prepared(tmp_path)
    (own(tmp_path / "documents" / "mine") / "a.txt").write_text("read me")
    open_up(tmp_path)
    config, token = await registered(tmp_path)
    asked = traffic(tmp_path)
    at = ("-c", str(config))
    async with serving(config) as base:
        for name, one in asked.items():
            assert set(await codes(base, token, name, one.seen)) == {""}
        for name, one in asked.items():
            await said("upstream", "set", name, "--mode", "enforce", *at)
            assert set(await codes(base, token, name, one.seen)) == {"NO_RULE"}, "nothing of it was allowed"
        await said("policy", "suggest", "--write", str(config.parent / "policies"), *at)
        await said("policy", "test", str(config.parent / "policies"))
        await said("policy", "reload", *at)
        for name, one in asked.items():
            assert set(await codes(base, token, name, one.seen)) == {""}
            assert set(await codes(base, token, name, one.changed)) == {"NO_RULE"}
            assert set(await codes(base, token, name, one.outside)) <= {"SEMANTIC"}
