"""Secrets planted wherever an operator keeps them, for a run in which all fails that can: none of them comes out.

Looked through: the argument list and the environment of every process while it ran, what the gateway printed, what
commands printed, what clients were told, and every byte of the state folder.

By design, and so not counted as coming out:
- a server that was given a secret may return it in a result: it goes to the client that asked, and stands sealed
  (encrypted) in the log;
- what stands in `args` is in the argument list of that server's own process, for everybody to see (docs/sandbox.md),
  and `upstream list` shows it with the command;
- the environment of the gateway, and of a command that is told where the configuration is, is the operator's own;
- the environment and the memory of a server that was given the secret.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import MCPError

from gateway import config
from gateway.admin.records import DATABASE, audit_show, opened_log
from gateway.audit import keys
from gateway.parts import Archive
from tests.commands import bascule
from tests.executors.test_servers import real
from tests.onboarding.agents import agent, told
from tests.onboarding.echoing import echoing
from tests.sandbox.battery import open_up
from tests.serving import TOKEN, Folder, Served, serving

pytestmark = pytest.mark.slow
LEAKY = Path(__file__).with_name("leaky.py")
MARK = "canary-6e0b94d7"
FOUND = re.compile(rb"canary-6e0b94d7-[a-z]+")
POLICY = """
package bascule.call

allow contains "any but one" if input.tool.name != "refused"

deny contains "not this one" if input.tool.name == "refused"
"""


def canary(place: str) -> str:
    return f"{MARK}-{place}"


HELD = {canary("file"): "leaky.py ", canary("variable"): "leaky.py ", canary("dying"): "leaky.py dies "}
"""Whose environment a secret may stand in, by the end of its argument list."""


@dataclass(slots=True)
class Watcher:
    """What stood in the argument lists and environments of this machine's processes, canary by canary."""

    arguments: dict[str, set[str]] = field(default_factory=dict)
    environments: dict[str, set[str]] = field(default_factory=dict)
    looks: int = 0

    def look(self) -> None:
        self.looks += 1
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                self._note(self.arguments, command, command)
                self._note(self.environments, command, Path(f"/proc/{pid}/environ").read_bytes())

    def _note(self, found: dict[str, set[str]], command: bytes, text: bytes) -> None:
        for one in FOUND.findall(text):
            found.setdefault(one.decode(), set()).add(command.replace(b"\0", b" ").decode(errors="replace"))


@contextlib.contextmanager
def watched() -> Iterator[Watcher]:
    """Look again and again until the block ends."""
    watcher, over = Watcher(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            watcher.look()
            over.wait(0.02)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield watcher
    finally:
        over.set()
        watching.join()


def made(home: Path, remote: str, echo: str) -> Folder:
    """A gateway, and a secret at every place where one can be."""
    kept = home / "kept"
    kept.mkdir()
    for place in ("file", "header"):
        (kept / place).write_text(canary(place) + "\n")
    server = home / "server" / "leaky.py"
    server.parent.mkdir()
    server.write_bytes(LEAKY.read_bytes())
    command = {"command": "/usr/bin/python3", "args": [str(server)]}
    headers = {"X-Api-Key": {"_from": {"file": str(kept / "header")}}, "Authorization": "Bearer ${CANARY_STATIC}"}
    upstreams: dict[str, dict[str, Any]] = {
        "given": command
        | {"env": {"GIVEN_FILE": {"_from": {"file": str(kept / "file")}}, "GIVEN_VARIABLE": "${CANARY_VARIABLE}"}}
        | {"network": {"allow": ["127.0.0.1:9"]}},
        "other": command | {"args": [str(server), canary("argument")]},
        "dying": command | {"args": [str(server), "dies"], "env": {"GIVEN_DYING": "${CANARY_DYING}"}},
        "absent": {"command": "/usr/bin/python3", "args": [f"{server}.not"], "env": {"GIVEN_DYING": "${CANARY_DYING}"}},
        "remote": {"url": remote, "headers": headers},
        **{name: {"url": f"{echo}/{name}", "headers": headers} for name in ("401", "500", "rpc")},
    }
    upstreams = {f"r{name}" if name.isdigit() else name: one for name, one in upstreams.items()}
    names = ("variable", "static", "dying", "environment")
    return Folder(home / "gateway", upstreams, POLICY, environment={f"CANARY_{n.upper()}": canary(n) for n in names})


TRIES = [
    *(("given", tool) for tool in ("returns", "mumbles", "errs", "breaks", "refused", "nowhere", "dies", "mumbles")),
    *(("other", tool) for tool in ("mumbles", "errs", "refused", "dies")),
    *((name, "mumbles") for name in ("dying", "absent", "r401", "r500", "rpc")),
    ("remote", "fail"),
]


async def used(served: Served) -> tuple[dict[str, str], list[str]]:
    """The fingerprints of what the server was given, and everything that clients were told but for the results
    of a server that gives its own secrets away."""
    told_all = []
    for upstream, tool in TRIES:
        try:
            async with agent(served.base, upstream) as client:
                code, text = await told(client, tool, {"reason": "no"} if tool == "fail" else {})
                told_all += [text] if code or tool != "returns" else []
        except* MCPError as several:
            told_all += [f"{one} {vars(one)}" for one in inner(several)]
    async with agent(served.base, "given") as client:
        _, fingerprints = await told(client, "fingerprints", {})
    async with httpx2.AsyncClient(trust_env=False) as http:
        stranger = {"authorization": f"Bearer {canary('stranger')}"}
        answer = await http.post(served.url("given"), headers=stranger, json={})
        told_all.append(f"{answer.status_code} {answer.headers} {answer.text}")
        assert answer.status_code == 401
    return json.loads(fingerprints), told_all


def inner(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from inner(one)
        else:
            yield one


async def commanded(folder: Folder) -> list[str]:
    """What an operator's commands print: of everything that failed, all there is to see."""
    runs = (await bascule(folder, "audit", "search", "--json")).told["runs"]
    failed = {one["code"]: one["run"] for one in runs if one["upstream"] == "given" and one["code"]}
    commands: list[tuple[str, ...]] = [("audit", "show", run) for run in failed.values()]
    commands += [("upstream", "show", name, "--log") for name in ("given", "other", "dying", "absent")]
    commands += [("upstream", "show", "rpc"), ("doctor",), ("upstream", "list"), ("audit", "tail", "-n", "200")]
    found = []
    for words in commands:
        ended = await bascule(folder, *words)
        said = f"{words}: {ended.out}{ended.err}"
        found.append(said.replace(canary("argument"), "") if words == ("upstream", "list") else said)
    return found + await opened(folder)


async def opened(folder: Folder) -> list[str]:
    """Every record with what is sealed in it, but for the result of the server that gives its own secrets away."""
    reader = opened_log(folder.state / DATABASE)
    try:
        archive = Archive(config.outline(folder.config), reader, keys.public_key(folder.state))
        shown = [await audit_show(archive, operator="os:tester", record=str(at)) for at in range(reader.count())]
    finally:
        reader.close()
    leaves = [one["records"][0]["leaf"] for one in shown]
    given_away = {leaf["run"] for leaf in leaves if leaf["kind"] == "call.intent" and leaf["tool"] == "returns"}
    assert given_away
    return [str(one) for one, leaf in zip(shown, leaves, strict=True) if leaf.get("run") not in given_away]


def left(folder: Folder) -> dict[str, set[str]]:
    """The canaries in the files that the gateway wrote."""
    found: dict[str, set[str]] = {}
    for path in folder.state.rglob("*"):
        if path.is_file():
            for one in FOUND.findall(path.read_bytes()):
                found.setdefault(one.decode(), set()).add(str(path.relative_to(folder.state)))
            assert TOKEN.encode() not in path.read_bytes(), path
    return found


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that one run left behind."""

    folder: Folder
    watcher: Watcher
    fingerprints: dict[str, str]
    told: list[str]
    commanded: list[str]
    log: list[str]
    left: dict[str, set[str]]
    heads: list[str]


@contextlib.asynccontextmanager
async def run(home: Path) -> AsyncIterator[Run]:
    async with real("sdk2") as remote, echoing() as (echo, heads):
        folder = made(home, remote, echo)
        open_up(home)
        with watched() as watcher:
            async with serving(folder) as served:
                fingerprints, said = await used(served)
                found = await commanded(folder)
                during = left(folder)
            said_last = list(served.log)
        after = left(folder)
        yield Run(folder, watcher, fingerprints, said, found, said_last, during | after, heads)


def of_commands(commands: set[str]) -> list[str]:
    """Those that are not the gateway or a command of the operator, which have the operator's environment."""
    return [command for command in commands if not command.startswith(f"{sys.executable} -m gateway")]


@pytest.mark.promise("onboarding.canaries")
async def test_planted_secrets_come_out_nowhere(tmp_path: Path) -> None:
    async with run(tmp_path) as found:
        given = {"GIVEN_FILE": canary("file"), "GIVEN_VARIABLE": canary("variable")}
        assert found.fingerprints == {k: hashlib.sha256(v.encode()).hexdigest() for k, v in given.items()}
        assert any(canary("header") in head and canary("static") in head for head in found.heads)
        assert found.watcher.looks > 10
        assert canary("file") in found.watcher.environments, "the watcher sees into sandboxes"

        assert set(found.watcher.arguments) <= {canary("argument")}
        for one, commands in found.watcher.environments.items():
            strangers = [each for each in of_commands(commands) if one not in HELD or not each.endswith(HELD[one])]
            assert strangers == [], one
        assert found.left == {}
        for place in (found.told, found.commanded, found.log):
            assert place
            assert [shown for text in place for shown in lines_with(text)] == []


def lines_with(text: str) -> list[str]:
    """Where a secret stands, with what stands around it."""
    return [text[max(0, one.start() - 300) : one.end()] for one in re.finditer(f"{MARK}|{TOKEN}", text)]
