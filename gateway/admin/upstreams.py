"""Operator actions on upstreams: what they offer, what is accepted of it."""

import asyncio
import shlex
import time

from gateway import listing, subscriptions
from gateway.audit import records
from gateway.errors import ConfigError, Failed, Refused
from gateway.executors.launcher import stdio
from gateway.executors.packages.commands import Command, Npm, Pypi, read_command
from gateway.model import Endpoint, JsonObject, PinState
from gateway.parts import Gateway
from gateway.settings import UpstreamSettings
from gateway.validators import schema


async def upstream_list(gw: Gateway, *, operator: str) -> JsonObject:
    """Each upstream: where it is, how it is governed, how many of its tools are in which state."""
    await asyncio.gather(*(listed(name, gw) for name in gw.executors))
    return {"upstreams": [_upstream(name, gw) for name in gw.settings.upstreams]}


async def upstream_show(gw: Gateway, *, operator: str, name: str) -> JsonObject:
    """One upstream's tools: what was accepted, what it offers now, and the difference."""
    problem = await listed(known(name, gw), gw)
    tools = [
        {
            "name": shown.name,
            "state": shown.state,
            "listed": shown.listed,
            "mode": shown.mode,
            "pin": shown.accepted.digest if shown.accepted else None,
            "offered": shown.offered.digest if shown.offered else None,
            "difference": shown.difference,
        }
        for shown in gw.registry.show(name)
    ]
    problems = [{"tool": one.name, "problem": one.text} for one in gw.registry.problems(name)]
    for pin in gw.registry.pins(Endpoint(name, (name,), qualified=False)):
        problems += [{"tool": pin.name, "problem": text} for text in schema.problems(pin)]
    told = {**_upstream(name, gw), "tools": tools, "problems": problems, "unreachable": problem}
    package = _package(name, gw) if gw.settings.upstreams[name].command else None
    return told | {"package": package} if package else told


async def upstream_log(gw: Gateway, *, operator: str, name: str) -> JsonObject:
    """What an upstream's processes last wrote beside the protocol."""
    return {"name": known(name, gw), "log": gw.executors[name].stderr_tail()}


async def upstream_logged_in(
    gw: Gateway, *, operator: str, name: str, issuer: str, scope: str | None = None
) -> JsonObject:
    """Record that a person has logged in to an upstream; its list is then asked for anew."""
    said = {"upstream": known(name, gw), "issuer": issuer, "scope": scope or ""}
    await gw.log.append([records.event("upstream.login", said, sealed={"operator": operator})])
    gw.listed.pop(name, None)
    return {"recorded": True}


async def upstream_newest(gw: Gateway, *, operator: str, name: str) -> JsonObject:
    """What package an upstream is pinned to, and what the registry has now. Nothing is installed."""
    settings, packages = gw.settings.upstreams[known(name, gw)], gw.grounds.packages
    newest = await packages.newest(name, command_of(settings), allow_build=settings.allow_build)
    if newest is None:
        raise ConfigError(f"upstream {name} is no package: there is no newer version to ask for")
    pinned = packages.describe(name) or {}
    return {
        "name": name,
        "pinned": pinned.get("version"),
        "newest": newest.version,
        "digest": newest.digest,
        "same": pinned.get("digest") == newest.digest,
    }


async def upstream_accept(
    gw: Gateway,
    *,
    operator: str,
    name: str,
    tool: str | None = None,
    digest: str | None = None,
    newest: bool = False,
) -> JsonObject:
    """Put into force what one tool, or every waiting or drifted tool, of an upstream offers.

    With `newest` only its package is replaced by the newest one, and `digest` names that: a tool that comes back
    changed has drifted, and is accepted by itself once somebody has looked at it.
    """
    if newest:
        if tool is not None:
            raise ConfigError("a package is taken whole: --newest goes with no tool")
        version = await _renewed(known(name, gw), digest, gw, operator)
        problem = await listed(name, gw)
        changed = [shown.name for shown in gw.registry.show(name) if shown.state is not PinState.ACCEPTED]
        return {"accepted": [], "package": version, "changed": changed, "unreachable": problem}
    await listing.refresh(known(name, gw), gw)
    changes = gw.registry.accept(name, tool, digest=digest)  # type: ignore[arg-type]
    await listing.keep(changes, gw, operator=operator)
    subscriptions.touched(gw)
    return {"accepted": [{"tool": change.name, "pin": change.new} for change in changes]}


async def upstream_quarantine(gw: Gateway, *, operator: str, name: str, tool: str | None = None) -> JsonObject:
    """Take a tool, or all of an upstream's, out of force."""
    changes = gw.registry.quarantine(known(name, gw), tool)
    await listing.keep(changes, gw, operator=operator)
    subscriptions.touched(gw)
    return {"quarantined": [change.name for change in changes]}


async def listed(name: str, gw: Gateway) -> str | None:
    """See that the upstream was listed; why not, in words for the operator."""
    try:
        await listing.refresh(name, gw)
    except (Refused, Failed) as failure:
        return f"{failure.code}: {failure.reason}" + (f" ({failure.detail})" if failure.detail else "")
    return None


def known(name: str, gw: Gateway) -> str:
    if name not in gw.settings.upstreams:
        raise ConfigError(f"there is no upstream {name}: there are {', '.join(gw.settings.upstreams) or 'none'}")
    return name


async def _renewed(name: str, digest: str | None, gw: Gateway, operator: str) -> str:
    """Record that the newest package is accepted, install it, and let it take over from the old one's processes."""
    settings, packages = gw.settings.upstreams[name], gw.grounds.packages
    command = command_of(settings)
    found = await packages.newest(name, command, allow_build=settings.allow_build)
    if found is None or not isinstance(command, Npm | Pypi):
        raise ConfigError(f"upstream {name} is no package: there is no newer version to take")
    if digest is not None and digest != found.digest:
        raise ConfigError(f"the newest package of {name} is {found.digest} ({found.version}) by now: look again")
    was = (packages.describe(name) or {}).get("digest", "")
    change = {"upstream": name, "package": found.version, "digest": found.digest, "was": was}
    await gw.log.append([records.event("package.accepted", change, sealed={"operator": operator})])
    # Recorded first: whatever runs from here on was accepted by somebody the log names.
    await packages.accept(name, command, found, allow_build=settings.allow_build)
    before, gw.executors[name] = gw.executors[name], stdio(name, gw.settings, gw.grounds)
    gw.listed.pop(name, None)
    gw.tasks.start(before.close())
    return found.version


def command_of(settings: UpstreamSettings) -> Command:
    """The command of an upstream that has one.

    Raises:
        ConfigError: it has an address instead.
    """
    if settings.command is None:
        raise ConfigError("this upstream has an address: no package runs it")
    return read_command(settings.command, settings.args)


def _reached(settings: UpstreamSettings) -> str:
    """Where an upstream is: its address without what may be secret in it, or its command."""
    if settings.url is not None:
        return settings.url.partition("?")[0]
    return shlex.join([settings.command or "", *settings.args])


def _package(name: str, gw: Gateway) -> JsonObject | None:
    try:
        return gw.grounds.packages.describe(name)
    except ConfigError as problem:
        return {"problem": str(problem)}


def _upstream(name: str, gw: Gateway) -> JsonObject:
    settings = gw.settings.upstreams[name]
    states = [shown.state.value for shown in gw.registry.show(name)]
    seen = gw.listed.get(name)
    return {
        "name": name,
        "reached": _reached(settings),
        "sandbox": settings.sandbox if settings.command else "",
        "mode": settings.mode,
        "until": str(settings.until) if settings.until else None,
        "trust": settings.trust,
        "tools": {state: states.count(state) for state in sorted(set(states))},
        "listed_s_ago": None if seen is None else round(time.monotonic() - seen, 1),
    }
