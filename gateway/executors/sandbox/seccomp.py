"""The seccomp filter of every sandbox, as the bytes bubblewrap loads. Pure.

Not a list of what is allowed: real servers (V8, CPython, their native modules) use most of what there is. A call is
judged by its number: those named here are refused, those newer than our table do not exist (ENOSYS, which every libc
takes as an older kernel), the rest runs. So a call that a later kernel brings is refused until somebody has read it.
"""

import errno
import functools
import hashlib
import platform
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.errors import Failed
from gateway.executors.sandbox.syscalls import LAST, NUMBERS
from gateway.model import Code, Digest

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_REFUSED = """
    ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd
    add_key request_key keyctl
    perf_event_open bpf userfaultfd fanotify_init fanotify_mark lookup_dcookie
    mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount open_tree mount_setattr
    open_by_handle_at name_to_handle_at setns swapon swapoff quotactl quotactl_fd acct nfsservctl uselib sysfs ustat
    init_module finit_module delete_module create_module get_kernel_syms query_module kexec_load kexec_file_load
    reboot sethostname setdomainname settimeofday clock_settime clock_adjtime adjtimex syslog vhangup _sysctl
    iopl ioperm modify_ldt afs_syscall tuxcall security vserver getpmsg putpmsg
    mbind set_mempolicy set_mempolicy_home_node migrate_pages move_pages
    shmget msgget semget
"""
REFUSED = tuple(_REFUSED.split())
"""Refused with EPERM. The last line: memory that outlives a mapping, where no limit and no watch would count it."""

ABSENT = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_create", "memfd_secret")
"""As on an older kernel (ENOSYS), so that callers fall back: clone3's flags lie behind a pointer no filter can follow,
and a memfd's pages are counted nowhere."""

NEW_NAMESPACE = 0x7E02_0080
"""CLONE_NEW*: mount, cgroup, uts, ipc, user, pid, net; time, which only unshare knows."""
_SIGNAL = 0xFF
"""The lowest byte of clone's flags is a signal's number."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI, TIOCLINUX: typing into the terminal of whoever started the gateway."""
_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6."""
_NETLINK = 16
_PERSONALITIES = (0, 0xFFFF_FFFF)
"""Linux, and asking which."""

_ALLOW, _KILL, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_NUMBER, _ARCH = 0, 4
_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06


@dataclass(frozen=True, slots=True)
class _Step:
    """One instruction; the jumps count the instructions skipped."""

    code: int
    value: int
    when: int = 0
    otherwise: int = 0

    def packed(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.when, self.otherwise, self.value)


def filter_bytes(extra_deny: Sequence[str] = (), machine: str = "") -> bytes:
    """The filter for this machine (or the one named), with further calls refused.

    Raises:
        Failed: SANDBOX_UNAVAILABLE, there is no table for this machine.
    """
    machine = machine or platform.machine()
    if machine not in NUMBERS:
        raise Failed(
            Code.SANDBOX_UNAVAILABLE,
            "this machine's system calls are not known to the sandbox",
            detail=f"there is a filter for {' and '.join(sorted(NUMBERS))}, none for {machine or 'an unnamed machine'}",
        )
    return _packed(machine, tuple(extra_deny))


@functools.cache
def _packed(machine: str, extra_deny: tuple[str, ...]) -> bytes:
    return b"".join(step.packed() for step in _program(machine, extra_deny))


def digest(extra_deny: Sequence[str] = (), machine: str = "") -> Digest:
    """What names a filter in records."""
    return Digest(f"sha256:{hashlib.sha256(filter_bytes(extra_deny, machine)).hexdigest()}")


def _program(machine: str, extra_deny: Sequence[str]) -> Iterator[_Step]:
    numbers = NUMBERS[machine]
    yield _Step(_LOAD, _ARCH)
    yield _Step(_EQUAL, _ARCHITECTURE[machine], 1)
    yield _Step(_RETURN, _KILL)
    yield _Step(_LOAD, _NUMBER)
    # Also the x32 calls, whose numbers begin at 2^30.
    yield from _answer(_ABOVE, LAST, errno.ENOSYS)
    for name in dict.fromkeys((*REFUSED, *extra_deny)):
        if name in numbers:
            yield from _answer(_EQUAL, numbers[name], errno.EPERM)
    for name in ABSENT:
        if name in numbers:
            yield from _answer(_EQUAL, numbers[name], errno.ENOSYS)
    for name, rule in (
        ("clone", _namespaces(NEW_NAMESPACE & ~_SIGNAL)),
        ("unshare", _namespaces(NEW_NAMESPACE)),
        ("ioctl", _terminal()),
        ("socket", _families()),
        ("socketpair", _only((_FAMILIES[0],), errno.EAFNOSUPPORT)),
        ("personality", _only(_PERSONALITIES, errno.EPERM)),
    ):
        if name in numbers:
            yield _Step(_EQUAL, numbers[name], 0, len(rule))
            yield from rule
    yield _Step(_RETURN, _ALLOW)


def _answer(test: int, value: int, error: int) -> tuple[_Step, ...]:
    return _Step(test, value, 0, 1), _Step(_RETURN, _ERRNO | error)


def _argument(place: int) -> _Step:
    """Its low 32 bits: all that the kernel looks at in the calls judged here, whatever stands in the high ones."""
    return _Step(_LOAD, 16 + 8 * place)


def _namespaces(flags: int) -> tuple[_Step, ...]:
    return _argument(0), *_answer(_ANY_BIT, flags, errno.EPERM), _Step(_RETURN, _ALLOW)


def _terminal() -> tuple[_Step, ...]:
    refused = [step for command in _TERMINAL_INPUT for step in _answer(_EQUAL, command, errno.EPERM)]
    return _argument(1), *refused, _Step(_RETURN, _ALLOW)


def _only(values: Sequence[int], error: int) -> tuple[_Step, ...]:
    allowed = [_Step(_EQUAL, value, len(values) - place) for place, value in enumerate(values)]
    return _argument(0), *allowed, _Step(_RETURN, _ERRNO | error), _Step(_RETURN, _ALLOW)


def _families() -> tuple[_Step, ...]:
    allowed = [_Step(_EQUAL, family, len(_FAMILIES) + 3 - place) for place, family in enumerate(_FAMILIES)]
    netlink = (
        _Step(_EQUAL, _NETLINK, 0, 2),
        _argument(2),  # NETLINK_ROUTE alone: libc asks it for the addresses there are
        _Step(_EQUAL, 0, 1),
    )
    return _argument(0), *allowed, *netlink, _Step(_RETURN, _ERRNO | errno.EAFNOSUPPORT), _Step(_RETURN, _ALLOW)


DIGEST = digest(machine="x86_64")
"""The filter of x86-64 as it is shipped: a change of it is a change of what every sandbox may do."""
