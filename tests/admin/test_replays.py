"""Decisions made again from the records alone: the same under the recorded bundle, named where another differs."""

import gc
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import admin, approving
from gateway.admin.brakes import brake_set
from gateway.errors import ConfigError, Refused, Unreadable
from gateway.model import JsonObject, Manifest, Mode, TypeSpec
from gateway.registry import Terms
from gateway.registry.manifests import Manifests
from tests.agreeing import APPROVE, OPERATOR, Person, enroll, waiting
from tests.path import READS, DataPath, data_path

ALICE = Person.enrolled("alice")
TASK = "principal:agent"
ASKS = """package bascule.call

allow contains "reads" if input.tool.name == "read_note"

allow contains "notes" if startswith(input.args.path, "notes/")

require_approval contains {"reason": "a person should see it", "from": ["ops"]} if startswith(input.args.path, "sent/")

obligations contains {"type": "timeout", "seconds": 7} if input.tool.name == "read_note"
"""
RESULT = 'package bascule.result\n\ndeny contains "too large" if input.result.size > 1000\n'


@pytest.fixture
async def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DataPath]:
    gc.collect()  # engines that other tests left: a collection beside the loop would drop them in the wrong thread
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    (tmp_path / "policies" / "result.rego").write_text(RESULT)
    async with data_path(tmp_path, ASKS) as made:
        enroll(made.gw, ALICE)
        await admin.policy_reload(made.gw, operator=OPERATOR)
        yield made


async def worked(path: DataPath) -> None:
    """Allowed, denied, refused before any policy was asked, and agreed to by a person."""
    await path.write()
    await path.call("read_note", arguments={"path": "notes/a.md"})
    await path.write("private/a.md")
    await path.call(arguments={"path": 7})
    await path.write("sent/a.md")
    await ALICE.answers(path.gw, await waiting(path.gw))
    await path.write("sent/a.md")


def other(path: DataPath, policy: str, name: str = "tests.rego") -> str:
    """A folder beside the one in force, with one file of it changed."""
    folder = path.database.path.parent / "others"
    folder.mkdir(exist_ok=True)
    for file in (path.database.path.parent / "policies").glob("*.rego"):
        (folder / file.name).write_text(file.read_text())
    (folder / name).write_text(policy)
    return str(folder)


async def replayed(path: DataPath, against: str | None = None) -> JsonObject:
    return await admin.tasks_replay(path.gw.archive, operator=OPERATOR, task=TASK, against=against)


def verdicts(found: JsonObject) -> JsonObject:
    return {verdict: found[verdict] for verdict in ("changed", "undecided", "equal")}


@pytest.mark.promise("decided-again", "replay")
async def test_under_the_recorded_bundles_nothing_differs_even_when_they_were_swapped_since(path: DataPath) -> None:
    await worked(path)
    path.use("package bascule.call\n")
    await admin.policy_reload(path.gw, operator=OPERATOR)
    await path.write()
    found = await replayed(path)
    assert verdicts(found) == {"changed": 0, "undecided": 0, "equal": 10}
    assert found["without"] == 1  # what is no proposal by its schema, no policy was asked about
    assert found["against"] is None
    assert [step["step"] for step in found["steps"]] == list(range(1, 11))
    points = [(step["record"], step["point"], step["now"]["effect"]) for step in found["steps"]]
    assert points[-5:] == [
        ("approval.requested", "call", "require_approval"),
        ("approval.granted", "approve", "allow"),
        ("call.intent", "call", "require_approval"),
        ("call.settled", "result", "allow"),
        ("call.refused", "call", "deny"),
    ]
    assert len({step["bundle"] for step in found["steps"]}) == 2
    assert {step["tool"] for step in found["steps"]} == {"write_note", "read_note"}


@pytest.mark.promise("replay")
async def test_replay_reaches_no_upstream_and_writes_nothing(path: DataPath) -> None:
    await worked(path)
    reached, before = len(path.executor.calls), path.gw.archive.reader.count()
    swapped = other(path, "package bascule.call\n")
    for against in (None, swapped):
        await replayed(path, against)
        await admin.runs_replay(
            path.gw.archive, operator=OPERATOR, run=path.leaves("call.intent")[0]["run"], against=against
        )
    await admin.policy_replay(path.gw.archive, operator=OPERATOR, against=swapped)
    assert (len(path.executor.calls), path.gw.archive.reader.count()) == (reached, before)
    assert path.gw.archive.reader.bundle((await replayed(path, swapped))["against"]) is None


CHANGES = {
    "an effect": (ASKS.replace('"notes/"', '"kept/"'), {("call.intent", "write_note"), ("call.intent", "read_note")}),
    "a reason": (ASKS.replace('"reads"', '"may read"'), {("call.intent", "read_note")}),
    "an obligation": (ASKS.replace('seconds": 7', 'seconds": 8'), {("call.intent", "read_note")}),
    "a demand": (
        ASKS.replace('"from": ["ops"]', '"from": ["ops"], "quorum": 2'),
        {("approval.requested", "write_note"), ("call.intent", "write_note")},
    ),
}


@pytest.mark.promise("replay")
@pytest.mark.parametrize("what", CHANGES)
async def test_another_policy_names_exactly_what_changes_first(path: DataPath, what: str) -> None:
    policy, expected = CHANGES[what]
    await worked(path)
    found = await replayed(path, other(path, policy))
    changed = [step for step in found["steps"] if step["verdict"] == "changed"]
    assert {(step["record"], step["tool"]) for step in changed} == expected
    assert found["steps"][: len(changed)] == changed
    assert found["changed"] == len(changed) > 0
    assert found["equal"] == found["decisions"] - len(changed)


async def test_a_changed_step_says_what_was_and_what_is(path: DataPath) -> None:
    await path.write()
    found = await replayed(path, other(path, ASKS.replace('"notes/"', '"kept/"')))
    step = found["steps"][0]
    nothing: JsonObject = {"obligations": [], "demands": None}
    assert step["recorded"] == {"effect": "allow", "code": None, "reasons": ["notes"], **nothing}
    assert step["now"] == {"effect": "deny", "code": "NO_RULE", "reasons": step["now"]["reasons"], **nothing}
    assert step["changed"] == ["effect", "code", "reasons"]
    assert {"point": "call", "rule": "notes", "recorded": 1, "now": 0} in found["rules"]


async def test_a_change_at_result_is_found_there(path: DataPath) -> None:
    await path.write()
    found = await replayed(path, other(path, RESULT.replace("1000", "10"), "result.rego"))
    (step,) = [one for one in found["steps"] if one["verdict"] == "changed"]
    assert (step["point"], step["now"]["effect"], step["now"]["code"]) == ("result", "deny", "RESULT_WITHHELD")


async def test_who_was_not_let_to_approve_is_decided_again_too(path: DataPath) -> None:
    other_role = Person.enrolled("bob", "dev")
    enroll(path.gw, other_role)
    await path.write("sent/a.md")
    with pytest.raises(Refused):
        await other_role.answers(path.gw, await waiting(path.gw))
    found = await replayed(path)
    assert (found["steps"][1]["record"], found["steps"][1]["now"]["code"]) == ("approval.refused", "NO_RULE")
    assert found["changed"] == 0
    found = await replayed(path, other(path, 'package bascule.approve\n\nallow contains "all"\n', "approve.rego"))
    assert [(one["point"], one["now"]["effect"]) for one in found["steps"] if one["changed"]] == [("approve", "allow")]


async def test_one_run_is_replayed_by_itself(path: DataPath) -> None:
    await worked(path)
    (asked,) = path.leaves("approval.requested")
    found = await admin.runs_replay(path.gw.archive, operator=OPERATOR, run=asked["run"])
    assert [step["record"] for step in found["steps"]] == [
        "approval.requested", "approval.granted", "call.intent", "call.settled",
    ]  # fmt: skip
    assert (found["run"], found["changed"], found["without"]) == (asked["run"], 0, 0)


async def test_what_a_brake_asks_is_no_difference_of_the_policy(path: DataPath) -> None:
    await brake_set(path.gw, operator=OPERATOR, subject="everything", level="ask")
    await path.write()
    found = await replayed(path)
    assert [step["now"]["effect"] for step in found["steps"]] == ["require_approval"]
    assert verdicts(found) == {"changed": 0, "undecided": 0, "equal": 1}


async def test_what_shadow_noted_of_wrong_values_is_no_difference_of_the_policy(tmp_path: Path) -> None:
    async with data_path(tmp_path, ASKS, Terms(mode=Mode.SHADOW)) as path:
        typed = Manifest(effects=("write",), types={"/path": TypeSpec("email")})
        path.gw.registry.restate(
            {"notes": Terms(mode=Mode.SHADOW)}, Manifests({"notes": {"write_note": typed, "read_note": READS}})
        )
        await admin.policy_reload(path.gw, operator=OPERATOR)
        await path.write("notes/no-address")
        found = await replayed(path)
        assert found["steps"][0]["now"]["code"] == "SEMANTIC"
        assert found["changed"] == 0
        found = await replayed(path, other(path, ASKS.replace('"notes/"', '"kept/"')))
        assert found["steps"][0]["now"]["code"] == "NO_RULE"


async def test_past_decisions_are_counted_and_only_differences_told(path: DataPath) -> None:
    await worked(path)
    against = other(path, ASKS.replace('"reads"', '"may read"'))
    archive = path.gw.archive
    found = await admin.policy_replay(archive, operator=OPERATOR, against=against)
    assert (found["decisions"], found["changed"], len(found["steps"])) == (9, 1, 1)
    assert found["rules"][:2] == [
        {"point": "call", "rule": "may read", "recorded": 0, "now": 1},
        {"point": "call", "rule": "reads", "recorded": 1, "now": 0},
    ]
    assert (await admin.policy_replay(archive, operator=OPERATOR, against=against, limit=2))["decisions"] == 2
    late = await admin.policy_replay(archive, operator=OPERATOR, against=against, since="2199-01-01")
    assert late["decisions"] == 0


@pytest.mark.promise("replay")
async def test_what_is_erased_is_said_and_never_guessed(path: DataPath) -> None:
    await path.write()
    run = path.leaves("call.intent")[0]["run"]
    with sqlite3.connect(path.database.path) as connection:
        connection.execute("DELETE FROM payloads")
    found = await admin.runs_replay(path.gw.archive, operator=OPERATOR, run=run)
    assert verdicts(found) == {"changed": 0, "undecided": 2, "equal": 0}
    assert {(step["why"], step["now"]) for step in found["steps"]} == {("payload not kept", None)}
    assert [step["point"] for step in found["steps"]] == ["call", "result"]


async def test_a_bundle_that_is_gone_or_no_longer_itself_decides_nothing(path: DataPath) -> None:
    await path.write()
    with sqlite3.connect(path.database.path) as connection:
        connection.execute("UPDATE bundles SET digest = 'sha256:gone'")
    found = await replayed(path)
    assert [step["why"] for step in found["steps"]] == [f"the bundle {path.gw.pdp.bundle.digest} is not kept"] * 2
    path.use("package bascule.call\n")
    with sqlite3.connect(path.database.path) as connection:
        connection.execute(
            "UPDATE bundles SET digest = ?, content = ?",
            (path.leaves("call.intent")[0]["decision"]["bundle"], path.gw.pdp.bundle.content),
        )
    with pytest.raises(Unreadable, match="other bytes are stored as bundle"):
        await replayed(path)


async def test_a_policy_that_fails_refuses_as_it_would_refuse_the_call(path: DataPath) -> None:
    await path.write()
    found = await replayed(
        path, other(path, ASKS.replace('seconds": 7', 'second": 7').replace("read_note", "write_note"))
    )
    assert found["steps"][0]["now"]["code"] in {"POLICY_ENGINE", "OBLIGATION"}
    assert found["steps"][0]["changed"][:2] == ["effect", "code"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("package bascule.call\n\nallow contains", "tests.rego:3"),
        ('package bascule.call\n\nallow contains "x" if http.send({})\n', "answers differently each time"),
    ],
)
async def test_a_policy_that_could_not_be_put_in_force_is_not_tried(path: DataPath, policy: str, said: str) -> None:
    await path.write()
    with pytest.raises(ConfigError, match=said):
        await replayed(path, other(path, policy))


async def test_what_is_not_there_is_said(path: DataPath) -> None:
    for wrong in ("", "x"):
        with pytest.raises(ConfigError, match="there is no task"):
            await admin.tasks_replay(path.gw.archive, operator=OPERATOR, task=wrong)
        with pytest.raises(ConfigError, match="there is no run"):
            await admin.runs_replay(path.gw.archive, operator=OPERATOR, run=wrong)
