"""Where each client keeps its servers: the user's files, a project's, those of plugins; and the client's dialect.

Only looks: nothing here is written, and no file is asked for more than whether it is there.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Scope = Literal["user", "project", "plugin", "named"]


@dataclass(frozen=True, slots=True)
class Client:
    """A program that calls MCP servers, and how its files are written."""

    name: str
    """The principal its files get."""
    title: str
    addresses: bool = True
    """Its file takes servers with an address; else only commands."""
    typed: bool = True
    """An entry with an address says `type: http`."""
    references: tuple[str, ...] = ("${NAME}", "${env:NAME}")
    """The forms of a reference that it replaces."""


CLAUDE_CODE = Client("claude-code", "Claude Code", references=("${NAME}",))
CLAUDE_DESKTOP = Client("claude-desktop", "Claude Desktop", addresses=False, references=())
CURSOR = Client("cursor", "Cursor", typed=False, references=("${env:NAME}",))
VSCODE = Client("vscode", "VS Code", references=("${env:NAME}",))
CLIENTS = {client.name: client for client in (CLAUDE_CODE, CLAUDE_DESKTOP, CURSOR, VSCODE)}

_IN_PROJECTS = (
    (CLAUDE_CODE, ".mcp.json"),
    (CURSOR, ".cursor/mcp.json"),
    (VSCODE, ".vscode/mcp.json"),
)
_OF_PLUGINS = (".mcp.json", ".claude-plugin/plugin.json")
_CODES = ("Code", "Code - Insiders", "VSCodium")


@dataclass(frozen=True, slots=True)
class Place:
    """A file in which a client may keep servers."""

    path: Path
    client: Client
    scope: Scope


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whose files are looked for, and from where."""

    home: Path
    folder: Path
    """The project; its parents up to the home folder are looked at too."""
    environ: Mapping[str, str]
    platform: str = sys.platform

    def user(self) -> list[Place]:
        """The files of the user's clients."""
        code = Path(self.environ.get("CLAUDE_CONFIG_DIR") or self.home)
        found = [Place(code / ".claude.json", CLAUDE_CODE, "user")]
        applications = self._applications()
        found += [Place(applications / "Claude" / "claude_desktop_config.json", CLAUDE_DESKTOP, "user")]
        found += [Place(self.home / ".cursor" / "mcp.json", CURSOR, "user")]
        for user in (applications / name / "User" for name in _CODES):
            profiles = _sorted(user.glob, "profiles/*/mcp.json")
            found += [Place(path, VSCODE, "user") for path in (user / "mcp.json", *profiles)]
        return found

    def project(self) -> list[Place]:
        """The files of the project, and of the folders it is in."""
        folder = self.folder.absolute()
        folders = [folder]
        if folder.is_relative_to(self.home):
            folders += [above for above in folder.parents if above.is_relative_to(self.home)]
        # In the home folder .cursor/mcp.json is the user's own, already among the user's files.
        theirs = {place.path for place in self.user()}
        found = [Place(above / name, client, "project") for above in folders for client, name in _IN_PROJECTS]
        return [place for place in found if place.path not in theirs]

    def plugins(self) -> list[Place]:
        """The files of what was added to Claude Code and Claude Desktop."""
        claude = Path(self.environ.get("CLAUDE_CONFIG_DIR") or self.home / ".claude")
        files = [folder / name for folder in _installed(claude / "plugins") for name in _OF_PLUGINS]
        extensions = _sorted((self._applications() / "Claude").glob, "Claude Extensions/*/manifest.json")
        return [Place(path, CLAUDE_CODE, "plugin") for path in files] + [
            Place(path, CLAUDE_DESKTOP, "plugin") for path in extensions
        ]

    def _applications(self) -> Path:
        """Where applications keep their settings on this machine."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        if self.platform == "win32":
            return Path(self.environ.get("APPDATA") or self.home / "AppData" / "Roaming")
        return Path(self.environ.get("XDG_CONFIG_HOME") or self.home / ".config")


def named(path: Path, around: Surroundings) -> Place:
    """The place of a file that was named: that of a client whose it is by its path, else of a client of its own."""
    absolute = path.absolute()
    for place in (*around.user(), *around.project()):
        if place.path == absolute:
            return place
    for client, name in ((CLAUDE_DESKTOP, "claude_desktop_config.json"), (CLAUDE_CODE, ".claude.json"), *_IN_PROJECTS):
        if absolute.as_posix().endswith("/" + name):
            return Place(absolute, client, "named")
    return Place(absolute, Client(_principal(absolute.stem), str(path)), "named")


def exists(path: Path) -> bool:
    """Whether something is there; a folder that may not be searched hides nothing that its owner could use."""
    try:
        return path.exists()
    except OSError:
        return False


def _principal(stem: str) -> str:
    word = "".join(char if char.isascii() and char.isalnum() else "-" for char in stem.lower()).strip("-")
    return word[:40] if word not in {"", "local", "bascule"} else f"{word or 'a'}-client"


def _installed(plugins: Path) -> Iterator[Path]:
    """The folders of installed plugins: as the list says, else all that were fetched."""
    try:
        listed = json.loads((plugins / "installed_plugins.json").read_bytes())
    except (OSError, ValueError):
        for file in _sorted(plugins.glob, "cache/*/*/*/.claude-plugin/plugin.json"):
            yield file.parent.parent
        return
    pending, seen = [listed], set()
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            path = item.get("installPath")
            if isinstance(path, str) and path not in seen:
                seen.add(path)
                yield Path(path)
            pending += item.values()
        elif isinstance(item, list):
            pending += item


def _sorted(glob: Callable[[str], Iterator[Path]], pattern: str) -> list[Path]:
    try:
        return sorted(glob(pattern))
    except OSError:
        return []
