"""Operator actions on upstreams: each does what it says and is recorded under who asked."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gateway import admin
from gateway.errors import ConfigError, Failed
from gateway.executors.packages.commands import Command
from gateway.executors.packages.installed import Pinned
from gateway.model import Code, JsonObject
from gateway.registry import Terms, lockfile
from tests import nouns
from tests.path import READ_NOTE, DataPath, data_path

WHO = "os:tester"
DESCRIBED = READ_NOTE | {"description": "Reads a note, and now says so."}


async def test_upstreams_are_listed_with_the_states_of_their_tools(path: DataPath) -> None:
    listed = await admin.upstream_list(path.gw, operator=WHO)
    (notes,) = listed["upstreams"]
    assert notes["tools"] == {"accepted": 2}
    assert (notes["name"], notes["mode"], notes["trust"], notes["reached"]) == (
        "notes", "enforce", "first_use", "http://127.0.0.1:1/mcp",
    )  # fmt: skip


async def test_an_upstream_that_cannot_be_reached_is_shown_with_what_is_known_of_it(path: DataPath) -> None:
    async def down() -> list[JsonObject]:
        raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached", detail="connection refused")

    path.executor.lists = down
    shown = await admin.upstream_show(path.gw, operator=WHO, name="notes")
    assert shown["unreachable"] == "UPSTREAM_UNAVAILABLE: the upstream could not be reached (connection refused)"
    assert shown["tools"] == []
    doctor = await admin.doctor(path.gw, operator=WHO)
    (line,) = [line for line in doctor["lines"] if line["name"] == "upstream notes"]
    assert (line["state"], doctor["sound"]) == ("warn", True)


@pytest.mark.promise("operators.recorded")
async def test_a_drifted_tool_is_refused_until_it_is_accepted_and_both_are_recorded_with_who_asked(
    path: DataPath,
) -> None:
    await admin.upstream_list(path.gw, operator=WHO)
    path.executor.offers = [nouns.WRITE_NOTE, DESCRIBED]
    path.gw.listed.clear()
    drifted = await path.call("read_note", arguments={"path": "notes/a"})
    assert drifted.result is not None
    assert drifted.result["_meta"]["bascule/decision"]["code"] == Code.TOOL_DRIFTED
    shown = await admin.upstream_show(path.gw, operator=WHO, name="notes")
    (tool,) = [tool for tool in shown["tools"] if tool["state"] == "drifted"]
    assert tool["name"] == "read_note"
    assert any("description" in text for text in tool["difference"])
    accepted = await admin.upstream_accept(path.gw, operator=WHO, name="notes", tool="read_note")
    assert accepted["accepted"] == [{"tool": "read_note", "pin": tool["offered"]}]
    assert (await path.call("read_note", arguments={"path": "notes/a"})).result is not None
    record = path.leaves("pin.accepted")[-1]
    assert (record["tool"], record["pin"], record["was"]) == ("read_note", tool["offered"], tool["pin"])
    assert record["sealed"]["operator"] == WHO
    assert lockfile.load(path.gw.settings.file.with_name("bascule.lock")) == path.gw.registry.lock()


async def test_only_the_definition_that_was_looked_at_can_be_accepted(path: DataPath) -> None:
    await admin.upstream_list(path.gw, operator=WHO)
    path.executor.offers = [nouns.WRITE_NOTE, DESCRIBED]
    other = "sha256:" + "0" * 64
    with pytest.raises(ConfigError):
        await admin.upstream_accept(path.gw, operator=WHO, name="notes", tool="read_note", digest=other)
    assert path.leaves("pin.accepted")[2:] == []


@pytest.mark.promise("operators.recorded")
async def test_a_quarantined_tool_is_unknown_to_callers_and_recorded_with_who_asked(path: DataPath) -> None:
    await admin.upstream_list(path.gw, operator=WHO)
    assert await admin.upstream_quarantine(path.gw, operator=WHO, name="notes", tool="write_note") == {
        "quarantined": ["write_note"]
    }
    assert (await path.write()).error is not None
    assert path.executor.calls == []
    (record,) = path.leaves("pin.quarantined")
    assert (record["tool"], record["sealed"]["operator"]) == ("write_note", WHO)


async def test_under_review_nothing_is_served_before_an_operator_accepts_it(tmp_path: Path) -> None:
    async with data_path(tmp_path, terms=Terms(trust="review")) as path:
        assert (await path.write()).error is not None
        assert (await admin.upstream_list(path.gw, operator=WHO))["upstreams"][0]["tools"] == {"waiting": 2}
        await admin.upstream_accept(path.gw, operator=WHO, name="notes")
        assert (await path.write()).error is None


@pytest.mark.parametrize("action", [admin.upstream_show, admin.upstream_accept, admin.upstream_quarantine])
async def test_an_upstream_that_is_not_there_is_answered_with_those_that_are(path: DataPath, action: Any) -> None:
    with pytest.raises(ConfigError, match="there is no upstream nots: there are notes"):
        await action(path.gw, operator=WHO, name="nots")


@dataclass
class Shelf:
    """Packages for tests: one newer release, and the records that stood when it was installed."""

    path: DataPath
    recorded: list[str] = field(default_factory=list)
    NEWER = Pinned("npm:notes@latest", "npm:notes@2.0.0", "sha256:" + "2" * 64, 1, "{}")

    async def newest(self, _name: str, _command: Command, *, allow_build: bool) -> Pinned:
        assert not allow_build
        return self.NEWER

    async def accept(self, _name: str, _command: Command, pinned: Pinned, *, allow_build: bool) -> None:
        assert (pinned, allow_build) == (self.NEWER, False)
        self.recorded = [record["digest"] for record in self.path.leaves("package.accepted")]

    def describe(self, _name: str) -> JsonObject:
        return {"digest": "sha256:" + "1" * 64}


@pytest.fixture
async def shelf(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    await admin.upstream_list(path.gw, operator=WHO)
    settings = path.gw.settings.upstreams["notes"]
    packaged = settings.model_copy(update={"command": "npx", "args": ["-y", "notes"]})
    path.gw.settings = path.gw.settings.model_copy(update={"upstreams": {"notes": packaged}})
    monkeypatch.setattr("gateway.admin.upstreams.stdio", lambda *_: path.executor)
    kept = Shelf(path)
    path.gw.grounds = replace(path.gw.grounds, packages=kept)  # type: ignore[arg-type]
    return kept


@pytest.mark.promise("operators.recorded")
async def test_a_newer_package_is_recorded_before_it_is_installed_and_its_changed_tools_stay_drifted(
    path: DataPath, shelf: Shelf
) -> None:
    path.executor.offers = [nouns.WRITE_NOTE, DESCRIBED]
    taken = await admin.upstream_accept(path.gw, operator=WHO, name="notes", digest=shelf.NEWER.digest, newest=True)
    assert taken == {"accepted": [], "package": "npm:notes@2.0.0", "changed": ["read_note"], "unreachable": None}
    assert shelf.recorded == [shelf.NEWER.digest]
    (record,) = path.leaves("package.accepted")
    assert (record["package"], record["was"]) == ("npm:notes@2.0.0", "sha256:" + "1" * 64)
    refused = await path.call("read_note", arguments={"path": "notes/a"})
    assert refused.result is not None
    assert refused.result["_meta"]["bascule/decision"]["code"] == Code.TOOL_DRIFTED


@pytest.mark.parametrize(
    ("asked", "why"),
    [({"tool": "read_note"}, "goes with no tool"), ({"digest": "sha256:" + "3" * 64}, "look again")],
)
async def test_a_newer_package_is_taken_whole_and_as_it_was_looked_at(
    path: DataPath, shelf: Shelf, asked: JsonObject, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        await admin.upstream_accept(path.gw, operator=WHO, name="notes", newest=True, **asked)
    assert (shelf.recorded, path.leaves("package.accepted")) == ([], [])
