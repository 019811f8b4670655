"""Starts of real sandboxes: whose runtime lies where, what is told of failures, how a held one is given a network."""

import asyncio
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import Failed
from gateway.executors import process
from gateway.executors.process import Child
from gateway.executors.program import Program
from gateway.executors.sandbox.confinement import Confinement, Identity, failure, plan, settle_work
from tests.sandbox.battery import AS, PYTHON, host_as, identity, open_up, own, profile, run_inside, running, started_as

pytestmark = pytest.mark.slow

REAL = Path(sys.base_prefix).resolve()
RUNTIME = (Path(sys.base_prefix),)
"""Wherever this Python lives: below a home that only its owner may enter, where a version manager put it."""


@pytest.fixture(params=AS)
def who(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def this_python(*arguments: str) -> Program:
    return Program((os.path.realpath(sys.executable), *arguments), runtime=RUNTIME)


async def test_an_interpreter_below_a_private_home_runs_a_server_of_another_user() -> None:
    who = AS[0]
    ran = await run_inside(
        this_python("-I", "-c", "import os, ssl, sys; print(os.getuid(), sys.prefix)"), Confinement(profile()), who
    )
    assert (ran.code, ran.err) == (0, "")
    uid, prefix = ran.out.split()
    assert prefix in {sys.base_prefix, str(REAL)}
    assert int(uid) != 0


async def test_nothing_else_of_a_home_is_there_than_the_runtime_in_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "runtime").mkdir(parents=True)
    (home / "runtime" / "tool.py").write_text(
        "import os, sys; print(sorted(os.listdir(sys.argv[1])), open(__file__).name)"
    )
    (home / "key").write_text("canary")
    home.chmod(0o700)
    program = Program((PYTHON, str(home / "runtime" / "tool.py"), str(home)), runtime=(home / "runtime",))
    ran = await run_inside(program, Confinement(profile()), AS[0])
    assert ran.out == f"['runtime'] {home / 'runtime' / 'tool.py'}\n", ran


async def test_packages_and_homes_below_a_private_state_folder_are_reached(tmp_path: Path) -> None:
    who = AS[0]
    package, work = tmp_path / "state" / "packages" / "x", tmp_path / "state" / "work" / "x"
    package.mkdir(parents=True)
    (package / "server.py").write_text("open('kept', 'w').write('y'); print(open(__file__).read()[:4])")
    settle_work(work, identity(who))
    (tmp_path / "state").chmod(0o700)
    program = Program((PYTHON, str(package / "server.py")), runtime=(package,))
    ran = await run_inside(program, Confinement(profile(), work=work, state=tmp_path / "state"), who)
    assert (ran.out, ran.err) == ("open\n", "")
    assert (work / "kept").read_text() == "y"
    assert (work / "kept").stat().st_uid != 0
    assert package.stat().st_uid == os.getuid()


async def test_a_single_file_can_be_a_runtime(tmp_path: Path, who: str) -> None:
    open_up(tmp_path)
    (tmp_path / "server.py").write_text("import os; print(os.listdir(os.path.dirname(__file__)))")
    (tmp_path / "other.py").touch()
    program = Program((PYTHON, str(tmp_path / "server.py")), runtime=(tmp_path / "server.py",))
    assert (await run_inside(program, Confinement(profile()), who)).out == "['server.py']\n"


@pytest.mark.parametrize(
    "name", ["a b", "tab\there", "line\nbreak", "back\\slash", "#hash", "ä", "$(x)", "{fd:status}", "-o"]
)
async def test_a_folder_of_any_name_is_mounted(name: str, tmp_path: Path, who: str) -> None:
    open_up(tmp_path)
    own(tmp_path / name)
    (tmp_path / name / "file").write_text("found")
    program = Program((PYTHON, "-c", "import sys; print(open(sys.argv[1]).read())", str(tmp_path / name / "file")))
    ran = await run_inside(program, Confinement(profile(), {tmp_path / name: "ro"}), who)
    assert ran.out == "found\n", ran


async def test_node_runs(who: str) -> None:
    if shutil.which("node", path="/usr/bin") is None:
        pytest.fail("this test needs node: apt-get install nodejs")
    script = "const os = require('os'); console.log(os.userInfo().username, os.tmpdir(), process.cwd())"
    ran = await run_inside(Program(("/usr/bin/node", "-e", script)), Confinement(profile()), who)
    assert (ran.out, ran.code) == ("server /tmp /tmp\n", 0), ran


async def test_a_program_that_is_not_there_is_its_own_failure_and_a_folder_that_vanished_is_the_sandboxs(
    tmp_path: Path, who: str
) -> None:
    ran = await run_inside(Program(("/usr/bin/no-such-server",)), Confinement(profile()), who)
    assert not ran.sandbox_failed
    assert "no-such-server" in ran.err
    open_up(tmp_path)
    folder = own(tmp_path / "folder")
    start = plan(
        Program(("/usr/bin/true",)), Confinement(profile(), {folder: "rw"}, run_as=identity(who)), await host_as(who)
    )
    folder.rmdir()
    child = await process.start(started_as(start, who))
    said = (await child.stderr.read()).decode()
    await child.wait()
    assert child.sandbox_failed
    assert str(folder) in failure(said).detail
    await child.stop(1)


@pytest.mark.parametrize("code", [0, 1, 7])
async def test_how_the_program_ended_is_how_it_is_told(code: int, who: str) -> None:
    ran = await run_inside(Program((PYTHON, "-c", f"raise SystemExit({code})")), Confinement(profile()), who)
    assert (ran.code, ran.sandbox_failed) == (code, False)


POLITE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print('goodbye', flush=True), sys.exit(5)))
print('ready', flush=True)
signal.pause()
"""


async def test_a_server_that_ignores_the_end_of_its_input_is_asked_to_end(who: str) -> None:
    async with running(Program((PYTHON, "-c", POLITE)), Confinement(profile()), who) as child:
        assert await child.stdout.readline() == b"ready\n"
        stopping = asyncio.ensure_future(child.stop(0.5))
        assert await child.stdout.readline() == b"goodbye\n"
        await stopping
        assert child.returncode == 5


async def test_a_server_that_ignores_everything_is_ended(who: str) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    async with running(Program((PYTHON, "-c", deaf)), Confinement(profile()), who) as child:
        await child.stdout.readline()
        await child.stop(0.1)
        assert child.returncode == -signal.SIGKILL


ENTER = """
import ctypes, fcntl, os, socket, sys
NS_GET_USERNS, NEWUSER, NEWNET = 0xB701, 0x10000000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
network = os.open(f'/proc/{sys.argv[1]}/ns/net', os.O_RDONLY)
# Not the namespace the process is in: --disable-userns has put it into one within. The one that owns the network.
owner = fcntl.ioctl(network, NS_GET_USERNS)
for descriptor, kind in ((owner, NEWUSER), (network, NEWNET)):
    if libc.setns(descriptor, kind) != 0:
        raise OSError(ctypes.get_errno(), 'setns')
listener = socket.create_server(('127.0.0.1', 3128))
print('open', flush=True)
listener.accept()[0].sendall(b'through')
"""
CONNECT = "import socket; print(socket.create_connection(('127.0.0.1', 3128)).recv(99).decode())"


async def test_a_plain_user_opens_a_listener_in_the_network_of_a_held_sandbox() -> None:
    async with running(Program((PYTHON, "-c", CONNECT)), Confinement(profile(), proxied=True), "user") as child:
        entering = process.Start((PYTHON, "-c", ENTER, str(child.sandbox_pid)))
        door = await process.start(started_as(entering, "user"))
        try:
            assert await door.stdout.readline() == b"open\n", await door.stderr.read()
            child.release()
            assert await child.stdout.read() == b"through\n"
        finally:
            await door.stop(0.1)


def _in_network(pid: int, made: Callable[[], socket.socket]) -> socket.socket:
    """On a thread of its own, which keeps the network it entered until it goes back."""
    libc = ctypes.CDLL(None, use_errno=True)
    ours, theirs = (os.open(f"/proc/{name}/ns/net", os.O_RDONLY) for name in ("thread-self", pid))
    try:
        assert libc.setns(theirs, 0x40000000) == 0, os.strerror(ctypes.get_errno())
        try:
            return made()
        finally:
            assert libc.setns(ours, 0x40000000) == 0
    finally:
        os.close(ours)
        os.close(theirs)


async def test_root_opens_a_listener_there_from_a_thread() -> None:
    if os.getuid() != 0:
        pytest.skip("only root may enter without the owning namespace")
    async with running(Program((PYTHON, "-c", CONNECT)), Confinement(profile(), proxied=True), "root") as child:
        assert child.sandbox_pid is not None
        listener = await asyncio.to_thread(
            _in_network, child.sandbox_pid, lambda: socket.create_server(("127.0.0.1", 3128))
        )
        child.release()
        with listener:
            connection, _ = await asyncio.to_thread(listener.accept)
            with connection:
                connection.sendall(b"through")
        assert await child.stdout.read() == b"through\n"


async def test_a_held_sandbox_runs_nothing_before_its_release(who: str) -> None:
    async with running(Program(("/usr/bin/echo", "ran")), Confinement(profile(), proxied=True), who) as child:
        assert child.sandbox_pid is not None
        assert _programs_in(child) == ["bwrap"]
        child.release()
        assert await child.stdout.read() == b"ran\n"


def _programs_in(child: Child) -> list[str]:
    return [Path(f"/proc/{child.sandbox_pid}/comm").read_text().strip()]


async def test_the_owner_of_a_network_is_not_the_namespace_of_its_process() -> None:
    async with running(Program(("/usr/bin/true",)), Confinement(profile(), proxied=True), AS[0]) as child:
        network = os.open(f"/proc/{child.sandbox_pid}/ns/net", os.O_RDONLY)
        owner = fcntl.ioctl(network, 0xB701)
        try:
            assert os.fstat(owner).st_ino != os.stat(f"/proc/{child.sandbox_pid}/ns/user").st_ino
        finally:
            os.close(owner)
            os.close(network)


async def test_a_granted_folder_is_never_given_to_anybody(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root could")
    open_up(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    confined = Confinement(profile(), {folder: "rw"}, run_as=Identity(4242, 4242))
    start = plan(Program((PYTHON, "-c", f"open({str(folder)!r} + '/new', 'w')")), confined, await host_as("root"))
    child = await process.start(replace(start))
    said = (await child.stderr.read()).decode()
    await child.stop(1)
    assert "PermissionError" in said
    assert folder.stat().st_uid == 0


TRIES = """
import os, sys
for path in sys.argv[1:]:
    try:
        open(path + '/new', 'w').close()
        print('written')
    except OSError as problem:
        print(problem.strerror)
"""


async def test_a_read_only_folder_inside_a_writable_one_stays_so_where_the_two_can_be_kept_apart(
    tmp_path: Path, who: str
) -> None:
    open_up(tmp_path)
    outer, inner = own(tmp_path / "outer"), own(tmp_path / "outer" / "inner")
    confined = Confinement(profile(), {inner: "ro", outer: "rw"}, run_as=identity(who))
    # The mounts are the same with every bubblewrap; only one that is mended may be asked for them.
    host = replace(await host_as(who), fixed=True)
    program = Program((PYTHON, "-c", TRIES, str(outer), str(inner)))
    child = await process.start(started_as(plan(program, confined, host), who))
    said = await child.stdout.read()
    await child.stop(1)
    assert said == b"written\nRead-only file system\n"


async def test_a_symlink_planted_for_the_next_start_leads_nowhere(tmp_path: Path, who: str) -> None:
    open_up(tmp_path)
    outside, writable, work = (own(tmp_path / name) for name in ("outside", "writable", "work"))
    confined = Confinement(profile(), {writable: "rw"}, work=work)
    plant = f"import os; [os.symlink('/oldroot{outside}', at + '/x') for at in ({str(writable)!r}, os.environ['HOME'])]"
    assert (await run_inside(Program((PYTHON, "-c", plant)), confined, who)).code == 0
    again = replace(confined, folders={writable: "rw", writable / "x": "rw"})
    with pytest.raises(Failed, match="as it is configured"):
        await run_inside(Program(("/usr/bin/true",)), again, who)
    assert (await run_inside(Program(("/usr/bin/true",)), confined, who)).code == 0
    assert os.listdir(outside) == []


@pytest.mark.parametrize("who", AS)
async def test_a_project_that_holds_the_state_folder_shows_nothing_of_it_but_the_servers_own_package(
    tmp_path: Path, who: str
) -> None:
    project = tmp_path / "project"
    state = project / ".bascule"
    package = state / "packages" / "x"
    package.mkdir(parents=True)
    (state / "log.key").write_text("secret")
    (package / "kept").write_text("package")
    (project / "mine").write_text("project")
    open_up(tmp_path)
    shown = [f"sorted(os.listdir({str(state)!r}))", f"open({str(package / 'kept')!r}).read()"]
    seen = ", ".join([*shown, f"sorted(os.listdir({str(project)!r}))"])
    code = f"import os; print({seen})"
    program = Program(("/usr/bin/python3", "-I", "-S", "-c", code), (project, package))
    ran = await run_inside(program, Confinement(profile(), state=state), who)
    assert ran.out == "['packages'] package ['.bascule', 'mine']\n", ran
