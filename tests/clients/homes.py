"""A home folder with clients' files in it, as tests of their adoption need one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.clients import adoption, places
from gateway.clients.adoption import Plan, Wish
from gateway.clients.places import Place, Surroundings

SAMPLES = sorted((Path(__file__).parent / "samples").iterdir())
TODAY = date(2026, 11, 22)
ENVIRON = {"API_TOKEN": "canary-environment", "NOTION_TOKEN": "canary-environment", "D_HOST": "d.example"}
CANARY = "canary"
EXECUTABLE = ("/opt/bascule/bin/bascule",)
_PATHS = {
    "claude-code": ".claude.json",
    "claude-desktop": ".config/Claude/claude_desktop_config.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".config/Code/User/mcp.json",
    "mcp": "work/.mcp.json",
}


@dataclass(frozen=True)
class Home:
    """Somebody's home folder; `work` in it is the project."""

    path: Path

    @property
    def around(self) -> Surroundings:
        return Surroundings(self.path, self.path / "work", ENVIRON, "linux")

    @property
    def config(self) -> Path:
        return self.path / "gateway" / "bascule.yaml"

    @property
    def state(self) -> Path:
        return self.path / "gateway" / ".bascule"

    def put(self, client: str, text: str) -> Path:
        """A client's file with this text."""
        path = self.path / _PATHS.get(client, f"{client}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.replace("@HOME@", str(self.path)).encode())
        return path

    def sample(self, sample: Path) -> Path:
        """One of the samples, where its client keeps it."""
        return self.put(sample.name.partition("--")[0], sample.read_bytes().decode())

    def place(self, path: Path) -> Place:
        return places.named(path, self.around)

    def plan(self, paths: Sequence[Path], *, wrap: bool = False) -> Plan:
        wish = Wish(self.around, TODAY, wrap, EXECUTABLE)
        return adoption.plan([self.place(path) for path in paths], adoption.find_gateway(self.config), wish)

    def adopt(self, *paths: Path, wrap: bool = False) -> Plan:
        """Adopt all that stands in these files."""
        made = self.plan(paths, wrap=wrap)
        adoption.adopt(made)
        return made

    def everything(self) -> dict[str, bytes]:
        """Every file of the home folder that is not Bascule's own."""
        return {
            str(path.relative_to(self.path)): path.read_bytes()
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and "gateway" not in path.relative_to(self.path).parts
        }


def furnish(home: Path) -> None:
    """Folders and files that the samples name. Root gives them away: to its servers its own are only to read."""
    for name in ("docs", "other", "work", "gateway", ".ssh"):
        (home / name).mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(home / name, 65534, 65534)
    for name in ("docs/notes.db", "other/notes.db", "work/server.js"):
        (home / name).touch()


def claude_code(*servers: str) -> str:
    """Claude Code's file with these entries."""
    return '{\n  "mcpServers": {\n    ' + ",\n    ".join(servers) + "\n  }\n}\n"


TIME = '"time": {"command": "uvx", "args": ["mcp-server-time"]}'
GIT = '"git": {"command": "uvx", "args": ["mcp-server-git"], "env": {"TOKEN": "canary-git"}}'
