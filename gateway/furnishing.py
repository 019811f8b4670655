"""What comes ready for a server that is known: its manifest and its policy, put beside the operator's own.

They are the operator's from then on: what is there already, or was changed, is never written over.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from gateway import config
from gateway.errors import ConfigError
from gateway.executors.packages.commands import package_of, read_command
from gateway.registry.ready import Ready, needs, ready
from gateway.resources import resource
from gateway.settings import Settings, UpstreamSettings
from gateway.yamltext import write


def furnish(file: Path, name: str, before: UpstreamSettings | None = None) -> list[Path]:
    """Put what is ready for an upstream of the file beside it; the files that were written.

    `before` is what the upstream was: a manifest that was written for that, and not touched since, is written anew.
    """
    settings = config.outline(file)
    upstream = settings.upstreams[name]
    package = package_of(read_command(upstream.command, upstream.args)) if upstream.command else None
    found = needs(package) if package else None
    if package is None or found is None:
        return []
    written = [*_manifest(settings, name, package, before), *_policy(settings, found)]
    if settings.policy.bundle.is_dir() and _told(settings.policy.bundle / "data.json", name, found, upstream):
        written.append(settings.policy.bundle / "data.json")
    return written


def _manifest(settings: Settings, name: str, package: str, before: UpstreamSettings | None) -> list[Path]:
    target = settings.policy.manifests / f"{name}.yaml"
    text = _text(package, settings.upstreams[name])
    there = target.read_text(encoding="utf-8") if target.exists() else None
    if text is None or there == text or (there is not None and (before is None or there != _text(package, before))):
        return []
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, text)
    return [target]


def _text(package: str, upstream: UpstreamSettings) -> str | None:
    return ready(package, list(upstream.folders), _hosts(upstream))


def _hosts(upstream: UpstreamSettings) -> list[str]:
    return [entry.rpartition(":")[0] for entry in upstream.network.allow]


def _policy(settings: Settings, found: Ready) -> list[Path]:
    """The policy for servers of this package, and its tests; a folder that is built elsewhere is left alone."""
    bundle = settings.policy.bundle
    written = []
    for file in (found.policy, found.policy.replace(".rego", "_test.rego")) if bundle.is_dir() else ():
        if not (bundle / file).exists():
            shutil.copy(resource(f"policies/packs/servers/{file}"), bundle / file)
            written.append(bundle / file)
    return written


def _told(file: Path, name: str, found: Ready, upstream: UpstreamSettings) -> bool:
    """Say in the policies' data which servers they are for; whether it was not said yet."""
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except ValueError:
        raise ConfigError("is no JSON: what is ready for a server cannot be said there", file=str(file)) from None
    before = json.dumps(data)
    kind = found.policy.removesuffix(".rego")
    served = data.setdefault("servers", {}).setdefault(kind, [])
    if name not in served:
        served.append(name)
    if found.network and (hosts := _hosts(upstream)):
        known = data.setdefault(kind, {}).setdefault("hosts", [])
        known.extend(host for host in hosts if host not in known)
    if json.dumps(data) == before:
        return False
    write(file, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return True
