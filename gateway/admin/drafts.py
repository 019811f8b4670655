"""The operator action that drafts a manifest from what an upstream says of its tools. The command line writes it."""

from gateway.admin.upstreams import known, listed
from gateway.errors import ConfigError
from gateway.model import JsonObject
from gateway.parts import Gateway
from gateway.registry import drafts, manifests


async def manifest_draft(gw: Gateway, *, operator: str, name: str) -> JsonObject:
    """A manifest for an upstream, every entry marked `inferred`; `file` is where it belongs.

    What is not reachable now is drafted from what it offered when it was.
    """
    problem = await listed(known(name, gw), gw)
    shown = [(one, one.accepted or one.offered) for one in gw.registry.show(name) if one.listed]
    definitions = [version.definition | {"name": one.name} for one, version in shown if version is not None]
    if problem and not definitions:
        raise ConfigError(f"{name} could not be listed, and nothing is known of its tools: {problem}")
    entries = drafts.draft(definitions, tuple(gw.settings.upstreams[name].folders))
    text = drafts.text(name, entries, {str(one["name"]): drafts.remark(one) for one in definitions})
    file = gw.settings.policy.manifests / f"{name}.yaml"
    manifests.read(text, str(file))  # what does not load is not handed out
    return {"file": str(file), "exists": file.exists(), "tools": entries, "text": text, "unreachable": problem}
