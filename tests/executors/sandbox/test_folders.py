"""Granted folders: which may be, and what is mounted for them."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.executors.sandbox.folders import Mount, covering, judged, laid_out, needed, warnings

HOME = Path("/srv/people/ann")


@pytest.mark.parametrize(
    ("path", "mode", "problem"),
    [
        ("/", "ro", "holds far more"),
        ("/etc", "ro", "holds far more"),
        ("/usr", "ro", "holds far more"),
        ("/var", "ro", "holds far more"),
        ("/run", "ro", "holds far more"),
        ("/tmp", "rw", "holds far more"),
        ("/var/tmp", "rw", "holds far more"),
        ("/home", "ro", "holds far more"),
        ("/home/ann", "ro", "is a whole home"),
        ("/srv/people/ann", "rw", "is a whole home"),
        ("/srv/people", "ro", "is a whole home"),
        ("/srv", "ro", "is a whole home"),
        ("/proc", "ro", "is the kernel's own"),
        ("/proc/self", "ro", "is the kernel's own"),
        ("/sys/fs", "ro", "is the kernel's own"),
        ("/dev/shm", "rw", "is the kernel's own"),
        ("/etc/ssl", "rw", "is part of the system"),
        ("/usr/share", "rw", "is part of the system"),
        ("relative", "ro", "should be an absolute path"),
        ("/srv/x/../y", "ro", "should be an absolute path"),
        ("/opt", "read", "should be ro or rw"),
        ("/opt/no/such/folder", "ro", "does not exist"),
    ],
)
def test_a_folder_that_would_give_too_much_is_refused(path: str, mode: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        judged({Path(path): mode}, [HOME], None)


def test_a_symlink_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "home").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "home")
    with pytest.raises(ConfigError, match="holds far more"):
        judged({tmp_path / "link": "ro"}, [], None)
    with pytest.raises(ConfigError, match="is a whole home"):
        judged({tmp_path / "way": "ro"}, [tmp_path / "home"], None)


def test_what_is_checked_is_what_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert judged({tmp_path / "link": "rw"}, [], None) == [Mount(tmp_path / "link", "rw", tmp_path / "real")]


@pytest.mark.parametrize("place", ["state", "state/work/other", "."])
def test_the_gateways_own_state_is_given_to_no_server(tmp_path: Path, place: str) -> None:
    (tmp_path / "state" / "work" / "other").mkdir(parents=True)
    with pytest.raises(ConfigError, match="the gateway's own state folder"):
        judged({tmp_path / place: "ro"}, [], tmp_path / "state")


def test_where_another_user_makes_the_mounts_the_outermost_closed_folder_is_covered(tmp_path: Path) -> None:
    state = tmp_path / "open" / "closed" / "state"
    state.mkdir(parents=True, mode=0o700)
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "open" / "closed").chmod(0o700)
    runtime = [Mount(tmp_path, "ro", tmp_path)]
    assert [one.path for one in covering(runtime, state, by_other=True)] == [state.parent]
    assert [one.path for one in covering(runtime, state, by_other=False)] == [state]


@pytest.mark.parametrize("place", [".", "policies", "policies/packs"])
def test_what_says_what_servers_may_is_writable_for_none_of_them(tmp_path: Path, place: str) -> None:
    (tmp_path / "policies" / "packs").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    guarded = [tmp_path / "bascule.yaml", tmp_path / "policies"]
    with pytest.raises(ConfigError, match="says what servers may"):
        judged({tmp_path / place: "rw"}, [], None, guarded)
    assert judged({tmp_path / place: "ro", tmp_path / "docs": "rw"}, [], None, guarded)


def test_a_runtime_that_holds_the_state_folder_has_it_covered(tmp_path: Path) -> None:
    state, real = tmp_path / "project" / ".bascule", tmp_path / "project"
    state.mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    package = state / "packages" / "x"
    runtime = [Mount(tmp_path / "link", "ro", real), Mount(tmp_path / "other", "ro", tmp_path / "other")]
    [cover] = covering(runtime, state, by_other=False)
    assert (cover.path, cover.mode) == (tmp_path / "link" / ".bascule", "empty")
    mounts, _ = laid_out(
        [Mount(real, "ro", real), *covering([Mount(real, "ro", real)], state, by_other=False)], (), fixed=False
    )
    assert [mount.mode for mount in mounts] == ["ro", "empty"]
    inner = Mount(package, "ro", package)
    mounts, _ = laid_out([inner, Mount(real, "ro", real), Mount(state, "empty", state)], (), fixed=False)
    assert [mount.path for mount in mounts] == [real, state, package]
    assert covering(runtime, None, by_other=False) == covering(runtime[1:], state, by_other=True) == []


def test_a_folder_beside_the_state_is_granted(tmp_path: Path) -> None:
    (tmp_path / "state-of-affairs").mkdir()
    assert judged({tmp_path / "state-of-affairs": "ro"}, [], tmp_path / "state")


@pytest.mark.parametrize(
    ("path", "warned"), [(".ssh", True), (".config/gh", True), (".aws/x", True), ("notes", False), ("a/.ssh", False)]
)
def test_folders_of_credentials_are_warned_of(path: str, *, warned: bool) -> None:
    assert bool(warnings({HOME / path: "ro"}, [HOME])) is warned


def test_a_runtime_is_only_what_the_system_lacks(tmp_path: Path) -> None:
    mounts = needed([Path("/usr/bin/node"), Path("/usr"), tmp_path], [Path("/usr")], [HOME])
    assert [mount.path for mount in mounts] == [tmp_path]


@pytest.mark.parametrize("path", ["/", "/etc", "/srv/people/ann", "/proc/1", "x", "/opt/../etc"])
def test_a_runtime_that_would_give_too_much_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="the program's runtime"):
        needed([Path(path)], [Path("/usr")], [HOME])


def mount(path: str, mode: str, source: str = "") -> Mount:
    return Mount(Path(path), "rw" if mode == "rw" else "ro", Path(source or path))


def paths(mounts: list[Mount]) -> list[tuple[str, str]]:
    return [(str(kept.path), kept.mode) for kept in mounts]


@pytest.mark.parametrize(
    ("runtime", "granted", "expected"),
    [
        (["/r"], [("/b", "rw"), ("/a", "ro")], [("/a", "ro"), ("/b", "rw"), ("/r", "ro")]),
        ([], [("/a/b", "ro"), ("/a", "ro")], [("/a", "ro")]),
        ([], [("/a/b", "rw"), ("/a", "rw")], [("/a", "rw")]),
        ([], [("/a/b/c", "rw"), ("/a", "ro")], [("/a", "ro"), ("/a/b/c", "rw")]),
        (["/a"], [("/a", "rw")], [("/a", "rw")]),
        (["/a/lib"], [("/a", "ro")], [("/a", "ro")]),
    ],
)
def test_outer_comes_before_inner_and_nothing_twice(
    runtime: list[str], granted: list[tuple[str, str]], expected: list[tuple[str, str]]
) -> None:
    for fixed in (True, False):
        kept, weaker = laid_out([mount(path, "ro") for path in runtime], [mount(*one) for one in granted], fixed=fixed)
        assert paths(kept) == expected
        assert weaker == []


def test_a_read_only_folder_inside_a_writable_one_needs_a_fixed_bubblewrap() -> None:
    granted = [mount("/a", "rw"), mount("/a/b", "ro")]
    assert paths(laid_out([], granted, fixed=True)[0]) == [("/a", "rw"), ("/a/b", "ro")]
    with pytest.raises(ConfigError, match="/a/b lies inside /a, which is rw: this bubblewrap cannot keep them apart"):
        laid_out([], granted, fixed=False)


def test_an_old_bubblewrap_makes_no_mount_point_below_a_writable_folder_for_a_symlink_either() -> None:
    with pytest.raises(ConfigError, match="lies inside"):
        laid_out([], [mount("/a", "rw"), mount("/a/link", "rw", "/elsewhere")], fixed=False)


def test_a_runtime_inside_a_writable_folder_is_writable_with_an_old_bubblewrap_and_says_so() -> None:
    kept, weaker = laid_out([mount("/a/venv", "ro")], [mount("/a", "rw")], fixed=False)
    assert paths(kept) == [("/a", "rw")]
    assert weaker == ["part of the runtime lies inside a writable folder and is writable too"]
    kept, weaker = laid_out([mount("/a/venv", "ro")], [mount("/a", "rw")], fixed=True)
    assert paths(kept) == [("/a", "rw"), ("/a/venv", "ro")]
    assert weaker == []
