"""Operator actions on policies."""

import pytest

from gateway import admin
from gateway.errors import ConfigError
from tests.path import POLICY, DataPath

WHO = "os:tester"


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
