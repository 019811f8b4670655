"""The packages that stdio servers come in: resolved once, pinned by lock and digest, installed below one folder.

The next start needs no network. A newer version is taken only by `accept`. Not what may start nor how it is confined.

    FOLDER/NAME/pinned.json      what upstream NAME is pinned to: the spec, the version, the digest, the whole lock
    FOLDER/NAME/DIGEST/          what is installed, read-only for all but us
    FOLDER/.cache/               npm's and uv's; may be removed at any time
"""

import asyncio
import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from gateway.errors import ConfigError
from gateway.executors.packages import npm, pypi
from gateway.executors.packages.commands import Command, Npm, Pypi
from gateway.executors.packages.installed import Pinned, is_intact, read_pin, seal, write_pin
from gateway.executors.packages.installer import disk_faults
from gateway.executors.packages.interpreters import local_program
from gateway.executors.program import Program
from gateway.model import JsonObject

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_STAGING = ".staging-"

Say = Callable[[str], None]


def _silent(_line: str) -> None:
    """Nobody is there to read it."""


class Packages:
    """What is installed below one folder. Its owner holds the state folder's lock: no other process writes there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._cache = self._folder / ".cache"
        self._locks: dict[str, asyncio.Lock] = {}
        self._started: dict[str, tuple[Command, Pinned, Program]] = {}
        """What was compared with its seal since this process began."""
        self._swept = False

    async def program(self, name: str, command: Command, *, allow_build: bool = False, say: Say = _silent) -> Program:
        """What upstream `name` starts. The first time, or when another spec is asked for, it is resolved and installed.

        Raises:
            ConfigError: it cannot be had, may not be installed, or is not what was installed.
        """
        if not isinstance(command, Npm | Pypi):
            return await local_program(command)
        async with self._one_at_a_time(name):
            if known := self._known(name, command, allow_build=allow_build):
                return known
            pinned = before = await asyncio.to_thread(read_pin, self._pin(name))
            if pinned is None or pinned.spec != _spec(command):
                pinned = await self._resolved(command, allow_build=allow_build, say=say)
            return await self._use(name, command, pinned, before, allow_build=allow_build, say=say)

    async def newest(
        self, name: str, command: Command, *, allow_build: bool = False, say: Say = _silent
    ) -> Pinned | None:
        """What the registry would give now, without installing it; None for what is no package.

        Raises:
            ConfigError: it cannot be had, or may not be installed.
        """
        self._pin(name)
        if not isinstance(command, Npm | Pypi):
            return None
        return await self._resolved(command, allow_build=allow_build, say=say)

    async def accept(
        self, name: str, command: Npm | Pypi, pinned: Pinned, *, allow_build: bool = False, say: Say = _silent
    ) -> Program:
        """Install what `newest` showed, and pin it. What was pinned before stays on the disk, for what still runs.

        Raises:
            ConfigError: it cannot be installed, or answers another spec; what was pinned stays pinned.
        """
        if pinned.spec != _spec(command):
            raise ConfigError(f"{name}: {pinned.spec} was resolved, and {_spec(command)} is asked for: resolve it anew")
        async with self._one_at_a_time(name):
            before = None
            with contextlib.suppress(ConfigError):  # what is damaged is replaced: that was asked for
                before = await asyncio.to_thread(read_pin, self._pin(name))
            return await self._use(name, command, pinned, before, allow_build=allow_build, say=say)

    def describe(self, name: str) -> JsonObject | None:
        """What is pinned for an upstream.

        Raises:
            ConfigError: the file that says so is damaged.
        """
        pinned = read_pin(self._pin(name))
        if pinned is None:
            return None
        return {
            "spec": pinned.spec,
            "version": pinned.version,
            "digest": pinned.digest,
            "packages": pinned.packages,
            "installed": self._place(name, pinned).is_dir(),
            "scripts": list(pinned.scripts),
        }

    async def verify(self, name: str) -> None:
        """Compare every byte that is installed with what was installed.

        Raises:
            ConfigError: something changed.
        """
        pinned = await asyncio.to_thread(read_pin, self._pin(name))
        if pinned is not None and self._place(name, pinned).is_dir():
            await self._compare(self._place(name, pinned), pinned, full=True)

    async def remove(self, name: str) -> None:
        """Forget an upstream's packages."""
        async with self._one_at_a_time(name):
            self._started.pop(name, None)
            await asyncio.to_thread(shutil.rmtree, self._pin(name).parent, ignore_errors=True)

    async def _resolved(self, command: Npm | Pypi, *, allow_build: bool, say: Say) -> Pinned:
        say(f"resolving {_spec(command)}")
        async with self._staging() as staging:
            if isinstance(command, Npm):
                return await npm.resolve(command, staging, self._cache, allow_build=allow_build)
            return await pypi.resolve(command, staging, self._cache, allow_build=allow_build)

    async def _use(
        self, name: str, command: Npm | Pypi, pinned: Pinned, before: Pinned | None, *, allow_build: bool, say: Say
    ) -> Program:
        if pinned.scripts and not allow_build:
            raise ConfigError(
                f"{name}: {pinned.version} was installed with {', '.join(pinned.scripts)} running code of its own. "
                "That is no longer allowed: set `allow_build: true` again, or remove the upstream"
            )
        if not _is_whole(command, pinned):
            raise ConfigError(
                f"{name}: the lock is not the one that was pinned. Find out who changed it; remove the file to resolve "
                "anew",
                file=str(self._pin(name)),
            )
        place = self._place(name, pinned)
        if not place.is_dir():
            await self._install(command, pinned, place, say)
        else:
            await self._compare(place, pinned, full=False)
        # Only what can be started is pinned.
        if isinstance(command, Npm):
            program = await npm.program(command, pinned, place)
        else:
            program = await asyncio.to_thread(pypi.program, command, pinned, place)
        if pinned != before:
            with disk_faults(f"{name} cannot be pinned"):
                await asyncio.to_thread(write_pin, self._pin(name), pinned)
            await asyncio.to_thread(self._forget_all_but, name, pinned, before)
            say(f"pinned {pinned.version} {pinned.digest[:19]}")
        self._started[name] = command, pinned, program
        return program

    def _known(self, name: str, command: Command, *, allow_build: bool) -> Program | None:
        """What was handed out before, unless it is no longer there: a start costs no reading of files."""
        known = self._started.get(name)
        if known is None or known[0] != command or (known[1].scripts and not allow_build):
            return None
        there = self._place(name, known[1]).is_dir() and Path(known[2].argv[0]).exists()
        return known[2] if there else None

    async def _install(self, command: Npm | Pypi, pinned: Pinned, place: Path, say: Say) -> None:
        if pinned.scripts:
            say(f"running code of {', '.join(pinned.scripts)} outside every sandbox, as allow_build says")
        say(f"installing {pinned.packages} packages")
        async with self._staging() as staging:
            if isinstance(command, Npm):
                await npm.install(command, pinned, staging, self._cache)
            else:
                await pypi.install(command, pinned, staging, self._cache)
            with disk_faults(f"{pinned.version} cannot be installed"):
                await asyncio.to_thread(_move, staging, place)

    async def _compare(self, place: Path, pinned: Pinned, *, full: bool) -> None:
        if not await asyncio.to_thread(is_intact, place, full=full):
            raise ConfigError(
                f"{pinned.version}: the files below {place} are not those that were installed. Find out who changed "
                "them; remove that folder and exactly what is pinned is installed again"
            )

    def _pin(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no upstream's name: letters, digits, '.', '_' and '-'")
        return self._folder / name / "pinned.json"

    def _place(self, name: str, pinned: Pinned) -> Path:
        return self._folder / name / pinned.folder

    def _forget_all_but(self, name: str, *kept: Pinned | None) -> None:
        names = {pinned.folder for pinned in kept if pinned is not None}
        for place in self._installed(name):
            if place.name not in names:
                shutil.rmtree(place, ignore_errors=True)

    def _installed(self, name: str) -> Iterator[Path]:
        return (place for place in self._pin(name).parent.glob("*") if re.fullmatch("[0-9a-f]{32}", place.name))

    @contextlib.asynccontextmanager
    async def _one_at_a_time(self, name: str) -> AsyncIterator[None]:
        self._pin(name)
        async with self._locks.setdefault(name, asyncio.Lock()):
            yield

    @contextlib.asynccontextmanager
    async def _staging(self) -> AsyncIterator[Path]:
        """A folder on the same disk. Nothing is installed until it is renamed, so a kill leaves nothing half."""
        with disk_faults("nothing can be installed"):
            if not self._swept:
                self._swept = True
                for left in self._folder.glob(f"{_STAGING}*"):
                    shutil.rmtree(left, ignore_errors=True)
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._folder))
        try:
            with disk_faults("nothing can be installed"):
                yield staging
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)


def _move(staging: Path, place: Path) -> None:
    seal(staging)
    place.parent.mkdir(exist_ok=True)
    place.parent.chmod(0o755)
    staging.rename(place)


def _spec(command: Npm | Pypi) -> str:
    return npm.spec(command) if isinstance(command, Npm) else pypi.spec(command)


def _is_whole(command: Npm | Pypi, pinned: Pinned) -> bool:
    """Whether the lock has the digest that it is pinned by."""
    try:
        if isinstance(command, Npm):
            return npm.lock_digest(pinned.lock) == pinned.digest
        return pypi.lock_digest(pinned.lock, pinned.python) == pinned.digest
    except (ValueError, LookupError, AttributeError):
        return False
