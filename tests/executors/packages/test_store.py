"""Packages are resolved once, pinned, and used without a network from then on."""

import asyncio
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.executors.packages import store as module
from gateway.executors.packages.commands import Absolute, Npm, NpmSpec, Pypi
from gateway.executors.packages.store import Packages
from tests.executors.fake_tools import FakeTools

NPM = Npm(NpmSpec("server"))
PYPI = Pypi(("server",), "server")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    tools = FakeTools(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tools.folder))
    tools.has_npm("1.0.0")
    tools.has_pypi("1.0.0")
    return tools


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packages"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


BOTH = pytest.mark.parametrize(("command", "steps"), [(NPM, 2), (PYPI, 3)], ids=["npm", "pypi"])


@BOTH
async def test_a_package_is_resolved_and_installed_once(
    tools: FakeTools, folder: Path, command: Npm | Pypi, steps: int
) -> None:
    said: list[str] = []
    first = await Packages(folder).program("files", command, say=said.append)
    assert len(tools.calls) == steps
    assert [line.split()[0] for line in said] == ["resolving", "installing", "pinned"]
    again = Packages(folder)
    assert await again.program("files", command, say=said.append) == first
    assert await again.program("files", command, say=said.append) == first
    assert (len(tools.calls), len(said)) == (steps, 3)


@BOTH
async def test_what_is_installed_lies_below_the_upstreams_name_and_digest(
    tools: FakeTools, folder: Path, command: Npm | Pypi, steps: int
) -> None:
    program = await Packages(folder).program("files", command)
    assert program.runtime[0] == folder / "files" / program.digest.removeprefix("sha256:")[:32]
    assert mode(folder) == 0o700
    assert names(folder) == ["files"]
    assert names(folder / "files") == [program.runtime[0].name, "pinned.json"]


async def test_what_lies_on_the_host_needs_no_packages(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    assert (await packages.program("true", Absolute("/usr/bin/env"))).argv == ("/usr/bin/env",)
    assert await packages.newest("true", Absolute("/usr/bin/env")) is None
    assert names(folder.parent) == ["bin"]


async def test_other_arguments_start_the_same_package_otherwise(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    await packages.program("files", NPM)
    program = await packages.program("files", Npm(NpmSpec("server"), args=("--x",)))
    assert program.argv[-1] == "--x"
    assert len(tools.calls) == 2


async def test_another_version_in_the_configuration_is_resolved_anew(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    old = await packages.program("files", NPM)
    tools.has_npm("2.0.0")
    new = await packages.program("files", Npm(NpmSpec("server", "2.0.0")))
    assert (old.version, new.version) == ("npm:server@1.0.0", "npm:server@2.0.0")
    assert old.runtime[0].is_dir()


async def test_a_newer_version_is_shown_and_taken_only_when_it_is_accepted(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    old = await packages.program("files", NPM)
    tools.has_npm("2.0.0")
    newest = await packages.newest("files", NPM)
    assert newest is not None
    assert newest.version == "npm:server@2.0.0"
    assert (await packages.program("files", NPM)) == (await Packages(folder).program("files", NPM)) == old
    new = await packages.accept("files", NPM, newest)
    assert (new.version, new.digest) == (newest.version, newest.digest)
    assert (await packages.program("files", NPM)) == (await Packages(folder).program("files", NPM)) == new


async def test_what_ran_before_stays_until_the_next_but_one_is_accepted(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    programs = [await packages.program("files", NPM)]
    for version in ("2.0.0", "3.0.0"):
        tools.has_npm(version)
        newest = await packages.newest("files", NPM)
        assert newest is not None
        programs.append(await packages.accept("files", NPM, newest))
    assert [program.runtime[0].is_dir() for program in programs] == [False, True, True]


async def test_what_cannot_be_installed_leaves_what_was_pinned(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    old = await packages.program("files", NPM)
    tools.has_npm("2.0.0")
    newest = await packages.newest("files", NPM)
    assert newest is not None
    tools.says("npm ci", code=1, err="npm error code EINTEGRITY")
    with pytest.raises(ConfigError, match="its digest differs"):
        await packages.accept("files", NPM, newest)
    assert await Packages(folder).program("files", NPM) == old


async def test_what_cannot_be_started_is_not_pinned(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    with pytest.raises(ConfigError, match="has no program other"):
        await packages.program("files", Npm(NpmSpec("server"), (), "other"))
    assert packages.describe("files") is None


async def test_only_what_answers_the_spec_is_accepted(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    newest = await packages.newest("files", NPM)
    assert newest is not None
    with pytest.raises(ConfigError, match=r"npm:server@latest was resolved, and npm:server@2 is asked for"):
        await packages.accept("files", Npm(NpmSpec("server", "2")), newest)


async def test_what_is_pinned_can_be_shown(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    assert packages.describe("files") is None
    program = await packages.program("files", NPM)
    assert packages.describe("files") == {
        "spec": "npm:server@latest",
        "version": "npm:server@1.0.0",
        "digest": program.digest,
        "packages": 1,
        "installed": True,
        "scripts": [],
    }


def overwrite(program_folder: Path) -> None:
    (program_folder / "node_modules" / "server" / "dist" / "index.js").write_text("changed")


def same_size(program_folder: Path) -> None:
    file = program_folder / "node_modules" / "server" / "dist" / "index.js"
    before = file.stat()
    file.write_text("x" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


async def test_files_that_changed_are_not_started(tools: FakeTools, folder: Path) -> None:
    place = (await Packages(folder).program("files", NPM)).runtime[0]
    overwrite(place)
    with pytest.raises(
        ConfigError, match=r"are not those that were installed\. Find out who changed them; remove that"
    ):
        await Packages(folder).program("files", NPM)


@pytest.mark.parametrize("change", [overwrite, same_size])
async def test_every_byte_can_be_compared(tools: FakeTools, folder: Path, change: Callable[[Path], None]) -> None:
    packages = Packages(folder)
    await packages.verify("files")
    place = (await packages.program("files", NPM)).runtime[0]
    await packages.verify("files")
    change(place)
    with pytest.raises(ConfigError, match="are not those that were installed"):
        await packages.verify("files")


async def test_what_was_removed_is_installed_again_exactly_as_pinned(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    program = await packages.program("files", NPM)
    program.runtime[0].rename(folder / "elsewhere")
    tools.has_npm("2.0.0")
    assert await packages.program("files", NPM) == program
    assert [call["argv"][0] for call in tools.calls] == ["install", "ci", "ci"]
    assert (
        json.loads((program.runtime[0] / "package-lock.json").read_text())["packages"]["node_modules/server"]["version"]
        == "1.0.0"
    )


@BOTH
async def test_a_lock_that_changed_is_not_used(tools: FakeTools, folder: Path, command: Npm | Pypi, steps: int) -> None:
    await Packages(folder).program("files", command)
    file = folder / "files" / "pinned.json"
    for was, other in (("1.0.0", "1.0.1"), ('"lock": "', '"lock": "x')):
        before = file.read_text()
        file.write_text(before.replace(was, other).replace("--hash=sha256:0", "--hash=sha256:1"))
        with pytest.raises(ConfigError, match=r"pinned\.json: files: the lock is not the one that was pinned"):
            await Packages(folder).program("files", command)
        file.write_text(before)


async def test_a_damaged_pin_stops_the_start_and_can_be_replaced_by_accepting(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    program = await packages.program("files", NPM)
    (folder / "files" / "pinned.json").write_text("{")
    with pytest.raises(ConfigError, match="remove the file to resolve anew"):
        await Packages(folder).program("files", NPM)
    newest = await packages.newest("files", NPM)
    assert newest is not None
    assert await packages.accept("files", NPM, newest) == program


async def test_scripts_once_allowed_are_refused_when_they_no_longer_are(tools: FakeTools, folder: Path) -> None:
    tools.has_npm("1.0.0", hasInstallScript=True)
    packages = Packages(folder)
    said: list[str] = []
    await packages.program("files", NPM, allow_build=True, say=said.append)
    assert "running code of server outside every sandbox, as allow_build says" in said
    with pytest.raises(ConfigError, match="That is no longer allowed: set `allow_build: true` again"):
        await packages.program("files", NPM)
    assert (await packages.program("files", NPM, allow_build=True)).version == "npm:server@1.0.0"


async def test_callers_at_once_share_one_installation(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    programs = await asyncio.gather(*(packages.program("files", NPM) for _ in range(8)))
    assert len({program.digest for program in programs}) == 1
    assert len(tools.calls) == 2


async def test_whoever_stops_waiting_leaves_nothing_half_and_the_next_goes_on(
    tools: FakeTools, folder: Path, tmp_path: Path
) -> None:
    started, until = tmp_path / "started", tmp_path / "until"
    os.mkfifo(started)
    os.mkfifo(until)
    done = tools.steps["npm ci"]
    tools.says("npm ci", waits=str(started), until=str(until))
    packages = Packages(folder)
    waiting = asyncio.ensure_future(packages.program("files", NPM))
    await asyncio.to_thread(lambda: started.open().close())
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert names(folder) == []
    tools.says("npm ci", **done)
    assert (await packages.program("files", NPM)).version == "npm:server@1.0.0"


async def test_what_a_kill_left_behind_is_swept_before_the_next_installation(tools: FakeTools, folder: Path) -> None:
    left = folder / ".staging-killed"
    (left / "node_modules").mkdir(parents=True)
    await Packages(folder).program("files", NPM)
    assert not left.exists()


async def test_a_kill_before_the_pin_leaves_an_installation_that_is_used(
    tools: FakeTools, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_file: Path, _pinned: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_pin", killed)
    with pytest.raises(KeyboardInterrupt):
        await Packages(folder).program("files", NPM)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tools.folder))
    assert (await Packages(folder).program("files", NPM)).version == "npm:server@1.0.0"
    assert [call["argv"][0] for call in tools.calls] == ["install", "ci", "install"]


async def test_a_full_disk_is_told(tools: FakeTools, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    packages = Packages(folder)
    monkeypatch.setattr(module, "write_pin", full)
    with pytest.raises(ConfigError, match="files cannot be pinned: the disk is full"):
        await packages.program("files", NPM)
    monkeypatch.setattr(module, "seal", full)
    with pytest.raises(ConfigError, match=r"npm:server@1\.0\.0 cannot be installed: the disk is full"):
        await packages.program("other", NPM)
    monkeypatch.setattr("gateway.executors.packages.store.tempfile.mkdtemp", full)
    with pytest.raises(ConfigError, match="nothing can be installed: the disk is full"):
        await packages.program("third", NPM)


async def test_what_is_removed_is_forgotten(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    await packages.program("files", NPM)
    await packages.remove("files")
    assert packages.describe("files") is None
    await packages.program("files", NPM)
    assert len(tools.calls) == 4


async def test_an_interpreter_that_moved_is_found_again(tools: FakeTools, folder: Path) -> None:
    packages = Packages(folder)
    before = await packages.program("files", NPM)
    (tools.folder / "nodejs").mkdir()
    (tools.folder / "node").rename(tools.folder / "nodejs" / "node")
    os.environ["PATH"] += f":{tools.folder / 'nodejs'}"
    assert (await packages.program("files", NPM)).argv[0] != before.argv[0]


@pytest.mark.parametrize("name", ["", "..", ".cache", "a/b", "/etc", "-x", "a\nb", "a" * 129])
async def test_a_name_that_is_no_folders_name_is_refused(tools: FakeTools, folder: Path, name: str) -> None:
    packages = Packages(folder)
    for asking in (packages.program(name, NPM), packages.remove(name), packages.newest(name, NPM)):
        with pytest.raises(ConfigError, match="is no upstream's name"):
            await asking
    with pytest.raises(ConfigError, match="is no upstream's name"):
        packages.describe(name)
    assert names(folder.parent) == ["bin"]
