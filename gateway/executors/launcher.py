"""What runs the stdio servers of one gateway: program found, sandbox drawn up, way out opened, process started.

Not the parts of a sandbox and not the conversation with a server: here they are put together, nothing more.
"""

import asyncio
import dataclasses
import hashlib
import logging
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.errors import ConfigError, Failed
from gateway.executors import process
from gateway.executors.egress.destinations import Destination, parse_allow
from gateway.executors.egress.door import ENVIRONMENT, Door
from gateway.executors.egress.learning import Trial
from gateway.executors.egress.tried import traced
from gateway.executors.packages.commands import Command, package_of, read_command
from gateway.executors.packages.store import Packages
from gateway.executors.process import Child, Start
from gateway.executors.program import Program
from gateway.executors.sandbox import host
from gateway.executors.sandbox.confinement import Confinement, identity_for, plan, settle_work
from gateway.executors.sandbox.machine import Host
from gateway.executors.sandbox.profiles import NONE, Profile, load_profile
from gateway.executors.sandbox.watchdog import Watchdog
from gateway.executors.stdio.processes import Key
from gateway.executors.stdio.upstream import Patience, Stdio
from gateway.model import Code, JsonObject, Limits
from gateway.settings import Settings, UpstreamSettings

STARTS = 4
"""How many servers may be starting at a time: at a boot forty would only slow each other down."""
PROBED_AGAIN_SECONDS = 30.0
"""How long a machine that cannot make a sandbox is believed, before it is looked at again."""
ENVELOPE_BYTES = 1 << 16
"""Around a result in the line that carries it."""
UNCONFINED_PATH = "/usr/local/bin:/usr/bin:/bin"
Folders = Mapping[Path, Literal["ro", "rw"]]
_BARE: Mapping[str, str] = {"PATH": UNCONFINED_PATH, "LANG": "C.UTF-8"}

logger = logging.getLogger(__name__)


def _nothing(_: str) -> Mapping[str, str]:
    return {}


@dataclass(slots=True)
class Machine:
    """The host, looked at when the first sandbox is wanted: most gateways start without one."""

    probe: Callable[[], Awaitable[Host]] = host.probe
    clock: Callable[[], float] = time.monotonic
    _known: Host | None = None
    _until: float = 0.0
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def host(self) -> Host:
        """What can be enforced here. One that cannot make a sandbox is looked at again later."""
        async with self._looking:
            if self._known is None or (self._known.cause is not None and self.clock() >= self._until):
                self._known = await self.probe()
                self._until = self.clock() + PROBED_AGAIN_SECONDS
            return self._known


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the stdio servers of one gateway share."""

    state: Path
    profiles: tuple[Path, ...]
    """Folders of sandbox profiles; the first that has one wins."""
    packages: Packages
    needs: Callable[[str], Mapping[str, str]] = _nothing
    """Variables that the server of a package is known to need in a sandbox, where its own say nothing else."""
    guarded: tuple[Path, ...] = ()
    """The operator's own files, which no server may write: they say what servers may."""
    machine: Machine = field(default_factory=Machine)
    starting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STARTS))


class Launcher:
    """Starts the processes of one upstream."""

    def __init__(self, name: str, settings: UpstreamSettings, run_as: int | str | None, grounds: Grounds) -> None:
        """Reads everything that can be wrong before anything is started.

        Raises:
            ConfigError: the command, the profile or the allow-list is not what it must be.
        """
        self.name, self._settings, self._run_as, self._grounds = name, settings, run_as, grounds
        try:
            self.command: Command = read_command(settings.command or "", settings.args)
            self.allow: tuple[Destination, ...] = tuple(parse_allow(text) for text in settings.network.allow)
            self.profile: Profile | None = None
            if settings.sandbox != NONE:
                self.profile = load_profile(settings.sandbox, grounds.profiles)
        except ConfigError as problem:
            raise ConfigError(f"upstream {name}: {problem}") from None
        self._doors: dict[int, Door] = {}
        package = package_of(self.command)
        self._env = {**(grounds.needs(package) if package else {}), **settings.env}

    async def start(self, key: Key) -> Child:
        """A process for a key, confined as its profile says.

        Raises:
            Failed: it cannot be had, or cannot be confined; nothing ran.
        """
        program = await self.program()
        if self.profile is None:
            return await process.start(self._bare(program, key))
        folders: Folders = {Path(path): mode for path, mode in self._settings.folders.items()}
        start, work = await self._drawn(program, self._home(key), folders, way_out=bool(self.allow))
        return await self._confined(start, work, Door(self.allow) if self.allow else None)

    async def trial(self, trial: Trial) -> Child:
        """A process of the upstream's program with what a trial gives it, and a home that ends with it.

        Raises:
            Failed: no sandbox can be made, or not this one.
        """
        folders: Folders = {Path(path): mode for path, mode in trial.folders.items()}
        start, _ = await self._drawn(await self.program(), None, folders, way_out=True)
        if shutil.which("strace") is not None:
            start = traced(start, trial.trace)
        return await self._confined(start, None, trial.door)

    async def program(self) -> Program:
        """What is run.

        Raises:
            Failed: it cannot be had; why is for the operator.
        """
        try:
            return await self._grounds.packages.program(
                self.name, self.command, allow_build=self._settings.allow_build, say=self._say
            )
        except ConfigError as problem:
            reason = "the upstream's program cannot be had"
            said = "; ".join((str(problem), *getattr(problem, "__notes__", ())))
            raise Failed(Code.UPSTREAM_UNAVAILABLE, reason, detail=said) from None

    async def _drawn(
        self, program: Program, work: Path | None, folders: Folders, *, way_out: bool
    ) -> tuple[Start, Path | None]:
        """The start of that program in this upstream's sandbox, and the home it is given.

        Raises:
            Failed: no sandbox can be made, or not this one.
        """
        machine = await self._grounds.machine.host()
        if (unavailable := machine.unavailable()) is not None:
            raise unavailable
        confinement = await asyncio.to_thread(self._confinement, work, folders, way_out=way_out)
        start = plan(program, confinement, machine)
        return dataclasses.replace(start, evidence={**start.evidence, **_of(program)}), confinement.work

    async def _confined(self, start: Start, work: Path | None, door: Door | None) -> Child:
        child = await process.start(start)
        watch = child.watch = Watchdog(child, self.profile or Profile(), work)
        child.on_end.append(watch.close)
        if door is not None:
            await self._let_out(child, door)
        return child

    def taken(self, child: Child) -> JsonObject:
        """What a process tried to reach since this was last asked."""
        door = self._doors.get(child.pid)
        if door is None:
            return {}
        lost, contacts = door.contacts.lost, door.taken()
        told = [{**dataclasses.asdict(contact), "at": int(contact.at)} for contact in contacts]
        return {"egress": told, **({"egress_lost": lost} if lost else {})} if told else {}

    def _confinement(self, work: Path | None, folders: Folders, *, way_out: bool) -> Confinement:
        try:
            run_as = identity_for(folders, self._run_as)
        except ConfigError as problem:
            raise _misconfigured(problem) from None
        if work is not None:
            settle_work(work, run_as)
        return Confinement(
            profile=self.profile or Profile(),
            folders=folders,
            work=work,
            env={**(ENVIRONMENT if way_out else {}), **self._env},
            proxied=way_out,
            run_as=run_as,
            state=self._grounds.state,
            guarded=self._grounds.guarded,
        )

    def _bare(self, program: Program, key: Key) -> Start:
        """Not confined at all: the operator's choice, which stands in every record."""
        home = self._home(key)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        env = {**_BARE, "HOME": str(home), **program.env, **self._settings.env}
        return Start(program.argv, env, str(home), evidence={"sandbox": NONE, **_of(program)})

    def _home(self, key: Key) -> Path:
        """The server's own folder: one for each tenant, so that what it keeps outlives it and stays among them."""
        tenant = key.tenant or "default"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", tenant):
            tenant = f"{hashlib.sha256(tenant.encode()).hexdigest()[:32]}.tenant"
        return self._grounds.state / "work" / self.name / tenant

    async def _let_out(self, child: Child, door: Door) -> None:
        pid, doors = child.pid, self._doors

        async def shut() -> None:
            doors.pop(pid, None)
            await door.close()

        child.on_end.append(shut)
        try:
            if child.sandbox_pid is None:
                raise Failed(Code.SANDBOX_UNAVAILABLE, "the sandbox could not be made")
            await door.open(child.sandbox_pid)
        except BaseException:
            await child.stop(0)
            raise
        doors[pid] = door
        child.release()

    def _say(self, line: str) -> None:
        logger.info("upstream %s: %s", self.name, line)


def stdio(name: str, settings: Settings, grounds: Grounds) -> Stdio:
    """The executor of an upstream that is a command.

    Raises:
        ConfigError: the command, the profile or the allow-list is not what it must be.
    """
    upstream = settings.upstreams[name]
    launcher = Launcher(name, upstream, settings.run_as, grounds)
    limits = (launcher.profile or Profile()).limits
    return Stdio(
        name,
        launcher.start,
        share=upstream.share,
        limits=Limits(settings.limits.call_s, settings.limits.result_mb << 20),
        patience=Patience(handshake_s=limits.start_s, idle_s=limits.idle_s),
        # An answer is one line: what a result may hold must fit.
        line_bytes=max(limits.line_kb << 10, (settings.limits.result_mb << 20) + ENVELOPE_BYTES),
        secrets=tuple(upstream.env.values()),
        taken=launcher.taken,
        turns=grounds.starting,
    )


def _of(program: Program) -> JsonObject:
    named = {"package": program.version, "package_digest": program.digest}
    return {name: value for name, value in named.items() if value}


def _misconfigured(problem: ConfigError) -> Failed:
    reason = "the server cannot be confined as it is configured"
    return Failed(Code.SANDBOX_UNAVAILABLE, reason, detail=str(problem))
