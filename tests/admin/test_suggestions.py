"""Grants from what was recorded: three upstreams in shadow, then the same calls where the suggestion decides."""

import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import pipeline
from gateway.admin.suggestions import policy_suggest
from gateway.errors import ConfigError
from gateway.model import Effect, JsonObject, Manifest, Mode, Principal, TypeSpec
from gateway.parts import Archive
from gateway.policy import bundle
from gateway.policy.bundle import load
from gateway.policy.regorus import Regorus
from gateway.registry import Registry, Terms
from gateway.registry.manifests import Manifests
from gateway.storage.database import Payload
from tests import nouns
from tests.path import DataPath, Scripted, data_path

WHO = "os:tester"
FREE: JsonObject = {"type": "object"}
TOOLS = {
    "files": ["read_text_file", "write_file", "move_file"],
    "web": ["fetch"],
    "memory": ["create_entities", "search_nodes"],
}
PATH = TypeSpec("path", {"roots": ["/srv/docs"], "relative_to": None})
STATED = {
    "files": {
        "write_file": Manifest(("write", "delete"), types={"/path": PATH}),
        "move_file": Manifest(("unknown",), types={"/source": PATH, "/destination": PATH}),
    },
    "web": {"fetch": Manifest(("egress",), types={"/url": TypeSpec("url", {"schemes": ["https"], "hosts": []})})},
}
TRAFFIC: list[tuple[str, str, JsonObject]] = [
    ("files", "write_file", {"path": "/srv/docs/notes/a.md", "content": "the first secret plan"}),
    ("files", "write_file", {"path": "/srv/docs/notes/b.md", "content": "another"}),
    ("files", "move_file", {"source": "/srv/docs/in/a.md", "destination": "/srv/docs/out/a.md"}),
    ("files", "read_text_file", {"path": "/srv/docs/notes/a.md", "head": 10}),
    ("web", "fetch", {"url": "https://docs.example.com/a", "max_length": 5000}),
    ("web", "fetch", {"url": "https://docs.example.com/b"}),
    ("memory", "create_entities", {"entities": [{"name": "Ann", "entityType": "person", "observations": ["tea"]}]}),
    ("memory", "search_nodes", {"query": "Ann"}),
]
CHANGED: list[tuple[str, str, JsonObject]] = [
    ("files", "write_file", {"path": "/srv/docs/secret/a.md", "content": "another"}),
    ("files", "write_file", {"path": "/etc/passwd", "content": "another"}),
    ("files", "move_file", {"source": "/srv/docs/in/a.md", "destination": "/srv/docs/notes/a.md"}),
    ("files", "read_text_file", {"path": "/etc/passwd", "head": 10}),
    ("web", "fetch", {"url": "https://evil.example/a"}),
    ("web", "fetch", {"url": "https://docs.example.com/a", "headers": {"x": "y"}}),
    ("memory", "create_entities", {"entities": [{"name": "Eve", "entityType": "person", "observations": []}]}),
    ("memory", "search_nodes", {"query": "passwords"}),
]


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[DataPath]:
    """Three upstreams in shadow under the starter policy."""
    async with data_path(tmp_path) as made:
        policies = tmp_path / "policies"
        shutil.rmtree(policies)
        shutil.copytree(bundle.shipped() / "packs" / "starter", policies)
        settings = made.gw.settings
        chosen = settings.policy.model_copy(update={"bundle": policies})
        made.gw.settings = settings.model_copy(update={"policy": chosen})
        made.gw.archive = Archive(made.gw.settings, made.gw.archive.reader, made.gw.archive.vkey)
        made.gw.executors.clear()
        for name, tools in TOOLS.items():
            made.gw.executors[name] = Scripted(offers=[{"name": tool, "inputSchema": FREE} for tool in tools])
        govern(made, Mode.SHADOW)
        yield made


def govern(path: DataPath, mode: Mode) -> None:
    """Take the policies that are there now, on upstreams of this mode."""
    path.gw.registry = Registry({name: Terms(mode) for name in TOOLS}, {}, Manifests(STATED), clock=time.time)
    path.gw.listed.clear()
    path.gw.pdp = Regorus(load(path.gw.settings.policy.bundle))


async def outcomes(path: DataPath, calls: list[tuple[str, str, JsonObject]], **more: Any) -> list[str]:
    """What became of each call: `allow`, or the code of its refusal."""
    found = []
    for upstream, tool, arguments in calls:
        endpoint = nouns.NOTES.__class__(upstream, (upstream,), qualified=False)
        call = nouns.call(tool, endpoint=endpoint, arguments=arguments, **more)
        reply = await pipeline.serve(call, path.gw)
        assert reply.result is not None, reply.error
        said = reply.result["_meta"]["bascule/decision"]
        found.append("allow" if said["effect"] == Effect.ALLOW else said["code"])
    return found


def keep(path: DataPath, suggested: JsonObject) -> None:
    for name, text in suggested["files"].items():
        (path.gw.settings.policy.bundle / name).write_text(text)


async def test_the_traffic_of_a_shadow_passes_under_what_is_suggested_and_a_changed_argument_does_not(
    path: DataPath,
) -> None:
    assert set(await outcomes(path, TRAFFIC)) == {"allow"}
    suggested = await policy_suggest(path.gw.archive, operator=WHO)
    assert (suggested["left"], suggested["still"], suggested["not_kept"]) == ([], [], 0)
    assert (suggested["calls"], len(suggested["grants"])) == (len(TRAFFIC), 6)
    assert "secret plan" not in str(suggested)
    govern(path, Mode.ENFORCE)
    assert set(await outcomes(path, TRAFFIC)) == {"APPROVAL_REQUIRED"}
    keep(path, suggested)
    govern(path, Mode.ENFORCE)
    assert set(await outcomes(path, TRAFFIC)) == {"allow"}
    assert set(await outcomes(path, CHANGED)) == {"APPROVAL_REQUIRED", "SEMANTIC"}
    assert set(await outcomes(path, TRAFFIC, principal=Principal("eve"))) == {"APPROVAL_REQUIRED"}


async def test_only_what_is_asked_for_is_suggested(path: DataPath) -> None:
    await outcomes(path, TRAFFIC)
    await outcomes(path, TRAFFIC[:1], principal=Principal("bob", roles=("dev",)))
    web = await policy_suggest(path.gw.archive, operator=WHO, upstream="web")
    assert [one["grant"] for one in web["grants"]] == ["suggested: agent (default) may call web/fetch"]
    bob = await policy_suggest(path.gw.archive, operator=WHO, principal="bob", since="1h")
    assert [one["grant"] for one in bob["grants"]] == ["suggested: bob (default) may call files/write_file"]
    role = await policy_suggest(path.gw.archive, operator=WHO, principal="bob", by="role")
    assert "role dev" in role["grants"][0]["grant"]
    later = await policy_suggest(path.gw.archive, operator=WHO, since="2999-01-01")
    assert (later["looked"], later["files"]) == (0, {})
    with pytest.raises(ConfigError, match="by principal or by role"):
        await policy_suggest(path.gw.archive, operator=WHO, by="team")  # type: ignore[arg-type]


async def test_what_was_refused_or_allowed_counts_only_when_it_is_asked_for(path: DataPath) -> None:
    govern(path, Mode.ENFORCE)
    await outcomes(path, TRAFFIC[4:5])
    none = await policy_suggest(path.gw.archive, operator=WHO)
    assert (none["looked"], none["calls"], none["grants"]) == (1, 0, [])
    refused = await policy_suggest(path.gw.archive, operator=WHO, refused=True)
    assert (refused["calls"], len(refused["grants"])) == (1, 1)
    keep(path, refused)
    govern(path, Mode.ENFORCE)
    await outcomes(path, TRAFFIC[4:5])
    assert (await policy_suggest(path.gw.archive, operator=WHO))["grants"] == []
    assert len((await policy_suggest(path.gw.archive, operator=WHO, everything=True))["grants"]) == 1


async def test_what_no_rule_can_allow_is_told_apart(path: DataPath) -> None:
    await outcomes(path, [CHANGED[1]])
    denies = 'package bascule.call\n\ndeny contains "no" if input.tool.name == "search_nodes"\n'
    (path.gw.settings.policy.bundle / "own.rego").write_text(denies)
    govern(path, Mode.SHADOW)
    await outcomes(path, TRAFFIC[-1:])
    suggested = await policy_suggest(path.gw.archive, operator=WHO)
    assert suggested["grants"] == []
    assert [(one["tool"], one["why"]) for one in suggested["left"]] == [
        ("write_file", "an argument is not of the type its manifest states"),
        ("search_nodes", "a rule refuses it (POLICY_DENIED)"),
    ]
    assert {one["tool"] for one in suggested["still"]} == {"write_file", "search_nodes"}


async def test_a_credential_among_the_arguments_is_not_written_down(path: DataPath) -> None:
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    await outcomes(
        path, [("memory", "search_nodes", {"query": token}), ("memory", "search_nodes", {"password": "Hunter2!x"})]
    )
    suggested = await policy_suggest(path.gw.archive, operator=WHO)
    assert suggested["files"] == {}
    assert token not in str(suggested)
    assert "Hunter2" not in str(suggested)
    assert "looks like a credential" in suggested["left"][0]["why"]


async def test_records_without_payloads_are_counted(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    await outcomes(path, TRAFFIC[:2])

    def erased(_reader: Any, _leaf: int) -> Payload | None:
        return None

    monkeypatch.setattr("gateway.storage.sqlite.SqliteReader.payload", erased)
    suggested = await policy_suggest(path.gw.archive, operator=WHO)
    assert (suggested["calls"], suggested["not_kept"], suggested["files"]) == (0, 2, {})


async def test_a_policy_that_does_not_load_leaves_the_suggestion_untried(path: DataPath) -> None:
    await outcomes(path, TRAFFIC[:1])
    (path.gw.settings.policy.bundle / "own.rego").write_text("package bascule.call\n\nallow contains")
    assert (await policy_suggest(path.gw.archive, operator=WHO))["still"] is None
