"""Operator actions on the gateway itself: what holds here and what does not."""

import asyncio

from gateway import selftest
from gateway.admin.upstreams import listed
from gateway.errors import ConfigError
from gateway.executors.sandbox import host
from gateway.executors.sandbox.profiles import NONE
from gateway.model import JsonObject
from gateway.parts import Gateway
from gateway.selftest import Line


async def doctor(gw: Gateway, *, operator: str) -> JsonObject:
    """What holds here and what does not, each line with its evidence and its fix."""
    lines = [*await selftest.run(gw), *await _sandboxes(gw)]
    for name in gw.executors:
        lines += await _upstream(name, gw)
    return {"lines": [line.told() for line in lines], "sound": all(line.state != "fail" for line in lines)}


async def _sandboxes(gw: Gateway) -> list[Line]:
    """What of a sandbox can be enforced here. It fails only where a server that is configured needs one."""
    needed = [name for name, one in gw.settings.upstreams.items() if one.command and one.sandbox != NONE]
    found = await host.examine(await gw.grounds.machine.host())
    return [
        Line(name, state if needed or state != "fail" else "warn", evidence, fix)
        for name, state, evidence, fix in found.lines()
    ]


async def _upstream(name: str, gw: Gateway) -> list[Line]:
    problem = await listed(name, gw)
    pins = len(gw.registry.show(name))
    lines = [Line(f"upstream {name}", "warn" if problem else "ok", problem or f"lists {pins} tools")]
    settings = gw.settings.upstreams[name]
    if settings.command is None:
        return lines
    if settings.sandbox == NONE:
        evidence = "NOT CONFINED: it can do all that the gateway's user can, keys and log included; each record says so"
        lines.append(Line(f"sandbox of {name}", "warn", evidence, f"remove `sandbox: none` from upstreams.{name}"))
    return [*lines, *await _package(name, gw)]


async def _package(name: str, gw: Gateway) -> list[Line]:
    """Whether every byte of what was installed is as it was."""
    label = f"package of {name}"
    try:
        pinned = await asyncio.to_thread(gw.grounds.packages.describe, name)
        await gw.grounds.packages.verify(name)
    except ConfigError as problem:
        return [Line(label, "fail", str(problem), f"bascule upstream accept {name} --newest")]
    return [Line(label, "ok", f"{pinned['version']}, every byte as it was installed")] if pinned else []
