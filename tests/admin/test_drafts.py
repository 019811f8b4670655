"""A manifest drafted from what an upstream lists."""

from pathlib import Path

import pytest

from gateway.admin.drafts import manifest_draft
from gateway.errors import ConfigError, Failed
from gateway.model import Code, JsonObject
from gateway.registry import manifests
from tests.path import DataPath

WHO = "os:tester"


async def test_a_draft_describes_what_is_listed_and_says_where_it_belongs(path: DataPath, tmp_path: Path) -> None:
    chosen = path.gw.settings.policy.model_copy(update={"manifests": tmp_path / "manifests"})
    path.gw.settings = path.gw.settings.model_copy(update={"policy": chosen})
    drafted = await manifest_draft(path.gw, operator=WHO, name="notes")
    read = manifests.read(drafted["text"], "notes.yaml")
    assert {name: (one.effects, one.inferred) for name, one in read.items()} == {
        "read_note": (("read",), True),
        "write_note": (("write",), True),
    }
    assert drafted["file"] == str(tmp_path / "manifests" / "notes.yaml")
    assert drafted["exists"] is False
    assert drafted["tools"]["read_note"]["types"] == {"/path": "path"}


async def test_what_is_not_reachable_is_drafted_from_what_it_offered_before(path: DataPath) -> None:
    async def down() -> list[JsonObject]:
        raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached")

    path.executor.lists = down
    with pytest.raises(ConfigError, match="nothing is known of its tools: UPSTREAM_UNAVAILABLE"):
        await manifest_draft(path.gw, operator=WHO, name="notes")
    path.executor.lists = None
    await manifest_draft(path.gw, operator=WHO, name="notes")
    path.executor.lists = down
    path.gw.listed.clear()
    drafted = await manifest_draft(path.gw, operator=WHO, name="notes")
    assert (len(drafted["tools"]), drafted["unreachable"]) == (
        2, "UPSTREAM_UNAVAILABLE: the upstream could not be reached",
    )  # fmt: skip


async def test_an_upstream_that_is_not_there_is_answered_with_those_that_are(path: DataPath) -> None:
    with pytest.raises(ConfigError, match="there is no upstream nots: there are notes"):
        await manifest_draft(path.gw, operator=WHO, name="nots")
