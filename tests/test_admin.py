"""Operator actions: each does what it says, is recorded under who asked, and the command line asks for no other."""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

from gateway import admin
from gateway.errors import ConfigError, Failed
from gateway.model import Code, JsonObject
from gateway.registry import Terms, lockfile
from tests import nouns
from tests.path import POLICY, READ_NOTE, DataPath, data_path

CLI = Path(__file__).resolve().parent.parent / "gateway" / "cli"
WHO = "os:tester"
DESCRIBED = READ_NOTE | {"description": "Reads a note, and now says so."}


def asked() -> dict[str, set[str]]:
    """Every action that a command asks for, with what it gives."""
    found: dict[str, set[str]] = {}
    for file in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in {"run_admin", "without_state"} and isinstance(node.args[0], ast.Constant):
                given = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
                found[str(node.args[0].value)] = given
    return found


@pytest.mark.promise("operators.one-door")
def test_the_command_line_asks_for_every_action_and_for_no_other() -> None:
    actions = {action.__name__: action for action in (*admin.ACTIONS, *admin.ON_ARCHIVE)}
    assert asked().keys() == actions.keys()
    for name, given in asked().items():
        taken = inspect.signature(actions[name]).parameters
        assert given <= taken.keys(), name
        assert taken["operator"].default is inspect.Parameter.empty, f"{name} does not want to know who asks"


async def test_upstreams_are_listed_with_the_states_of_their_tools(path: DataPath) -> None:
    listed = await admin.upstream_list(path.gw, operator=WHO)
    (notes,) = listed["upstreams"]
    assert notes["tools"] == {"accepted": 2}
    assert (notes["name"], notes["mode"], notes["trust"], notes["url"]) == (
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
    path.executor.listed = [nouns.WRITE_NOTE, DESCRIBED]
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
    path.executor.listed = [nouns.WRITE_NOTE, DESCRIBED]
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


@pytest.mark.promise("policy.reload")
async def test_a_reloaded_policy_decides_and_the_swap_is_recorded_with_its_bytes(path: DataPath) -> None:
    before = path.gw.pdp.bundle.digest
    file = path.database.path.parent / "policies" / "tests.rego"
    file.write_text(POLICY.replace('"notes/"', '"kept/"'))
    swapped = await admin.policy_reload(path.gw, operator=WHO)
    assert (swapped["was"], swapped["bundle"]) == (before, path.gw.pdp.bundle.digest)
    assert swapped["bundle"] != before
    (record,) = path.leaves("policy.swapped")
    assert (record["bundle"], record["was"], record["sealed"]["operator"]) == (swapped["bundle"], before, WHO)
    assert path.gw.archive.reader.bundle(swapped["bundle"]) == path.gw.pdp.bundle.content
    refused = (await path.write()).result
    assert refused is not None
    assert refused["isError"] is True


@pytest.mark.promise("policy.reload")
async def test_a_policy_that_does_not_load_or_cannot_be_recorded_leaves_the_old_one_in_force(path: DataPath) -> None:
    before = path.gw.pdp
    file = path.database.path.parent / "policies" / "tests.rego"
    file.write_text("package bascule.call\n\nallow contains")
    with pytest.raises(ConfigError, match=r"tests\.rego:3"):
        await admin.policy_reload(path.gw, operator=WHO)
    file.write_text(POLICY.replace('"notes/"', '"kept/"'))
    await path.gw.log.close()
    with pytest.raises(Exception, match="cannot commit"):
        await admin.policy_reload(path.gw, operator=WHO)
    assert path.gw.pdp is before
    assert path.leaves("policy.swapped") == []


@pytest.mark.promise("decided-again")
async def test_a_record_is_found_by_index_id_and_run_and_decided_again(path: DataPath) -> None:
    await admin.policy_reload(path.gw, operator=WHO)
    await path.write("private/a.md")
    leaf = path.leaves("call.refused")[0]
    archive = path.gw.archive
    (shown,) = (await admin.audit_show(archive, operator=WHO, record=leaf["run"]))["records"]
    assert shown["sealed"]["args"] == {"path": "private/a.md", "text": "hello"}
    for name in (str(shown["index"]), leaf["id"], leaf["decision"]["id"]):
        again = await admin.policy_eval(path.gw, operator=WHO, record=name)
        assert (again["index"], again["same"], again["again"]["effect"]) == (shown["index"], True, "deny")
    now = await admin.policy_eval(path.gw, operator=WHO, input=shown["sealed"]["input"])
    assert now["now"]["effect"] == "deny"
    for wrong in ("99999", "9" * 36, "no-such-record", "x" * 36):
        with pytest.raises(ConfigError, match="there is no record"):
            await admin.audit_show(archive, operator=WHO, record=wrong)
    with pytest.raises(ConfigError, match="this record holds no decision"):
        await admin.policy_eval(path.gw, operator=WHO, record="0")


async def test_the_log_is_shown_verified_and_proved(path: DataPath) -> None:
    await admin.policy_reload(path.gw, operator=WHO)
    await path.write()
    await path.gw.log.head()
    archive = path.gw.archive
    tail = await admin.audit_tail(archive, operator=WHO, count=2)
    assert [one["leaf"]["kind"] for one in tail["records"]] == ["call.intent", "call.settled"]
    assert tail["size"] == path.gw.archive.reader.count()
    verified = await admin.audit_verify(archive, operator=WHO)
    assert (verified["intact"], verified["findings"], verified["public_key"]) == (True, [], archive.vkey)
    proved = await admin.audit_prove(archive, operator=WHO, index=0)
    assert proved["proof"].startswith("c2sp.org/tlog-proof@v1\n")
    with pytest.raises(ConfigError, match="there is no record 4711"):
        await admin.audit_prove(archive, operator=WHO, index=4711)
    (run,) = (await admin.runs_list(archive, operator=WHO))["runs"]
    assert (run["tool"], run["state"], run["ending"]) == ("write_note", "ended", "done")
    assert (await admin.runs_list(archive, operator=WHO, unfinished=True))["runs"] == []


async def test_doctor_tells_each_line_and_fails_where_the_log_cannot_commit(path: DataPath) -> None:
    doctor = await admin.doctor(path.gw, operator=WHO)
    assert [line["name"] for line in doctor["lines"]] == ["log", "refusal", "policy", "separation", "upstream notes"]
    assert doctor["sound"] is True
    await path.gw.log.close()
    doctor = await admin.doctor(path.gw, operator=WHO)
    assert doctor["sound"] is False
    assert doctor["lines"][0]["fix"] == "the log is closed"
