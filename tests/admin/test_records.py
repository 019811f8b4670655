"""Operator actions on the log."""

import pytest

from gateway import admin
from gateway.errors import ConfigError
from tests.path import DataPath

WHO = "os:tester"


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
