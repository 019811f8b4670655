"""What a stdio server needs, found out by running it with everything refused; a person consents to each thing.

Not one of the actions that can be asked for over the control socket: whoever consents has to be there.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from gateway.admin.upstreams import command_of
from gateway.errors import ConfigError, Failed
from gateway.executors.egress.destinations import parse_allow
from gateway.executors.egress.learning import Consent, Learned, Lesson, Question, kind_of, learn
from gateway.executors.egress.tried import covers, named
from gateway.executors.launcher import Grounds, Launcher
from gateway.executors.process import Child
from gateway.executors.sandbox.profiles import NONE
from gateway.executors.stdio.upstream import Stdio
from gateway.model import Call, Code, Digest, Endpoint, JsonObject, Limits, Manifest, Pin, PinState, Principal, Proposal
from gateway.settings import Settings
from gateway.wire.jsonrpc import encode
from gateway.wire.mcp import LATEST_LEGACY

Wanted = tuple[str, JsonObject]
"""A tool to call while learning, and its arguments: a server shows what it needs only when it is used."""


async def learned(
    settings: Settings,
    grounds: Grounds,
    name: str,
    calls: Sequence[Wanted],
    consent: Callable[[Question], Awaitable[Consent]],
) -> Learned:
    """What the upstream asked for and a person agreed to.

    Raises:
        ConfigError: there is no such upstream, it is no command, or it is not confined.
        Failed: no sandbox can be made here.
    """
    upstream = settings.upstreams.get(name)
    if upstream is None:
        raise ConfigError(f"there is no upstream {name}: there are {', '.join(settings.upstreams) or 'none'}")
    command_of(upstream)
    if upstream.sandbox == NONE:
        raise ConfigError(f"upstream {name} is not confined: nothing is refused to it, so nothing can be learned")
    launcher = Launcher(name, upstream, settings.run_as, grounds)
    if (unavailable := (await grounds.machine.host()).unavailable()) is not None:
        raise unavailable
    allow = [parse_allow(text) for text in upstream.network.allow]
    # A program looks for much in its own runtime that is not there: nothing of it is to be granted.
    runtime = [str(path) for path in (await launcher.program()).runtime]
    lesson = Lesson(allow, upstream.folders, kind_of, str(Path.home()), runtime)
    limits = Limits(settings.limits.call_s, settings.limits.result_mb << 20)

    async def converse(child: Child) -> Sequence[str]:
        return await _conversation(child, name, calls, limits)

    settings_name = named(upstream.args, upstream.env).items()
    configured = {path: how for path, how in settings_name if not any(covers(own, path) for own in runtime)}
    return await learn(launcher.trial, converse, _sensible(consent), lesson, configured)


def _sensible(consent: Callable[[Question], Awaitable[Consent]]) -> Callable[[Question], Awaitable[Consent]]:
    """Nobody is asked about the hidden files of a home: a server that names them on its stderr is no reason to
    give it keys and shell settings. Who means it says so with `upstream set --folder`."""

    async def asked(question: Question) -> Consent:
        path = Path(question.what)
        home = Path.home()
        hidden = path.is_relative_to(home) and any(part.startswith(".") for part in path.relative_to(home).parts)
        return Consent.NO if question.kind == "folder" and (hidden or path == home) else await consent(question)

    return asked


async def _conversation(child: Child, name: str, calls: Sequence[Wanted], limits: Limits) -> list[str]:
    """List its tools and call those that were named; everything it complained about."""

    async def start(_: object) -> Child:
        if begun:
            raise Failed(Code.UPSTREAM_UNAVAILABLE, "the server ended before it answered")
        begun.append(child)
        return child

    begun: list[Child] = []
    said: list[str] = []
    executor = Stdio(name, start, limits=limits)
    try:
        await executor.tools()
        for tool, arguments in calls:
            outcome = await executor.execute(_proposal(name, tool, arguments), limits)
            if outcome.tool_error:
                said.append(encode(outcome.result).decode())
    except Failed as failed:
        said.append(failed.detail)
    finally:
        await executor.close()
    return [*said, executor.stderr_tail()]


def _proposal(upstream: str, tool: str, arguments: JsonObject) -> Proposal:
    pin = Pin(upstream, tool, Digest(""), {"name": tool}, PinState.WAITING, Manifest())
    endpoint = Endpoint(upstream, (upstream,), qualified=False)
    who = Principal("bascule")
    call = Call(who, endpoint, "tool", tool, arguments, "mcp", LATEST_LEGACY, "none", "bascule:learn", "bascule:learn")
    return Proposal(call, pin)
