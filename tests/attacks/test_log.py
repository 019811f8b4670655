"""Somebody who can reach the log: what he changes is found and named, and what was decided can be decided again."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.clients import client, decision
from tests.attacks.upstreams import upstream
from tests.commands import bascule
from tests.serving import ALLOW_READS_AND_NOTES, Folder, serving

OTHER_POLICY = 'package bascule.call\n\nallow contains "anything" if input.tool.name != ""\n'


@pytest.fixture
async def folder(tmp_path: Path) -> Folder:
    """A gateway that allowed one call, refused another, and stopped."""
    async with upstream() as reached:
        made = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}})
        async with serving(made) as served, client(served.url("kept")) as talking:
            await talking.call("write_note", {"path": "notes/a.md", "text": "x"})
            result = await talking.call("write_note", {"path": "private/a.md", "text": "x"})
            assert decision(result)["code"] == "POLICY_DENIED"
    return made


TAMPERINGS = {
    "a record changed by a byte": (
        "UPDATE leaves SET record = CAST(replace(CAST(record AS TEXT), 'call.intent', 'call.intenu') AS BLOB)",
        "leaf",
    ),
    "a record deleted": ("DELETE FROM leaves WHERE idx = (SELECT max(idx) - 2 FROM leaves)", "leaf"),
    "two records in another order": (
        "UPDATE leaves SET record = CASE idx WHEN 3 THEN (SELECT record FROM leaves WHERE idx = 4) "
        "ELSE (SELECT record FROM leaves WHERE idx = 3) END WHERE idx IN (3, 4)",
        "leaf 3",
    ),
    "the head signed by nobody": ("UPDATE heads SET note = replace(note, char(10) || char(8212), 'x')", "head"),
    "a run that never ended": ("UPDATE runs SET ending = 'failed' WHERE ending = 'done'", "run"),
    "a refusal taken away": ("DELETE FROM runs WHERE ending = 'refused'", "run"),
    "a sealed payload changed": ("UPDATE payloads SET sealed = zeroblob(length(sealed))", "payload"),
    "a policy changed under its digest": ("UPDATE bundles SET content = zeroblob(length(content))", "bundle"),
}


@pytest.mark.promise("log-needs-no-trust")
@pytest.mark.parametrize("name", TAMPERINGS)
async def test_every_tampering_with_the_file_is_found_and_named(folder: Folder, tmp_path: Path, name: str) -> None:
    statement, named = TAMPERINGS[name]
    copy = tmp_path / "copy.db"
    shutil.copy(folder.state / "bascule.db", copy)
    connection = sqlite3.connect(copy)
    for trigger in ("leaves_stay", "leaves_same"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(statement)
    connection.commit()
    assert connection.total_changes > 0
    connection.close()
    ended = await bascule(folder, "audit", "verify", "--database", str(copy), "--json")
    report = ended.told
    assert ended.code == 6
    assert report["intact"] is False
    assert any(finding["where"].startswith(named) for finding in report["findings"]), report["findings"]


@pytest.mark.promise("log-needs-no-trust")
async def test_an_untouched_log_is_intact_and_each_record_can_be_proved(folder: Folder) -> None:
    verified = await bascule(folder, "audit", "verify", "--json")
    assert (verified.code, verified.told["findings"]) == (0, [])
    proved = await bascule(folder, "audit", "prove", "0", "--json")
    assert proved.code == 0
    assert proved.told["proof"].startswith("c2sp.org/tlog-proof@v1\n")


@pytest.mark.promise("log-needs-no-trust")
async def test_a_log_cut_short_is_told_by_a_head_that_was_kept_elsewhere(folder: Folder, tmp_path: Path) -> None:
    before = tmp_path / "before.db"
    shutil.copy(folder.state / "bascule.db", before)
    async with upstream() as reached:
        folder.upstreams = {"kept": {"url": reached.url}}
        async with serving(folder) as served, client(served.url("kept")) as talking:
            await talking.call("write_note", {"path": "notes/b.md", "text": "x"})
    (head,) = (
        sqlite3.connect(folder.state / "bascule.db")
        .execute("SELECT note FROM heads ORDER BY size DESC LIMIT 1")
        .fetchone()
    )
    kept = tmp_path / "head.txt"
    kept.write_text(head)
    words = ("audit", "verify", "--head", str(kept))
    assert (await bascule(folder, *words)).code == 0
    cut = await bascule(folder, *words, "--database", str(before))
    assert cut.code == 6, cut.out


@pytest.mark.promise("decided-again")
async def test_a_decision_is_made_again_from_its_record_with_the_policy_as_it_was(folder: Folder) -> None:
    folder.policy = OTHER_POLICY
    async with upstream() as reached:
        folder.upstreams = {"kept": {"url": reached.url}}
        async with serving(folder) as served, client(served.url("kept")) as talking:
            swapped = await talking.call("write_note", {"path": "private/a.md", "text": "x"})
            assert decision(swapped)["effect"] == "allow"
            tail = await bascule(folder, "audit", "tail", "-n", "100", "--json")
            records: list[dict[str, Any]] = tail.told["records"]
            (refused,) = [one["index"] for one in records if one["leaf"]["kind"] == "call.refused"
                          and one["leaf"]["code"] == "POLICY_DENIED"]  # fmt: skip
            evaluated = await bascule(folder, "policy", "eval", "--record", str(refused))
    again = evaluated.told
    assert evaluated.code == 0
    assert again["same"] is True
    assert again["again"]["effect"] == "deny"
    assert folder.policy != ALLOW_READS_AND_NOTES
