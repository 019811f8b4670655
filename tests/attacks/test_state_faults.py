"""The state folder fails or lies: nothing runs that cannot be recorded, and nothing is built on a log that is wrong."""

import os
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.audit import keys
from tests.attacks.clients import client, decision
from tests.attacks.upstreams import Upstream, upstream
from tests.commands import bascule, refused_start
from tests.serving import Folder, Served, serving

DATABASE = "bascule.db"


@pytest.fixture
async def reached() -> AsyncIterator[Upstream]:
    async with upstream() as kept:
        yield kept


@pytest.fixture
def folder(reached: Upstream, tmp_path: Path) -> Folder:
    return Folder(tmp_path / "gateway", {"kept": {"url": reached.url}})


@contextmanager
def full_disk(served: Served) -> Iterator[None]:
    """No file of the gateway's takes another byte: what a full disk is to it, for root as for any user."""
    pid = served.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def ready(served: Served) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{served.base}/readyz") as response:
        return response.status


@pytest.mark.promise("fail-closed", "fault.full-disk")
async def test_while_the_disk_is_full_nothing_runs_and_afterwards_it_serves_again(
    folder: Folder, reached: Upstream
) -> None:
    async with serving(folder) as served, client(served.url("kept")) as talking:
        assert decision(await talking.call("write_note", {"path": "notes/a", "text": "before"}))["effect"] == "allow"
        with full_disk(served):
            for path in ("notes/b", "private/b", "notes/c"):
                result = await talking.call("write_note", {"path": path, "text": "while-full"})
                assert result["isError"] is True
                assert decision(result)["code"] == "LOG_UNAVAILABLE"
            assert await ready(served) == 503
            assert [effect["arguments"]["text"] for effect in reached.effects] == ["before"]
            assert b"while-full" not in b"".join(reached.bodies)
        result = await talking.call("write_note", {"path": "notes/d", "text": "after"})
        while decision(result).get("code") == "LOG_UNAVAILABLE":  # until its next attempt, at most seconds away
            result = await talking.call("write_note", {"path": "notes/d", "text": "after"})
        assert decision(result)["effect"] == "allow"
        assert await ready(served) == 200
    verified = await bascule(folder, "audit", "verify", "--json")
    assert (verified.code, verified.told["findings"]) == (0, [])


@pytest.mark.promise("every-ending-is-recorded", "fault.full-disk")
async def test_a_result_whose_ending_cannot_be_recorded_is_not_told(folder: Folder, reached: Upstream) -> None:
    async def answers(kept: Upstream, message: dict[str, object]) -> dict[str, object]:
        disk.enter_context(full_disk(served))
        return {"result": {"content": [{"type": "text", "text": "marker-of-the-result"}], "resultType": "complete"}}

    async with serving(folder) as served, client(served.url("kept")) as talking:
        with ExitStack() as disk:
            reached.call = answers
            result = await talking.call("write_note", {"path": "notes/a", "text": "x"})
        assert decision(result)["code"] == "OUTCOME_UNKNOWN"
        assert "marker-of-the-result" not in str(result)
    # Settled once the disk took records again, or by the next start where the gateway had stopped before that.
    async with serving(folder):
        listed = await bascule(folder, "runs", "list", "--unfinished", "--json")
    (run,) = listed.told["runs"]
    assert (run["run"], run["state"], run["ending"]) == (decision(result)["run"], "frozen", "unknown")


@pytest.mark.promise("fault.second-owner")
async def test_a_second_owner_is_refused_and_told_who_the_first_is(folder: Folder) -> None:
    async with serving(folder) as served:
        second = await refused_start(folder)
        assert second.code == 2
        assert f"belongs to the running process {served.process.pid}" in second.err
        assert await ready(served) == 200


NO_WRITES = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
AS_ANYONE = ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else ()
"""Permissions bind root too, once it has not the capability to pass over them."""


@pytest.mark.promise("fail-closed", "fault.read-only")
async def test_a_state_folder_that_takes_no_files_refuses_the_start(folder: Folder) -> None:
    folder.write()
    folder.state.chmod(0o500)
    refused = await refused_start(folder, *AS_ANYONE)
    folder.state.chmod(0o700)
    assert refused.code == 2
    assert f"state folder {folder.state} cannot be written: Permission denied" in refused.err


@pytest.mark.promise("fail-closed", "fault.read-only")
async def test_a_state_folder_whose_files_take_no_bytes_refuses_the_start(folder: Folder) -> None:
    folder.write()
    refused = await refused_start(folder, *NO_WRITES)
    assert refused.code == 2
    assert str(folder.state) in refused.err


@pytest.mark.promise("fail-closed", "fault.read-only")
async def test_a_database_that_cannot_be_written_refuses_the_start(folder: Folder) -> None:
    folder.write()
    (folder.state / DATABASE).mkdir()
    refused = await refused_start(folder)
    assert refused.code == 1
    assert DATABASE in refused.err


CONTRADICTIONS = {
    "the newest record is gone": "DELETE FROM leaves WHERE idx = (SELECT max(idx) FROM leaves)",
    "the tree is another": "UPDATE tree SET root = zeroblob(32)",
    "the head was signed by nobody": "UPDATE heads SET note = replace(note, substr(note, -20, 10), 'AAAAAAAAAA')",
}


@pytest.mark.promise("fault.contradiction")
async def test_a_log_whose_head_contradicts_it_refuses_the_start(folder: Folder) -> None:
    async with serving(folder):
        pass
    sound = (folder.state / DATABASE).read_bytes()
    for what, statement in CONTRADICTIONS.items():
        (folder.state / DATABASE).write_bytes(sound)
        connection = sqlite3.connect(folder.state / DATABASE)
        connection.execute("DROP TRIGGER leaves_stay")
        assert connection.execute(statement).rowcount > 0
        connection.commit()
        connection.close()
        refused = await refused_start(folder)
        assert (refused.code, refused.err.count("\n")) == (6, 1), (what, refused)
    for damaged in (b"no database" * 1000, sound[: len(sound) // 2]):
        (folder.state / DATABASE).write_bytes(damaged)
        refused = await refused_start(folder)
        assert (refused.code, refused.err.count("\n")) == (6, 1), refused


@pytest.mark.promise("fault.contradiction")
async def test_a_log_that_another_key_signed_refuses_the_start(folder: Folder) -> None:
    async with serving(folder):
        pass
    (folder.state / keys.SIGNING).unlink()
    other = folder.path / "other"
    other.mkdir(mode=0o700)
    keys.create(other, "tests.example/bascule")
    for name in os.listdir(other):
        (other / name).replace(folder.state / name)
    refused = await refused_start(folder)
    assert refused.code == 6, refused
