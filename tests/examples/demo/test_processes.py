"""Processes of the demonstration start, are waited for, and never stay behind."""

import socket
from pathlib import Path

import pytest

from examples.demo.processes import NotReady, answering, output, port_or_free, running


async def test_a_server_is_waited_for_and_is_gone_after_the_block(tmp_path: Path) -> None:
    port = port_or_free(0)
    async with running(tmp_path / "log", "http.server", "--bind", "127.0.0.1", str(port)) as process:
        await answering(process, tmp_path / "log", port, "/README.md")
        assert process.returncode is None
    assert process.returncode is not None


async def test_a_process_that_ends_early_is_named_with_the_end_of_what_it_printed(tmp_path: Path) -> None:
    log = tmp_path / "clock.log"
    async with running(log, "timeit", "--no-such-option") as process:
        with pytest.raises(NotReady, match=r"the clock ended with status 2(.|\n)*no-such-option"):
            await answering(process, log, port_or_free(0), "/")


async def test_the_output_and_exit_code_of_a_command_are_given() -> None:
    assert await output("platform", "--terse") == (0, (await output("platform", "--terse"))[1])
    code, printed = await output("timeit", "--no-such-option")
    assert code == 2
    assert "no-such-option" in printed


def test_a_port_that_is_taken_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert port_or_free(port) != port
