"""Python packages: resolved to a lock with hashes, installed from wheels into a virtual environment of their own, and
the console script that uvx would run.

Not where they are kept: that is packages.
"""

import os
import re
import shutil
import sys
from importlib.metadata import EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.executors.packages.commands import Pypi, package_name
from gateway.executors.packages.installed import Pinned, digest_of
from gateway.executors.packages.installer import Ended, build_environment, environment, fault, finish
from gateway.executors.packages.interpreters import our_python, python_needs
from gateway.executors.program import Program

RESOLVE_S = 180.0
INSTALL_S = 900.0
_WHEELS: Final = ("--only-binary", ":all:")
_SOURCES = "source distributions"
_NO_WHEEL: Final = r"no usable wheels|no wheels with a matching|[Bb]uilding from source is disabled|`--no-build`"
_FAULTS: Final = (
    (r"was not found in the package registry", "the registry has no such package, or one it depends on is not there"),
    (
        r"does not satisfy (?:all of:\s+)?Python|requires? Python|Requires-Python",
        "it needs another Python than the one used here: name one that is installed, as `uvx --python 3.12 PACKAGE`",
    ),
    (
        _NO_WHEEL,
        "no wheel of it, or of what it depends on, fits the Python used here, and building it would run its code "
        "outside every sandbox, as the user who runs Bascule. Name another version, or another Python "
        "(`uvx --python 3.12 PACKAGE`); if you trust it with that, set `allow_build: true` for this upstream",
    ),
    (
        r"no version of|only the following versions|were yanked",
        "the registry has no such version, or no longer has it: name another one",
    ),
    (r"No interpreter found|Invalid version request", "the Python that is asked for is not installed"),
    (r"unsatisfiable", "the versions that are asked for exclude each other"),
)
_LOCKED: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=(sha256:[0-9a-f]{64})")
_DOTTED: Final = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_FUNCTION: Final = re.compile(rf"({_DOTTED})\s*:\s*({_DOTTED})\s*(?:\[.*\])?")
_VERSION_OF: Final = ("-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")


def spec(command: Pypi) -> str:
    """What is asked of the registry, in one line."""
    asked = " ".join(command.requirements)
    return f"pypi:{asked} python={command.python}" if command.python else f"pypi:{asked}"


async def resolve(command: Pypi, folder: Path, cache: Path, *, allow_build: bool) -> Pinned:
    """The versions and hashes of a package and all it depends on, as the registry has them now.

    Raises:
        ConfigError: it cannot be resolved, or only by building it.
    """
    what = f"{spec(command)} cannot be resolved"
    base = await _base(command, folder, cache)
    (folder / "requirements.in").write_text("".join(f"{one}\n" for one in command.requirements))
    asking = (
        *("pip", "compile", "requirements.in", "--output-file", "requirements.lock", "--python", str(base)),
        *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--refresh"),
    )
    built = False
    ended = await _uv((*asking, *_WHEELS), folder, cache, RESOLVE_S)
    if ended.code and allow_build and re.search(_NO_WHEEL, ended.said):
        built = True
        ended = await _uv(asking, folder, cache, INSTALL_S, builds=True)
    if ended.code:
        raise fault(what, ended, _FAULTS)
    text = (folder / "requirements.lock").read_text()
    locked = _locked(text)
    if loose := [name for name, (_, *hashes) in locked.items() if not hashes]:
        raise ConfigError(f"{what}: the registry gives no hash of {', '.join(loose)}, so it cannot be pinned")
    version = await _version(base, folder)
    first = package_name(re.split(r"[\[=<>~!]", command.requirements[0])[0])
    return Pinned(
        spec=spec(command),
        version=f"pypi:{first}@{locked[first][0]}",
        digest=lock_digest(text, version),
        packages=len(locked),
        lock=text,
        scripts=(_SOURCES,) if built else (),
        python=version,
    )


def lock_digest(text: str, python: str) -> str:
    """The digest of a lock file, for one version of Python."""
    return digest_of({"python": python, "packages": _locked(text)})


async def install(command: Pypi, pinned: Pinned, folder: Path, cache: Path) -> None:
    """Install exactly what is pinned, from wheels; uv compares every file with its hashes.

    Raises:
        ConfigError: it cannot be had, or is not what was pinned.
    """
    what = f"{pinned.version} cannot be installed"
    base = await _base(command, folder, cache)
    if (version := await _version(base, folder)) != pinned.python:
        raise ConfigError(f"{what}: it is pinned for Python {pinned.python}, and this is {version}: accept it anew")
    (folder / "requirements.lock").write_text(pinned.lock)
    making = ("venv", "--relocatable", "--python", str(base), "venv")
    filling = (
        *("pip", "install", "--python", str(folder / "venv" / "bin" / "python"), "--requirement", "requirements.lock"),
        *("--require-hashes", "--no-deps", "--compile-bytecode", *(() if pinned.scripts else _WHEELS)),
    )
    for asking, builds in ((making, False), (filling, bool(pinned.scripts))):
        ended = await _uv(asking, folder, cache, INSTALL_S, builds=builds)
        if ended.code:
            raise fault(what, ended, _FAULTS)


def program(command: Pypi, pinned: Pinned, folder: Path) -> Program:
    """What uvx would start.

    Raises:
        ConfigError: the package has no such console script, or its Python is gone.
    """
    interpreter = folder / "venv" / "bin" / "python"
    if not interpreter.exists():
        raise ConfigError(
            f"{pinned.version}: the Python it was installed for, {os.path.realpath(interpreter)}, is no longer there. "
            f"Remove {folder} and it is installed anew"
        )
    starting = _starting(command, folder)
    runtime = (folder, *(path for path in python_needs(interpreter) if not path.is_relative_to(folder)))
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    argv = (starting,) if starting.startswith("/") else (str(interpreter), "-c", starting)
    return Program((*argv, *command.args), runtime, env, pinned.version, pinned.digest)


def uv() -> tuple[str, ...]:
    """How uv is started: as the host has it, or from our own environment.

    Raises:
        ConfigError: there is none.
    """
    if found := shutil.which("uv"):
        return (found,)
    if find_spec("uv") is not None:
        return (sys.executable, "-P", "-m", "uv")
    raise ConfigError("uv is not installed: pip install uv, in the environment of Bascule or on the PATH")


async def _uv(asking: tuple[str, ...], folder: Path, cache: Path, timeout_s: float, *, builds: bool = False) -> Ended:
    """An empty uv.toml stands in the folder: uv takes the settings of no project around the state folder."""
    (folder / "uv.toml").touch()
    env = environment(os.environ)
    if builds:
        home = folder / "home"
        home.mkdir(exist_ok=True)
        index = {name: value for name, value in env.items() if name.startswith("UV_") or name == "XDG_CONFIG_HOME"}
        env = build_environment(os.environ, home) | index
    argv = (*uv(), *asking, "--cache-dir", str(cache / "uv"), "--no-python-downloads", "--no-progress", "--color=never")
    ended = await finish(argv, env=env, cwd=folder, timeout_s=timeout_s)
    shutil.rmtree(folder / "home", ignore_errors=True)
    return ended


async def _base(command: Pypi, folder: Path, cache: Path) -> Path:
    """The interpreter below the virtual environment."""
    if command.python is None:
        return our_python()
    if command.python.startswith("/"):
        return Path(command.python)
    ended = await _uv(("python", "find", "--system", command.python), folder, cache, RESOLVE_S)
    if ended.code:
        raise fault(f"Python {command.python} is asked for", ended, _FAULTS)
    return Path(ended.out.strip())


async def _version(base: Path, folder: Path) -> str:
    ended = await finish([str(base), *_VERSION_OF], env={}, cwd=folder, timeout_s=RESOLVE_S)
    if ended.code:
        raise fault(f"the Python {base} does not run", ended)
    return ended.out.strip()


def _locked(text: str) -> dict[str, list[str]]:
    """Version and hashes of each package."""
    found: dict[str, list[str]] = {}
    starts = [*_LOCKED.finditer(text)]
    for place, start in enumerate(starts):
        end = starts[place + 1].start() if place + 1 < len(starts) else len(text)
        found[package_name(start[1])] = [start[2], *sorted(_HASH.findall(text, start.start(), end))]
    return found


def _starting(command: Pypi, folder: Path) -> str:
    """The Python text that does what the console script does, or the path of a program that is no Python."""
    named = {package_name(re.split(r"[\[=<>~!]", one)[0]) for one in command.requirements}
    places = [str(place) for place in (folder / "venv" / "lib").glob("python3*/site-packages")]
    offered: dict[str, EntryPoint] = {}
    for found in distributions(path=places):
        if package_name(found.name) in named:
            offered |= {script.name: script for script in found.entry_points.select(group="console_scripts")}
    wanted = next((name for name in offered if package_name(name) == package_name(command.entry)), None)
    if wanted is None:
        return _binary(command, folder, sorted(offered))
    if (function := _FUNCTION.fullmatch(offered[wanted].value)) is None:
        raise ConfigError(f"{spec(command)}: its console script {wanted} names no function")
    module, attribute = function.groups()
    # The working directory is not where modules come from: a tool may write there.
    return (
        f"import sys; sys.path[:1] == [''] and sys.path.pop(0); sys.argv[0] = {wanted!r}; "
        f"from {module} import {attribute.partition('.')[0]}; sys.exit({attribute}())"
    )


def _binary(command: Pypi, folder: Path, offered: list[str]) -> str:
    script = folder / "venv" / "bin" / command.entry
    if script.is_file() and not script.is_symlink() and script.read_bytes()[:4] == b"\x7fELF":
        return str(script)
    right = f"uvx --from {command.requirements[0]} {' or '.join(offered)}" if offered else "it has none at all"
    raise ConfigError(f"{spec(command)} has no console script {command.entry}: {right}")
