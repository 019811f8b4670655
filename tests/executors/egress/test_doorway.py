"""The program that listens inside a sandbox's network; with real sandboxes: tests/egress."""

import sys
from pathlib import Path

import pytest

from gateway.executors import process
from gateway.executors.egress import doorway


async def run(*arguments: str) -> tuple[int, str]:
    return await process.run([sys.executable, "-I", "-S", doorway.__file__, *arguments], 20)


async def test_it_runs_without_any_package_and_ends_with_an_error_where_nobody_takes_the_socket(tmp_path: Path) -> None:
    code, said = await run("1", str(tmp_path / "nobody"))
    assert code == 1
    assert said.strip().endswith("FileNotFoundError: [Errno 2] No such file or directory")


def test_a_process_that_does_not_exist_has_no_network() -> None:
    with pytest.raises(FileNotFoundError):
        doorway.enter_network("0")
