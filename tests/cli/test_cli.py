"""The command line as a whole: version, help, errors and the statuses they end with."""

import asyncio
import sys
from collections.abc import Iterator

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from gateway import __version__
from gateway.cli import commands
from gateway.errors import BasculeError, ConfigError, Failed, Fatal, LogUnavailable, Refused
from gateway.model import Code
from tests.cli.commandline import Admin, Run


def every(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield path, str(getattr(command, "help", ""))
    for name, one in inner.items():
        yield from every(one, (*path, name))


async def python(*words: str) -> str:
    """What a fresh interpreter prints."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


COMMANDS = dict(every(get_command(commands.app)))


async def test_the_version_is_said_without_importing_the_commands() -> None:
    code = "import sys; sys.argv[1:] = ['version']; from gateway.cli import main; main(); print('typer' in sys.modules)"
    said = await python("-c", code)
    assert said.split("\n")[:2] == [f"bascule {__version__}", "False"]


async def test_importing_all_commands_imports_no_part_of_the_gateway() -> None:
    code = "import sys, gateway.cli.commands; print(*[name for name in sys.modules if name.startswith('gateway.')])"
    said = await python("-c", code)
    assert {name.split(".")[1] for name in said.split()} == {"cli", "errors", "model"}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_each_command_has_help_with_an_example_of_itself(path: tuple[str, ...], run: Run) -> None:
    ended = run(*path, "--help")
    assert ended.status == 0
    assert f"Example: bascule {' '.join(path)}" in " ".join(ended.out.split())


def test_the_commands_of_this_stage_are_there() -> None:
    wanted = ["init", "add", "remove", "serve", "wrap", "doctor", "scan", "call", "tools", "version"]
    groups = {
        "upstream": "list show newest accept set learn login quarantine",
        "manifest": "draft",
        "policy": "test check eval replay suggest reload build",
        "audit": "tail show search verify prove",
        "approvals": "list show grant deny enroll",
        "runs": "list show resolve replay",
        "tasks": "list show replay",
        "brake": "list set release",
        "budgets": "list",
    }
    paths = {(word,) for word in wanted} | {(group, word) for group, words in groups.items() for word in words.split()}
    assert set(COMMANDS) == paths


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (ConfigError("bad key", file="b.yaml", line=3, column=4), 2),
        (Refused(Code.NO_RULE, "no rule"), 3),
        (Refused(Code.APPROVAL_REQUIRED, "ask"), 4),
        (Failed(Code.UPSTREAM_TIMEOUT, "late"), 1),
        (LogUnavailable("disk full"), 1),
        (Fatal("head and records disagree"), 6),
        (BasculeError("other"), 1),
    ],
)
def test_an_error_is_one_line_and_a_status(
    run: Run, admin: Admin, monkeypatch: pytest.MonkeyPatch, problem: BasculeError, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr("gateway.cli.runs.run_admin", fail)
    ended = run("runs", "list")
    assert ended.status == status
    assert ended.err.startswith(f"bascule: {problem}\n")
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_detail_and_what_would_pass_stand_below(run: Run, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Refused(Code.NO_RULE, "no rule", would_pass="a path under notes/", detail="rule 7")

    monkeypatch.setattr("gateway.cli.runs.run_admin", fail)
    assert run("runs", "list").err == "bascule: no rule\n  rule 7\n  would pass: a path under notes/\n"


@pytest.mark.parametrize("words", [("nonsense",), ("call",), ("audit", "prove", "x"), ("version", "--nonsense")])
def test_wrong_usage_ends_with_2(run: Run, words: tuple[str, ...]) -> None:
    assert run(*words).status == 2


def test_version_as_json(run: Run) -> None:
    assert run("version", "--json").out.split() == ["{", '"version":', f'"{__version__}"', "}"]
    assert run("version").out == CliRunner().invoke(commands.app, ["version"]).output == f"bascule {__version__}\n"


async def test_the_module_is_the_command() -> None:
    assert await python("-m", "gateway", "version") == f"bascule {__version__}\n"
