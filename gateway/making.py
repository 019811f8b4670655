"""Executors, made as the settings have them, and what each was made of: where that changes it is made anew.

Beside `app.py` the only file that names concrete executors.
"""

from collections.abc import Mapping

from gateway.config import Settings
from gateway.executors import Executor
from gateway.executors.launcher import Grounds, stdio
from gateway.executors.packages.store import Packages
from gateway.executors.remote import Remote
from gateway.executors.sandbox.profiles import NONE, load_profile
from gateway.model import Limits
from gateway.registry import Terms
from gateway.registry.ready import needs
from gateway.resources import resource

Made = tuple[tuple[object, ...], Executor]
"""An executor, and the fingerprint of what it was made of."""


def grounds(settings: Settings) -> Grounds:
    """What the stdio servers of these settings share."""
    profiles = (settings.file.with_name("sandboxes"), resource("sandboxes"))
    own = (settings.file, settings.file.with_name("bascule.lock"), settings.policy.bundle, settings.policy.manifests)
    data = (one.file for one in settings.policy.data)
    guarded = (*own, *data, profiles[0])
    return Grounds(settings.state, profiles, Packages(settings.state / "packages"), _needed, guarded)


def _needed(package: str) -> Mapping[str, str]:
    known = needs(package)
    return known.env if known else {}


def fingerprint(name: str, settings: Settings) -> tuple[object, ...]:
    """All that an upstream's executor was made of: where a reload finds another, it is made anew.

    Raises:
        ConfigError: its sandbox profile is not what it must be.
    """
    upstream = settings.upstreams[name]
    if upstream.command is None:
        return (upstream,)
    shared = grounds(settings)
    confined = upstream.sandbox != NONE
    profile = load_profile(upstream.sandbox, shared.profiles).digest if confined else NONE
    return (upstream, settings.limits, settings.run_as, shared.guarded, profile)


def executor(name: str, settings: Settings, shared: Grounds) -> Executor:
    """What runs an upstream's calls.

    Raises:
        ConfigError: its command, its sandbox profile or its allow-list is not what it must be.
    """
    upstream = settings.upstreams[name]
    if upstream.url is None:
        return stdio(name, settings, shared)
    limits = Limits(settings.limits.call_s, settings.limits.result_mb << 20)
    authorization = None
    if upstream.auth is not None:
        from gateway.executors.oauth.authorization import Authorization, account  # noqa: PLC0415 - 0.6 s only where it is used

        authorization = Authorization(account(name, upstream, settings.state))
    return Remote(name, upstream, limits, authorization=authorization)


def terms(settings: Settings) -> dict[str, Terms]:
    """What the operator says of each upstream as a whole."""
    return {
        name: Terms(one.mode, one.until, one.trust, one.sandbox if one.command else "")
        for name, one in settings.upstreams.items()
    }
