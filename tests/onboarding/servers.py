"""The seven real servers, as clients write them down, and one honest call of each."""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.commands import ran

STRANGER = 65534
"""Who owns the granted folders where the suite runs as root: no tool runs as root."""


@dataclass(frozen=True, slots=True)
class Stock:
    """One entry of a client's file, and a call that shows that it works."""

    entry: dict[str, Any]
    tool: str
    arguments: dict[str, Any]
    says: str
    """What is in the answer."""


async def prepared(folder: Path) -> None:
    """The folders that the servers are about: documents, a repository, a database."""
    documents, repository, data = (folder / name for name in ("documents", "repository", "data"))
    for one in (documents, repository, data):
        one.mkdir(parents=True)
    (documents / "plan.txt").write_text("the plan: nothing but this folder")
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "a first commit"]):
        assert (await ran([*git, *command])).code == 0
    with sqlite3.connect(data / "shop.db") as database:
        database.execute("CREATE TABLE orders (id INTEGER)")
    database.close()
    if os.getuid() == 0:
        for one in (documents, repository, data):
            for path in (one, *one.rglob("*")):
                os.chown(path, STRANGER, STRANGER)


def stock(folder: Path, site: str) -> dict[str, Stock]:
    """The servers by name. `site` is an address that the fetch server may ask."""
    documents, repository, data = (str(folder / name) for name in ("documents", "repository", "data"))
    npx = "@modelcontextprotocol/server-"
    return {
        "files": Stock(
            {"command": "npx", "args": ["-y", f"{npx}filesystem", documents]},
            "read_text_file",
            {"path": f"{documents}/plan.txt"},
            "nothing but this folder",
        ),
        "memory": Stock({"command": "npx", "args": ["-y", f"{npx}memory"]}, "read_graph", {}, "entities"),
        "everything": Stock(
            {"command": "npx", "args": ["-y", f"{npx}everything"]}, "echo", {"message": "hello"}, "hello"
        ),
        "git": Stock(
            {"command": "uvx", "args": ["mcp-server-git", "--repository", repository]},
            "git_log",
            {"repo_path": repository},
            "a first commit",
        ),
        "time": Stock(
            {"command": "uvx", "args": ["mcp-server-time", "--local-timezone", "UTC"]},
            "get_current_time",
            {"timezone": "UTC"},
            "datetime",
        ),
        "sqlite": Stock(
            {"command": "uvx", "args": ["--with", "mcp<2", "mcp-server-sqlite", "--db-path", f"{data}/shop.db"]},
            "list_tables",
            {},
            "orders",
        ),
        "fetch": Stock(
            {"command": "uvx", "args": ["mcp-server-fetch", "--ignore-robots-txt", "--allow-private-ips"]},
            "fetch",
            {"url": site},
            "garlic",
        ),
    }
