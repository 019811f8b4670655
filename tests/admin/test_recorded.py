"""Which records of the log are one run's, one task's, or of a span of time, and what each says that was decided."""

import sqlite3

import pytest

from gateway import admin
from gateway.admin import recorded
from gateway.admin.opening import Opener
from gateway.audit import keys
from gateway.errors import ConfigError
from gateway.model import Effect, JsonObject, Obligation
from tests import nouns
from tests.path import DataPath

WHO = "os:tester"
TASK = "principal:agent"


def opener(path: DataPath) -> Opener:
    return Opener(path.gw.archive.reader, keys.sealing_key(path.gw.archive.settings.state))


def found(path: DataPath, kind: str) -> tuple[int, JsonObject]:
    """The first record of this kind."""
    return next((index, leaf) for index, leaf in enumerate(path.leaves()) if leaf["kind"] == kind)


async def test_the_records_of_a_run_are_its_own_and_in_order(path: DataPath) -> None:
    await path.write()
    await path.write("private/a.md")
    await path.write("notes/b.md")
    reader = path.gw.archive.reader
    for run in recorded.runs_of(TASK, reader):
        kinds = [leaf["kind"] for _, leaf in recorded.of_run(run, reader)]
        assert kinds == (["call.refused"] if run.ending == "refused" else ["call.intent", "call.settled"])
        assert {leaf["run"] for _, leaf in recorded.of_run(run, reader)} == {run.run}


async def test_a_run_that_only_names_another_is_not_that_one(path: DataPath) -> None:
    await path.write()
    reader = path.gw.archive.reader
    intent, leaf = found(path, "call.intent")
    row = recorded.run_named(leaf["run"], reader)
    with sqlite3.connect(path.database.path) as connection:
        connection.execute("DROP TRIGGER leaves_same")
        connection.execute(
            "UPDATE leaves SET record = CAST(replace(CAST(record AS TEXT), '\"run\":', '\"within\":') AS BLOB)"
            " WHERE idx = ?",
            (row.settled,),
        )
    assert [index for index, _ in recorded.of_run(row, reader)] == [intent]


async def test_the_runs_of_a_task_come_oldest_first_over_every_page(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "PAGE", 2)
    for number in range(5):
        await path.write(f"notes/{number}.md")
    reader = path.gw.archive.reader
    rows = recorded.runs_of(TASK, reader)
    assert [row.run for row in rows] == [leaf["run"] for leaf in path.leaves("call.intent")]
    monkeypatch.setattr(recorded, "MOST_RUNS", 4)
    assert recorded.runs_of(TASK, reader) == rows[1:]
    with pytest.raises(ConfigError, match="there is no task other: see `bascule tasks list`"):
        recorded.runs_of("other", reader)


async def test_past_decisions_come_newest_first_back_to_a_moment(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "PAGE", 2)
    await admin.policy_reload(path.gw, operator=WHO)
    await path.write()
    await path.call(arguments={"path": 7})
    await path.write("private/a.md")
    reader = path.gw.archive.reader
    assert [leaf["kind"] for _, leaf in recorded.past(reader, 0)] == ["call.refused", "call.settled", "call.intent"]
    newest = recorded.runs_of(TASK, reader)[-1].opened
    assert [leaf["kind"] for _, leaf in recorded.past(reader, newest)] == ["call.refused"]
    assert list(recorded.past(reader, newest + 1)) == []


async def test_what_was_recorded_is_said_as_what_is_decided_now_is(path: DataPath) -> None:
    path.use('package bascule.call\n\nallow contains "x"\n\nobligations contains {"type": "timeout", "seconds": 7}\n')
    await path.write()
    one = recorded.decision(*found(path, "call.intent"), opener(path))
    decided = nouns.decision(reasons=("x",), obligations=(Obligation("timeout", {"seconds": 7}),))
    assert one is not None
    assert one.said == recorded.told(decided)
    assert one.said["obligations"] == [{"type": "timeout", "seconds": 7}]
    assert one.input is not None


async def test_demands_belong_to_what_waits_for_people() -> None:
    assert recorded.told(nouns.decision())["demands"] is None
    assert recorded.told(nouns.decision(Effect.REQUIRE_APPROVAL))["demands"] == []


async def test_what_is_not_kept_is_not_made_up(path: DataPath) -> None:
    await path.write("private/a.md")
    index, leaf = found(path, "call.refused")
    with sqlite3.connect(path.database.path) as connection:
        connection.execute("DELETE FROM payloads")
    one = recorded.decision(index, leaf, opener(path))
    assert one is not None
    assert (one.input, one.said["effect"], one.said["reasons"]) == (None, "deny", None)
    assert recorded.decision(0, {"kind": "log.boot"}, opener(path)) is None
