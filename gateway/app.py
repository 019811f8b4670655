"""The composition root: the only file that names concrete classes, and the life of one gateway process.

`opened` takes the state folder and puts the parts together; `serve` adds the client side and listens;
`offline` is what the command line uses when no gateway owns the folder.
"""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from gateway import __version__, admin, listing, pipeline, selftest
from gateway.audit import keys, records
from gateway.audit.log import Log
from gateway.config import Settings, load
from gateway.errors import BasculeError, ConfigError, Fatal
from gateway.executors.remote import Remote
from gateway.facts import Sessions
from gateway.identity.tokens import Authenticator, Failures
from gateway.model import BundleStored, Endpoint, JsonObject, Limits
from gateway.parts import Archive, Gateway, Tasks
from gateway.policy import Pdp
from gateway.policy import bundle as policies
from gateway.policy.regorus import Regorus
from gateway.registry import Registry, Terms, lockfile, manifests
from gateway.storage.sqlite import SqliteDatabase
from gateway.transports.control import Control, Owner
from gateway.transports.http import App
from gateway.transports.mcp import Front
from gateway.transports.protocol import server_config

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
            yield _together(settings, log, Archive(settings, reader, own.vkey), tasks)
        finally:
            await tasks.close()
            reader.close()  # before the writer: the last to close folds the WAL into the one file
            await log.close()


def _together(settings: Settings, log: Log, archive: Archive, tasks: Tasks) -> Gateway:
    load_policy = partial(_policy, settings)
    return Gateway(
        settings=settings,
        registry=Registry(
            _terms(settings),
            lockfile.load(settings.file.with_name("bascule.lock")),
            manifests.load(settings.policy.manifests),
            clock=time.time,
        ),
        pdp=load_policy(),
        executors={name: _remote(name, settings) for name in settings.upstreams},
        sessions=Sessions(archive.reader.session),
        log=log,
        archive=archive,
        load_policy=load_policy,
        tasks=tasks,
    )


def _policy(settings: Settings) -> Pdp:
    live = {data.name: _read(data.file) for data in settings.policy.data}
    loaded = policies.load(settings.policy.bundle, live, engine=settings.policy.engine)
    value_bytes = settings.limits.policy_value_kb * 1024
    if settings.policy.engine == "opa" and settings.policy.url:
        from gateway.policy.opa import Opa  # noqa: PLC0415 - the gateway that needs no OPA does not load its client

        return Opa(loaded, settings.policy.url, value_bytes=value_bytes)
    return Regorus(loaded, value_bytes=value_bytes)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"policy.data cannot be read: {error.strerror}", file=str(file)) from None


def _remote(name: str, settings: Settings) -> Remote:
    limits = Limits(settings.limits.call_s, settings.limits.result_mb << 20)
    return Remote(name, settings.upstreams[name], limits)


def _terms(settings: Settings) -> dict[str, Terms]:
    return {name: Terms(one.mode, one.until, one.trust) for name, one in settings.upstreams.items()}


class Serving:
    """One gateway that listens: the parts, its HTTP face, and what a reload may change."""

    def __init__(self, gw: Gateway) -> None:
        self.gw = gw
        self.failures = Failures()
        self._endpoints = endpoints(gw.settings)
        front = Front(
            endpoints=lambda upstream, view: self._endpoints.get((upstream, view)),
            call_tool=partial(pipeline.call_tool, gw=gw),
            list_tools=partial(listing.list_tools, gw=gw),
            input_schema=partial(listing.input_schema, gw=gw),
            server=SERVER,
        )
        authenticator = Authenticator(gw.settings, self.failures)
        self.app = App(front, authenticator, gw.settings, ready=lambda: gw.log.available)

    async def reload(self, *, operator: str) -> JsonObject:
        """Read everything again but `state`, `listen` and `audit.origin`; on any error all stays as it was."""
        gw = self.gw
        settings = load(gw.settings.file)
        kept = {"state": gw.settings.state, "listen": gw.settings.listen, "audit": gw.settings.audit}
        settings = settings.model_copy(update=kept)
        stated, load_policy = manifests.load(settings.policy.manifests), partial(_policy, settings)
        Registry(_terms(settings), {}, stated, clock=time.time)  # raises what restating would, with nothing changed yet
        pdp = await admin.sound(load_policy())
        await gw.log.append([records.event("admin.reload", {}, sealed={"operator": operator})])
        swapped = await admin.put_in_force(pdp, gw, operator)
        # Point of no return: both records are durable, and nothing below fails.
        gw.registry.restate(_terms(settings), stated)
        gone = [name for name in gw.executors if settings.upstreams.get(name) != gw.settings.upstreams[name]]
        gw.settings, gw.load_policy = settings, load_policy
        for name in gone:
            gw.listed.pop(name, None)
            gw.tasks.start(gw.executors.pop(name).close())
        for name in settings.upstreams.keys() - gw.executors.keys():
            gw.executors[name] = _remote(name, settings)
        self._endpoints = endpoints(settings)
        self.app.configure(settings, Authenticator(settings, self.failures))
        return {"upstreams": list(settings.upstreams), **swapped}

    async def upkeep(self) -> None:
        """Once a minute: what strangers tried, in one record; payloads past their time; idle sessions upstream."""
        while True:
            await asyncio.sleep(UPKEEP_SECONDS)
            try:
                if turned_away := self.failures.take():
                    await self.gw.log.append([records.event("auth.summary", {"turned_away": turned_away})])
                await self.gw.log.expire(int(time.time()))
                for executor in self.gw.executors.values():
                    await executor.sweep()
            except BasculeError:
                logger.warning("upkeep was left for the next minute", exc_info=True)


def endpoints(settings: Settings) -> dict[tuple[str | None, str | None], Endpoint]:
    """Every address under /mcp, by the upstream or the view it names."""
    found: dict[tuple[str | None, str | None], Endpoint] = {
        (None, None): Endpoint("", tuple(settings.upstreams), qualified=True)
    }
    for name in settings.upstreams:
        found[name, None] = Endpoint(name, (name,), qualified=False)
    for view, members in settings.views.items():
        found[None, view] = Endpoint(f"view/{view}", tuple(members), qualified=True)
    return found


def actions(gw: Gateway) -> dict[str, Callable[..., Awaitable[JsonObject]]]:
    """Every operator action by its name, bound to these parts."""
    acting = {action.__name__: partial(action, gw) for action in admin.ACTIONS}
    reading = {action.__name__: partial(action, gw.archive) for action in admin.ON_ARCHIVE}
    return {**acting, **reading}


def serve(settings: Settings) -> int:
    """Serve until a signal says to stop; the exit code."""
    return uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    async with opened(settings) as gw:
        frozen = await pipeline.recover(gw)
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
        control = Control(settings.state, {**actions(gw), "reload": serving.reload})
        await control.start()
        # What stands now stays: the collector need not walk it again with every generation.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        try:
            await _listen(serving)
        finally:
            await control.close()
            for executor in gw.executors.values():
                await executor.close()
    return 0


async def _listen(serving: Serving) -> None:
    listen = serving.gw.settings.listen
    config = server_config(serving.app, host=listen.host, port=listen.port, failures=serving.failures)
    try:
        listener = config.bind_socket()
    except SystemExit:  # uvicorn's word for an address that is taken
        raise ConfigError(f"cannot listen on {listen.host}:{listen.port}") from None
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reloading, serving)
    port = listener.getsockname()[1]
    server = _Server(config, f"bascule {__version__} listening on http://{listen.host}:{port}")
    await server.serve(sockets=[listener])


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
            for executor in gw.executors.values():
                await executor.close()


def _end(fault: Fatal) -> None:
    """The stored log contradicts itself: stop at once, so that nothing is built on it."""
    logger.critical("%s", fault)
    signal.raise_signal(signal.SIGTERM)
