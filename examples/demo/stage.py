"""The stage of the demonstration: one folder with all it needs, the notes server and the gateway in front of it.

The folder is made by the functions behind `bascule init` and `bascule add`, and kept: the next run goes on in the
same log, with the same keys and the same token.
"""

import asyncio
import contextlib
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from examples.demo.processes import ROOT, answering, port_or_free, running
from gateway import config, setup, yamltext
from gateway.resources import resource

FOLDER = ROOT / ".bascule" / "demo"
UPSTREAM = "notes"
PEEK = "peek"
PRINCIPAL = "demo"
NOTES_PORT = 8485


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is."""

    folder: Path
    port: int
    notes_port: int
    token: str

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"http://127.0.0.1:{self.port}/mcp/{UPSTREAM}"

    @property
    def peek_url(self) -> str:
        """Where the server that reads any file is."""
        return f"http://127.0.0.1:{self.port}/mcp/{PEEK}"

    @property
    def granted(self) -> Path:
        """The one folder that server is given."""
        return self.folder / "granted"

    @property
    def notes_url(self) -> str:
        return f"http://127.0.0.1:{self.notes_port}/mcp"

    @property
    def config(self) -> Path:
        return self.folder / "bascule.yaml"

    @property
    def notes(self) -> Path:
        """The notes server's own database."""
        return self.folder / "notes.db"

    @property
    def database(self) -> Path:
        """The gateway's database, with the log in it."""
        return self.folder / ".bascule" / "bascule.db"


def prepared(folder: Path = FOLDER) -> Stage:
    """The folder, made where there is none, with today's ports and policies in it."""
    file, secret = folder / "bascule.yaml", folder / "token"
    if not secret.exists():
        made = setup.init(folder, principal=PRINCIPAL, force=True)
        secret.touch(mode=0o600)
        secret.write_text(made.token)
    wanted = config.load(file)
    stage = Stage(folder, port_or_free(wanted.listen.port), port_or_free(NOTES_PORT), secret.read_text())
    yamltext.write(file, re.sub(r"port: \d+", f"port: {stage.port}", file.read_text(), count=1))
    for name in (UPSTREAM, PEEK):
        if name in wanted.upstreams:
            setup.remove(file, name)
    setup.add(file, UPSTREAM, stage.notes_url, headers={})
    stage.granted.mkdir(exist_ok=True)
    (stage.granted / "hello.txt").write_text("hello from the granted folder\n")
    command = (str(ROOT / "examples" / "peek" / "server.py"),)
    setup.add_command(file, PEEK, setup.Program(sys.executable, command, folders={str(stage.granted): "ro"}))
    _rules(folder)
    return stage


def _rules(folder: Path) -> None:
    """The starter policy, the notes' own policy beside it, and what the operator states about the notes server."""
    policies, manifests = folder / "policies", folder / "manifests"
    shutil.copytree(resource("policies/packs/starter"), policies, dirs_exist_ok=True)
    for name in ("policy.rego", "policy_test.rego"):
        shutil.copy(ROOT / "examples" / "notes" / name, policies / name.replace("policy", "notes"))
    manifests.mkdir(exist_ok=True)
    for name in ("notes.yaml", "peek.yaml"):
        shutil.copy(resource("manifests") / name, manifests)


@contextlib.asynccontextmanager
async def opened(stage: Stage) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """Both processes, started side by side, while the block lasts; what it gives waits until both are ready."""
    server_log, gateway_log = stage.folder / "notes-server.log", stage.folder / "gateway.log"
    notes = ("examples.notes.server", "--port", str(stage.notes_port), "--db", str(stage.notes))
    async with (
        running(server_log, *notes) as server,
        running(gateway_log, "gateway", "serve", "-c", str(stage.config)) as gateway,
    ):
        yield lambda: asyncio.gather(
            answering(server, server_log, stage.notes_port, "/mcp", b"HTTP/1.1 "),
            answering(gateway, gateway_log, stage.port, "/readyz"),
        )
