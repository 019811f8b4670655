"""The start of a confined server: what its bubblewrap is told. What that then stops is tests/sandbox."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from gateway.errors import ConfigError, Failed
from gateway.executors.process import Start
from gateway.executors.program import Program
from gateway.executors.sandbox import seccomp
from gateway.executors.sandbox.confinement import Confinement, Identity, failure, identity_for, plan, settle_work
from gateway.executors.sandbox.machine import Cause, Host
from gateway.executors.sandbox.profiles import Limits, Profile
from gateway.model import Code

TOOLS = {name: f"/usr/bin/{name}" for name in ("bwrap", "prlimit", "unshare", "setpriv", "mount", "env", "sh")}
USER = Host(uid=1000, gid=1001, programs=TOOLS, version="0.12.0", fixed=True, links={"/bin": "usr/bin"})
ROOT = replace(USER, uid=0, gid=0, stages=(Path("/mnt"), Path("/media")))
PROGRAM = Program(("/usr/bin/python3", "-m", "server"), env={"FROM_PROGRAM": "1"})
Modes = Mapping[Path, Literal["ro", "rw"]]


def arguments(start: Start) -> list[str]:
    return start.contents["arguments"].decode().split("\0")[:-1]


def after(start: Start, option: str, count: int = 1) -> list[list[str]]:
    words = arguments(start)
    return [words[place + 1 : place + 1 + count] for place, word in enumerate(words) if word == option]


def test_a_server_has_nothing_that_is_not_given() -> None:
    start = plan(PROGRAM, Confinement(Profile()), USER)
    words = arguments(start)
    assert {
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", "--unshare-net"),
        *("--die-with-parent", "--disable-userns", "--new-session", "--clearenv"),
    } <= set(words)
    assert after(start, "--cap-drop") == [["ALL"]]
    assert after(start, "--bind", 2) == []
    assert {source for source, _ in after(start, "--ro-bind", 2)} == {"/proc/sys"}
    assert start.env == {}
    assert start.sandboxed


def test_only_the_program_and_its_limits_are_in_the_argument_list() -> None:
    start = plan(PROGRAM, Confinement(Profile(), env={"TOKEN": "canary"}), USER)
    assert start.argv[:4] == ("/usr/bin/bwrap", "--args", "{fd:arguments}", "--")
    assert start.argv[4] == "/usr/bin/prlimit"
    assert start.argv[-4:] == ("--", *PROGRAM.argv)
    assert "canary" not in repr(start.argv)
    assert "canary" not in repr(Confinement(Profile(), env={"TOKEN": "canary"}))
    assert ["TOKEN", "canary"] in after(start, "--setenv", 2)


def test_mounts_come_before_what_makes_the_root_read_only() -> None:
    words = arguments(plan(PROGRAM, Confinement(Profile(), work=Path("/")), USER))
    assert words[-6:] == ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work"]


def test_folders_are_mounted_where_they_are(tmp_path: Path) -> None:
    for name in ("read", "write"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("write")
    folders: Modes = {tmp_path / "read": "ro", tmp_path / "link": "rw"}
    start = plan(PROGRAM, Confinement(Profile(), folders), USER)
    assert [str(tmp_path / "read")] * 2 in after(start, "--ro-bind", 2)
    assert after(start, "--bind", 2) == [[str(tmp_path / "write"), str(tmp_path / "link")]]


def test_the_system_looks_as_it_does_on_this_host() -> None:
    start = plan(PROGRAM, Confinement(Profile(runtime_ro=("/usr", "/bin", "/opt/lib"))), USER)
    assert ["usr/bin", "/bin"] in after(start, "--symlink", 2)
    assert after(start, "--ro-bind-try", 2) == [["/usr", "/usr"], ["/opt/lib", "/opt/lib"]]


def test_variables_of_the_server_win_over_those_of_the_program_and_the_profile() -> None:
    profile = Profile(env={"A": "profile", "B": "profile", "HOME": "/x"})
    program = replace(PROGRAM, env={"B": "program", "C": "program"})
    confined = Confinement(profile, env={"C": "own"})
    given = {pair[0]: pair[1] for pair in after(plan(program, confined, USER), "--setenv", 2)}
    assert given == {
        "A": "profile",
        "B": "program",
        "C": "own",
        "HOME": "/x",
        "TMPDIR": "/tmp",
        "USER": "server",
        "LOGNAME": "server",
    }


@pytest.mark.parametrize(
    ("folder", "home"), [("/opt", "/work"), ("/work/project", "/home/server"), ("/work", "/home/server")]
)
def test_the_home_meets_nothing_else_that_is_mounted(folder: str, home: str) -> None:
    program = replace(PROGRAM, runtime=(Path(folder),))
    start = plan(program, Confinement(Profile(), work=Path("/var/lib/work")), USER)
    assert after(start, "--bind", 2) == [[os.path.realpath("/var/lib/work"), home]]
    assert ["HOME", home] in after(start, "--setenv", 2)
    assert after(start, "--chdir") == [[home]]
    assert f"::{home}:".encode() in start.contents["passwd"]


def test_a_home_is_found_wherever_else_something_is_mounted() -> None:
    program = replace(PROGRAM, runtime=(Path("/work"), Path("/home/server/x"), Path("/server"), Path("/server2/y")))
    start = plan(program, Confinement(Profile(), work=Path("/var/lib/work")), USER)
    assert after(start, "--chdir") == [["/server3"]]


def test_without_a_home_it_has_a_temporary_one() -> None:
    assert after(plan(PROGRAM, Confinement(Profile()), USER), "--chdir") == [["/tmp"]]


def test_limits_are_the_profiles_but_never_beyond_the_hosts() -> None:
    profile = Profile(limits=Limits(pids=10, nofile=5000, data_mb=16, fsize_mb=2))
    argv = plan(PROGRAM, Confinement(profile), replace(USER, ceilings={"nofile": 1024})).argv
    assert argv[5:11] == (
        *("--nproc=10:10", "--data=16777216:16777216", "--nofile=1024:1024"),
        *("--fsize=2097152:2097152", "--core=0:0", "--"),
    )


def test_the_filter_is_ours_and_knows_what_the_profile_refuses_beyond_it() -> None:
    start = plan(PROGRAM, Confinement(Profile(extra_deny=("socket",))), USER)
    assert start.contents["filter"] == seccomp.filter_bytes(("socket",), "x86_64")
    assert after(start, "--seccomp") == [["{fd:filter}"]]


@pytest.mark.parametrize("proxied", [True, False])
def test_a_server_with_a_way_out_is_held_until_it_is_open(*, proxied: bool) -> None:
    start = plan(PROGRAM, Confinement(Profile(), proxied=proxied), USER)
    assert start.held is proxied
    assert after(start, "--block-fd") == ([["{fd:gate}"]] if proxied else [])
    assert "--unshare-net" in arguments(start)


def test_the_records_learn_what_held_it() -> None:
    evidence = plan(PROGRAM, Confinement(Profile()), USER).evidence
    assert evidence == {
        "sandbox": "bubblewrap",
        "profile": Profile().digest,
        "filter": seccomp.DIGEST,
        "bubblewrap": "0.12.0 fixed",
        "uid": 1000,
        "network": "none",
        "limits": "rlimits, watchdog",
        "weaker": [],
    }


def test_root_starts_it_as_somebody_else_and_reaches_folders_for_it() -> None:
    program = replace(PROGRAM, runtime=(Path("/opt/node"),))
    start = plan(program, Confinement(Profile(), work=Path("/var/w"), run_as=Identity(7, 8)), ROOT)
    assert start.argv[0] == "/usr/bin/unshare"
    node, work = os.path.realpath("/opt/node"), os.path.realpath("/var/w")
    place = start.argv.index("/usr/bin/bwrap")
    assert start.argv[place - 3 : place] == (node, work, "--")
    assert ["/mnt/0", "/opt/node"] in after(start, "--ro-bind", 2)
    assert after(start, "--bind", 2) == [["/mnt/1", "/work"]]
    assert start.contents["passwd"] == b"server:x:7:8::/work:/bin/sh\n"
    assert start.evidence["uid"] == 7


@pytest.mark.parametrize(
    ("confinement", "host", "detail"),
    [
        (Confinement(Profile()), ROOT, "set run_as"),
        (Confinement(Profile(), run_as=Identity(0, 8)), ROOT, "set run_as"),
        (Confinement(Profile(), run_as=Identity(8, 0)), ROOT, "set run_as"),
        (Confinement(Profile(), run_as=Identity(8, 8)), USER, "leave run_as out"),
        (Confinement(Profile(), {Path("/"): "ro"}), USER, "holds far more"),
        (Confinement(Profile(), {Path("/usr/share"): "ro"}, state=Path("/usr")), USER, "state folder"),
        (Confinement(Profile(), env={"A": "x\0--bind\0/\0/host"}), USER, "zero byte"),
        (Confinement(Profile(), env={"A=B": "x"}), USER, "is not the name of a variable"),
        (Confinement(Profile(runtime_ro=("/opt",))), USER, "runtime_ro lacks /usr/bin"),
        (Confinement(Profile(), env={"": "x"}), USER, "is not the name of a variable"),
        (Confinement(Profile()), replace(USER, cause=Cause.MISSING), "apt-get install bubblewrap"),
        (Confinement(Profile()), replace(USER, machine="riscv64"), "riscv64"),
    ],
)
def test_what_cannot_be_confined_is_not_started(confinement: Confinement, host: Host, detail: str) -> None:
    with pytest.raises(Failed) as refusal:
        plan(PROGRAM, confinement, host)
    assert refusal.value.code is Code.SANDBOX_UNAVAILABLE
    assert detail in refusal.value.detail
    assert "/" not in refusal.value.reason
    assert not refusal.value.unknown


def test_a_value_that_looks_like_a_descriptor_stays_as_it_is() -> None:
    words = arguments(plan(PROGRAM, Confinement(Profile(), env={"A": "{fd:status}"}), USER))
    assert words.index("{fd:status}") < words.index("--setenv")
    assert words.count("{fd:status}") == 2


# Who a server runs as.


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 65534)


@pytest.mark.usefixtures("as_user")
def test_a_gateway_that_is_not_root_runs_servers_as_itself() -> None:
    assert identity_for({}, None) is None
    assert identity_for({}, 65534) is None
    with pytest.raises(ConfigError, match="needs a gateway that was started as root"):
        identity_for({}, 4242)


@pytest.mark.usefixtures("as_root")
def test_root_takes_the_user_that_is_named() -> None:
    assert identity_for({Path("/nowhere"): "rw"}, 4242) == Identity(4242, 4242)
    assert identity_for({}, "nobody") is not None


@pytest.mark.usefixtures("as_root")
def test_root_takes_nobody_where_nothing_is_written() -> None:
    assert identity_for({}, None) == identity_for({Path("/srv"): "ro"}, None) == Identity(65534, 65534)


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("run_as", [0, "root"])
def test_root_is_no_servers_user(run_as: int | str) -> None:
    with pytest.raises(ConfigError, match="no server runs as root"):
        identity_for({}, run_as)


@pytest.mark.usefixtures("as_root")
def test_an_unknown_user_or_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no user no-such-user"):
        identity_for({}, "no-such-user")
    with pytest.raises(ConfigError, match="does not exist"):
        identity_for({tmp_path / "missing": "rw"}, None)


class Owner:
    """What `stat` says of a folder."""

    def __init__(self, uid: int, gid: int) -> None:
        self.st_uid, self.st_gid = uid, gid


@pytest.mark.usefixtures("as_root")
def test_root_takes_the_owner_of_the_first_writable_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"/a": Owner(1, 2), "/b": Owner(1234, 56), "/c": Owner(9, 9)}
    monkeypatch.setattr(Path, "stat", lambda path: owners[str(path)])
    assert identity_for({Path("/a"): "ro", Path("/b"): "rw", Path("/c"): "rw"}, None) == Identity(1234, 56)


@pytest.mark.usefixtures("as_root")
def test_a_writable_folder_of_roots_is_refused_with_both_fixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "stat", lambda path: Owner(0, 0))
    with pytest.raises(Failed) as refusal:
        identity_for({Path("/b"): "rw"}, None)
    assert refusal.value.code is Code.SANDBOX_UNAVAILABLE
    assert "run_as" in refusal.value.detail
    assert "chown" in refusal.value.detail


# The home, and what is said when bubblewrap gives up.


def test_a_home_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    settle_work(tmp_path / "work" / "name", None)
    assert (tmp_path / "work" / "name").stat().st_mode & 0o777 == 0o700
    settle_work(tmp_path / "work" / "name", None)


def test_a_home_is_given_to_a_new_user_whole_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, bool]] = []

    def chown(path: object, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        given.append((os.path.basename(str(path)), follow_symlinks))

    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    work = tmp_path / "work"
    (work / "folder").mkdir(parents=True)
    (work / "folder" / "file").touch()
    (work / "away").symlink_to("../outside")
    monkeypatch.setattr(os, "chown", chown)
    settle_work(work, Identity(4242, 4242))
    assert sorted(given) == [("away", False), ("file", False), ("folder", False), ("work", True)]
    given.clear()
    settle_work(work, Identity(work.stat().st_uid, 1))
    assert given == []


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ("bwrap: Can't find source path /x: No such file or directory\n", "Can't find source path /x"),
        ("bwrap: setting up uid map: Permission denied\n\n", "AppArmor refuses"),
        ("", "it said nothing"),
    ],
)
def test_the_last_words_of_bubblewrap_are_for_the_operator(said: str, detail: str) -> None:
    failed = failure(said)
    assert failed.code is Code.SANDBOX_UNAVAILABLE
    assert detail in failed.detail
    assert failed.reason == "the sandbox could not be made"
