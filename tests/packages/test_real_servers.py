"""Servers as people write them in their clients: fetched once from the real registries, then at work offline."""

import sys
from pathlib import Path

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from gateway.executors.packages.commands import read_command
from gateway.executors.packages.installer import finish
from gateway.executors.packages.store import Packages
from gateway.executors.program import Program

pytestmark = pytest.mark.slow

NO_NETWORK = ("unshare", "--map-root-user", "--net")

SERVERS = {
    "filesystem": ("npx", ["-y", "@modelcontextprotocol/server-filesystem", "."], "read_text_file"),
    "memory": ("npx", ["-y", "@modelcontextprotocol/server-memory"], "create_entities"),
    "everything": ("npx", ["-y", "@modelcontextprotocol/server-everything"], "echo"),
    "git": ("uvx", ["mcp-server-git"], "git_status"),
    "time": ("uvx", ["mcp-server-time"], "get_current_time"),
    "sqlite": ("uvx", ["--with", "mcp<2", "mcp-server-sqlite", "--db-path", "x.db"], "read_query"),
    "fetch": ("uvx", ["mcp-server-fetch"], "fetch"),
}
VULNERABLE = {
    "git": ("uvx", ["--with", "mcp<2", "mcp-server-git==2025.7.1"], "git_init"),
    # Its own dependencies no longer fit: with zod 4 it describes no arguments.
    "filesystem": (
        "npx",
        ["-y", "-p", "@modelcontextprotocol/server-filesystem@2025.3.28", "-p", "zod@^3", "mcp-server-filesystem", "."],
        "read_file",
    ),
    "sqlite": ("uvx", ["--with", "mcp<2", "mcp-server-sqlite==2025.4.25", "--db-path", "x.db"], "write_query"),
}


async def tools_of(program: Program, work: Path) -> set[str]:
    """What it lists, started bare in an empty environment, without a network where a namespace can be had."""
    probe = await finish([*NO_NETWORK, "true"], env={}, cwd=work, timeout_s=20)
    argv = (*(NO_NETWORK if probe.code == 0 else ()), *program.argv)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(work), **program.env}
    parameters = StdioServerParameters(command=argv[0], args=list(argv[1:]), env=env, cwd=work)
    with (work / "stderr").open("w") as errors:
        async with stdio_client(parameters, errlog=errors) as (reading, writing), ClientSession(reading, writing) as to:
            await to.initialize()
            return {tool.name for tool in (await to.list_tools()).tools}


@pytest.mark.parametrize(
    ("command", "args", "tool"),
    [*SERVERS.values(), *VULNERABLE.values()],
    ids=[*SERVERS, *(f"vulnerable-{name}" for name in VULNERABLE)],
)
async def test_a_server_is_installed_once_and_then_lists_its_tools_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, args: list[str], tool: str
) -> None:
    (tmp_path / "work").mkdir()
    asked = read_command(command, args)
    said: list[str] = []
    first = await Packages(tmp_path / "packages").program("server", asked, say=said.append)
    assert [line.split()[0] for line in said] == ["resolving", "installing", "pinned"]

    for proxy in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    again = Packages(tmp_path / "packages")
    assert await again.program("server", asked) == first
    await again.verify("server")
    assert tool in await tools_of(first, tmp_path / "work")


async def test_what_works_leaves_what_is_installed_as_it_was(tmp_path: Path) -> None:
    """No bytecode, no cache: the next start finds what was sealed."""
    (tmp_path / "work").mkdir()
    asked = read_command("uvx", ["mcp-server-time"])
    program = await Packages(tmp_path / "packages").program("time", asked)
    await tools_of(program, tmp_path / "work")
    again = Packages(tmp_path / "packages")
    assert await again.program("time", asked) == program
    await again.verify("time")


async def test_another_python_may_be_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    asked = read_command("uvx", ["--python", sys.executable, "mcp-server-time"])
    program = await Packages(tmp_path / "packages").program("time", asked)
    assert "convert_time" in await tools_of(program, tmp_path / "work")
