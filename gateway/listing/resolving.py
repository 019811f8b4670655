"""What a call means: whose tool, prompt, resource or method, if this principal may know of it.

A tool is bound to the definition the operator accepted. Nothing else has one: a stand-in names its upstream, and the
policy judges what is asked of it. Who is told nothing is told it in the same words, whatever the cause.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from gateway.errors import Refused
from gateway.kinds import Kind, Listed
from gateway.listing.addresses import parted, upstream_of
from gateway.listing.fetching import FRESH_SECONDS, STALE_SECONDS, current, ready
from gateway.listing.hiding import KEPT, hidden, kept
from gateway.listing.showing import owners
from gateway.model import Call, Code, Endpoint, JsonObject, Pin, Principal
from gateway.parts import Gateway
from gateway.registry import names
from gateway.registry.registry import UNKNOWN
from gateway.registry.templates import matching
from gateway.wire import mcp

TASKS_KEPT: Final = 50_000
_TASKS: Final = "tasks/"


async def resolve(call: Call, gw: Gateway) -> Pin:
    """The pin a call means, or what stands for one, if this principal may know of it. HOT

    Whoever takes its upstream's executor at once takes that of the server whose lists were consulted.

    Raises:
        Refused: TOOL_UNKNOWN, TOOL_DRIFTED, or why the upstream's list is not to be had.
    """
    if call.kind == Kind.TOOL:
        return await _tool(call, gw)
    resolving = _RESOLVING.get(call.kind)
    if resolving is None:
        raise _unknown("nothing of this kind is resolved")
    before = dict(gw.executors)
    pin = await resolving(call, gw)
    if gw.executors.get(pin.upstream) is not before.get(pin.upstream):
        raise Refused(Code.UPSTREAM_UNAVAILABLE, "the upstream was reconfigured meanwhile")
    return pin


async def input_schema(principal: Principal, endpoint: Endpoint, name: str, gw: Gateway) -> JsonObject | None:
    """The arguments' schema of a tool whose calls must repeat arguments as headers; None for every other name,
    and where this principal may not know of the tool."""
    upstream = parted(endpoint, name)[0]
    if upstream in endpoint.upstreams and upstream in gw.executors:
        try:
            await current(upstream, Listed.TOOLS, gw)
        except Refused:  # for the pipeline to refuse, and record
            return None
    pin = gw.registry.find(endpoint, name)
    if pin is None or not _repeats_arguments(pin, gw):
        return None
    if pin.name in await hidden(principal, pin.upstream, f"principal:{principal.id}", mcp.LATEST_MODERN, gw):
        return None
    schema: JsonObject = pin.definition["inputSchema"]
    return schema


def remember_task(task_id: str, upstream: str, principal_id: str, gw: Gateway) -> None:
    """Note whose a task is that an upstream has begun. Who was told of it first stays its owner."""
    if task_id and (upstream, task_id) not in gw.lists.tasks:
        kept(gw.lists.tasks, (upstream, task_id), principal_id, TASKS_KEPT)


async def _tool(call: Call, gw: Gateway) -> Pin:
    upstream = upstream_of(call)
    if upstream in gw.executors:
        await current(upstream, Listed.TOOLS, gw)
    try:
        pin = gw.registry.resolve(call)
    except Refused as refusal:
        # Drift is told only to those who may know of the tool.
        if refusal.code is Code.TOOL_DRIFTED and parted(call.endpoint, call.name)[1] in await _hidden(call, gw):
            raise _unknown() from None
        raise
    if pin.name in await _hidden(call, gw):
        raise _unknown()
    return pin


async def _hidden(call: Call, gw: Gateway) -> frozenset[str]:
    return await hidden(call.principal, upstream_of(call), call.session, call.era, gw)


def _repeats_arguments(pin: Pin, gw: Gateway) -> bool:
    known = gw.repeating.get(pin.digest)
    if known is None:
        known = bool(mcp.param_headers(pin.definition.get("inputSchema")))
        kept(gw.repeating, pin.digest, known, KEPT)
    return known


async def _prompt(call: Call, gw: Gateway) -> Pin:
    return await _prompt_named(call, call.name, gw)


async def _prompt_named(call: Call, full: str, gw: Gateway) -> Pin:
    """A prompt that its upstream lists: one that is not listed cannot be told from one that is hidden."""
    endpoint = call.endpoint
    upstream, name = parted(endpoint, full)
    if upstream not in endpoint.upstreams or upstream not in gw.executors:
        raise _unknown("no such upstream at this endpoint")
    if endpoint.qualified and names.qualified(upstream, name) is None:
        raise _unknown("its name is not shown here")
    for age in (STALE_SECONDS, FRESH_SECONDS):  # it may be newer than the list
        await current(upstream, Listed.PROMPTS, gw, age)
        if name in gw.lists.catalogue.items(upstream, Listed.PROMPTS):
            if name in await hidden(call.principal, upstream, call.session, call.era, gw, Listed.PROMPTS):
                raise _unknown()
            return gw.registry.stand_in(upstream, name)
    raise _unknown("the upstream does not list it")


async def _resource(call: Call, gw: Gateway) -> Pin:
    return await _resource_at(call, call.name, gw)


async def _resource_at(call: Call, uri: str, gw: Gateway) -> Pin:
    upstream = await _owner(call.endpoint, uri, gw)
    await _refuse_hidden(call, upstream, uri, gw)
    return gw.registry.stand_in(upstream, uri)


async def _owner(endpoint: Endpoint, uri: str, gw: Gateway) -> str:
    """The upstream a URI belongs to: the one there is, the first that lists it, else the first whose template fits."""
    if not endpoint.qualified:
        await _consulted(endpoint.upstreams[0], gw)
        return endpoint.upstreams[0]
    for age in (STALE_SECONDS, FRESH_SECONDS):  # it may be newer than the lists
        await ready(Listed.RESOURCES, endpoint, gw, age)
        if (owner := owners(Listed.RESOURCES, endpoint.upstreams, gw).of.get(uri)) is not None:
            return owner
        await ready(Listed.TEMPLATES, endpoint, gw, age)
        for upstream in endpoint.upstreams:
            if matching(uri, gw.lists.catalogue.templates(upstream)):
                return upstream
    raise _unknown("no upstream lists it or has a template for it")


async def _consulted(upstream: str, gw: Gateway) -> None:
    """See that what it lists is known, as far as it can be: a list that cannot be used takes no resource away."""
    for what in (Listed.RESOURCES, Listed.TEMPLATES):
        try:
            await current(upstream, what, gw)
        except Refused as refusal:
            if refusal.code is not Code.UPSTREAM_INVALID:
                raise


async def _refuse_hidden(call: Call, upstream: str, uri: str, gw: Gateway) -> None:
    """Refuse a URI that is hidden, and one that is not listed where every template that it fits is hidden."""
    catalogue = gw.lists.catalogue
    if uri in await hidden(call.principal, upstream, call.session, call.era, gw, Listed.RESOURCES):
        raise _unknown()
    if uri in catalogue.items(upstream, Listed.RESOURCES):
        return
    if fitting := matching(uri, catalogue.templates(upstream)):
        unseen = await hidden(call.principal, upstream, call.session, call.era, gw, Listed.TEMPLATES)
        if unseen.issuperset(fitting):
            raise _unknown()


async def _completion(call: Call, gw: Gateway) -> Pin:
    """What is being completed: an argument of a prompt, or a variable of a template, which may also be a plain URI."""
    ref = call.arguments.get("ref")
    type_, name, uri = (ref.get("type"), ref.get("name"), ref.get("uri")) if type(ref) is dict else (None, None, None)
    if type_ == "ref/prompt" and type(name) is str:
        return await _prompt_named(call, name, gw)
    if type_ == "ref/resource" and type(uri) is str:
        return await _template(call, uri, gw)
    raise _unknown("the reference is none of a prompt or a resource")


async def _template(call: Call, text: str, gw: Gateway) -> Pin:
    endpoint = call.endpoint
    if not endpoint.qualified:
        await _consulted(endpoint.upstreams[0], gw)
        upstream: str | None = endpoint.upstreams[0]
    else:
        await ready(Listed.TEMPLATES, endpoint, gw, STALE_SECONDS)
        upstream = owners(Listed.TEMPLATES, endpoint.upstreams, gw).of.get(text)
    if upstream is None:
        return await _resource_at(call, text, gw)
    if text in await hidden(call.principal, upstream, call.session, call.era, gw, Listed.TEMPLATES):
        raise _unknown()
    await _refuse_hidden(call, upstream, text, gw)
    return gw.registry.stand_in(upstream, text)


async def _other(call: Call, gw: Gateway) -> Pin:
    """Any other method: the one upstream's; among several only a task says whose it is."""
    endpoint, task = call.endpoint, call.arguments.get("taskId")
    is_task = call.name.startswith(_TASKS) and type(task) is str
    owned = [gw.lists.tasks.get((upstream, str(task))) for upstream in endpoint.upstreams] if is_task else []
    if not endpoint.qualified:
        if owned and owned[0] not in (None, call.principal.id):
            raise _unknown("the task is another principal's")
        return gw.registry.stand_in(endpoint.upstreams[0], call.name, ("unknown",))
    for upstream, owner in zip(endpoint.upstreams, owned, strict=False):
        if owner == call.principal.id:
            return gw.registry.stand_in(upstream, call.name, ("unknown",))
    raise _unknown("no upstream of several can be told by this method")


def _unknown(detail: str = "hidden by the list point") -> Refused:
    return Refused(Code.TOOL_UNKNOWN, UNKNOWN, detail=detail)


_RESOLVING: Final[Mapping[str, Callable[[Call, Gateway], Awaitable[Pin]]]] = {
    Kind.PROMPT: _prompt,
    Kind.RESOURCE: _resource,
    Kind.SUBSCRIPTION: _resource,
    Kind.COMPLETION: _completion,
    Kind.OTHER: _other,
}
