"""The composition root: with making.py all that names concrete classes, and the life of one gateway process.

`opened` takes the state folder and puts the parts together; `serve` adds the client side and listens;
`offline` is what the command line uses when no gateway owns the folder.
"""

import asyncio
import dataclasses
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import uvicorn
import uvloop

from gateway import __version__, admin, approving, listing, making, pipeline, recovery, selftest, subscriptions
from gateway.approvals.waiting import Requests
from gateway.audit import keys, records
from gateway.audit.log import Log
from gateway.brakes import Brakes
from gateway.budgets.ledger import Budgets
from gateway.config import Settings, load, text_of
from gateway.errors import BasculeError, ConfigError, Fatal
from gateway.facts import Sessions
from gateway.identity.tokens import Authenticator, Failures
from gateway.keyed import Keyed
from gateway.model import JsonObject
from gateway.parts import Archive, Gateway, Tasks
from gateway.policy import Pdp
from gateway.policy import bundle as policies
from gateway.policy.regorus import Regorus
from gateway.registry import Registry, lockfile, manifests
from gateway.registry.manifests import Manifests
from gateway.rounds import Seals
from gateway.storage.sqlite import SqliteDatabase
from gateway.transports.control import Control, Owner
from gateway.transports.desk import Desk
from gateway.transports.http import App
from gateway.transports.lending import Lending
from gateway.transports.mcp import Front
from gateway.transports.protocol import server_config
from gateway.transports.served import Behind
from gateway.transports.uses import Uses
from gateway.transports.wrapped import GiveBack, Wraps, nothing
from gateway.webhooks import Webhooks
from gateway.writes import BundleStored

UPKEEP_SECONDS = 60.0
SERVER = {"name": "bascule", "version": __version__}

logger = logging.getLogger(__name__)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Gateway]:
    """The parts, put together on a state folder that is ours until the block ends.

    Raises:
        ConfigError: another process owns the folder, or a file of the operator's is wrong.
        Fatal, LogUnavailable: the stored log contradicts itself, or cannot be written.
    """
    with Owner.take(settings.state):
        own = keys.load(settings.state, settings.audit.origin)
        database = SqliteDatabase(settings.state / admin.DATABASE)
        log = Log.open(
            database,
            own,
            sealed=settings.audit.payloads == "sealed",
            keep_days=settings.audit.keep_days,
            on_fatal=_end,
        )
        reader = database.reader()
        tasks = Tasks()
        try:
            gw = _together(settings, log, Archive(settings, reader, own.vkey), tasks, own.sealing)
            try:
                yield gw
            finally:
                subscriptions.close(gw)
                gw.parking.close()
        finally:
            await tasks.close()
            reader.close()  # before the writer: the last to close folds the WAL into the one file
            await log.close()


def _together(settings: Settings, log: Log, archive: Archive, tasks: Tasks, secret: bytes) -> Gateway:
    load_policy, shared = partial(_policy, settings), making.grounds(settings)
    return Gateway(
        settings=settings,
        registry=Registry(
            making.terms(settings),
            lockfile.load(settings.file.with_name("bascule.lock")),
            manifests.load(settings.policy.manifests),
            clock=time.time,
        ),
        pdp=load_policy(),
        executors={name: making.executor(name, settings, shared) for name in settings.upstreams},
        grounds=shared,
        sessions=Sessions(archive.reader.session),
        log=log,
        archive=archive,
        load_policy=load_policy,
        tasks=tasks,
        seals=Seals(secret),
        requests=Requests(archive.reader, secret, time.time),
        keyed=Keyed(archive.reader, secret),
        brakes=Brakes(archive.reader, time.time),
        budgets=Budgets(archive.reader, settings.budgets, time.time),
    )


def _policy(settings: Settings) -> Pdp:
    live = {data.name: text_of(data.file).encode() for data in settings.policy.data}
    loaded = policies.load(settings.policy.bundle, live, engine=settings.policy.engine)
    value_bytes = settings.limits.policy_value_kb * 1024
    if settings.policy.engine == "opa" and settings.policy.url:
        from gateway.policy.opa import Opa  # noqa: PLC0415 - the gateway that needs no OPA does not load its client

        return Opa(loaded, settings.policy.url, value_bytes=value_bytes)
    return Regorus(loaded, value_bytes=value_bytes)


class Serving:
    """One gateway that listens: the parts, its HTTP face, and what a reload may change."""

    def __init__(self, gw: Gateway) -> None:
        self.gw = gw
        self.failures = Failures()
        self._endpoints = listing.endpoints(gw.settings)
        behind = Behind(
            call=lambda call, channel: pipeline.serve(call, gw, channel),
            listed=partial(listing.listed, gw=gw),
            about=partial(listing.about, gw=gw),
            input_schema=partial(listing.input_schema, gw=gw),
            subscribe=partial(subscriptions.open_subscription, gw=gw),
        )
        self._front = front = Front(
            endpoints=lambda upstream, view: self._endpoints.get((upstream, view)), behind=behind, server=SERVER
        )
        authenticator = Authenticator(gw.settings, self.failures)
        desk = Desk(partial(admin.waiting_for, gw), partial(admin.shown_to, gw), partial(admin.answered_by, gw))
        self.app = App(front, authenticator, gw.settings, ready=lambda: gw.log.available, desk=desk)
        self._made_of = {name: making.fingerprint(name, gw.settings) for name in gw.settings.upstreams}
        self.uses, self.lending = Uses(), Lending()
        self._telling: list[asyncio.Task[None]] = []
        self._tell(Webhooks(gw.settings.notify))
        self.wraps = Wraps(front, lambda: gw.settings, lambda name: self._endpoints.get((name, None)), self.lend)

    async def reload(self, *, operator: str) -> JsonObject:
        """Read everything again but `state`, `listen` and `audit.origin`; on any error all stays as it was."""
        gw = self.gw
        settings = load(gw.settings.file)
        kept = {"state": gw.settings.state, "listen": gw.settings.listen, "audit": gw.settings.audit}
        settings = settings.model_copy(update=kept)
        stated, load_policy = manifests.load(settings.policy.manifests), partial(_policy, settings)
        Registry(making.terms(settings), {}, stated, clock=time.time)  # raises what restating would
        pdp = await admin.sound(load_policy())
        opened = self._opened(self.lending.among(settings))
        webhooks = None if settings.notify == gw.settings.notify else Webhooks(settings.notify)
        await gw.log.append([records.event("admin.reload", {}, sealed={"operator": operator})])
        swapped = await admin.put_in_force(pdp, gw, operator)
        # Point of no return: both records are durable, and nothing below fails.
        gw.load_policy = load_policy
        self._restate(self.lending.among(settings), opened, stated)  # a wrap may have come or gone meanwhile
        if webhooks is None:
            self._webhooks.anew()
        else:
            self._tell(webhooks)
        self._endpoints = listing.endpoints(settings)
        self.app.configure(settings, Authenticator(settings, self.failures))
        subscriptions.reconcile(gw, self._endpoints.values())
        return {"upstreams": list(settings.upstreams), **swapped}

    def _tell(self, webhooks: Webhooks) -> None:
        """Tell these receivers, and only these, from now on."""
        for task in self._telling:
            task.cancel()
        self._webhooks = webhooks
        self._telling = [self.gw.tasks.start(one.run()) for one in webhooks.receivers]
        self.gw.log.on_recorded = webhooks.recorded if webhooks.receivers else None

    async def lend(self, name: str, given: JsonObject, operator: str) -> GiveBack:
        """Make a command an upstream, at no address of its own, until each who has it gave it back."""
        gw = self.gw
        if not self.lending.take(name, given, gw.settings.upstreams):
            return nothing
        told = {"operator": operator, "name": name, "command": given["command"], "args": given["args"]}
        lent = self.lending.among(gw.settings)
        try:
            self._restate(lent, self._opened(lent))  # who alone reaches it is not told of it before it is recorded
            await gw.log.append([records.event("admin.lend", {}, sealed=told)])
        except BasculeError:
            await self._take_back(name)
            raise
        return partial(self._take_back, name)

    async def _take_back(self, name: str) -> None:
        if (left := self.lending.leave(name)) is not None and self.gw.settings.upstreams.get(name) is left:
            kept = {other: one for other, one in self.gw.settings.upstreams.items() if other != name}
            self._restate(self.gw.settings.model_copy(update={"upstreams": kept}), {})

    def _opened(self, settings: Settings) -> dict[str, making.Made]:
        """The executors of what is new or changed in settings that are not in force yet.

        Raises:
            ConfigError: one of them cannot be as it is configured; nothing was changed.
        """
        shared = dataclasses.replace(self.gw.grounds, guarded=making.grounds(settings).guarded)
        made_of = {name: making.fingerprint(name, settings) for name in settings.upstreams}
        changed = {name: of for name, of in made_of.items() if self._made_of.get(name) != of}
        return {name: (of, making.executor(name, settings, shared)) for name, of in changed.items()}

    def _restate(self, settings: Settings, opened: dict[str, making.Made], stated: Manifests | None = None) -> None:
        """Put settings in force: upstreams that are gone or changed are closed, new ones take their place."""
        gw = self.gw
        gw.registry.restate(making.terms(settings), stated)
        gone = [name for name in gw.executors if name not in settings.upstreams or name in opened]
        gw.settings, gw.budgets.declared = settings, settings.budgets
        for name in gone:
            gw.listed.pop(name, None)
            self._made_of.pop(name, None)
            gw.tasks.start(gw.executors.pop(name).close())
        for name, (made_of, made) in opened.items():
            self._made_of[name], gw.executors[name] = made_of, made
        subscriptions.reconcile(gw)

    async def upkeep(self) -> None:
        """Once a minute: what strangers tried, in one record; payloads past their time; idle sessions on both sides."""
        while True:
            await asyncio.sleep(UPKEEP_SECONDS)
            try:
                if turned_away := self.failures.take():
                    await self.gw.log.append([records.event("auth.summary", {"turned_away": turned_away})])
                await approving.lapse(self.gw)
                await self.gw.log.expire(int(time.time()))
                self._front.sessions.sweep()
                for one in self.gw.executors.values():
                    await one.sweep()
            except BasculeError:
                logger.warning("upkeep was left for the next minute", exc_info=True)


def actions(gw: Gateway) -> dict[str, Callable[..., Awaitable[JsonObject]]]:
    """Every operator action by its name, bound to these parts."""
    acting = {action.__name__: partial(action, gw) for action in admin.ACTIONS}
    reading = {action.__name__: partial(action, gw.archive) for action in admin.ON_ARCHIVE}
    return {**acting, **reading}


def serve(settings: Settings, *, idle_s: float | None = None) -> int:
    """Serve until a signal says to stop, or nobody has used it for `idle_s`; the exit code."""
    return uvloop.run(_serve(settings, idle_s))


async def _serve(settings: Settings, idle_s: float | None) -> int:
    async with opened(settings) as gw:
        frozen = await recovery.recover(gw)
        if frozen:
            logger.warning("%d calls were under way when the gateway stopped: see `bascule runs list`", frozen)
        bundle = gw.pdp.bundle
        boot = records.event("log.boot", {"version": __version__, "bundle": bundle.digest})
        await gw.log.append([boot], [BundleStored(bundle.digest, bundle.content)])
        await selftest.refuse_unless_sound(gw)
        serving = Serving(gw)
        gw.tasks.start(serving.upkeep())
        for name in gw.executors:
            gw.tasks.start(listing.refreshed_quietly(name, gw))
        acting = {**actions(gw), "reload": serving.reload}
        control = Control(settings.state, acting, {"wrap": serving.wraps.wrap}, uses=serving.uses)
        await control.start()
        # What stands now stays: the collector need not walk it again with every generation.
        gc.collect()
        gc.freeze()
        gc.collect()  # what is frozen counts no more when it is asked whether a whole collection is worth it
        gc.set_threshold(20_000, 20, 4)  # broken connections leave cycles, and those hold buffers
        try:
            await _listen(serving, idle_s)
        finally:
            await control.close()
            await asyncio.gather(*(one.close() for one in gw.executors.values()))
    return 0


async def _listen(serving: Serving, idle_s: float | None) -> None:
    listen = serving.gw.settings.listen
    app = serving.app if idle_s is None else serving.uses.counted(serving.app)
    config = server_config(app, host=listen.host, port=listen.port, failures=serving.failures)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reloading, serving)
    try:
        listener = config.bind_socket()
    except SystemExit:  # uvicorn's word for an address that is taken
        if idle_s is None:
            raise ConfigError(f"cannot listen on {listen.host}:{listen.port}") from None
        logger.error("cannot listen on %s:%d: only wraps are served", listen.host, listen.port)
        await _stopped(serving, idle_s)
        return
    # uvicorn makes it one for workers of its own: a server that we start could take our clients' calls from it.
    listener.set_inheritable(False)
    port = listener.getsockname()[1]
    server = _Server(config, f"bascule {__version__} listening on http://{listen.host}:{port}")
    if idle_s is not None:
        serving.gw.tasks.start(_ended_when_idle(serving, idle_s, server))
    await server.serve(sockets=[listener])


async def _ended_when_idle(serving: Serving, idle_s: float, server: uvicorn.Server) -> None:
    await serving.uses.ended(idle_s)
    server.should_exit = True


async def _stopped(serving: Serving, idle_s: float) -> None:
    """Wait for what ends a gateway that only wraps can reach: a signal, or that nobody is there."""
    idle = serving.gw.tasks.start(serving.uses.ended(idle_s))
    for stop in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(stop, idle.cancel)
    await asyncio.wait([idle])


def _reloading(serving: Serving) -> None:
    async def reloaded() -> None:
        try:
            await serving.reload(operator="os:signal")
        except BasculeError as problem:
            logger.error("not reloaded, all stays as it was: %s", problem)

    serving.gw.tasks.start(reloaded())


class _Server(uvicorn.Server):
    """Says on standard output when it listens; programs that start a gateway wait for this line."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again once it has stopped serving, which would end the process before the
        # log is signed and closed.
        loop = asyncio.get_running_loop()
        for stop in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(stop, self.handle_exit, stop, None)
        yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        print(self._announcement, flush=True)


async def act(settings: Settings, action: str, **given: Any) -> JsonObject:
    """One operator action where no gateway owns the state folder: takes it for as long as the action lasts.

    What only reads the log takes nothing, and works on a log that no gateway would open.
    """
    reads = {one.__name__: one for one in admin.ON_ARCHIVE}
    if action in reads:
        reader = admin.opened_log(settings.state / admin.DATABASE)
        archive = Archive(settings, reader, keys.public_key(settings.state))
        return await reads[action](archive, **given)
    async with opened(settings) as gw:
        try:
            return await actions(gw)[action](**given)
        finally:
            await asyncio.gather(*(one.close() for one in gw.executors.values()))


def _end(fault: Fatal) -> None:
    """The stored log contradicts itself: stop at once, so that nothing is built on it."""
    logger.critical("%s", fault)
    signal.raise_signal(signal.SIGTERM)
