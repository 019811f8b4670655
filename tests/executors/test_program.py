"""What is started."""

from dataclasses import FrozenInstanceError

import pytest

from gateway.executors.program import Program


def test_a_program_of_the_system_needs_nothing_but_its_path() -> None:
    program = Program(("/usr/bin/true",))
    assert (program.runtime, dict(program.env), program.version, program.digest) == ((), {}, "", "")


def test_a_program_stays_what_it_was_read_to_be() -> None:
    program = Program(("/usr/bin/true",))
    with pytest.raises(FrozenInstanceError):
        program.argv = ("/bin/sh",)  # type: ignore[misc]
