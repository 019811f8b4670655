"""The story of docs/approvals.md, with real programs: asked, killed, started again, granted by a person, done once."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from gateway.audit import keys
from gateway.audit.verify import verify
from gateway.storage.sqlite import SqliteReader
from tests.agreeing import APPROVE, POLICY
from tests.attacks.upstreams import upstream
from tests.serving import PATIENCE, ROOT, TOKEN, Folder, Served, process, serving

PASSPHRASE = "correct horse battery"
ARGUMENTS = {"path": "notes/a.md", "text": "hello"}


async def at_a_terminal(*arguments: str, answers: list[tuple[str, str]], home: Path) -> str:
    """What a command says to a person at a terminal, who answers each prompt once it stands there."""
    line = " ".join(f"'{word}'" for word in (sys.executable, "-m", "gateway", *arguments))
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "TERM": "dumb"}
    pipe = asyncio.subprocess.PIPE
    command = ("script", "--quiet", "--return", "--command", line, "/dev/null")
    async with process(command, stdin=pipe, stdout=pipe, env=environment, cwd=ROOT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        said = ""
        async with asyncio.timeout(PATIENCE):
            for prompt, answer in answers:
                while prompt not in said:
                    block = await child.stdout.read(4096)
                    assert block, said
                    said += block.decode()
                child.stdin.write(f"{answer}\n".encode())
            said += (await child.stdout.read()).decode()
            assert await child.wait() == 0, said
    return said


async def called(served: Served) -> Any:
    """One call by the client of the SDK."""
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE) as http,
        Client(streamable_http_client(served.url("kept"), http_client=http)) as client,
    ):
        return await client.call_tool("write_note", ARGUMENTS)


@pytest.mark.slow
@pytest.mark.promise("approval.survives", "approval.exact")
async def test_a_call_waits_through_a_kill_is_granted_by_a_signature_and_happens_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    twice = [("passphrase of", PASSPHRASE), ("same again", PASSPHRASE)]
    enrolled = await at_a_terminal("approvals", "enroll", "ann", "--role", "ops", answers=twice, home=home)
    approver = re.search(r'"ann": (\{.*\})', enrolled)
    assert approver is not None
    async with upstream() as reached:
        folder = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}}, POLICY)
        folder.more = f"approvers: {{ann: {approver[1]}}}\n"
        folder.write()
        (folder.path / "policies" / "approve.rego").write_text(APPROVE)
        config = ("-c", str(folder.config))

        async with serving(folder) as served:
            holding = asyncio.ensure_future(called(served))
            waiting = await until_it_waits(config, home)
            await served.kill()
            with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever a client makes of a lost connection
                await holding

        async with serving(folder) as served:
            assert (await until_it_waits(config, home)) == waiting
            said = await at_a_terminal(
                "approvals", "grant", waiting, "--as", "ann", "--yes", *config,
                answers=[("Passphrase of", PASSPHRASE)], home=home,
            )  # fmt: skip
            assert "notes/a.md" in said
            assert reached.effects == []
            result = await called(served)
            assert not result.is_error
            assert [effect["arguments"] for effect in reached.effects] == [ARGUMENTS]

    reader = SqliteReader(folder.state / "bascule.db")
    told = [orjson.loads(record) for _, _, record in reader.leaves(0, reader.count())]
    (run,) = {leaf["run"] for leaf in told if leaf["kind"] == "approval.requested"}
    story = [leaf["kind"] for leaf in told if leaf.get("run") == run]
    assert story == ["approval.requested", "approval.granted", "call.intent", "call.settled"]
    report = verify(reader, keys.public_key(folder.state), sealing=keys.sealing_key(folder.state))
    assert report.findings == ()
    reader.close()


async def until_it_waits(config: tuple[str, str], home: Path) -> str:
    """The id of the one request, once a person can see it."""
    for _ in range(int(PATIENCE)):
        listed = await at_a_terminal("approvals", "list", "--json", *config, answers=[], home=home)
        if found := re.search(r'"approval": "([0-9a-f-]{36})"', listed):
            return found[1]
    raise AssertionError("nothing waits")
