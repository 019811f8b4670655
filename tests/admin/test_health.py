"""What the doctor says."""

from gateway import admin
from gateway.model import JsonObject
from gateway.settings import UpstreamSettings
from tests.path import DataPath

WHO = "os:tester"


STDIO = UpstreamSettings.model_validate({"command": "npx", "args": ["-y", "p"]})


def with_upstream(path: DataPath, settings: UpstreamSettings) -> None:
    path.gw.settings = path.gw.settings.model_copy(update={"upstreams": {"notes": settings}})


async def told(path: DataPath) -> dict[str, JsonObject]:
    return {line["name"]: line for line in (await admin.doctor(path.gw, operator=WHO))["lines"]}


async def test_doctor_tells_each_line_and_fails_where_the_log_cannot_commit(path: DataPath) -> None:
    doctor = await admin.doctor(path.gw, operator=WHO)
    names = [line["name"] for line in doctor["lines"]]
    assert names[:4] == ["log", "refusal", "policy", "separation"]
    assert names[-1] == "upstream notes"
    assert doctor["sound"] is True
    await path.gw.log.close()
    doctor = await admin.doctor(path.gw, operator=WHO)
    assert doctor["sound"] is False
    assert doctor["lines"][0]["fix"] == "the log is closed"


async def test_a_missing_sandbox_fails_only_where_a_server_needs_one(path: DataPath) -> None:
    assert (await told(path))["bubblewrap"]["state"] == "warn"
    with_upstream(path, STDIO)
    lines = await told(path)
    assert lines["bubblewrap"]["state"] == "fail"
    assert lines["bubblewrap"]["fix"] == "apt-get install bubblewrap"
    assert (await admin.doctor(path.gw, operator=WHO))["sound"] is False


async def test_a_server_that_nothing_confines_is_said_loudly(path: DataPath) -> None:
    with_upstream(path, STDIO.model_copy(update={"sandbox": "none"}))
    lines = await told(path)
    assert lines["bubblewrap"]["state"] == "warn"
    assert "NOT CONFINED" in lines["sandbox of notes"]["evidence"]


async def test_a_pin_that_is_damaged_fails_with_its_mending(path: DataPath) -> None:
    with_upstream(path, STDIO)
    folder = path.gw.settings.state / "packages" / "notes"
    folder.mkdir(parents=True)
    (folder / "pinned.json").write_text("{")
    line = (await told(path))["package of notes"]
    assert (line["state"], line["fix"]) == ("fail", "bascule upstream accept notes --newest")
