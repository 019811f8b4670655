"""Machines on which the real bubblewrap can make no sandbox: what it says there is what we tell the cause by."""

import os
import sys

import pytest

from gateway.executors import process
from gateway.executors.process import Start
from gateway.executors.program import Program
from gateway.executors.sandbox.confinement import Confinement, plan
from gateway.executors.sandbox.machine import Cause, cause_of
from gateway.executors.sandbox.syscalls import NUMBERS
from tests.sandbox.battery import AS, PYTHON, host_as, identity, profile, started_as

pytestmark = pytest.mark.slow

NO_MORE = (
    *("/usr/bin/unshare", "--user", "--map-current-user", "--keep-caps", "--"),
    *("/bin/sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh"),
    *("/usr/bin/setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--"),
)
"""A user namespace of its own, in which there may be no further one: what the sysctl does for a whole machine."""

_REFUSING = """
import ctypes, os, struct, sys
clone, unshare = int(sys.argv[1]), int(sys.argv[2])
allow, refuse = 0x7FFF0000, 0x50001
steps = [(0x20, 0, 0, 0), (0x15, 0, 3, clone), (0x20, 0, 0, 16), (0x45, 2, 0, 0x7E020000), (0x06, 0, 0, allow),
         (0x15, 0, 1, unshare), (0x06, 0, 0, refuse), (0x06, 0, 0, allow)]
program = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *step) for step in steps))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
filter = ctypes.create_string_buffer(struct.pack('=HxxxxxxQ', len(steps), ctypes.addressof(program)))
assert libc.prctl(22, 2, filter, 0, 0) == 0
os.execv(sys.argv[3], sys.argv[3:])
"""


def refusing() -> tuple[str, ...]:
    """As the default seccomp profile of a container does it: EPERM for new namespaces."""
    numbers = NUMBERS[os.uname().machine]
    return (PYTHON, "-I", "-S", "-c", _REFUSING, str(numbers["clone"]), str(numbers["unshare"]))


async def said_by(prefix: tuple[str, ...], who: str) -> str:
    start = plan(Program(("/usr/bin/true",)), Confinement(profile(), run_as=identity(who)), await host_as(who))
    wrapped = Start((*prefix, *start.argv), contents=start.contents, sandboxed=True)
    child = await process.start(started_as(wrapped, who))
    said = (await child.stderr.read()).decode()
    await child.wait()
    assert child.sandbox_failed
    await child.stop(1)
    return said


async def test_a_machine_without_user_namespaces_is_told_its_limit() -> None:
    assert cause_of(await said_by(NO_MORE, "user")) is Cause.LIMIT


async def test_a_gateway_with_capabilities_of_its_own_is_told_so() -> None:
    assert cause_of(await said_by(NO_MORE[:5], "user")) is Cause.CAPABILITIES


async def test_a_container_that_refuses_them_is_told_its_profile() -> None:
    assert cause_of(await said_by(refusing(), "user")) is Cause.CONTAINER


async def test_root_without_the_rights_of_root_is_told_so() -> None:
    if "root" not in AS:
        pytest.skip("only root starts servers as somebody else")
    assert cause_of(await said_by(refusing(), "root")) is Cause.ROOT


WITHOUT_BUBBLEWRAP = """
import asyncio
from gateway.executors.sandbox.host import probe
failed = asyncio.run(probe('/nowhere')).unavailable()
print(failed.code, '|', failed.reason, '|', failed.detail)
"""


async def test_without_bubblewrap_the_code_the_cause_and_the_fix_are_told() -> None:
    code, said = await process.run([sys.executable, "-c", WITHOUT_BUBBLEWRAP], 60)
    assert code == 0, said
    name, reason, detail = said.strip().split(" | ")
    assert name == "SANDBOX_UNAVAILABLE"
    assert "bubblewrap is not installed" in reason
    assert detail.endswith("fix: apt-get install bubblewrap")
