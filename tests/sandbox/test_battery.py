"""Attacks from inside the shipped profile: none succeeds, and what a server needs works."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.executors import process
from gateway.executors.process import Start
from gateway.executors.program import Program
from gateway.executors.sandbox.profiles import Profile
from tests.sandbox import attacks
from tests.sandbox.battery import (
    AS,
    PYTHON,
    Targets,
    attack,
    command,
    profile,
    run_inside,
    running,
    started_as,
    survivors,
    targets,
)

pytestmark = pytest.mark.slow

SMALL: dict[str, int] = {"memory_mb": 96, "work_mb": 64, "tmp_mb": 32, "fsize_mb": 32}


@pytest.fixture(params=AS)
def who(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def aims(tmp_path: Path, who: str) -> AsyncIterator[Targets]:
    async with targets(tmp_path, who) as made:
        yield made


@pytest.mark.parametrize("name", attacks.ATTACKS)
async def test_an_attack_reaches_nothing(name: str, aims: Targets, who: str) -> None:
    ran = await run_inside(attack(attacks.ATTACKS[name], aims.given), aims.confinement, who)
    assert not ran.sandbox_failed, ran.err
    assert "OPEN" not in ran.out
    assert ran.out.startswith("closed") or ran.code == 128 + signal.SIGSYS or "Error" in ran.err, ran
    with pytest.raises(BlockingIOError):
        aims.datagrams.recv(1)
    assert (aims.folder / "home" / "key").read_text() == "canary-of-a-file"
    assert [path.name for path in (aims.folder / "outside").iterdir()] == []
    assert aims.bystander.returncode is None


@pytest.mark.parametrize("name", attacks.LIVE)
async def test_the_same_attack_succeeds_without_a_sandbox(name: str, tmp_path: Path) -> None:
    async with targets(tmp_path, "user") as aims:
        bare = Start(attack(attacks.ATTACKS[name], aims.given).argv, env={"HOME": aims.given["work"]})
        child = await process.start(started_as(bare, "user"))
        try:
            said = await child.stdout.read()
        finally:
            await child.stop(0)
    assert b"OPEN" in said


@pytest.mark.parametrize("source", [attacks.FORKS, attacks.THREADS], ids=["processes", "threads"])
async def test_the_number_of_processes_is_limited(source: str, aims: Targets, who: str) -> None:
    ran = await run_inside(attack(source, aims.given), aims.confinement, who)
    assert ran.out.startswith("closed"), ran


async def test_two_sandboxes_of_one_user_do_not_share_the_limit(aims: Targets, who: str) -> None:
    def forking() -> Program:
        return attack(attacks.FORKS, aims.given)

    first, second = await asyncio.gather(
        run_inside(forking(), aims.confinement, who), run_inside(forking(), aims.confinement, who)
    )
    assert [int(ran.out.split()[1]) > 100 for ran in (first, second)] == [True, True]


@pytest.mark.parametrize("name", attacks.GREED)
async def test_greed_ends_in_an_error_or_in_a_kill(name: str, aims: Targets, who: str) -> None:
    confined = replace(aims.confinement, profile=profile(**SMALL))
    ran = await run_inside(attack(attacks.GREED[name], aims.given), confined, who)
    assert ran.violation or ran.out.startswith("closed"), ran
    assert bool(ran.violation) != ran.out.startswith("closed")


async def test_a_daemon_ends_with_its_server(aims: Targets, who: str) -> None:
    token = f"{4000 + os.getpid()}.25"
    source = attacks.DAEMON + "print('ready', flush=True); time.sleep(60)"
    with survivors(token):
        async with running(attack(source, {**aims.given, "token": token}), aims.confinement, who) as child:
            assert await child.stdout.readline() == b"ready\n"


async def test_an_orphan_ends_with_its_server(aims: Targets, who: str) -> None:
    token = f"{5000 + os.getpid()}.25"
    with survivors(token):
        ran = await run_inside(attack(attacks.DAEMON, {**aims.given, "token": token}), aims.confinement, who)
        assert ran.code == 0


GATEWAY = """
import asyncio, sys
from pathlib import Path
from tests.sandbox.battery import attack, profile, running
from gateway.executors.sandbox.confinement import Confinement
async def main():
    waiting = attack("print('ready', flush=True); time.sleep(60)", {})
    async with running(waiting, Confinement(profile()), sys.argv[1]) as child:
        await child.stdout.readline()
        print(child.sandbox_pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_killed_gateway_leaves_nothing_running(who: str) -> None:
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", GATEWAY, who, stdout=asyncio.subprocess.PIPE)
    assert gateway.stdout
    first = os.pidfd_open(int(await gateway.stdout.readline()))
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(first, ended.set)
    try:
        gateway.kill()
        async with asyncio.timeout(20):
            await gateway.wait()
            await ended.wait()
    finally:
        loop.remove_reader(first)
        os.close(first)


NEEDED = """
import pwd, subprocess, tempfile, threading
checks = {}
open(given['rw'] + '/made', 'w').write('by the server')
open(os.environ['HOME'] + '/kept', 'w').write('by the server')
checks['cwd'] = os.getcwd() == os.environ['HOME']
checks['ro'] = text(given['ro'] + '/file') == b'canary-of-a-file'
with tempfile.TemporaryDirectory() as folder: checks['tmp'] = folder.startswith('/tmp/')
checks['null'] = open('/dev/null', 'w').write('x') == 1
checks['random'] = len(os.urandom(8)) == 8
checks['user'] = pwd.getpwuid(os.getuid()).pw_dir == os.environ['HOME']
checks['child'] = subprocess.run(['sh', '-c', 'exit 3']).returncode == 3
thread = threading.Thread(target=lambda: checks.update(thread=True)); thread.start(); thread.join()
server = socket.create_server(('127.0.0.1', 0))
checks['own loopback'] = socket.create_connection(server.getsockname()) is not None
checks['localhost'] = socket.gethostbyname('localhost') == '127.0.0.1'
checks['pair'] = len(socket.socketpair()) == 2
checks['hostname'] = socket.gethostname() == 'sandbox'
checks['pid'] = os.getppid() == 1
checks['environment'] = set(os.environ) <= {*'PATH LANG HOME TMPDIR USER LOGNAME PWD LC_CTYPE OWN'.split()}
checks['own variable'] = os.environ['OWN'] == 'a b"$c'
print(json.dumps(checks))
"""


async def test_what_a_server_needs_works(aims: Targets, who: str) -> None:
    confined = replace(aims.confinement, env={"OWN": 'a b"$c'})
    ran = await run_inside(attack(NEEDED, aims.given), confined, who)
    assert ran.err == ""
    assert [name for name, good in json.loads(ran.out).items() if not good] == []
    assert (aims.folder / "rw" / "made").read_text() == "by the server"
    assert (aims.folder / "work" / "kept").read_text() == "by the server"


SEEN = """
allowed = tuple(given['allowed'])
odd, files = [], 0
for folder, folders, names in os.walk('/', followlinks=False):
    if folder == '/proc':
        folders[:] = []
        continue
    for name in (*names, *[n for n in folders if os.path.islink(folder + '/' + n)]):
        path = os.path.join(folder, name)
        files += 1
        if not path.startswith(allowed):
            odd.append(path)
print(json.dumps([files > 1000, sorted(odd)]))
"""
OURS = {"/etc/passwd", "/etc/group", "/etc/hosts"}
DEVICES = {
    *("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "core", "fd", "stdin", "stdout", "stderr"),
    "pts/ptmx",
}


async def test_nothing_of_the_host_is_there_but_the_runtime_and_the_folders(aims: Targets, who: str) -> None:
    shown: Profile = aims.confinement.profile
    allowed = [*shown.runtime_ro, aims.given["rw"], aims.given["ro"], "/work"]
    ran = await run_inside(attack(SEEN, {**aims.given, "allowed": allowed}), aims.confinement, who)
    some, odd = json.loads(ran.out)
    assert some
    assert set(odd) <= OURS | {f"/dev/{name}" for name in DEVICES}


async def test_the_names_inside_are_not_the_hosts(aims: Targets, who: str) -> None:
    program = Program((PYTHON, "-I", "-S", "-c", "print(open('/etc/passwd').read(), open('/etc/hosts').read())"))
    ran = await run_inside(program, aims.confinement, who)
    assert ran.out.splitlines()[0].startswith("server:x:")
    assert "root" not in ran.out


async def test_no_argument_list_shows_a_secret_or_what_is_granted(aims: Targets, who: str) -> None:
    confined = replace(aims.confinement, env={"TOKEN": "canary-of-a-variable"})
    async with running(attack("print('ready', flush=True); time.sleep(60)", {}), confined, who) as child:
        assert await child.stdout.readline() == b"ready\n"
        shown = [command(pid) for pid in (child.pid, child.sandbox_pid)]
    assert not [line for line in shown if "canary-of-a-variable" in line]
