"""Which commands of clients are understood, and what is said of the others."""

import re
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.executors.packages.commands import (
    Absolute,
    Command,
    NodeFile,
    Npm,
    NpmSpec,
    Pypi,
    PythonFile,
    PythonModule,
    npm_spec,
    read_command,
    requirement,
)

FILES = NpmSpec("@modelcontextprotocol/server-filesystem")

UNDERSTOOD: list[tuple[str, list[str], Command]] = [
    ("npx", ["-y", "@modelcontextprotocol/server-filesystem", "/srv", "-y"], Npm(FILES, args=("/srv", "-y"))),
    ("npx", ["--yes", "server@1.2.3"], Npm(NpmSpec("server", "1.2.3"))),
    ("npx", ["server@^1.2"], Npm(NpmSpec("server", "^1.2"))),
    ("npx", ["-y", "--", "@a/b@next", "--", "x"], Npm(NpmSpec("@a/b", "next"), args=("--", "x"))),
    ("/opt/homebrew/bin/npx", ["-y", "server"], Npm(NpmSpec("server"))),
    ("npx", ["-y", "-p", "@a/b", "prog", "-p"], Npm(NpmSpec("@a/b"), (), "prog", ("-p",))),
    ("npx", ["--package=b@2", "-p", "zod@^3", "prog"], Npm(NpmSpec("b", "2"), (NpmSpec("zod", "^3"),), "prog")),
    ("uvx", ["git", "--repository", "/r"], Pypi(("git",), "git", None, ("--repository", "/r"))),
    ("uvx", ["Mcp_Server.Git@2025.7.1"], Pypi(("mcp-server-git==2025.7.1",), "mcp-server-git")),
    ("uvx", ["mcp-server-git@latest"], Pypi(("mcp-server-git",), "mcp-server-git")),
    ("uvx", ["mcp-server-git==2025.7.1"], Pypi(("mcp-server-git==2025.7.1",), "mcp-server-git")),
    ("uvx", ["--with", "mcp<2", "mcp-server-sqlite"], Pypi(("mcp-server-sqlite", "mcp<2"), "mcp-server-sqlite")),
    ("uvx", ["--with=a[x,Y] >= 1, <2,b", "s"], Pypi(("s", "a[x,y]>=1,<2", "b"), "s")),
    ("uvx", ["--from", "mcp[cli]", "mcp", "run"], Pypi(("mcp[cli]",), "mcp", None, ("run",))),
    ("uvx", ["--python", "3.12", "-q", "s"], Pypi(("s",), "s", "3.12")),
    ("uvx", ["-p", "python3.12", "s"], Pypi(("s",), "s", "3.12")),
    ("uvx", ["--python=/opt/python/bin/python3", "s"], Pypi(("s",), "s", "/opt/python/bin/python3")),
    ("/home/me/.local/bin/uvx", ["s"], Pypi(("s",), "s")),
    ("uv", ["tool", "run", "--from", "a", "b"], Pypi(("a",), "b")),
    ("uv", ["run", "--frozen", "--with", "a[b]", "mcp", "run", "/x"], Pypi(("a[b]",), "mcp", None, ("run", "/x"))),
    ("python", ["/srv/s.py", "-m"], PythonFile("python", "/srv/s.py", (), ("-m",))),
    ("python3.11", ["-u", "-B", "/srv/s.py"], PythonFile("python3.11", "/srv/s.py", ("-u", "-B"))),
    ("/srv/.venv/bin/python", ["-m", "a.b", "c"], PythonModule("/srv/.venv/bin/python", "a.b", (), ("c",))),
    ("node", ["/srv/s.js", "x"], NodeFile("node", "/srv/s.js", (), ("x",))),
    ("/usr/bin/node", ["--no-warnings", "/srv/s.js"], NodeFile("/usr/bin/node", "/srv/s.js", ("--no-warnings",))),
    ("/usr/local/bin/github-mcp-server", ["stdio"], Absolute("/usr/local/bin/github-mcp-server", ("stdio",))),
]  # fmt: skip


@pytest.mark.parametrize(("command", "args", "noun"), UNDERSTOOD)
def test_what_clients_write_becomes_a_noun(command: str, args: list[str], noun: Command) -> None:
    assert read_command(command, args) == noun


REFUSED = [
    ("sh", ["-c", "npx -y x"], "a shell runs whatever its text says"),
    ("/bin/bash", ["-lc", "x"], "a shell runs"),
    ("docker", ["run", "-i", "mcp/git"], "outside every sandbox"),
    ("pipx", ["run", "x"], "npx and uvx run the same packages"),
    ("bunx", ["x"], "npx and uvx run the same packages"),
    ("sudo", ["npx", "x"], "more rights"),
    ("env", ["A=b", "npx", "x"], "belong under env"),
    ("cmd", ["/c", "npx", "-y", "x"], "of Windows"),
    ("npx.cmd", ["-y", "x"], "of Windows"),
    ("C:\\Program Files\\nodejs\\node.exe", ["x"], "of Windows"),
    ("server", [], "absolute path"),
    ("", [], "absolute path"),
    ("./server", [], "relative path"),
    ("bin/npx", ["-y", "x"], "relative path"),
    ("npx", ["-y", "x\0"], "NUL"),
    ("npx", ["-y"], "no package is named"),
    ("npx", ["-c", "echo"], "names nothing that could be pinned"),
    ("npx", ["--registry=https://r.example", "x"], "set in the environment"),
    ("npx", ["-p"], "nothing follows -p"),
    ("npx", ["-p", "x", "a b"], "no program of a package"),
    ("npx", ["-y", "--ignore-existing", "x"], "the option --ignore-existing is not supported"),
    ("uvx", [], "no package is named"),
    ("uvx", ["--from", "a", "--from", "b", "c"], "twice"),
    ("uvx", ["--from", "a", "/c"], "no program of a package"),
    ("uvx", ["--index-url", "https://u:p@r.example", "a"], "set in the environment"),
    ("uvx", ["--python", "pypy@3.10; x", "a"], "a version such as 3.12"),
    ("uvx", ["--from", "git+https://github.com/a/b", "b"], "an address or a path"),
    ("uvx", ["--with-editable", "/srv/x", "b"], "is not supported"),
    ("uv", [], "only `uv tool run`"),
    ("uv", ["--directory", "/srv/x", "run", "s.py"], "uv sync"),
    ("uv", ["run", "s.py"], "uv sync"),
    ("uv", ["run", "--directory", "/srv/x", "s"], "uv sync"),
    ("uv", ["run", "--with", "mcp", "s.py"], "a console script of that package"),
    ("uv", ["run", "--with", "mcp", "python", "x"], "a console script of that package"),
    ("python", [], "no file is named"),
    ("python", ["-c", "import os"], "names nothing that could be pinned"),
    ("python", ["s.py"], "relative path"),
    ("python", ["-m"], "a module's name"),
    ("python", ["-m", "a;b"], "a module's name"),
    ("python", ["-X", "dev", "/s.py"], "the option -X"),
    ("node", ["-e", "1"], "names nothing that could be pinned"),
    ("node", ["--import=/x.js", "/s.js"], "the option --import is not supported"),
    ("node", ["dist/s.js"], "relative path"),
]


@pytest.mark.parametrize(("command", "args", "why"), REFUSED)
def test_anything_else_is_refused_with_its_reason(command: str, args: list[str], why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_command(command, args)
    assert why in str(refused.value)


@pytest.mark.parametrize("command", ["server", "sh", "docker", "cmd"])
def test_who_names_no_supported_command_is_told_all_that_are(command: str) -> None:
    with pytest.raises(ConfigError, match=r"npx -y PACKAGE, uvx PACKAGE, python FILE or -m MODULE, node FILE"):
        read_command(command, [])


SHELL = ["x;id", "x$(id)", "x`id`", "x|id", "x&id", "x\nid", "x id", "x'", 'x"', "x>y", "../x", "@../x", "x/../y"]


@pytest.mark.parametrize(
    "name", [*SHELL, "", "@", "@a", "@a/", "a/b", "A", "é", ".a", "_a", "a@", "a@npm:b", "a@1;id", "a@ 1", "a" * 215]
)
def test_an_npm_package_has_a_plain_name_and_version(name: str) -> None:
    with pytest.raises(ConfigError, match="npx"):
        npm_spec(name)


@pytest.mark.parametrize(
    "name", ["file:../x", "git+ssh://git@h/x", "https://h/x.tgz", "./x", "/x", "~/x", "x.tgz", "x@1.tar.gz", "git@h:x"]
)
def test_an_address_or_a_path_is_no_package(name: str) -> None:
    for read in (npm_spec, requirement):
        with pytest.raises(ConfigError, match="an address or a path: it has no published version to pin"):
            read(name)


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in SHELL if name != "x>y"),
        "",
        "x@",
        "x@1;id",
        "x @ https",
        "x; python_version>'3'",
        "x===1",
        "x[",
        "x[a;b]",
        "é",
        "-",
        "_a",
        "x==$(id)",
        "x" * 215,
    ],
)
def test_a_python_package_has_a_plain_name_extras_and_versions(name: str) -> None:
    with pytest.raises(ConfigError, match="uvx"):
        requirement(name)


@pytest.mark.parametrize("read", [npm_spec, requirement])
def test_an_option_is_no_package(read: object) -> None:
    assert callable(read)
    with pytest.raises(ConfigError, match="looks like an option"):
        read("--ignore-scripts=false")


@pytest.mark.parametrize(
    ("written", "one"),
    [
        ("Mcp_Server.git", "mcp-server-git"),
        (" mcp [ cli , WS ] >= 1.2 , < 2 ", "mcp[cli,ws]>=1.2,<2"),
        ("mcp!=1.9.*", "mcp!=1.9.*"),
        ("mcp[cli]@1.2", "mcp[cli]==1.2"),
        ("mcp@1!2.0+local", "mcp==1!2.0+local"),
    ],
)
def test_a_requirement_has_one_spelling(written: str, one: str) -> None:
    assert requirement(written) == one


def test_a_package_prints_as_npm_takes_it() -> None:
    assert str(npm_spec("@a/b")) == "@a/b@latest"


def test_the_entry_of_uvx_is_the_package_unless_another_is_named() -> None:
    assert [
        command.entry
        for args in (["a[b]>=1"], ["a<2"], ["a~=1.0"], ["a!=1"], ["--from", "a", "c"])
        if isinstance(command := read_command("uvx", args), Pypi)
    ] == ["a", "a", "a", "a", "c"]


PAGE = (Path(__file__).resolve().parents[3] / "docs" / "packages.md").read_text(encoding="utf-8")


def examples(section: str) -> list[list[str]]:
    """The commands in the first column of a section's table."""
    rows = re.findall(r"^\| (`[^|]*`) \| ", PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0], re.MULTILINE)
    return [command.split() for row in rows for command in re.findall(r"`([^`]+)`", row)]


def test_every_command_of_the_page_is_understood_or_refused_as_it_says() -> None:
    understood, refused = examples("Commands that are understood"), examples("Commands that are refused")
    assert len(understood) > 9
    assert len(refused) > 8
    for command, *args in understood:
        read_command(command, args)
    for command, *args in refused:
        with pytest.raises(ConfigError):
            read_command(command, args)
