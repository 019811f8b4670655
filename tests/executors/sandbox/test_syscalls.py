"""The numbers of system calls."""

import os
import re
from pathlib import Path

import pytest

from gateway.executors.sandbox.syscalls import LAST, NAMES, NUMBERS

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


@pytest.mark.parametrize(
    ("machine", "name", "number"),
    [
        ("x86_64", "read", 0),
        ("x86_64", "ptrace", 101),
        ("x86_64", "unshare", 272),
        ("x86_64", "rseq", 334),
        ("x86_64", "pidfd_send_signal", 424),
        ("x86_64", "clone3", 435),
        ("aarch64", "ioctl", 29),
        ("aarch64", "unshare", 97),
        ("aarch64", "ptrace", 117),
        ("aarch64", "socket", 198),
        ("aarch64", "clone", 220),
        ("aarch64", "wait4", 260),
        ("aarch64", "kexec_file_load", 294),
        ("aarch64", "clone3", 435),
    ],
)
def test_a_call_has_the_number_that_the_kernel_gave_it(machine: str, name: str, number: int) -> None:
    assert NUMBERS[machine][name] == number


def test_no_number_stands_for_two_calls() -> None:
    for numbers in NUMBERS.values():
        assert len(set(numbers.values())) == len(numbers)
        assert max(numbers.values()) == LAST == 456
    assert "-" not in NAMES


@pytest.mark.skipif(not HEADER.exists(), reason="the kernel's headers are not installed")
def test_the_table_is_that_of_the_kernels_headers() -> None:
    stated = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)", HEADER.read_text())}
    ours = NUMBERS["x86_64"]
    assert {name: number for name, number in stated.items() if number <= LAST and ours.get(name) != number} == {}


def test_the_running_process_agrees() -> None:
    if os.uname().machine not in NUMBERS:
        pytest.skip("no table for this machine")
    number = int(Path("/proc/self/syscall").read_text().split()[0])
    assert number == NUMBERS[os.uname().machine]["read"]
