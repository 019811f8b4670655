"""What clients have in their files, read as a noun: `npx -y PACKAGE`, `uvx PACKAGE`, an interpreter, a path.

Pure; not what is installed for it nor where it lies.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, NoReturn

from gateway.errors import ConfigError

SUPPORTED: Final = "npx -y PACKAGE, uvx PACKAGE, python FILE or -m MODULE, node FILE, or an absolute path"


@dataclass(frozen=True, slots=True)
class NpmSpec:
    """One npm package, and which of its versions: a version, a range such as `^1.2`, or a tag."""

    name: str
    wanted: str = "latest"

    def __str__(self) -> str:
        return f"{self.name}@{self.wanted}"


@dataclass(frozen=True, slots=True)
class Npm:
    """A program of an npm package."""

    package: NpmSpec
    extra: tuple[NpmSpec, ...] = ()
    """Packages installed beside it."""
    bin: str | None = None
    """None: the one that npx would choose."""
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pypi:
    """A console script of a Python package."""

    requirements: tuple[str, ...]
    """In one spelling, as `mcp-server-git==2026.1.14` or `mcp[cli]<2`."""
    entry: str
    python: str | None = None
    """A version, or an absolute path; None: the Python that runs Bascule."""
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PythonFile:
    """A Python file of the host."""

    interpreter: str
    path: str
    flags: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PythonModule:
    """A module that a Python of the host has installed."""

    interpreter: str
    name: str
    flags: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A JavaScript file of the host."""

    interpreter: str
    path: str
    flags: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Absolute:
    """Any other program of the host."""

    path: str
    args: tuple[str, ...] = ()


Command = Npm | Pypi | PythonFile | PythonModule | NodeFile | Absolute

_SHELL = "a shell runs whatever its text says, and that text names nothing that could be pinned"
_CONTAINER = "its daemon starts the server outside every sandbox of ours"
_OTHER_INSTALLER = "what it installs cannot be pinned here; npx and uvx run the same packages"
_REASONS: Final = {
    **dict.fromkeys(("sh", "bash", "dash", "zsh", "ash", "ksh", "fish", "pwsh"), _SHELL),
    **dict.fromkeys(("docker", "podman", "nerdctl"), _CONTAINER),
    **dict.fromkeys(("pipx", "pip", "bunx", "bun", "pnpm", "pnpx", "yarn", "npm", "deno", "conda"), _OTHER_INSTALLER),
    **dict.fromkeys(("sudo", "su", "doas"), "a server never runs with more rights than its sandbox gives"),
    "env": "variables belong under env",
}
_WINDOWS = re.compile(r"(?i)cmd|powershell|wsl|.*\.(?:exe|cmd|bat|ps1)|[a-z]:[\\/].*")
_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?")

_PART = r"[a-z0-9][a-z0-9._-]*"
_NPM_NAME = re.compile(rf"(?:@{_PART}/)?{_PART}")
_NPM_WANTED = re.compile(r"[\^~]?[0-9A-Za-z][0-9A-Za-z.+-]*")
_BIN = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._@-]*")
_PYPI_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_CLAUSE = r"(?:~=|==|!=|<=|>=|<|>)\s*[0-9][0-9A-Za-z.*+!_-]*"
_REQUIREMENT = re.compile(
    rf"\s*({_PYPI_NAME})\s*(?:\[\s*({_PYPI_NAME}(?:\s*,\s*{_PYPI_NAME})*)\s*\])?\s*({_CLAUSE}(?:\s*,\s*{_CLAUSE})*)?\s*"
)
_PYPI_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!_-]*")
_PYTHON_WANTED = re.compile(r"3(?:\.\d{1,2}){0,2}")
_ADDRESS = re.compile(r"://|git\+|^(?:\.|/|~|file:|git@)")
_ARCHIVE = re.compile(r"\.(?:tgz|tar|tar\.gz|whl|zip)$")
"""What npm and uv take for a file of that name."""
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_LONGEST = 214

_QUIET = {"-q", "--quiet"}
_NPX_FLAGS = _QUIET | {"-y", "--yes", "--prefer-online", "--prefer-offline"}
_UVX_FLAGS = _QUIET | {"--isolated", "--refresh", "--no-cache", "-n", "--upgrade", "-U"}
"""What asks for freshness has no meaning for what is pinned, and is passed over."""
_UV_VALUED = {"--with": "with", "-w": "with", "--python": "python", "-p": "python"}
_UV_RUN_FLAGS = _UVX_FLAGS | {"--no-project", "--frozen"}
_PYTHON_FLAGS = {"-u", "-B", "-I", "-E", "-s", "-P", "-O"}
_NODE_FLAGS = {"--no-warnings", "--no-deprecation", "--enable-source-maps"}


def read_command(command: str, args: Sequence[str]) -> Command:
    """The noun for a client's `command` and `args`.

    Raises:
        ConfigError: it is none of the supported forms; the message says which are, and what is wrong with this one.
    """
    words = tuple(args)
    if any("\0" in word for word in (command, *words)):
        raise ConfigError("command: a NUL byte stands in it; no program can be given one")
    if _WINDOWS.fullmatch(command):
        raise ConfigError(f"command {command!r} is of Windows: write what it starts directly, as {SUPPORTED}")
    path = PurePosixPath(command)
    if not path.is_absolute() and "/" in command:
        raise ConfigError(f"command {command!r} is a relative path, and no folder is current: write it absolute")
    name = path.name
    if name == "npx":
        return _npx(words)
    if name in {"uvx", "uv"}:
        return _uvx(words) if name == "uvx" else _uv(words)
    if _PYTHON.fullmatch(name):
        return _python(command, words)
    if name in {"node", "nodejs"}:
        return _node(command, words)
    if reason := _REASONS.get(name):
        raise ConfigError(f"command {command!r} is not supported: {reason}. Write {SUPPORTED}")
    if not path.is_absolute():
        raise ConfigError(f"command {command!r} is not supported. Write {SUPPORTED}")
    return Absolute(command, words)


def npm_spec(text: str) -> NpmSpec:
    """A package as npx takes it, `name`, `@scope/name`, `name@version`."""
    name, at, wanted = text[1:].partition("@")
    name = text[:1] + name
    if not _NPM_NAME.fullmatch(name) or len(name) > _LONGEST or _ARCHIVE.search(text):
        _no_package("npx", text, "NAME or @SCOPE/NAME in lower case, then @VERSION if one is wanted")
    if at and (not _NPM_WANTED.fullmatch(wanted) or len(wanted) > _LONGEST):
        _no_package("npx", text, "after the @ a version such as 1.2.3, a range such as ^1.2, or a tag")
    return NpmSpec(name, wanted or "latest")


def requirement(text: str) -> str:
    """A Python package in one spelling: `Name [extra] >= 1` is `name[extra]>=1`; `name@1.2` is `name==1.2`."""
    plain, at, version = text.partition("@")
    if at and version == "latest":
        text = plain
    elif at and _PYPI_VERSION.fullmatch(version):
        text = f"{plain}=={version}"
    found = _REQUIREMENT.fullmatch(text)
    if found is None or len(text) > _LONGEST or _ARCHIVE.search(text):
        _no_package("uvx", text, "NAME, NAME@VERSION, or NAME with extras and versions such as 'mcp[cli]<2'")
    name, extras, clauses = found.groups()
    chosen = ",".join(sorted(package_name(extra) for extra in extras.split(","))) if extras else ""
    return package_name(name) + (f"[{chosen}]" if chosen else "") + "".join((clauses or "").split())


def package_of(command: Command) -> str | None:
    """The package whose program it is, without its version; None for what is no package."""
    if isinstance(command, Npm):
        return command.package.name
    found = re.match(r"[A-Za-z0-9._-]+", command.requirements[0]) if isinstance(command, Pypi) else None
    return package_name(found[0]) if found else None


def package_name(name: str) -> str:
    """A Python package's name in the one spelling the index compares."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _no_package(tool: str, text: str, right: str) -> NoReturn:
    if text.startswith("-"):
        raise ConfigError(f"{tool}: {text!r} stands where a package belongs, and looks like an option")
    if _ADDRESS.search(text) or _ARCHIVE.search(text):
        raise ConfigError(
            f"{tool}: {text!r} is an address or a path: it has no published version to pin. "
            f"Install it yourself and give its program's absolute path"
        )
    raise ConfigError(f"{tool}: {text!r} is no package. Write {right}")


def _options(
    tool: str, words: tuple[str, ...], valued: Mapping[str, str], flags: Collection[str]
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """The options before the first word that is none, each under its one name, and the words from there on."""
    found: dict[str, list[str]] = {}
    while words and words[0].startswith("-"):
        name, equals, value = words[0].partition("=")
        if words[0] == "--":
            return found, words[1:]
        if name in valued:
            if not equals and len(words) < 2:
                raise ConfigError(f"{tool}: nothing follows {name}")
            found.setdefault(valued[name], []).append(value if equals else words[1])
            words = words[1:] if equals else words[2:]
        elif words[0] in flags:
            words = words[1:]
        else:
            raise ConfigError(f"{tool}: the option {name} is not supported{_instead(name)}")
    return found, words


def _instead(option: str) -> str:
    if option in {"-c", "--call", "-e", "--eval", "-p", "--print"}:
        return ": a program's text in the configuration names nothing that could be pinned. Name the server itself"
    if "index" in option or "registry" in option:
        return ": a registry is set in the environment of Bascule or in npm's and uv's own settings"
    if option in {"--directory", "--project"}:
        return _PROJECT
    return f". Write {SUPPORTED}"


_PROJECT = (
    ": a project has no published version to pin. Run `uv sync` in it once and write its own Python, "
    "as /path/to/project/.venv/bin/python FILE or -m MODULE"
)


def _npx(words: tuple[str, ...]) -> Npm:
    options, rest = _options("npx", words, {"-p": "package", "--package": "package"}, _NPX_FLAGS)
    if not rest:
        raise ConfigError("npx: no package is named: npx -y PACKAGE")
    named = [npm_spec(text) for text in options.get("package", [])]
    if not named:
        return Npm(npm_spec(rest[0]), args=rest[1:])
    if not _BIN.fullmatch(rest[0]):
        raise ConfigError(f"npx: {rest[0]!r} is no program of a package: npx -y --package=PACKAGE PROGRAM")
    return Npm(named[0], tuple(named[1:]), rest[0], rest[1:])


def _uvx(words: tuple[str, ...]) -> Pypi:
    options, rest = _options("uvx", words, {"--from": "from", **_UV_VALUED}, _UVX_FLAGS)
    if not rest:
        raise ConfigError("uvx: no package is named: uvx PACKAGE")
    sources = options.get("from", [])
    if len(sources) > 1:
        raise ConfigError("uvx: --from stands there twice")
    if sources and not _BIN.fullmatch(rest[0]):
        raise ConfigError(f"uvx: {rest[0]!r} is no program of a package: uvx --from PACKAGE PROGRAM")
    first = requirement(sources[0] if sources else rest[0])
    entry = rest[0] if sources else re.split(r"[\[=<>~!]", first)[0]
    return Pypi((first, *_with(options)), entry, _wanted_python(options), rest[1:])


def _uv(words: tuple[str, ...]) -> Pypi:
    if words[:2] == ("tool", "run"):
        return _uvx(words[2:])
    if words[:1] != ("run",):
        hint = _PROJECT if "run" in words else ""
        raise ConfigError(f"uv {' '.join(words[:2])}: only `uv tool run` and `uv run --with` are supported{hint}")
    options, rest = _options("uv run", words[1:], _UV_VALUED, _UV_RUN_FLAGS)
    named = _with(options)
    if not named:
        raise ConfigError(f"uv run without --with{_PROJECT}")
    if not rest or not _BIN.fullmatch(rest[0]) or rest[0].endswith(".py") or _PYTHON.fullmatch(rest[0]):
        raise ConfigError("uv run: after --with PACKAGE comes a console script of that package: uv run --with P SCRIPT")
    return Pypi(named, rest[0], _wanted_python(options), rest[1:])


def _with(options: dict[str, list[str]]) -> tuple[str, ...]:
    texts = options.get("with", [])
    # A comma separates packages where no version does so: `--with a,b`, but `--with 'a>=1,<2'`.
    return tuple(requirement(part) for text in texts for part in re.split(r",(?=\s*[A-Za-z])(?![^\[]*\])", text))


def _wanted_python(options: dict[str, list[str]]) -> str | None:
    given = options.get("python", [])
    if not given:
        return None
    wanted = given[-1].removeprefix("cpython").removeprefix("python").removeprefix("@")
    if not _PYTHON_WANTED.fullmatch(wanted) and not wanted.startswith("/"):
        raise ConfigError(f"--python {given[-1]!r}: a version such as 3.12, or an interpreter's absolute path")
    return wanted


def _python(interpreter: str, words: tuple[str, ...]) -> PythonFile | PythonModule:
    flags = words[: next((at for at, word in enumerate(words) if word not in _PYTHON_FLAGS), len(words))]
    rest = words[len(flags) :]
    if rest[:1] == ("-m",):
        if len(rest) < 2 or not _MODULE.fullmatch(rest[1]):
            raise ConfigError("python -m: a module's name must follow, such as package.module")
        return PythonModule(interpreter, rest[1], flags, rest[2:])
    return PythonFile(interpreter, _file("python", rest), flags, rest[1:])


def _node(interpreter: str, words: tuple[str, ...]) -> NodeFile:
    flags = words[: next((at for at, word in enumerate(words) if word not in _NODE_FLAGS), len(words))]
    rest = words[len(flags) :]
    return NodeFile(interpreter, _file("node", rest), flags, rest[1:])


def _file(tool: str, rest: tuple[str, ...]) -> str:
    if not rest:
        raise ConfigError(f"{tool}: no file is named")
    if rest[0].startswith("-"):
        raise ConfigError(f"{tool}: the option {rest[0].partition('=')[0]} is not supported{_instead(rest[0])}")
    if not rest[0].startswith("/"):
        raise ConfigError(f"{tool}: {rest[0]!r} is a relative path, and no folder is current: write it absolute")
    return rest[0]
