"""The seccomp filter, run by an interpreter of its own small language: every answer it can give."""

import errno
import os
import struct
from collections.abc import Sequence

import pytest

from gateway.errors import Failed
from gateway.executors.sandbox import seccomp
from gateway.executors.sandbox.syscalls import LAST, NUMBERS
from gateway.model import Code

ALLOW, KILL = 0x7FFF0000, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003


def answer(program: bytes, architecture: int, number: int, arguments: Sequence[int] = ()) -> int:
    """What the kernel would return, as its BPF machine runs it."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *padded)
    steps = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    place = held = 0
    while True:
        code, when, otherwise, value = steps[place]
        place += 1
        match code:
            case 0x20:
                held = struct.unpack_from("=I", data, value)[0]
            case 0x15:
                place += when if held == value else otherwise
            case 0x25:
                place += when if held > value else otherwise
            case 0x45:
                place += when if held & value else otherwise
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def refused(error: int) -> int:
    return 0x00050000 | error


@pytest.fixture(params=ARCHITECTURES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def judged(machine: str, name: str, *arguments: int) -> int:
    return answer(seccomp.filter_bytes(machine=machine), ARCHITECTURES[machine], NUMBERS[machine][name], arguments)


@pytest.mark.parametrize("name", seccomp.REFUSED)
def test_a_refused_call_answers_eperm(machine: str, name: str) -> None:
    if name in NUMBERS[machine]:
        assert judged(machine, name) == refused(errno.EPERM)


@pytest.mark.parametrize("name", seccomp.ABSENT)
def test_an_absent_call_answers_as_an_older_kernel_would(machine: str, name: str) -> None:
    assert judged(machine, name) == refused(errno.ENOSYS)


def test_every_refused_name_is_a_call_somewhere() -> None:
    known = set[str]().union(*NUMBERS.values())
    assert {*seccomp.REFUSED, *seccomp.ABSENT} <= known
    assert len({*seccomp.REFUSED, *seccomp.ABSENT}) == len(seccomp.REFUSED) + len(seccomp.ABSENT)


def test_everything_else_is_allowed(machine: str) -> None:
    special = {*seccomp.REFUSED, *seccomp.ABSENT, "socket", "socketpair"}
    wrong = [name for name in NUMBERS[machine] if name not in special and judged(machine, name) != ALLOW]
    assert wrong == []


@pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
@pytest.mark.parametrize("name", ["clone", "unshare"])
def test_no_new_namespace_can_be_made(machine: str, name: str, flag: int) -> None:
    assert judged(machine, name, flag) == refused(errno.EPERM)
    assert judged(machine, name, flag | 0x11) == refused(errno.EPERM)
    assert judged(machine, name, flag | 1 << 40) == refused(errno.EPERM)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("clone", 0x11),
        ("clone", 0x3D0F00),
        ("clone", 0x80),
        ("clone", 0x01200011),
        ("unshare", 0x400),
        ("unshare", 0x200),
    ],
)
def test_processes_and_threads_can_be_made(machine: str, name: str, flags: int) -> None:
    assert judged(machine, name, flags) == ALLOW


def test_a_time_namespace_is_one_too(machine: str) -> None:
    assert judged(machine, "unshare", 0x80) == refused(errno.EPERM)


@pytest.mark.parametrize("command", [0x5412, 0x541C, 0xFFFF_FFFF_0000_5412, 0x1_0000_541C])
def test_typing_into_a_terminal_is_refused_whatever_the_high_bits_say(machine: str, command: int) -> None:
    assert judged(machine, "ioctl", 0, command) == refused(errno.EPERM)


@pytest.mark.parametrize("command", [0x5401, 0x5413, 0x5421, 0x541B])
def test_other_device_requests_are_allowed(machine: str, command: int) -> None:
    assert judged(machine, "ioctl", 0, command) == ALLOW


@pytest.mark.parametrize(
    ("family", "protocol", "allowed"),
    [
        (1, 0, True),
        (2, 6, True),
        (10, 17, True),
        (16, 0, True),
        (16, 9, False),
        (16, 12, False),
        (16, 15, False),
        (0, 0, False),
        (17, 768, False),
        (29, 1, False),
        (38, 0, False),
        (40, 0, False),
        (0xFFFFFFFF, 0, False),
    ],
)
def test_sockets_are_of_few_families(machine: str, family: int, protocol: int, *, allowed: bool) -> None:
    expected = ALLOW if allowed else refused(errno.EAFNOSUPPORT)
    assert judged(machine, "socket", family, 1, protocol) == expected
    assert judged(machine, "socket", family | 1 << 32, 1, protocol) == expected


@pytest.mark.parametrize(("family", "allowed"), [(1, True), (2, False), (16, False), (30, False)])
def test_pairs_are_local(machine: str, family: int, *, allowed: bool) -> None:
    assert judged(machine, "socketpair", family) == (ALLOW if allowed else refused(errno.EAFNOSUPPORT))


@pytest.mark.parametrize(("persona", "allowed"), [(0, True), (0xFFFFFFFF, True), (8, False), (0x0040000, False)])
def test_the_personality_stays(machine: str, persona: int, *, allowed: bool) -> None:
    assert judged(machine, "personality", persona) == (ALLOW if allowed else refused(errno.EPERM))


@pytest.mark.parametrize("number", [LAST + 1, 500, 1000, 0x40000000, 0x40000000 + 59, 0x7FFFFFFF, 0xFFFFFFFF])
def test_what_is_newer_or_of_another_table_does_not_exist(machine: str, number: int) -> None:
    assert answer(seccomp.filter_bytes(machine=machine), ARCHITECTURES[machine], number) == refused(errno.ENOSYS)


@pytest.mark.parametrize("architecture", [I386, 0, 0xFFFFFFFF, 0x40000028])
def test_another_architecture_is_killed(machine: str, architecture: int) -> None:
    for number in (0, 20, 101):
        assert answer(seccomp.filter_bytes(machine=machine), architecture, number) == KILL


def test_one_machines_filter_kills_the_others_calls() -> None:
    assert answer(seccomp.filter_bytes(machine="x86_64"), ARCHITECTURES["aarch64"], 63) == KILL


def test_further_calls_can_be_refused(machine: str) -> None:
    program = seccomp.filter_bytes(("socket", "ptrace", "fork"), machine)
    assert answer(program, ARCHITECTURES[machine], NUMBERS[machine]["socket"], (1,)) == refused(errno.EPERM)
    assert seccomp.digest(("socket",), machine) != seccomp.digest((), machine)


@pytest.mark.parametrize("name", ["riscv64", "i686", "armv7l", "s390x"])
def test_a_machine_without_a_table_has_no_sandbox(name: str) -> None:
    with pytest.raises(Failed) as refusal:
        seccomp.filter_bytes(machine=name)
    assert refusal.value.code is Code.SANDBOX_UNAVAILABLE
    assert name in refusal.value.detail


def test_the_filter_is_short_enough_and_the_same_each_time(machine: str) -> None:
    program = seccomp.filter_bytes(machine=machine)
    assert len(program) // 8 <= 4096
    assert program == seccomp.filter_bytes(machine=machine)


def test_a_changed_filter_is_a_decision() -> None:
    assert seccomp.DIGEST == "sha256:6d5f436bf9d4987afdc08fc1a6d446503c8743afb5e797ded9ee1b62db5f490b"


def test_this_machine_is_the_default() -> None:
    if os.uname().machine in NUMBERS:
        assert seccomp.filter_bytes() == seccomp.filter_bytes(machine=os.uname().machine)
